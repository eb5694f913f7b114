"""What this process does, in words and by counted steps, for the other ranks to see that it moves.

A process that lives may still stand still: in a lock, on a disk that does not answer, in a loop without an
end. So what its thread of signs of life tells (see `waiting`) is how often the work itself has gone on: with
each row group, each step of a descent, each look of one that waits. Who works says so here, in any thread.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Doing:
    """What was said last."""

    moves: int  # stages and steps since the process began
    stage: str
    step: int  # of the stage

    def told(self) -> str:
        """In words."""
        return f"{self.stage}, step {self.step}"


_now = Doing(0, "beginning", 0)
_lock = threading.Lock()


def stage(words: str) -> None:
    """Something else begins."""
    global _now
    with _lock:
        _now = Doing(_now.moves + 1, words, 0)


def step() -> None:
    """It goes on: called at least once for each row group."""
    global _now
    with _lock:
        _now = Doing(_now.moves + 1, _now.stage, _now.step + 1)


def now() -> Doing:
    """What was said last."""
    return _now

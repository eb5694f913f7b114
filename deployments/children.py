"""Processes that one command starts, and stops in order, with whatever they have started themselves."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

SECONDS = 20.0  # between SIGTERM and SIGKILL: `serve` ends its runs first, which takes some
PR_SET_PDEATHSIG = 1
LAST = 2000  # characters of a log that are shown


class Child:
    """A process with a session and a log of its own; it gets SIGTERM when this process is killed."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path
    ) -> None:
        self.name, self.log = name, log
        with log.open("w") as words:
            self.process = subprocess.Popen(
                command,
                env=dict(environment),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                start_new_session=True,  # the terminal's Ctrl-C is for us: they are stopped in order
                preexec_fn=_stand_alone,
            )

    def wait(self) -> None:
        """Until it ended well.

        Raises:
            RuntimeError: it did not; with its last words.
        """
        if self.process.wait():
            raise RuntimeError(self.last_words())

    def has_ended(self) -> bool:
        """Whether it has ended, well or not."""
        return self.process.poll() is not None

    def words(self) -> str:
        """What it has written."""
        return self.log.read_text(errors="replace")

    def last_words(self) -> str:
        """Why it is of no use, with the end of its log."""
        how = f"ended with code {self.process.poll()}" if self.has_ended() else "was not ready in time"
        return f"{self.name} {how}; {self.log} ends with:\n{self.words()[-LAST:]}"

    def stop(self) -> None:
        """SIGTERM and time to end well, then SIGKILL to what is left of its session."""
        if not self.has_ended():
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(SECONDS)
        for sign in (signal.SIGTERM, signal.SIGKILL):
            _signal_group(self.process.pid, sign)
            deadline = time.monotonic() + SECONDS / 4
            while _signal_group(self.process.pid, 0) and time.monotonic() < deadline:
                self.process.poll()
                time.sleep(0.05)


def stop_all(children: Sequence[Child]) -> None:
    """Stop them, the last started first: who works before whom it reports to."""
    for child in reversed(children):
        child.stop()


def _signal_group(group: int, sign: int) -> bool:
    """Whether anybody was left in the group to be signalled (by 0: only asked for)."""
    try:
        os.killpg(group, sign)
    except ProcessLookupError:
        return False
    return True


def _stand_alone() -> None:
    """In the child, before it is the command: SIGINT as ever, which Prefect needs; a parent to follow."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

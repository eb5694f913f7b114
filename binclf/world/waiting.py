"""Waiting for ranks that work, and not for those that are gone or stand still.

Collectives take a peer that is silent for minutes for dead. One that goes over many rows may be: its share is
larger, its disk or machine slower. So before the collective that ends such work the ranks meet at the store
where they met first. There each gives signs of life from a thread of its own, which say how far its work is
(`doing`): a rank is waited for as long as these come and the work goes on. One that waits does so by looking.

Silence is counted by looks, and not by the clock alone: where all ranks of a job were stopped for an hour and
go on (by Slurm, or a frozen container), whoever wakes first has heard nothing of the others either.
"""

from __future__ import annotations

import math
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from binclf.errors import RankError
from binclf.world import doing

BEAT_SECONDS = 10.0
SILENT_SECONDS = 300.0  # without a sign of life, until a rank is taken for dead
LONGEST_PAUSE = 0.25  # between looks at whether all have come
LONGEST_LOOK = 3.0  # beats: of the time between two looks at signs of life so much counts as silence
FAILED = "failed"


class Waiting:
    """One rank's signs of life, and its meetings with the others."""

    def __init__(self, store: Any, rank: int, size: int, stall: float = math.inf) -> None:  # noqa: ANN401
        """Begin to give signs of life.

        Args:
            store: torch.distributed's, where all ranks look.
            rank: which this one is.
            size: of how many.
            stall: seconds that the work of another may stand still while this one waits for it.
        """
        self._store, self._rank, self._size, self._stall = store, rank, size, stall
        self._meetings = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="signs of life", daemon=True)
        store.set(self._key(rank), self._sign(0))
        self._thread.start()

    def meet(self) -> None:
        """Until all ranks have come.

        Raises:
            RankError: one has failed, gave no sign of life for five minutes, or stands still.
        """
        self._meetings += 1
        key, pause = f"meeting/{self._meetings}", 5e-4
        if self._store.add(key, 1) == self._size:
            self._store.set(f"{key}/all", "")
        lives = Lives(self._store, [self._key(rank) for rank in range(self._size)], self._stall)
        looked = time.monotonic()
        while not self._store.check([f"{key}/all"]):
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            if time.monotonic() - looked > min(BEAT_SECONDS, 1.0):
                looked = time.monotonic()
                doing.step()
                self._refuse_failed()
                lives.look()

    def end(self, *, has_failed: bool) -> None:
        """No more signs of life; one that failed says so, as far as the store is still there."""
        self._over.set()
        if has_failed:
            with suppress(RuntimeError):
                self._store.set(FAILED, str(self._rank))
        self._thread.join(timeout=1.0)

    def _refuse_failed(self) -> None:
        if self._store.check([FAILED]):
            rank = self._store.get(FAILED).decode()
            raise RankError(f"connection closed by peer: rank {rank} has failed while this one waited.")

    def _beat(self) -> None:
        count = 0
        while not self._over.wait(BEAT_SECONDS):
            count += 1
            with suppress(RuntimeError):  # if the store is gone whoever waits is told so by its own look
                self._store.set(self._key(self._rank), self._sign(count))

    @staticmethod
    def _sign(count: int) -> str:
        """What `Lives` reads."""
        own = doing.now()
        return f"{count}\n{own.moves}\n{own.told()}"

    @staticmethod
    def _key(rank: int) -> str:
        return f"life/{rank}"


class Lives:
    """What one that waits has heard of each rank."""

    def __init__(self, store: Any, keys: list[str], stall: float) -> None:  # noqa: ANN401 - torch.distributed.Store
        """Nothing yet; `keys` are those of the ranks' signs of life, in their order."""
        self._store, self._keys, self._stall = store, keys, stall
        self._signs = [_Sign()] * len(keys)
        self._silent = [0.0] * len(keys)  # seconds that were looked and nothing new was seen
        self._still = [0.0] * len(keys)  # and that the work did not go on
        self._looked = time.monotonic()

    def look(self) -> None:
        """Once a beat, in one request: all of 1,000 ranks that wait ask the same store.

        Raises:
            RankError: a rank gave no sign of life for too long, or its work stands still for too long.
        """
        passed = time.monotonic() - self._looked
        if passed < BEAT_SECONDS:
            return
        signs = [_Sign.of(content) for content in self._store.multi_get(self._keys)]
        self._looked, passed = time.monotonic(), min(passed, LONGEST_LOOK * BEAT_SECONDS)
        for rank, (sign, before) in enumerate(zip(signs, self._signs, strict=True)):
            self._silent[rank] = self._silent[rank] + passed if sign.count == before.count else 0.0
            self._still[rank] = self._still[rank] + passed if sign.moves == before.moves else 0.0
            if self._silent[rank] > SILENT_SECONDS:
                raise RankError(
                    f"timed out: rank {rank} gave no sign of life for {SILENT_SECONDS:.0f} s: it hangs, was "
                    f"stopped, or its machine is gone. Its last words: {sign.told}."
                )
            if self._still[rank] > self._stall:
                raise RankError(
                    f"timed out: the work of rank {rank} stands still for {self._stall:.0f} s ({sign.told}): "
                    "it hangs, or its disk or store does not answer. If it only is that slow, raise "
                    "train.stall_seconds."
                )
        self._signs = signs


@dataclass(frozen=True, slots=True)
class _Sign:
    """A sign of life."""

    count: str = ""
    moves: str = ""
    told: str = ""

    @classmethod
    def of(cls, content: bytes) -> _Sign:
        """As `Waiting` gives it."""
        return cls(*content.decode().split("\n", 2))

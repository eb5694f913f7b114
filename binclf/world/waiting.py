"""Waiting for ranks that work, and not for those that are gone.

Collectives take a peer that is silent for minutes for dead. One that goes over many rows may be: its share is
larger, its disk or machine slower. So before the collective that ends such work the ranks meet at the store
where they met first. There each gives signs of life from a thread of its own: a rank is waited for as long as
these come.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any

from binclf.errors import RankError

BEAT_SECONDS = 10.0
SILENT_SECONDS = 300.0  # without a sign of life, until a rank is taken for dead
LONGEST_PAUSE = 0.25  # between looks
FAILED = "failed"


class Waiting:
    """One rank's signs of life, and its meetings with the others."""

    def __init__(self, store: Any, rank: int, size: int) -> None:  # noqa: ANN401 - torch.distributed.Store
        """Where all ranks look, and which this one is."""
        self._store, self._rank, self._size = store, rank, size
        self._meetings = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="signs of life", daemon=True)
        store.set(self._key(rank), "0")
        self._thread.start()

    def meet(self) -> None:
        """Until all ranks have come.

        Raises:
            RankError: one has failed, or gave no sign of life for five minutes.
        """
        self._meetings += 1
        key, pause = f"meeting/{self._meetings}", 5e-4
        if self._store.add(key, 1) == self._size:
            self._store.set(f"{key}/all", "")
        lives = dict.fromkeys(range(self._size), (b"", time.monotonic()))
        looked = time.monotonic()
        while not self._store.check([f"{key}/all"]):
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            if time.monotonic() - looked > min(BEAT_SECONDS, 1.0):
                looked = time.monotonic()
                self._look(lives)

    def end(self, *, has_failed: bool) -> None:
        """No more signs of life; one that failed says so, as far as the store is still there."""
        self._over.set()
        if has_failed:
            with suppress(RuntimeError):
                self._store.set(FAILED, str(self._rank))
        self._thread.join(timeout=1.0)

    def _look(self, lives: dict[int, tuple[bytes, float]]) -> None:
        if self._store.check([FAILED]):
            rank = self._store.get(FAILED).decode()
            raise RankError(f"connection closed by peer: rank {rank} has failed while this one waited.")
        for rank, (before, since) in lives.items():
            sign, now = self._store.get(self._key(rank)), time.monotonic()
            if sign != before:
                lives[rank] = (sign, now)
            elif now - since > SILENT_SECONDS:
                raise RankError(
                    f"timed out: rank {rank} gave no sign of life for {SILENT_SECONDS:.0f} s: it hangs, was "
                    "stopped, or its machine is gone."
                )

    def _beat(self) -> None:
        count = 0
        while not self._over.wait(BEAT_SECONDS):
            count += 1
            try:
                self._store.set(self._key(self._rank), str(count))
            except RuntimeError:  # the store is gone: whoever waits is told so by its own look
                return

    @staticmethod
    def _key(rank: int) -> str:
        return f"life/{rank}"

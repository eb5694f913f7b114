"""Work that readers wait for, done by threads in the order in which its results are needed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
Made = TypeVar("Made")


class Filling(Generic[Made]):
    """Items 0, 1, 2 ... of work, begun in order as far as they are allowed to be."""

    def __init__(self, work: Callable[[int], Made], needs: I64, threads: int) -> None:
        """Begin nothing yet.

        Args:
            work: does an item, by its number.
            needs: the first position at which each item is needed, int64 [items], in order.
            threads: that work at the same time.
        """
        self.work, self.needs = work, needs
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="fill")
        self._begun: list[Future[Made]] = []
        self._awaited = 0

    @property
    def is_done(self) -> bool:
        """Whether all items were waited for."""
        return self._awaited == len(self.needs)

    def allow(self, count: int) -> None:
        """The first so many items may be done."""
        self._begun += [self._pool.submit(self.work, item) for item in range(len(self._begun), count)]

    def until(self, position: int) -> list[Made]:
        """Wait for the items that are needed before a position; returns what they made, once.

        Raises:
            whatever an item raised; nothing more is begun then.
        """
        end = int(np.searchsorted(self.needs, position))
        if end > len(self._begun):
            raise AssertionError(f"item {end - 1} is needed, and {len(self._begun)} were allowed")
        try:
            made = [future.result() for future in self._begun[self._awaited : end]]
        except BaseException:
            self.close()
            raise
        self._awaited = max(self._awaited, end)
        if self.is_done:
            self._pool.shutdown(wait=False)
        return made

    def close(self) -> None:
        """Begin nothing more, and wait for what is under way."""
        self._pool.shutdown(cancel_futures=True)

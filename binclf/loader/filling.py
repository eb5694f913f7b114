"""Work that readers wait for, done by threads in the order in which its results are needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]


class Filling:
    """Items 0, 1, 2 ... of work, begun in order as far as they are allowed to be, one a thread at a time.

    A thread that ends an item begins the next: nothing is queued, however many items there are. Any number of
    callers may wait at once.
    """

    def __init__(self, work: Callable[[int], None], needs: I64, threads: int) -> None:
        """Begin nothing yet.

        Args:
            work: does an item, by its number.
            needs: the first position at which each item is needed, int64 [items], in order.
            threads: that work at the same time.
        """
        self.work, self.needs, self.threads = work, needs, threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="fill")
        self._changed = threading.Condition()  # held wherever the following are looked at
        self._allowed = self._begun = 0
        self._working: set[int] = set()
        self._failed: dict[int, BaseException] = {}
        self._is_over = False

    @property
    def _done(self) -> int:
        """The first so many are: those before any that is worked on, failed or was not begun."""
        return min((*self._working, *self._failed), default=self._begun)

    @property
    def _has_stopped(self) -> bool:
        """Whether no more will be done than is."""
        return not self._working and (self._is_over or bool(self._failed))

    def allow(self, count: int) -> None:
        """The first so many items may be done."""
        with self._changed:
            self._allowed = max(count, self._allowed)
            self._begin()

    def until(self, position: int) -> None:
        """Wait for the items that are needed before a position.

        Raises:
            whatever the first of them that failed has raised; after a failure nothing more is begun.
        """
        end = int(np.searchsorted(self.needs, position))
        with self._changed:
            if end > self._allowed:
                raise AssertionError(f"item {end - 1} is needed, and {self._allowed} were allowed")
            self._changed.wait_for(lambda: self._done >= end or self._has_stopped)
            done, error = self._done, self._failed.get(self._done)
        if done < end:
            self.close()
            raise error or AssertionError(f"item {done} is needed, and the work was closed")
        if done == len(self.needs):
            self._pool.shutdown(wait=False)

    def close(self) -> None:
        """Begin nothing more, and wait for what is under way."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        self._pool.shutdown()

    def _begin(self) -> None:
        """What is allowed, as far as threads are idle."""
        while self._begun < self._allowed and len(self._working) < self.threads:
            if self._is_over or self._failed:
                return
            self._working.add(self._begun)
            self._pool.submit(self._do, self._begun)
            self._begun += 1

    def _do(self, item: int) -> None:
        try:
            self.work(item)
        except BaseException as error:  # raised where it is waited for
            with self._changed:
                self._failed[item] = error
        with self._changed:
            self._working.remove(item)
            self._begin()
            self._changed.notify_all()

"""One thread that stays ahead of its consumer, who lends a hand while there is nothing else to do."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

Work = Callable[[slice], None]  # on some of the rows there are

LEAST = 8192  # rows that are worth handing over


class Hands:
    """What a thread that makes items may ask of the one that waits for them.

    While a model computes, its core is its own. While it waits, as in a first epoch or where steps are short,
    it does half of the work: the rows are there in little more than half the time.
    """

    def __init__(self) -> None:
        """Nobody waits yet."""
        self._ready: queue.Queue[Any] | None = None  # where somebody waits

    def halve(self, work: Work, count: int) -> None:
        """Do work on `count` rows; half of it by whoever waits, if somebody does."""
        ready = self._ready
        if ready is None or count < LEAST:
            work(slice(0, count))
            return
        half = _Half(partial(work, slice(count // 2, count)))
        with suppress(queue.Full):  # what was waited for is there already
            ready.put_nowait(half)
        work(slice(0, count // 2))
        half.finish()

    def wait(self, ready: queue.Queue[Any]) -> Any:  # noqa: ANN401
        """The next entry of a queue; until it comes, what is asked is done."""
        self._ready = ready
        try:
            while isinstance(entry := ready.get(), _Half):
                entry.take()
        finally:
            self._ready = None
        return entry


class _Half:
    """Work for whoever takes it first."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work
        self.taken, self.done = threading.Lock(), threading.Event()
        self.error: BaseException | None = None

    def take(self) -> None:
        """Do it, unless another does."""
        if self.taken.acquire(blocking=False):
            try:
                self.work()
            except BaseException as error:
                self.error = error
            finally:
                self.done.set()

    def finish(self) -> None:
        """Be sure that it is done; its exception is raised here."""
        self.take()
        self.done.wait()
        if self.error is not None:
            raise self.error


def prefetched(items: Iterable[T], depth: int = 2, hands: Hands | None = None) -> Iterator[T]:
    """The items, made by a thread that stays `depth` of them ahead; its exception is raised here.

    Each handing over costs both threads a turn at Python's lock: the items should be large. With `hands`,
    which the maker of the items has too, the consumer helps while it waits.
    """
    ready: queue.Queue[Any] = queue.Queue(depth)
    stop = threading.Event()
    waiting = hands or Hands()

    def produce() -> None:
        try:
            for item in items:
                if not _put(ready, ([item], None), stop):
                    return
            _put(ready, ([], None), stop)
        except BaseException as error:
            _put(ready, ([], error), stop)

    thread = threading.Thread(target=produce, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            made, error = waiting.wait(ready)
            if error is not None:
                raise error
            if not made:
                return
            yield made.pop()
    finally:
        stop.set()
        thread.join()


def _put(ready: queue.Queue[Any], entry: Any, stop: threading.Event) -> bool:  # noqa: ANN401
    while not stop.is_set():
        try:
            ready.put(entry, timeout=0.1)
            return True
        except queue.Full:
            continue
    return False

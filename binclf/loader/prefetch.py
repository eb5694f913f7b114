"""One thread that stays ahead of its consumer."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")


def prefetched(items: Iterable[T], *, bundle: int = 1, depth: int = 2) -> Iterator[T]:
    """The items, made by a thread that stays `depth` bundles ahead; its exception is raised here.

    Bundles, since each handing over costs both threads a turn at Python's lock.
    """
    ready: queue.Queue[tuple[list[T], BaseException | None, bool]] = queue.Queue(depth)
    stop = threading.Event()

    def produce() -> None:
        source = iter(items)
        made: list[T] = []
        try:
            while True:
                made = []
                made.extend(islice(source, bundle))
                if not made or not _put(ready, (made, None, False), stop):
                    break
            _put(ready, ([], None, True), stop)
        except BaseException as error:
            _put(ready, (made, error, True), stop)

    thread = threading.Thread(target=produce, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            made, error, is_end = ready.get()
            yield from made
            if error is not None:
                raise error
            if is_end:
                return
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

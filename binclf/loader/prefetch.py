"""One thread that stays ahead of its consumer."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


def prefetched(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """The items, made by a thread that stays `depth` of them ahead; its exception is raised here.

    Each handing over costs both threads a turn at Python's lock: the items should be large.
    """
    ready: queue.Queue[tuple[list[T], BaseException | None]] = queue.Queue(depth)
    stop = threading.Event()

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
            made, error = ready.get()
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

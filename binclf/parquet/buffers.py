"""Arrays that are used again and again: fresh memory costs a page fault every 4 KiB, 3-10 times a copy."""

from __future__ import annotations

import sys
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]

PAGE, LINE = 4096, 64  # bytes of memory's pages, and of the cache's lines
APART = PAGE + 192  # bytes between columns, over whole pages: else a row's values, lying at the same place of
# every column, would all fall into one set of the cache's lines
ROOM = 2**18  # bytes that memory is asked for in multiples of: what is as large can be used again
KEPT = 64  # arrays, at most: more are held where rows are gathered, not where they are worked on


def _references(arrays: list[F32]) -> list[int]:
    """How many hold each array: the list, this loop (as this version of Python counts it), and others."""
    return [sys.getrefcount(array) for array in arrays]


_PROBE = [np.empty(1, dtype=np.float32)]
UNHELD = _references(_PROBE)[0]
_VIEW = _PROBE[0][:1]
CAN_TELL = _references(_PROBE)[0] > UNHELD  # else none is given out again


def apart(size: int) -> int:
    """Bytes from one column of so many bytes to the next."""
    return -(-size // PAGE) * PAGE + APART if size >= PAGE else -(-size // LINE) * LINE


class Buffers:
    """Gives out float32 arrays; one is given out again only when nobody holds it or a view of it any more."""

    def __init__(self, kept: int = KEPT) -> None:
        """None yet; of so many at most it is known when they are free again."""
        self.kept = kept
        self._arrays: list[F32] = []
        self._lock = threading.Lock()

    def take(self, rows: int, columns: int) -> F32:
        """An array float32 [rows, columns] with anything in it."""
        size = rows * columns
        with self._lock:
            for array, held in zip(self._arrays, _references(self._arrays), strict=True):
                if CAN_TELL and held == UNHELD and len(array) >= size:
                    return array[:size].reshape(rows, columns)
            self._arrays = [a for a in self._arrays if len(a) >= size]  # smaller ones are of no use any more
            fresh = np.empty(size, dtype=np.float32)
            if len(self._arrays) < self.kept:
                self._arrays.append(fresh)
            return fresh[:size].reshape(rows, columns)

    def bytes(self, size: int) -> U8:
        """Memory uint8 of so many bytes or some more, with anything in it."""
        return self.take(1, -(-size // ROOM) * ROOM // 4).reshape(-1).view(np.uint8)

    def __getstate__(self) -> dict[str, Any]:
        """Another process begins with none."""
        return {"kept": self.kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

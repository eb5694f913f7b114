"""A local file whose bytes are read by their places, beside pyarrow's own way to it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FURTHEST = 2**62  # bytes: beyond, the system refuses to look


def can_be_at(begin: int) -> bool:
    """Whether a file can have bytes there; if not, the system takes the question for a mistake."""
    return 0 <= begin <= FURTHEST


class Handle:
    """One file, opened when it is first read."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened yet."""
        self.path = path
        self._number = -1

    @property
    def number(self) -> int:
        """By which the system knows the open file.

        Raises:
            OSError: it cannot be opened.
        """
        if self._number < 0:
            self._number = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        return self._number

    def read(self, pieces: Sequence[Any], begin: int) -> int:
        """Fill bytearrays or uint8 arrays, one after the other; returns how many bytes there were.

        A place that no file has, as a damaged footer may tell, is no fault of the system: there is nothing.

        Raises:
            OSError: the file cannot be read.
        """
        return os.preadv(self.number, pieces, begin) if can_be_at(begin) else 0

    def close(self) -> None:
        """Let go of the file."""
        if self._number >= 0:
            os.close(self._number)
            self._number = -1

    def __del__(self) -> None:
        self.close()  # as pyarrow does: readers that wait to be asked again are dropped, not closed

"""Files kept open from one row group to the next: opening one costs as much as a quarter of reading one."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from binclf.parquet import Reader
from binclf.split import PartFile
from binclf.storage import Remote, stamp_if_there

KEPT = 4  # open files that nobody reads: each keeps the bytes of its last row group (32 took 85 MiB)


class Readers:
    """Gives out readers, each to one thread at a time; a file that is another by now is opened again."""

    def __init__(self) -> None:
        """None yet."""
        self._idle: list[Reader] = []  # the longest unused first
        self._lock = threading.Lock()

    @contextmanager
    def open(self, file: PartFile, coded: Sequence[str]) -> Iterator[Reader]:
        """The file, `coded` being columns to read as codes: the same ones at each call.

        Raises:
            DataError: it changed since the split, or is damaged.
        """
        reader = self._taken(file) or file.reader(coded)
        try:
            yield reader
        except BaseException:
            reader.close()
            raise
        with self._lock:
            self._idle.append(reader)
            old = self._idle.pop(0) if len(self._idle) > KEPT else None
        if old is not None:
            old.close()

    def _taken(self, file: PartFile) -> Reader | None:
        with self._lock:
            place = next((i for i, reader in enumerate(self._idle) if reader.place == file.path), None)
            reader = None if place is None else self._idle.pop(place)
        if reader is None or isinstance(file.path, Remote):  # which is looked at after each reading
            return reader
        if stamp_if_there(file.path) == reader.stamp:
            return reader
        reader.close()  # and opening the file says what became of it
        return None

    def __getstate__(self) -> dict[str, Any]:
        """Another process begins with none."""
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]

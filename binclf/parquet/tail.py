"""The end of a Parquet file: its footer, read and parsed once for each content.

Pages carry checksums, the footer carries none: of 1,000 flips of a bit in it two gave other data in silence.
So its SHA-256 is kept where a file of ours is listed, and compared whenever the file is opened.

Footers are kept in memory as they stand in the files, as many as fit, and parsed for few row groups at once:
pyarrow makes 17 bytes of each, which would grow with the rows, and to parse the footer of a file of many row
groups takes longer than to read one of them. The bytes of those in object stores are kept on the local disk
too, so that a file's footer is fetched once for all processes.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from binclf import kernels
from binclf.storage import Kept, Place, Remote, Stamp, problem, stamp_of, stamp_of_open

MAGIC = b"PAR1"
KEPT = 1024  # footers, at most
KEPT_BYTES = 2 * 2**20  # that they take, but for the last: ten times the rows must not take more memory
FIRST_BYTES = 2**16  # of an object's end that are asked for at once: most footers fit

_footers = Kept("footers")


_SCHEMA, _ROW_GROUPS = 2, 4  # the fields of a footer that list the columns, and the row groups
_RECORDS = 12  # the kind of what is listed, as its header has it


@dataclass(frozen=True, slots=True)
class Tail:
    """A footer: its bytes and what follows them to the end of the file; none: the file is no Parquet."""

    content: bytes
    digest: str  # SHA-256 of its bytes; empty where there is none
    places: npt.NDArray[np.int64] | None  # of the list of row groups, of each, and of their end
    form: str  # SHA-256 of what it says of the columns: of the schema, and of all after the row groups

    @classmethod
    def of(cls, content: bytes) -> Tail:
        """Look where its row groups are."""
        if not content:
            return cls(b"", "", None, "")
        groups, schema = (kernels.elements(content, field) for field in (_ROW_GROUPS, _SCHEMA))
        form = content
        if schema is not None and groups is not None:
            form = content[schema[0] : schema[-1]] + content[groups[-1] : -8]
        digest, form_digest = (hashlib.sha256(part).hexdigest() for part in (content, form))
        return cls(content, digest, groups, form_digest)

    @property
    def groups(self) -> int:
        """How many row groups there are."""
        return len(self._places) - 2

    def record(self, group: int) -> bytes:
        """The bytes that tell of one row group."""
        return self.content[self._places[group + 1] : self._places[group + 2]]

    def whole(self) -> Any:  # noqa: ANN401 - pyarrow.FileMetaData
        """All of it, parsed; None: let pyarrow say what is wrong with the file.

        What it says of row groups is asked of `record`: pyarrow's own answers may end the process.
        """
        return pq.read_metadata(pa.BufferReader(MAGIC + self.content)) if self.content else None

    def cut(self, groups: range) -> Any:  # noqa: ANN401 - pyarrow.FileMetaData
        """As if the file had these row groups alone, at most 14."""
        places, content = self._places, self.content
        own = content[places[groups.start + 1] : places[groups.stop + 1]]
        footer = content[: places[0]] + bytes([len(groups) << 4 | _RECORDS]) + own + content[places[-1] : -8]
        end = len(footer).to_bytes(4, "little") + MAGIC
        return pq.read_metadata(pa.BufferReader(MAGIC + footer + end))

    @property
    def _places(self) -> npt.NDArray[np.int64]:
        if self.places is None:
            raise AssertionError("the row groups of this footer cannot be told apart")
        return self.places


class _Recent:
    """The tails that were asked for last."""

    def __init__(self) -> None:
        self.tails: OrderedDict[tuple[str, Stamp], Tail] = OrderedDict()
        self.lock = threading.Lock()

    def get(self, key: tuple[str, Stamp]) -> Tail | None:
        with self.lock:
            if key in self.tails:
                self.tails.move_to_end(key)
            return self.tails.get(key)

    def put(self, key: tuple[str, Stamp], tail: Tail) -> Tail:
        with self.lock:
            self.tails[key] = tail
            sizes = [len(one.content) for one in self.tails.values()]
            while len(self.tails) > 1 and (len(self.tails) > KEPT or sum(sizes) > KEPT_BYTES):
                self.tails.popitem(last=False)
                sizes.pop(0)
        return tail


_recent = _Recent()


def forget() -> None:
    """Have every footer read anew, as another process would."""
    _recent.tails.clear()


def footer_digest(place: Place) -> str:
    """SHA-256 of a file's footer."""
    if isinstance(place, Path):
        return tail_of(place, stamp_of(place)).digest
    with problem(place, "read"), place.open() as file:
        return tail_of(place, stamp_of_open(file), file).digest


def tail_of(place: Place, stamp: Stamp, file: Any = None) -> Tail:  # noqa: ANN401 - pyarrow.NativeFile
    """The footer of a file as it is now.

    Args:
        place: the file.
        stamp: its stamp, as it is now.
        file: the same, open, where it is an object in a store.

    Raises:
        OSError: it cannot be read.
    """
    key = (str(place), stamp)
    is_known = any(stamp[1:])  # a store that tells neither time nor tag: other content looks the same
    tail = _recent.get(key) if is_known else None
    if tail is None:
        content = _local(place, stamp[0]) if isinstance(place, Path) else _stored(place, stamp, file)
        tail = _recent.put(key, Tail.of(content))
    return tail


def _length(end: bytes, size: int) -> int:
    """Bytes from the begin of the footer to the end of the file; 0 if it is no Parquet."""
    length = int.from_bytes(end[-8:-4], "little") + 8
    return length if end[-4:] == MAGIC and length + 4 <= size else 0


def _local(path: Path, size: int) -> bytes:
    handle = os.open(path, os.O_RDONLY)
    try:
        length = _length(os.pread(handle, 8, max(size - 8, 0)), size)
        return os.pread(handle, length, size - length)
    finally:
        os.close(handle)


def _stored(place: Remote, stamp: Stamp, file: Any) -> bytes:  # noqa: ANN401 - pyarrow.NativeFile
    key, size = f"{place} {stamp}", stamp[0]
    is_known = any(stamp[1:])
    kept = _footers.get(key) if is_known else None
    if kept is not None:
        return kept
    with problem(place, "read"):
        end = bytes(file.read_at(min(FIRST_BYTES, size), max(size - FIRST_BYTES, 0)))
        length = _length(end, size)
        if length > len(end):
            end = bytes(file.read_at(length, size - length))
    content = end[len(end) - length :]
    if content and is_known:
        _footers.put(key, content)
    return content

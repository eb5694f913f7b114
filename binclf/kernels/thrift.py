"""Where the elements of a list lie in a record of Thrift's compact protocol, which Parquet's footers are.

Nothing is interpreted but what must be passed over. So a footer can be cut to one of its row groups without
parsing the others, which takes 17 times their bytes of memory, and as long as reading a small row group.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from binclf.kernels import library
from binclf.kernels.library import at

I64 = npt.NDArray[np.int64]

DEPTH = 32  # of records in records
_BYTES = {1: 0, 2: 0, 3: 1, 7: 8}  # kinds of fixed size: true, false (in a list a byte), a byte, a double
_NUMBERS, _LISTS = (4, 5, 6), (9, 10)
_BINARY, _LIST, _MAP, _RECORD = 8, 9, 11, 12


def elements(record: bytes, field: int) -> I64 | None:
    """Where a list begins, where each of its elements does, and where the last one ends, int64 [n + 2].

    Args:
        record: of the compact protocol; what follows its end is not looked at.
        field: the number of the field that is the list.

    Returns:
        None where there is no such list, or the bytes are not a record.
    """
    if library.loops is None:
        try:
            return _elements(_Walk(record), field)
        except IndexError:
            return None
    content = np.frombuffer(record or b"\0", dtype=np.uint8)
    count = library.loops.elements(at(content), len(content), field, 0, None)
    found = np.empty(max(count, 0) + 2, dtype=np.int64)
    if count < 0 or library.loops.elements(at(content), len(content), field, len(found), at(found)) < 0:
        return None
    return found


def integers(record: bytes) -> tuple[dict[int, int], int] | None:
    """The fields of a record that are integers, by their numbers, and how many bytes the record takes.

    Returns:
        None where the bytes are not a record.
    """
    walk, found, field = _Walk(record), dict[int, int](), 0
    try:
        for kind, delta in walk.fields():
            field = field + delta if delta else walk.number >> 1
            if kind in _NUMBERS:
                number = walk.varint()
                found[field] = (
                    number >> 1 if not number & 1 else -(number >> 1) - 1
                )  # the lowest bit is the sign
            else:
                walk.skip(kind, 0)
    except IndexError:
        return None
    return found, walk.at


def _elements(walk: _Walk, wanted: int) -> I64 | None:
    field = 0
    for kind, delta in walk.fields():
        field = field + delta if delta else walk.number >> 1
        if field != wanted or kind != _LIST:
            walk.skip(kind, 0)
            continue
        found = [walk.at]
        count, inner = walk.header()
        if count > len(walk.record) - walk.at:
            return None
        for _ in range(count):
            found.append(walk.at)
            walk.skip(inner, 0, in_list=True)
        return np.array([*found, walk.at], dtype=np.int64)
    return None


class _Walk:
    """A place in a record, going on; IndexError where there is nothing to go on to."""

    def __init__(self, record: bytes) -> None:
        self.record, self.at, self.number = record, 0, 0

    def byte(self) -> int:
        self.at += 1
        return self.record[self.at - 1]

    def varint(self) -> int:
        found = 0
        for shift in range(0, 64, 7):
            byte = self.byte()
            found |= (byte & 127) << shift
            if not byte & 128:
                return found % 2**64
        raise IndexError(self.at)

    def past(self, count: int) -> None:
        self.at += count
        if self.at > len(self.record):
            raise IndexError(self.at)

    def header(self) -> tuple[int, int]:
        """Of a list: how many, and their kind."""
        byte = self.byte()
        return (self.varint() if byte >> 4 == 15 else byte >> 4), byte & 15

    def fields(self) -> Iterator[tuple[int, int]]:
        """Kind of each field, and how far its number is from the last one's; 0: it is `number`."""
        while byte := self.byte():
            if not byte >> 4:
                self.number = self.varint()
            yield byte & 15, byte >> 4

    def skip(self, kind: int, depth: int, *, in_list: bool = False) -> None:
        """Past a value; of a list's elements those that are true or false take a byte."""
        if depth > DEPTH:
            raise IndexError(self.at)
        if kind in _BYTES:
            self.past(_BYTES[kind] or int(in_list))
        elif kind in _NUMBERS:
            self.varint()
        elif kind == _BINARY:
            self.past(self.varint())
        elif kind in _LISTS:
            count, inner = self.header()
            self._skip_all(count, (inner,), depth)
        elif kind == _MAP:
            count = self.varint()
            if count:
                kinds = self.byte()
                self._skip_all(count, (kinds >> 4, kinds & 15), depth)
        elif kind == _RECORD:
            for inner, _ in self.fields():
                self.skip(inner, depth + 1)
        else:
            raise IndexError(self.at)

    def _skip_all(self, count: int, kinds: tuple[int, ...], depth: int) -> None:
        for _ in range(count):
            for kind in kinds:
                self.skip(kind, depth + 1, in_list=True)

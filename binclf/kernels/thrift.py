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
NUMBERS, _LISTS = (4, 5, 6), (9, 10)  # of 16, 32 and 64 bits; lists and sets
BINARY, LIST, _MAP, RECORD = 8, 9, 11, 12


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
            return _elements(Walk(record), field)
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
    walk, found = Walk(record), dict[int, int]()
    try:
        for kind, field in walk.fields():
            if kind in NUMBERS:
                found[field] = walk.whole()
            else:
                walk.skip(kind, 0)
    except IndexError:
        return None
    return found, walk.at


def text_at(record: bytes, place: int) -> bytes | None:
    """The bytes of a text that begins at a place of a record; None where there is none."""
    try:
        return Walk(record, place).text() if place >= 0 else None
    except IndexError:
        return None


def texts_at(record: bytes, place: int) -> list[bytes] | None:
    """The same of a list of texts."""
    if place < 0:
        return None
    walk = Walk(record, place)
    try:
        count, kind = walk.header()
        return [walk.text() for _ in range(count)] if kind == BINARY else None
    except IndexError:
        return None


def _elements(walk: Walk, wanted: int) -> I64 | None:
    for kind, field in walk.fields():
        if field != wanted or kind != LIST:
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


class Walk:
    """A place in a record, going on; IndexError where there is nothing to go on to."""

    def __init__(self, record: bytes, place: int = 0) -> None:
        """At a place."""
        self.record, self.at = record, place

    def byte(self) -> int:
        """The next one."""
        self.at += 1
        return self.record[self.at - 1]

    def varint(self) -> int:
        """A number of 64 bits, seven in a byte."""
        found = 0
        for shift in range(0, 64, 7):
            byte = self.byte()
            found |= (byte & 127) << shift
            if not byte & 128:
                return found % 2**64
        raise IndexError(self.at)

    def whole(self) -> int:
        """A number that may be negative: its lowest bit tells."""
        number = self.varint()
        return number >> 1 if not number & 1 else -(number >> 1) - 1

    def text(self) -> bytes:
        """Its length, then so many bytes."""
        size = self.varint()
        self.past(size)
        return self.record[self.at - size : self.at]

    def past(self, count: int) -> None:
        """So many bytes on."""
        self.at += count
        if self.at > len(self.record):
            raise IndexError(self.at)

    def header(self) -> tuple[int, int]:
        """Of a list: how many, and their kind."""
        byte = self.byte()
        return (self.varint() if byte >> 4 == 15 else byte >> 4), byte & 15

    def fields(self) -> Iterator[tuple[int, int]]:
        """Kind and number of each field, up to the record's end: a header without a kind."""
        number = 0
        while (byte := self.byte()) & 15:
            number = number + (byte >> 4) if byte >> 4 else self.varint() >> 1
            yield byte & 15, number

    def skip(self, kind: int, depth: int, *, in_list: bool = False) -> None:
        """Past a value; of a list's elements those that are true or false take a byte."""
        if depth > DEPTH:
            raise IndexError(self.at)
        if kind in _BYTES:
            self.past(_BYTES[kind] or int(in_list))
        elif kind in NUMBERS:
            self.varint()
        elif kind == BINARY:
            self.past(self.varint())
        elif kind in _LISTS:
            count, inner = self.header()
            self._skip_all(count, (inner,), depth)
        elif kind == _MAP:
            count = self.varint()
            if count:
                kinds = self.byte()
                self._skip_all(count, (kinds >> 4, kinds & 15), depth)
        elif kind == RECORD:
            for inner, _ in self.fields():
                self.skip(inner, depth + 1)
        else:
            raise IndexError(self.at)

    def _skip_all(self, count: int, kinds: tuple[int, ...], depth: int) -> None:
        for _ in range(count):
            for kind in kinds:
                self.skip(kind, depth + 1, in_list=True)

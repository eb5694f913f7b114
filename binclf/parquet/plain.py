"""Plain pages, read straight to where they are worked on.

A column of floats without nulls, as our own files have them, is one page in each row group: a header, then
the values as memory has them. pyarrow takes 30-50 microseconds for each, most of it before the first value,
and computes checksums at a third of the speed that processors have an instruction for. Here neighbouring
columns of a row group are read by one call of the system, each to its own place.

Nothing is interpreted: a page is taken only if its header is, to the byte, the one that these values must
have, checksum included. Whatever else is found is left to pyarrow, which reads it, or says what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from binclf import kernels
from binclf.kernels.chunks import BYTES, CODEC
from binclf.parquet.buffers import Buffers, apart
from binclf.parquet.floats import Floats, Plain
from binclf.parquet.handle import Handle
from binclf.parquet.rowgroup import UNCOMPRESSED, RowGroup

Number = np.dtype[np.float32] | np.dtype[np.float64]

SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
MOST_HEADER = 37  # bytes of a header without statistics; two pages have more, and would be read in vain
MOST_COLUMNS = 500  # of one call, which takes at most 1,024 pieces

_ENDS = (b"\x1c\x00\x00\x00", b"\x00\x00")  # no statistics: an empty record, or none

_buffers = Buffers()


@dataclass(frozen=True, slots=True)
class PlainPlace:
    """Where a column is in a file, and what its values are."""

    place: int
    dtype: Number


def plain_places(schema: Any) -> dict[str, PlainPlace]:  # noqa: ANN401 - pyarrow.Schema
    """The columns of a file that can be plain."""
    dtypes = [float_of(field.type) for field in schema]
    return {
        schema.names[place]: PlainPlace(place, dtype)
        for place, dtype in enumerate(dtypes)
        if dtype is not None and not schema.field(place).nullable
    }


def read_plain(
    handle: Handle, group: RowGroup, places: Mapping[str, PlainPlace], names: Sequence[str]
) -> Plain:
    """Those of the columns that are plain; the others are left out.

    Args:
        handle: the file.
        group: which of its row groups.
        places: as of `plain_places`.
        names: of the columns.

    Raises:
        OSError: the file cannot be read.
    """
    return Plain([stage for run in _runs(group, places, names) for stage in run.read(handle)])


class _Run:
    """Columns of one type that follow each other in a file without a gap."""

    def __init__(self, rows: int, dtype: Number, begin: int) -> None:
        self.rows, self.dtype, self.begin, self.end = rows, dtype, begin, begin
        self.names: list[str] = []
        self.headers: list[bytearray] = []

    def read(self, handle: Handle) -> Iterator[tuple[list[str], Floats]]:
        """Each to its place; together, if all are what they must be, else those that are."""
        if not self.names:
            return
        size = self.rows * self.dtype.itemsize
        memory = _buffers.take(len(self.names), apart(size) // 4).view(np.uint8)
        pages = memory[:, :size]
        pieces = [piece for pair in zip(self.headers, pages, strict=True) for piece in pair]
        if handle.read(pieces, self.begin) != self.end - self.begin:
            return
        stage = memory.view(self.dtype)[:, : self.rows]
        good = _are_headers_of(pages, self.rows, self.headers)
        if all(good):
            yield self.names, stage
        else:
            yield from (([name], stage[i : i + 1]) for i, name in enumerate(self.names) if good[i])


def _runs(group: RowGroup, places: Mapping[str, PlainPlace], names: Sequence[str]) -> Iterator[_Run]:
    """The columns of a row group by places in the file: each run is read at once."""
    rows, run = group.rows, _Run(group.rows, SINGLE, 0)
    for name, own, begin, chunk in group.chosen(places, names):
        header = chunk[BYTES] - rows * own.dtype.itemsize
        if rows < 1 or not 0 < header <= MOST_HEADER or chunk[CODEC] != UNCOMPRESSED:
            continue  # a page may happen to be as long when it is compressed, which its header tells not
        if begin != run.end or own.dtype is not run.dtype or len(run.names) == MOST_COLUMNS:
            yield run
            run = _Run(rows, own.dtype, begin)
        run.names.append(name)
        run.headers.append(bytearray(header))
        run.end += chunk[BYTES]
    yield run


def float_of(kind: Any) -> Number | None:  # noqa: ANN401 - pyarrow
    """What its values are in memory, if it is a float; types of others' making cannot be looked up."""
    if pa.types.is_float32(kind):
        return SINGLE
    return DOUBLE if pa.types.is_float64(kind) else None


def _are_headers_of(pages: npt.NDArray[np.uint8], count: int, headers: Sequence[bytearray]) -> list[bool]:
    """Whether each page header is what the format writes before these values and nothing else."""
    before, after = _around_checksum(pages.shape[1], count)
    checksums = kernels.crc32s(pages).tolist()
    good: list[bool] = []
    for checksum, header in zip(checksums, headers, strict=True):
        expected = before + _varint(2 * checksum if checksum < 2**31 else 2**33 - 2 * checksum - 1) + after
        good.append(header in (expected + _ENDS[0], expected + _ENDS[1]))
    return good


@lru_cache(maxsize=256)
def _around_checksum(size: int, count: int) -> tuple[bytes, bytes]:
    """The fields of a page header before and after its checksum.

    In Thrift's compact protocol: a data page (field 1), its size before and after compression, its checksum,
    and a record of the number of values, their encoding (0, plain) and that of both kinds of levels.
    """
    length = b"\x15" + _varint(2 * size)
    values = b"\x1c\x15" + _varint(2 * count) + b"\x15\x00\x15\x06\x15\x06"
    return b"\x15\x00" + length + length + b"\x15", values


def _varint(number: int) -> bytes:
    if 2**28 <= number < 2**35:  # as most checksums are: seven bits to a byte, and a bit that more follow
        spread = (
            number & 0x7F
            | (number & 0x3F80) << 1
            | (number & 0x1FC000) << 2
            | (number & 0xFE00000) << 3
            | (number & 0x7F0000000) << 4
        )
        return (spread | 0x80808080).to_bytes(5, "little")
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)

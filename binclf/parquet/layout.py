"""How a file is laid out, from its footer and one page header: what a preflight warns of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from binclf import kernels
from binclf.kernels.chunks import HIGH, LOW, RAW, VALUES
from binclf.parquet.files import Found
from binclf.parquet.reading import Reader
from binclf.parquet.rowgroup import RowGroup
from binclf.storage import read_at

PAGE_HEAD = 64  # bytes: the fields before the checksum take at most 19

_I32_NEXT = 0x15  # thrift's compact protocol: the next field, of type i32


@dataclass(frozen=True, slots=True)
class Layout:
    """What a footer tells beyond rows and columns."""

    has_checksums: bool  # of pages; True for a file without pages
    written_bytes: int  # about what the rows take in a file of ours: floats plain, the rest as it is
    integers: Mapping[str, tuple[int, int]]  # least and largest value, where the footer knows them


def layout(file: Found) -> Layout:
    """Look at one file.

    Raises:
        DataError: it is no whole Parquet.
    """
    written, pages, ranges = 0, list[int](), dict[str, tuple[int, int]]()
    with Reader(file.path, file.relative) as reader:
        schema = reader.file.schema_arrow
        kinds = [field.type for field in schema]
        widths = np.array([k.bit_width // 8 if pa.types.is_floating(k) else 0 for k in kinds], dtype=np.int64)
        for said in map(reader.said, range(reader.groups)):
            values, raw = said.chunks[:, VALUES], np.maximum(said.chunks[:, RAW], 0)
            is_flat = len(raw) == len(schema)  # leaves of nested columns cannot be told by their places
            written += int((np.where(widths > 0, values * widths, raw) if is_flat else raw).sum())
            pages += said.begins[values > 0][:1].tolist()
            for place in range(len(schema) if is_flat else 0):
                if pa.types.is_integer(kinds[place]):
                    _widen(ranges, schema.field(place), said, place)
    return Layout(not pages or _has_checksum(file, reader.stamp[0], pages[0]), written, ranges)


def _widen(ranges: dict[str, tuple[int, int]], field: Any, said: RowGroup, place: int) -> None:  # noqa: ANN401
    """Take the ends of an integer column of one row group in."""
    is_signed = pa.types.is_signed_integer(field.type)
    texts = [kernels.text_at(said.record, int(said.chunks[place, end])) for end in (LOW, HIGH)]
    if all(text is not None and len(text) in (4, 8) for text in texts):
        low, high = (int.from_bytes(text or b"", "little", signed=is_signed) for text in texts)
        known = ranges.get(field.name, (low, high))
        ranges[field.name] = (min(low, known[0]), max(high, known[1]))


def _has_checksum(file: Found, size: int, offset: int) -> bool:
    """Whether the header of the page at an offset has field 4, the CRC; pyarrow does not tell."""
    head = read_at(file.path, offset, PAGE_HEAD) if 0 <= offset < size else b""
    place = 0
    for _ in range(3):  # type and both sizes, each an i32 as a varint
        if head[place : place + 1] != bytes([_I32_NEXT]):
            return False
        place += 1
        while head[place : place + 1] >= b"\x80":
            place += 1
        place += 1
    return head[place : place + 1] == bytes([_I32_NEXT])

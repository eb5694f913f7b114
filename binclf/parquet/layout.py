"""How a file is laid out, from its footer and one page header: what a preflight warns of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from binclf.parquet.files import Found
from binclf.parquet.reading import Reader
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
    with Reader(file.path, file.relative) as reader:
        meta, schema = reader.file.metadata, reader.file.schema_arrow
        is_flat = meta.num_columns == len(schema)  # leaves of nested columns cannot be told by their paths
        written, pages = 0, []
        ranges: dict[str, tuple[int, int]] = {}
        for group in range(meta.num_row_groups):
            for place in range(meta.num_columns):
                chunk = meta.row_group(group).column(place)
                kind = schema.field(place).type if is_flat else None
                if kind is not None and pa.types.is_floating(kind):
                    written += chunk.num_values * kind.bit_width // 8
                else:
                    written += chunk.total_uncompressed_size
                if chunk.num_values:
                    pages.append(chunk.dictionary_page_offset or chunk.data_page_offset)
                if kind is not None and pa.types.is_integer(kind) and chunk.is_stats_set:
                    _widen(ranges, schema.field(place).name, chunk.statistics)
    return Layout(not pages or _has_checksum(file, pages[0]), written, ranges)


def _widen(ranges: dict[str, tuple[int, int]], name: str, statistics: object) -> None:
    if getattr(statistics, "has_min_max", False):
        low, high = int(getattr(statistics, "min")), int(getattr(statistics, "max"))  # noqa: B009
        known = ranges.get(name, (low, high))
        ranges[name] = (min(low, known[0]), max(high, known[1]))


def _has_checksum(file: Found, offset: int) -> bool:
    """Whether a page's header has field 4, the CRC; pyarrow does not tell."""
    head = read_at(file.path, max(offset, 0), PAGE_HEAD)  # of a damaged file it may be anywhere
    place = 0
    for _ in range(3):  # type and both sizes, each an i32 as a varint
        if head[place : place + 1] != bytes([_I32_NEXT]):
            return False
        place += 1
        while place < len(head) and head[place] & 0x80:
            place += 1
        place += 1
    return head[place : place + 1] == bytes([_I32_NEXT])

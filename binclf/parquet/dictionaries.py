"""Dictionaries of text as pyarrow has them beside what the file has.

Where a value comes twice in a page of distinct values pyarrow drops the second and does not number the others
anew: rows would get other texts, in silence. No writer that is known makes such pages, but a page may be
damaged so. It is unpacked once more and compared to the byte.

Of an object that would be a request for each column. Writers number values as they come, so that the last
of them is in use: if one came twice, a row's code is beyond what pyarrow has, which `groups` sees. So a page
is fetched only where the last value is not in use, or where a dictionary is so large that a writer may have
given up on it, and texts that came row by row follow it. (What escapes: an object whose page has just as many
values twice as it has at its end that no row uses.)
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from binclf import kernels
from binclf.kernels.chunks import BYTES, CODEC
from binclf.parquet.rowgroup import UNCOMPRESSED, RowGroup

FIRST_BYTES = 2**16  # of a column that are asked for at once: most pages of distinct values fit
LARGE_BYTES = 2**18  # of distinct values
HEADER_BYTES = 1024  # that a page's header has at most
_TYPE, _RAW, _PACKED, _DICTIONARY = 1, 2, 3, 2  # fields of a page's header; the type of such a page
_HADOOP = 5  # LZ4, before its packing was laid down
_CODECS = {1: "snappy", 2: "gzip", 4: "brotli", _HADOOP: "lz4_raw", 6: "zstd", 7: "lz4_raw"}

ReadAt = Callable[[int, int], bytes]  # how many bytes, and from where


@dataclass(frozen=True, slots=True)
class AsWritten:
    """A row group as the file has it."""

    read_at: ReadAt  # reads the file's bytes
    said: RowGroup  # where its pages are


def refuse_other_dictionaries(written: AsWritten, at_once: int, table: Any) -> None:  # noqa: ANN401 - pyarrow
    """Compare the dictionaries of a table's columns with those of the row group that it was read from.

    Args:
        written: the row group.
        at_once: threads that read it: requests to an object store wait together.
        table: some of its columns.

    Raises:
        pa.ArrowInvalid: one is another, so that rows may have other values than the file says.
        OSError: the bytes cannot be read.
    """
    arrays = {
        name: column.chunk(0).dictionary
        for name, column in zip(table.column_names, table.columns, strict=True)
        if pa.types.is_dictionary(column.type) and _is_text(column.type.value_type) and column.num_chunks
        if at_once == 1 or not _is_all_in_use(column.chunk(0))
    }
    if not arrays:
        return
    places = {written.said.name(place): place for place in range(len(written.said.chunks))}
    if lacking := next((name for name in arrays if name not in places), None):
        raise pa.ArrowInvalid(f"the footer does not say where column '{lacking}' has its distinct values")
    with ThreadPoolExecutor(at_once, thread_name_prefix="dictionaries") as pool:
        run = pool.map if at_once > 1 else map
        same = list(run(lambda name: _is_same(written, places[name], arrays[name]), arrays))
    for name, is_same in zip(arrays, same, strict=True):
        if not is_same:
            raise pa.ArrowInvalid(f"the page of column '{name}' that has its distinct values has one twice")


def _is_text(kind: Any) -> bool:  # noqa: ANN401 - pyarrow.DataType
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_all_in_use(array: Any) -> bool:  # noqa: ANN401 - pyarrow.DictionaryArray
    """Whether the last value comes in a row, of a dictionary that no writer gives up on."""
    values = array.dictionary
    return bool(values.nbytes < LARGE_BYTES and pc.max(array.indices).as_py() == len(values) - 1)


def _is_same(written: AsWritten, place: int, values: Any) -> bool:  # noqa: ANN401 - pyarrow
    """Whether the page's values are the first of the dictionary's; texts that came row by row follow them."""
    page = _page(written, place)
    return page is None or _starts_with(page, values)


def _page(written: AsWritten, place: int) -> npt.NDArray[np.uint8] | None:
    """The page of distinct values, unpacked; None: there is none."""
    said, read_at = written.said, written.read_at
    begin, size, packing = (int(n) for n in (said.begins[place], *said.chunks[place, [BYTES, CODEC]]))
    if begin < 0 or size < 0:
        raise pa.ArrowInvalid(f"the footer says that column '{said.name(place)}' lies outside the file")
    content = read_at(min(FIRST_BYTES, size), begin)
    header = kernels.integers(content[:HEADER_BYTES])
    if header is None:
        raise pa.ArrowInvalid(f"the first page of column '{said.name(place)}' has no header")
    fields, first = header
    if fields.get(_TYPE) != _DICTIONARY:
        return None
    packed, raw = fields.get(_PACKED, 0), fields.get(_RAW, 0)
    if not 0 <= packed <= size - first or raw < 0:
        raise pa.ArrowInvalid(f"the first page of column '{said.name(place)}' is longer than the column")
    if len(content) < first + packed:
        content = read_at(first + packed, begin)
    content = content[first : first + packed]
    if packing == UNCOMPRESSED:
        return np.frombuffer(content, dtype=np.uint8)
    if packing not in _CODECS:
        raise pa.ArrowInvalid(f"column '{said.name(place)}' is packed in a way that is not known ({packing})")
    if packing == _HADOOP and content[:4] == raw.to_bytes(4, "big"):  # as Hadoop packs it: sizes come first
        content = content[8:]
    return np.frombuffer(pa.Codec(_CODECS[packing]).decompress(content, raw), dtype=np.uint8)


def _starts_with(page: npt.NDArray[np.uint8], values: Any) -> bool:  # noqa: ANN401 - pyarrow
    """Whether values begin with what a page holds: texts end to end, each after its length in four bytes."""
    if not len(values):
        return not len(page)
    _, places, data = values.cast(pa.large_binary()).buffers()  # as they are, whether UTF-8 or not
    offsets = np.frombuffer(places, dtype=np.int64)[values.offset : values.offset + len(values) + 1]
    texts = np.frombuffer(data or b"", dtype=np.uint8)[offsets[0] : offsets[-1]]
    offsets = offsets - offsets[0]
    begins = offsets[:-1] + 4 * np.arange(len(values))
    count = int(np.searchsorted(begins, len(page)))
    begins, offsets = begins[:count], offsets[: count + 1]
    if len(page) != int(offsets[-1]) + 4 * count:
        return False
    heads = begins[:, np.newaxis] + np.arange(4)
    lengths = page[heads].view("<u4")[:, 0]
    is_text = np.ones(len(page), dtype=bool)
    is_text[heads] = False
    return bool(
        np.array_equal(lengths, np.diff(offsets)) and np.array_equal(page[is_text], texts[: int(offsets[-1])])
    )

"""Parquet's pages of dictionary codes, and of floats: compiled, or left to pyarrow.

There is no twin in NumPy: whoever cannot `decode`, or is not told what a chunk says, has pyarrow read it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.kernels import library
from binclf.kernels.library import Array, at, check, check_rows

U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]

SLACK = 64  # bytes behind all memory, as pages.c has it
VOID = -1
UNIQUE, REPEATED = range(2)  # values of numbers: what `decode` says of them
ASCII_END = 128

(
    BEGIN, END,  # of its bytes
    IS_SNAPPY, IS_NULLABLE,
    WIDTH,  # bytes of a value; 0: text
    REPEATS,  # of numbers: UNIQUE or REPEATED
    MOST, BYTES,  # the most values it may have, and bytes of theirs; VOID: it is not what is read here
    LOOSE,  # of those values, how many come row by row
    LARGEST,  # bytes of a page
    CODES, DATA, OFFSETS, TABLE,  # where to
    SLOTS,  # of the table
    COUNT,  # distinct values; VOID: it could not be done
    SEEN,  # bits of any byte of them
) = FIELDS = range(17)  # of a chunk, as pages.c has it  # fmt: skip
GIVEN = 6  # of these


@dataclass(frozen=True, slots=True)
class Values:
    """The values of a chunk: distinct ones, but where numbers that repeat are taken."""

    data: U8  # end to end
    offsets: I64  # of texts: where each begins, and the last ends
    is_ascii: bool  # whether all bytes are


def can_decode() -> bool:
    """Whether this was compiled."""
    return library.loops is not None


def decode(data: U8, chunks: Sequence[tuple[int, ...]], codes: I32) -> list[Values | None]:
    """Chunks of columns to their values, and each row to the code of its value, -1 for null.

    Args:
        data: the chunks' bytes, uint8, with SLACK behind the last of them.
        chunks: for each where it begins and ends, whether it is packed by snappy, whether it may have nulls,
            bytes of a value (0: text, each with its length before it), and of numbers whether each value is
            there once (UNIQUE), or may be written row by row, too, as values of their own (REPEATED).
        codes: where to, int32 [chunks, rows].

    Returns:
        None, and any codes, for a chunk that is not whole, or not such as is read here.
    """
    check(data, np.uint8)
    check(codes, np.int32)
    own = np.zeros((len(chunks), len(FIELDS)), dtype=np.int64)
    own[:, :GIVEN] = np.reshape(chunks, (-1, GIVEN))
    begins, ends = own[:, BEGIN], own[:, END]
    if len(codes) != len(own) or not len(own):
        raise ValueError(f"{len(codes)} rows of codes do not fit {len(own)} chunks")
    if begins.min() < 0 or (begins > ends).any() or ends.max() + SLACK > len(data):
        raise ValueError(f"{len(data)} bytes do not hold the chunks and what is behind them")
    rows = codes.shape[1]
    library.loops.survey_chunks(at(data), rows, at(own), len(own))
    own[:, CODES] = at(codes) + codes.strides[0] * np.arange(len(own))
    texts = np.where(own[:, WIDTH] == 0, np.maximum(own[:, MOST], 0), 0)
    loose = np.where(own[:, LOOSE] > 0, texts, 0).tolist()
    own[:, SLOTS] = [1 << (2 * most).bit_length() if most else 0 for most in loose]
    content, bytes_at = _places(own, DATA, np.maximum(own[:, BYTES], 0) + SLACK, np.uint8)
    offsets, offsets_at = _places(own, OFFSETS, texts + 1, np.int64)
    _table, _ = _places(own, TABLE, own[:, SLOTS], np.int32)
    room = np.empty(max(int(own[:, LARGEST].max()), 0) + SLACK, dtype=np.uint8)
    dense = np.empty(rows + SLACK // 4, dtype=np.int32)
    library.loops.decode_chunks(at(data), rows, at(own), len(own), at(room), at(dense))
    return [
        None if chunk[COUNT] == VOID else _values(chunk, content[byte:], offsets[offset:])
        for chunk, byte, offset in zip(own.tolist(), bytes_at, offsets_at, strict=True)
    ]


def _places(own: I64, field: int, sizes: I64, dtype: npt.DTypeLike) -> tuple[npt.NDArray[Any], list[int]]:
    """Memory for all chunks, in which each has its place: at multiples of 8 bytes."""
    ends = np.cumsum(sizes + -sizes % 8)
    begins = ends - sizes - -sizes % 8
    memory = np.empty(int(ends[-1]), dtype=dtype)
    own[:, field] = at(memory) + begins * memory.itemsize
    return memory, begins.tolist()


def _values(chunk: list[int], data: U8, offsets: I64) -> Values:
    count, is_ascii = chunk[COUNT], chunk[SEEN] < ASCII_END
    if chunk[WIDTH]:
        return Values(data[: chunk[WIDTH] * count], offsets[:0], is_ascii)
    offsets = offsets[: count + 1]
    data = data[: offsets[-1]]
    if chunk[LOOSE]:  # most of what came row by row may have come again: there was room for all
        data, offsets = data.copy(), offsets.copy()
    return Values(data, offsets, is_ascii)


_OF_FLOATS = ("begin", "bytes", "is_snappy", "is_nullable", "values", "is_read")  # as pages.c has it
_LEVELS = 4096  # bytes of a page, at most, beside those of its values and one for each of them


def read_floats(
    file: int, chunks: Sequence[tuple[int, ...]], rows: int, values: Array, room: Callable[[int], U8]
) -> list[bool]:
    """Read chunks of floats without nulls, one after the other, to where their values are wanted.

    Args:
        file: number of the open file.
        chunks: for each where in the file it begins, how many bytes it has, whether it is packed by snappy,
            and whether it may have nulls.
        rows: of each.
        values: where to, float32 or float64 [chunks, rows and SLACK bytes or more]; each contiguous.
        room: gives so many bytes of memory.

    Returns:
        For each chunk whether it was read; any values where it is not whole, or not such as is read here.

    Raises:
        OSError: the file cannot be read.
    """
    width = values.dtype.itemsize
    check_rows(values, np.float32 if width == np.float32().itemsize else np.float64)
    if len(values) != len(chunks) or not len(chunks) or (values.shape[1] - rows) * width < SLACK:
        raise ValueError(f"values of shape {values.shape} do not hold {len(chunks)} chunks of {rows} rows")
    own = np.zeros((len(chunks), len(_OF_FLOATS)), dtype=np.int64)
    own[:, :4] = chunks
    if own[:, :2].min() < 0:
        raise ValueError("a chunk begins before its file does, or has less than no bytes")
    own[:, 4] = at(values) + values.strides[0] * np.arange(len(own))
    most = rows * (width + 1) + _LEVELS
    sizes = [-(-(size + SLACK) // SLACK) * SLACK for size in (int(own[:, 1].max()), rows * width, most)]
    memory = room(sum(sizes))
    check(memory, np.uint8)
    if len(memory) < sum(sizes):
        raise ValueError(f"{len(memory)} bytes are no room for {sum(sizes)}")
    packed = at(memory)
    table, page = packed + sizes[0], packed + sizes[0] + sizes[1]
    given = np.array([rows, width, packed, table, page, most], dtype=np.int64)
    wrong = library.loops.read_floats(file, at(given), at(own), len(own))
    if wrong:
        raise OSError(wrong, os.strerror(wrong))
    return [bool(is_read) for is_read in own[:, 5].tolist()]

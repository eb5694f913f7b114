"""Numbers into rows, and rows into batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from binclf.kernels import library
from binclf.kernels.library import Array, at, check, check_rows, places

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]
I8 = npt.NDArray[np.int8]

STEP = 16  # bytes that are written at once
MOST_RECORD = 2048  # bytes of a record that `record` can write, as loops.c has it


class Field(NamedTuple):
    """Bytes of a record that go to an array of their own."""

    begin: int  # where in the record
    size: int  # bytes
    out: Array  # [n] or [n, >= size / itemsize], C-contiguous; the first `size` bytes of each row are written


def gather(records: U8, rows: I64, fields: Sequence[Field]) -> None:
    """Copy fields of the records `records[rows]`.

    Rows lie anywhere, so each would be waited for: those that come next are asked for ahead, which takes half
    the time of `numpy.take`.

    Args:
        records: uint8 [N, bytes], C-contiguous.
        rows: row numbers, int64 [n].
        fields: what goes where.

    Raises:
        IndexError: a row number below 0, or N or more.
    """
    check(records, np.uint8)
    check(rows, np.int64)
    height, width = records.shape
    for begin, size, out in fields:
        check(out, out.dtype)
        room = out.itemsize * (out.shape[1] if out.ndim > 1 else 1)
        if len(out) != len(rows) or size > room or begin < 0 or begin + size > width:
            raise ValueError(f"bytes {begin} to {begin + size} of {len(rows)} rows do not fit {out.shape}")
    if not len(rows):
        return
    if library.loops is not None:
        begins, sizes, strides = (
            np.array(each, dtype=np.int64)
            for each in (
                [f.begin for f in fields], [f.size for f in fields], [f.out.strides[0] for f in fields]
            )
        )  # fmt: skip
        outs = np.array([at(f.out) for f in fields], dtype=np.uint64)
        wrong = library.loops.gather(
            at(records), height, width, at(rows), len(rows),
            len(fields), at(begins), at(sizes), at(outs), at(strides),
        )  # fmt: skip
    else:
        wrong = -1 if not len(rows) or (rows.min() >= 0 and rows.max() < height) else 0
        if wrong < 0:
            for begin, size, out in fields:
                into = out.reshape(len(rows), -1).view(np.uint8)[:, :size]
                into[:] = records[:, begin : begin + size].take(rows, axis=0, mode="clip")
    if wrong >= 0:
        raise IndexError(f"a row number is not one of the {height} rows there are")


def complete(x: F32, columns: int, lacking: I64, fill: F32, indicator: I64) -> None:
    """Fill what is missing (NaN) in the first `columns` of x, and set the indicators behind them.

    Args:
        x: float32 [n, F], C-contiguous, changed in place; what is behind `columns` is overwritten.
        columns: how many are numbers.
        lacking: columns in which a value may be missing, int64.
        fill: what stands in for a missing value, float32 [columns].
        indicator: of each column where its indicator is in x, int64 [columns]; -1: it has none.
    """
    check(x, np.float32)
    check(lacking, np.int64)
    check(fill, np.float32)
    check(indicator, np.int64)
    if library.loops is not None:
        library.loops.complete(
            at(x), len(x), x.shape[1], columns, at(lacking), len(lacking), at(fill), at(indicator)
        )
        return
    x[:, columns:] = 0
    for column in lacking.tolist():
        missing = np.isnan(x[:, column])
        x[missing, column] = fill[column]
        if indicator[column] >= 0:
            x[:, indicator[column]] = missing


def standardise(residuals: F32, shift: F32, scale: F32, out: F32) -> None:
    """(residuals - shift) * scale in float32, for [n, F] and [F].

    `out` may be `residuals`; rows of both are contiguous, and may lie apart.
    """
    if library.loops is not None:
        check_rows(residuals)
        check_rows(out)
        check(shift, np.float32)
        check(scale, np.float32)
        library.loops.standardise(
            at(residuals), residuals.strides[0] // 4, *residuals.shape, at(shift), at(scale),
            at(out), out.strides[0] // 4,
        )  # fmt: skip
        return
    np.subtract(residuals, shift, out=out)
    np.multiply(out, scale, out=out)


def interleave(columns: F32 | Sequence[F32], shift: F32, scale: F32, out: F32) -> bool:
    """Write (column - shift) * scale of columns side by side; returns whether all numbers are finite.

    Args:
        columns: C columns, float32 [n] each and contiguous; they may lie anywhere.
        shift: float32 [C].
        scale: float32 [C].
        out: float32 [n, C], each row contiguous; they may lie apart.
    """
    rows, count = out.shape
    _check_columns(columns, shift, scale, rows, count)
    if not out.size:
        return True
    if library.loops is not None:
        check_rows(out)
        addresses = places(columns)
        is_finite = library.loops.interleave(
            at(addresses), count, rows, at(shift), at(scale), at(out), out.strides[0] // 4
        )
        return bool(is_finite)
    return _interleave(columns, shift, scale, out)


def record(columns: F32 | Sequence[F32], shift: F32, scale: F32, labels: I8, place: int, out: U8) -> bool:
    """As `interleave`, but write whole records: numbers, zeros, and a label.

    Args:
        columns: C columns, float32 [n] each and contiguous; they may lie anywhere.
        shift: float32 [C].
        scale: float32 [C].
        labels: int8 [n].
        place: which byte of a record is the label.
        out: records, uint8 [n, bytes], C-contiguous; `can_record` holds of them.
    """
    rows, size = out.shape
    _check_columns(columns, shift, scale, rows, len(shift))
    check(labels, np.int8)
    check(out, np.uint8)
    if not can_record(out) or len(labels) != rows or not 4 * len(shift) <= place < size:
        raise ValueError(f"{len(shift)} columns and a label at {place} do not fit records {out.shape}")
    if not rows:
        return True
    if library.loops is not None:
        addresses = places(columns)
        is_finite = library.loops.record(
            at(addresses), len(shift), rows, at(shift), at(scale), at(labels), place, at(out), size
        )
        return bool(is_finite)
    out[:] = 0
    out[:, place] = labels.view(np.uint8)
    return _interleave(columns, shift, scale, out[:, : 4 * len(shift)].view(np.float32))


def can_record(out: U8) -> bool:
    """Whether records uint8 [n, bytes] are of a size and at a place that `record` can write."""
    return out.shape[1] <= MOST_RECORD and out.shape[1] % STEP == 0 and at(out) % STEP == 0


def _check_columns(columns: F32 | Sequence[F32], shift: F32, scale: F32, rows: int, count: int) -> None:
    check(shift, np.float32)
    check(scale, np.float32)
    if isinstance(columns, np.ndarray):
        shapes, dtypes = {columns.shape[1:]}, {columns.dtype}
    else:
        shapes, dtypes = {column.shape for column in columns}, {column.dtype for column in columns}
    if len(columns) != count or len(scale) != count or shapes - {(rows,)}:
        raise ValueError(f"{len(columns)} columns do not fit {rows} rows of {count}")
    if dtypes - {np.dtype(np.float32)}:
        raise ValueError("float32 is needed")


def _interleave(columns: F32 | Sequence[F32], shift: F32, scale: F32, out: F32) -> bool:
    for place, column in enumerate(columns):
        out[:, place] = (column - shift[place]) * scale[place]
    return all(bool(np.isfinite(column).all()) for column in columns)

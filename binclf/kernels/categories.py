"""Codes of categories to ids, and counts of values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from binclf.kernels import library
from binclf.kernels.library import at, check, check_rows, strides

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]


def encode(codes: I32, tables: Sequence[I32], out: I32) -> None:
    """Row i, column c of `out`: what table c has for code `codes[c, i]`, its last entry for -1.

    Args:
        codes: int32 [C, n]; they may be `out.T`.
        tables: C tables, int32, each with an entry more than there are codes.
        out: int32 [n, C], each row contiguous; they may lie apart.

    Raises:
        IndexError: a code beyond its table.
    """
    for table in tables:
        check(table, np.int32)
    if out.shape != codes.shape[::-1] or len(tables) != len(codes) or not all(len(table) for table in tables):
        raise ValueError(f"codes {codes.shape} and {len(tables)} tables do not fit {out.shape}")
    if not out.size:
        return
    if library.loops is not None:
        check_rows(out, np.int32)
        places = np.array([at(table) for table in tables], dtype=np.uint64)
        lengths = np.array([len(table) for table in tables], dtype=np.int64)
        across, down = strides(codes, np.int32)
        wrong = library.loops.encode(
            at(codes), down, across, codes.shape[1], len(codes), at(places), at(lengths),
            at(out), strides(out, np.int32)[0],
        )  # fmt: skip
        if wrong >= 0:
            raise IndexError(f"a code of column {wrong} is beyond its {lengths[wrong]} values")
        return
    for place, (own, table) in enumerate(zip(codes, tables, strict=True)):
        out[:, place] = table[np.where(own < 0, len(table) - 1, own)]


def tally(codes: I32, size: int) -> I64:
    """How often each code comes, int64 [size + 1]; first how often -1 does.

    Raises:
        IndexError: a code of `size` or more, or below -1.
    """
    codes = np.ascontiguousarray(codes)
    check(codes, np.int32)
    counts = np.zeros(size + 1, dtype=np.int64)
    if library.loops is not None:
        if library.loops.tally(at(codes), len(codes), len(counts), at(counts)) >= 0:
            raise IndexError(f"a code is beyond the {size} values")
        return counts
    if len(codes) and (codes.min() < -1 or codes.max() >= size):
        raise IndexError(f"a code is beyond the {size} values")
    return np.bincount(codes + 1, minlength=size + 1)


def histogram(values: F32, centre: float, units: F64 | None, ends: tuple[float, float], counts: I64) -> None:
    """Add to integer counts of bins: of values + centre, those below the first bin and above the last, too.

    Args:
        values: float32 [n], anywhere; NaN is left out.
        centre: what is added to them in float64.
        units: what each counts, whole numbers as float64 [n]; None: 1.
        ends: where the first bin begins, and the width of each.
        counts: int64 [bins + 2].
    """
    check(counts, np.int64)
    low, width = ends
    bins = len(counts) - 2
    if library.loops is not None:
        if values.dtype != np.float32:
            raise ValueError("float32 is needed")
        if units is not None:
            check(units, np.float64)
        library.loops.histogram(
            at(values), values.strides[0] // 4, len(values), centre, None if units is None else at(units),
            low, width, bins, at(counts),
        )  # fmt: skip
        return
    exact = values.astype(np.float64) + centre
    present = ~np.isnan(exact)
    places = np.clip(np.floor((exact[present] - low) / width) + 1, 0, bins + 1).astype(np.int64)
    weights = None if units is None else units[present]
    counts += np.bincount(places, weights=weights, minlength=bins + 2).astype(np.int64)

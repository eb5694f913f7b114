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
U64 = npt.NDArray[np.uint64]


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
    (stride,) = strides(codes, np.int32)
    counts = np.zeros(size + 1, dtype=np.int64)
    if library.loops is not None:
        if library.loops.tally(at(codes), stride, len(codes), len(counts), at(counts)) >= 0:
            raise IndexError(f"a code is beyond the {size} values")
        return counts
    if len(codes) and (codes.min() < -1 or codes.max() >= size):
        raise IndexError(f"a code is beyond the {size} values")
    return np.bincount(codes + 1, minlength=size + 1)


def histograms(values: F32, columns: I64, centres: F64, units: F64 | None, ends: F64, counts: I64) -> None:
    """Add to integer counts of bins: of values + centre, those below the first bin and above the last, too.

    Args:
        values: float32 [n, columns], each row contiguous; NaN is left out.
        columns: which of them, int64 [m].
        centres: what is added to the values of each in float64, [m].
        units: what each row counts, whole numbers as float64 [n]; None: 1.
        ends: of each where the first bin begins, and the width of each bin, float64 [m, 2].
        counts: int64 [m, bins + 2].

    Raises:
        IndexError: there is no such column.
    """
    for array, dtype in ((columns, np.int64), (centres, np.float64), (ends, np.float64), (counts, np.int64)):
        check(array, dtype)
    bins = counts.shape[1] - 2
    if not len(columns) == len(centres) == len(ends) == len(counts):
        raise ValueError(f"{len(columns)} columns, {len(centres)} centres, {len(ends)} ends")
    if len(columns) and not 0 <= columns.min() <= columns.max() < values.shape[1]:
        raise IndexError(f"a column is beyond the {values.shape[1]}")
    if library.loops is not None:
        check_rows(values)
        if units is not None:
            check(units, np.float64)
        library.loops.histograms(
            at(values), strides(values, np.float32)[0], len(values), at(columns), len(columns), at(centres),
            None if units is None else at(units), at(ends), bins, at(counts),
        )  # fmt: skip
        return
    for place, column in enumerate(columns):
        exact = values[:, column].astype(np.float64) + centres[place]
        present = ~np.isnan(exact)
        bins_of = np.floor((exact[present] - ends[place, 0]) / ends[place, 1]) + 1
        places = np.clip(bins_of, 0, bins + 1).astype(np.int64)
        weights = None if units is None else units[present]
        counts[place] += np.bincount(places, weights=weights, minlength=bins + 2).astype(np.int64)


def mark(hashes: U64, counts: I64, filled: npt.NDArray[np.bool_]) -> None:
    """Set the places that the low bits of hashes name, of those that count.

    Args:
        hashes: uint64 [n].
        counts: int64 [n]; 0: leave its place alone.
        filled: bool, as many as a power of two.
    """
    check(hashes, np.uint64)
    check(counts, np.int64)
    check(filled, np.bool_)
    mask = len(filled) - 1
    if len(counts) != len(hashes) or not len(filled) or len(filled) & mask:
        raise ValueError(f"{len(hashes)} hashes, {len(counts)} counts, {len(filled)} places")
    if library.loops is not None:
        library.loops.mark(at(hashes), at(counts), len(hashes), mask, at(filled))
        return
    filled[(hashes[counts != 0] & np.uint64(mask)).astype(np.int64)] = True

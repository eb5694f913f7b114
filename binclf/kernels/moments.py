"""Moments of columns, in two passes: the mean before the squares.

Sums go by eight partial sums, row i to number i mod 8, which are added in pairs at the end: so they have the
same bits on every processor, compiled or not, and no BLAS is called, whose sums depend on threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.kernels import library
from binclf.kernels.library import Array, at, check, places

F64 = npt.NDArray[np.float64]

FIELDS = 6  # weight, mean, m2, missing, low, high
LANES = 8


def moments(columns: Array | Sequence[Array], weights: F64 | None, *, with_sums: bool) -> F64:
    """Weighted moments of C columns, float64 [C, FIELDS].

    m2 is the weighted sum of squares about the mean; low and high are inf and -inf where all is missing.

    Args:
        columns: float32 or all float64, [n] each and contiguous; NaN is missing. Near 0, if float64:
            longitudes must not lose the digits that tell them apart.
        weights: of the rows, float64 [n]; None: all 1.
        with_sums: whether to compute weight, mean and m2; otherwise they are 0, as they are where a value
            is infinite.
    """
    found = np.zeros((len(columns), FIELDS))
    if not len(columns):
        return found
    rows, dtype = len(columns[0]), columns[0].dtype
    if dtype not in (np.float32, np.float64) or any(c.dtype != dtype or len(c) != rows for c in columns):
        raise ValueError("columns of one length are needed, all float32 or all float64")
    if weights is not None:
        check(weights, np.float64)
        if len(weights) != rows:
            raise ValueError(f"{len(weights)} weights are not of {rows} rows")
    if library.loops is None:
        found[:] = [_of(column, weights, with_sums=with_sums) for column in columns]
    else:
        addresses = places(columns)
        library.loops.moments(
            at(addresses), len(columns), rows, dtype.itemsize, None if weights is None else at(weights),
            with_sums, at(found),
        )  # fmt: skip
    return found + 0.0  # no -0.0, which a sum over ranks would turn into 0.0


def _of(column: Array, weights: F64 | None, *, with_sums: bool) -> list[float]:
    """One column's, as the compiled loop has them."""
    missing = np.isnan(column)
    low, high = np.fmin.reduce(column, initial=np.inf), np.fmax.reduce(column, initial=-np.inf)
    holes = int(missing.sum())
    ends = [float(holes), float(low), float(high)]
    if not with_sums or low == -np.inf or high == np.inf:
        return [0.0, 0.0, 0.0, *ends]
    values = np.where(missing, 0.0, column).astype(np.float64)
    if weights is None:
        total, sums = float(len(column) - holes), _sum(values)
    else:
        own = np.where(missing, 0.0, weights)
        total, sums = _sum(own), _sum(own * values)
    mean = sums / total if total > 0 else 0.0
    away = np.where(missing, 0.0, values - mean)
    squares = away * away
    return [total, mean, _sum(squares if weights is None else weights * squares), *ends]


def _sum(values: F64) -> float:
    padded: npt.NDArray[Any] = np.zeros((-(-len(values) // LANES), LANES))
    padded.reshape(-1)[: len(values)] = values
    lanes = np.add.reduce(padded, axis=0).tolist()  # along the first axis: one row after the other
    return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]))  # type: ignore[no-any-return]

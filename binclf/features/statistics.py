"""Numeric statistics: moments of each row group, merged in canonical order; medians by integer counts.

A row group's moments depend on the row group alone and are merged one after the other by the formula of
Chan, Golub and LeVeque (1979), so the result has the same bits whoever computed which row group. No BLAS is
called: its sums depend on the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.features.scratch import scratch

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FIELDS = 6  # weight, mean, m2, missing, low, high
BINS = 65536
TOGETHER = 2**17  # numbers whose sums are taken with one call: 1 MiB as float64, which the cache holds


def empty_moments(columns: int) -> F64:
    """Moments of no rows, float64 [columns, FIELDS]."""
    found = np.zeros((columns, FIELDS))
    found[:, 4], found[:, 5] = np.inf, -np.inf
    return found


def slab_moments(slab: npt.NDArray[Any], weights: F64 | None, *, with_sums: bool) -> F64:
    """Weighted moments of some columns of some rows, float64 [columns, FIELDS].

    Args:
        slab: the columns one under the other, float32 or float64 [columns, rows]; NaN is
            missing. Near 0, if they are float64: longitudes must not lose the digits that tell them apart.
        weights: of the rows, float64 [rows]; None: all 1.
        with_sums: whether to compute weight, mean and m2; otherwise they are 0.
    """
    found = np.zeros((len(slab), FIELDS))
    low = np.minimum.reduce(slab, axis=1, initial=np.inf)
    high = np.maximum.reduce(slab, axis=1, initial=-np.inf)
    holed = np.flatnonzero(np.isnan(low))  # NaN wins, and hides the others
    if len(holed):
        some = slab[holed]
        found[holed, 3] = np.count_nonzero(np.isnan(some), axis=1)
        low[holed] = np.fmin.reduce(some, axis=1, initial=np.inf)
        high[holed] = np.fmax.reduce(some, axis=1, initial=-np.inf)
    found[:, 4], found[:, 5] = low, high
    step = max(1, TOGETHER // max(1, slab.shape[1]))
    if not with_sums or (found[:, 4] == -np.inf).any() or (found[:, 5] == np.inf).any():
        return found  # what is infinite is refused by its ends
    for first in range(0, len(slab), step):
        part = slice(first, first + step)
        with scratch(np.float64, *slab[part].shape) as work:
            found[part, :3] = _sums(slab[part], weights, work, has_holes=bool(found[part, 3].any()))
    return found


def _sums(slab: npt.NDArray[Any], weights: F64 | None, work: F64, *, has_holes: bool) -> F64:
    """Weight, mean and m2 of each column, float64 [columns, 3]; the mean before the squares."""
    work[:] = slab
    absent = np.isnan(slab) if has_holes else None
    if absent is None:
        total = np.full(len(slab), float(slab.shape[1]) if weights is None else weights.sum())
    else:
        total = _weighted(1.0 - absent, weights)
    mean = np.divide(_weighted(work, weights, absent), total, out=np.zeros(len(total)), where=total > 0)
    np.subtract(work, mean[:, np.newaxis], out=work)
    np.multiply(work, work, out=work)
    return np.column_stack([total, mean, _weighted(work, weights, absent)])


def _weighted(work: F64, weights: F64 | None, absent: Bools | None = None) -> F64:
    """Weighted sums over the rows, float64 [columns]; what is absent is set to 0.

    Each column's is the same whatever its neighbours are; einsum's is not.
    """
    if absent is not None:
        np.copyto(work, 0.0, where=absent)
    sums: F64 = np.add.reduce(work if weights is None else work * weights, axis=1)
    return sums


@dataclass(frozen=True, slots=True)
class Moments:
    """Weighted moments of all row groups; each array is [F]."""

    mean: F64
    deviation: F64  # population standard deviation; 0 for a constant column
    missing: I64
    low: F64
    high: F64


def merge(groups: F64) -> Moments:
    """Merge the moments of all row groups, float64 [G, F, FIELDS], in order."""
    weight, mean, m2, missing, low, high = combined(groups).T
    variance = np.divide(m2, weight, out=np.zeros(len(weight)), where=weight > 0)
    empty = ~np.isfinite(low)
    # below this the spread is rounding, and dividing by it would blow the column up
    largest = np.where(empty, 0.0, np.maximum(np.abs(low), np.abs(high)))
    return Moments(
        mean=mean,
        deviation=np.where(variance <= (1e-12 * largest) ** 2, 0.0, np.sqrt(variance)),
        missing=missing.astype(np.int64),
        low=np.where(empty, 0.0, low),
        high=np.where(empty, 0.0, high),
    )


def combined(parts: F64) -> F64:
    """Moments of disjoint rows, float64 [parts, F, FIELDS], merged in order: [F, FIELDS]."""
    weight, mean, m2 = np.zeros((3, parts.shape[1]))
    for part in parts:
        both = weight + part[:, 0]
        share = np.divide(part[:, 0], both, out=np.zeros(len(both)), where=both > 0)
        delta = part[:, 1] - mean
        mean = mean + delta * share
        m2 = m2 + part[:, 2] + delta**2 * weight * share
        weight = both
    missing = parts[:, :, 3].sum(axis=0)
    low = parts[:, :, 4].min(axis=0, initial=np.inf)
    high = parts[:, :, 5].max(axis=0, initial=-np.inf)
    found = np.column_stack([weight, mean, m2, missing, low, high])
    return found + 0.0  # no -0.0, which a sum over ranks would turn into 0.0


def median_counts(
    residuals: npt.NDArray[np.float32],
    centre: F64,
    weights: F64 | None,
    chosen: I64,
    moments: Moments,
    quantum: float,
) -> I64:
    """Integer weight of each bin between mean - deviation and mean + deviation, of one row group.

    The median lies there: it is at most one standard deviation from the mean. Returns int64
    [len(chosen), BINS + 2]; the first and the last column count what lies outside.
    """
    counts = np.zeros((len(chosen), BINS + 2), dtype=np.int64)
    units = None if weights is None else np.rint(weights * quantum)
    for place, column in enumerate(chosen):
        values = residuals[:, column].astype(np.float64) + centre[column]
        present = ~np.isnan(values)
        low, width = _bins(moments, int(column))
        places = np.floor((values[present] - low) / width) + 1
        bins = np.clip(places, 0, BINS + 1).astype(np.int64)
        exact = np.bincount(bins, weights=None if units is None else units[present], minlength=BINS + 2)
        counts[place] = exact.astype(np.int64)
    return counts


def medians(counts: I64, chosen: I64, moments: Moments) -> F64:
    """Weighted (lower) medians from `median_counts` summed over all blocks; within deviation / 32768."""
    found = np.empty(len(chosen))
    for place, column in enumerate(chosen):
        low, width = _bins(moments, int(column))
        cumulated = np.cumsum(counts[place])
        half = cumulated[-1] / 2
        at = int(np.searchsorted(cumulated, half)) if cumulated[-1] else 1
        before = cumulated[at] - counts[place][at]
        inside = (half - before) / counts[place][at] if counts[place][at] else 0.5
        found[place] = low + width * (at - 1 + inside)
    return np.clip(found, moments.mean[chosen] - moments.deviation[chosen],
                   moments.mean[chosen] + moments.deviation[chosen])  # fmt: skip


def _bins(moments: Moments, column: int) -> tuple[float, float]:
    deviation = float(moments.deviation[column])
    return float(moments.mean[column]) - deviation, 2 * deviation / BINS or 1.0

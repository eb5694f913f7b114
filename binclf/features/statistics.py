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

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FIELDS = 6  # weight, mean, m2, missing, low, high
BINS = 65536


def column_moments(
    raw: npt.NDArray[Any], values: npt.NDArray[Any], absent: Bools, centre: float, weights: F64 | None
) -> F64:
    """Weighted moments of one column of one row group, float64 [FIELDS].

    Args:
        raw: the column in original units, float [n]; its least and greatest values are told.
        values: the same as the model takes it (log1p, say), float [n]; NaN is missing.
        absent: where it is missing, bool [n].
        centre: near the values: the mean of longitudes must not lose the digits that tell them apart.
        weights: of the rows, float64 [n]; None: all 1.
    """
    missing = int(np.count_nonzero(absent))
    if missing:
        raw, values = raw[~absent], values[~absent]
        weights = None if weights is None else weights[~absent]
    total = float(len(values) if weights is None else weights.sum())
    if not len(values):
        return np.array([0.0, 0.0, 0.0, missing, np.inf, -np.inf])
    shifted = np.subtract(values, centre, dtype=np.float64)
    mean = float((shifted if weights is None else shifted * weights).sum()) / (total or 1.0)
    shifted -= mean
    shifted *= shifted
    m2 = float((shifted if weights is None else shifted * weights).sum())
    found = [total, centre + mean if total > 0 else 0.0, m2, missing, raw.min(), raw.max()]
    return np.array(found) + 0.0  # no -0.0, which a sum over ranks would turn into 0.0


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
    features = groups.shape[1]
    weight, mean, m2 = np.zeros(features), np.zeros(features), np.zeros(features)
    for group in groups:
        both = weight + group[:, 0]
        share = np.divide(group[:, 0], both, out=np.zeros(features), where=both > 0)
        delta = group[:, 1] - mean
        mean = mean + delta * share
        m2 = m2 + group[:, 2] + delta**2 * weight * share
        weight = both
    variance = np.divide(m2, weight, out=np.zeros(features), where=weight > 0)
    low, high = groups[:, :, 4].min(axis=0), groups[:, :, 5].max(axis=0)
    empty = ~np.isfinite(low)
    # below this the spread is rounding, and dividing by it would blow the column up
    largest = np.where(empty, 0.0, np.maximum(np.abs(low), np.abs(high)))
    return Moments(
        mean=mean,
        deviation=np.where(variance <= (1e-12 * largest) ** 2, 0.0, np.sqrt(variance)),
        missing=groups[:, :, 3].sum(axis=0).astype(np.int64),
        low=np.where(empty, 0.0, low),
        high=np.where(empty, 0.0, high),
    )


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

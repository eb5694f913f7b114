"""Numeric statistics: moments of each row group, merged in canonical order; medians by integer counts.

A row group's moments depend on the row group alone and are merged one after the other by the formula of
Chan, Golub and LeVeque (1979), so the result has the same bits whoever computed which row group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binclf import kernels

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

BINS = 65536
LEAST = 2.0**-126  # the least normal float32: of less it cannot hold one over it


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
    weight, mean, m2, missing, low, high = _combined(groups).T
    variance = np.divide(m2, weight, out=np.zeros(len(weight)), where=weight > 0)
    empty = ~np.isfinite(low)
    # below this the spread is rounding, and dividing by it would blow the column up
    largest = np.where(empty, 0.0, np.maximum(np.abs(low), np.abs(high)))
    least = np.maximum(1e-12 * largest, LEAST)
    return Moments(
        mean=mean,
        deviation=np.where(variance <= least**2, 0.0, np.sqrt(variance)),
        missing=missing.astype(np.int64),
        low=np.where(empty, 0.0, low),
        high=np.where(empty, 0.0, high),
    )


def _combined(parts: F64) -> F64:
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
    counts: I64,
) -> None:
    """Count the integer weight of each bin between mean - deviation and mean + deviation, of one row group.

    The median lies there: it is at most one standard deviation from the mean. `counts` int64
    [len(chosen), BINS + 2] is added to; the first and the last column count what lies outside.
    """
    units = None if weights is None else np.rint(weights * quantum)
    ends = np.array([_bins(moments, column) for column in chosen.tolist()])
    kernels.histograms(residuals, chosen, centre[chosen], units, ends, counts)


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

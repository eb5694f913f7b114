"""Numeric statistics: moments of each row group, merged in canonical order; medians by integer counts.

A row group's moments depend on the row group alone and are merged one after the other by the formula of
Chan, Golub and LeVeque (1979), so the result has the same bits whoever computed which row group. No BLAS is
called: its sums depend on the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binclf.features.block import Block

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FIELDS = 6  # weight, mean, m2, missing, low, high
BINS = 65536


def transformed(block: Block, is_log1p: Bools) -> F64:
    """The block's numbers float64 [n, F]; log1p columns as sign(v) log(1 + |v|); NaN is missing."""
    values = block.residuals.astype(np.float64) + block.centre
    if is_log1p.any():
        chosen = values[:, is_log1p]
        values[:, is_log1p] = np.sign(chosen) * np.log1p(np.abs(chosen))
    return values


def group_moments(block: Block, is_log1p: Bools) -> F64:
    """Weighted moments of one row group, float64 [F, FIELDS]; low and high are in original units."""
    values = transformed(block, is_log1p)
    missing = np.isnan(values)
    weights = np.where(missing, 0.0, block.weights[:, None])
    weight = weights.sum(axis=0)
    safe = np.where(weight > 0, weight, 1.0)
    values = np.where(missing, 0.0, values)
    # shifted by the centre: the mean of longitudes must not lose the digits that tell them apart
    shift = np.where(is_log1p, 0.0, block.centre)
    mean = shift + (weights * (values - shift)).sum(axis=0) / safe
    m2 = (weights * (values - mean) ** 2).sum(axis=0)
    out = np.empty((values.shape[1], FIELDS))
    out[:, 0], out[:, 1], out[:, 2] = weight, np.where(weight > 0, mean, 0.0), m2
    out[:, 3] = missing.sum(axis=0)
    filled = np.where(missing, np.inf, block.residuals)
    out[:, 4] = filled.min(axis=0, initial=np.inf) + block.centre
    filled = np.where(missing, -np.inf, block.residuals)
    out[:, 5] = filled.max(axis=0, initial=-np.inf) + block.centre
    return out + 0.0  # no -0.0, which a sum over ranks would turn into 0.0


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


def median_counts(block: Block, is_log1p: Bools, chosen: I64, moments: Moments, quantum: float) -> I64:
    """Integer weight of each bin between mean - deviation and mean + deviation.

    The median lies there: it is at most one standard deviation from the mean. Returns int64
    [len(chosen), BINS + 2]; the first and the last column count what lies outside.
    """
    values = transformed(block, is_log1p)
    weights = np.rint(block.weights * quantum)
    counts = np.zeros((len(chosen), BINS + 2), dtype=np.int64)
    for place, column in enumerate(chosen):
        present = ~np.isnan(values[:, column])
        low, width = _bins(moments, int(column))
        places = np.floor((values[present, column] - low) / width) + 1
        bins = np.clip(places, 0, BINS + 1).astype(np.int64)
        exact = np.bincount(bins, weights=weights[present], minlength=BINS + 2)
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

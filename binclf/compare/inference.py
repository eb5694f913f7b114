"""What can be said of a difference: intervals, p-values, false discoveries, and how many rows would decide.

A weighted mean m of W = sum(w) is a ratio whose error comes from the units that were drawn: rows, or the
clusters of `data.group`. Its variance is that of the linearised mean, sum over units of (w (d - m) / W)^2,
times u / (u - 1) with Kish's effective number of units u = W^2 / sum(w^2). So the unit of the weights does
not count, and a row of weight k is k copies of it in one cluster: copies tell nothing new. (Taking weights
for numbers of independent rows would make intervals too narrow by the root of whatever the weights are
scaled by, and a gate on them would promise nothing.)

Tails are Student's t with u - 1 degrees of freedom, by a transformation to the normal that has an inverse
(`metrics.intervals`): an interval leaves out 0 exactly where the p-value is below 5 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from binclf.metrics import delong, intervals
from binclf.metrics.delong import ALONE

F64 = npt.NDArray[np.float64]

LEVEL = 0.95  # of all intervals
ERROR_RATE = 0.025  # of a verdict, which goes by one end of an interval
POWER = 0.9  # with which `further_rows` would decide
LEAST_UNITS = 50  # below, no interval is to be trusted and nothing is decided

_NORMAL = NormalDist()
_Z = _NORMAL.inv_cdf(1 - ERROR_RATE)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A difference, challenger minus champion, with its 95 % interval."""

    difference: float
    standard_error: float
    units: float  # effective number of independent rows or clusters
    low: float
    high: float

    @property
    def p_value(self) -> float:
        """Two-sided, of no difference."""
        if self.standard_error == 0:
            return 1.0 if self.difference == 0 else 0.0
        z = intervals.normal_of(abs(self.difference) / self.standard_error, self.units - 1)
        return 2 * _NORMAL.cdf(-z)


def estimate(difference: float, variance: float, units: float) -> Estimate:
    """A difference with its interval; `units` is above 1."""
    error = math.sqrt(max(variance, 0.0))
    reach = intervals.student_of(_Z, units - 1) * error
    return Estimate(difference, error, units, difference - reach, difference + reach)


def mean_difference(moments: F64) -> Estimate | None:
    """The weighted mean of paired differences; None if fewer than two units have weight.

    Args:
        moments: float64 [5]: the sums over units of w, w d, w^2, w^2 d and w^2 d^2, where a cluster's w is
            its weight and its w d the weighted sum of its rows' differences.
    """
    weight, first, squares, cross, second = (float(value) for value in moments)
    if weight <= 0:
        return None
    mean = first / weight
    variance, units = intervals.variance_of(mean, weight, squares, cross, second)
    return estimate(mean, variance, units) if units > ALONE else None


def further_rows(found: Estimate, distance: float, rows: int) -> int | None:
    """How many rows more would decide with 90 % chance, if the difference is what it now seems.

    The mean of n + f rows, n of which are seen, has the expectation it has now and a standard error of
    s sqrt(f) / (n + f) around it; it decides if it is t s / sqrt(n + f) away. With N = n + f that asks for
    distance sqrt(N) / s = t + z_power sqrt(1 - n / N), which is iterated from above.

    Args:
        found: of the rows so far.
        distance: of the difference from what it must differ from.
        rows: so far.

    Returns None where the difference is exactly what it must differ from: no number would do.
    """
    if rows == 0 or distance == 0:
        return None
    unit = rows * (found.standard_error / distance) ** 2
    power = _NORMAL.inv_cdf(POWER)
    total = unit * (_Z + power) ** 2
    for _ in range(100):
        reach = intervals.student_of(_Z, max(found.units * total / rows - 1, 1.0))
        total = max(unit * (reach + power * math.sqrt(max(1 - rows / total, 0.0))) ** 2, 1.0)
    floor = rows * LEAST_UNITS / found.units
    needed = max(total, floor) - rows
    return max(math.ceil(needed), 1) if math.isfinite(needed) else None


def false_discovery(p_values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's adjusted p-values (1995), in the order given.

    Calling all below q discoveries, the expected share of false ones among them is at most q; also where
    tests depend on each other positively, as slices that share rows do (Benjamini and Yekutieli 2001).

    >>> false_discovery([0.01, 0.04, 0.03])
    [0.03, 0.04, 0.04]
    """
    count = len(p_values)
    order = sorted(range(count), key=lambda place: p_values[place])
    adjusted, least = [1.0] * count, 1.0
    for rank in range(count, 0, -1):
        place = order[rank - 1]
        least = min(least, p_values[place] * count / rank)
        adjusted[place] = least
    return adjusted


def auc_difference(
    scores: tuple[F64, F64],
    labels: npt.NDArray[np.int8],
    weights: F64,
    clusters: npt.NDArray[np.uint64] | None,
) -> tuple[float, float, Estimate | None] | None:
    """ROC-AUC of two models on the same rows, and the difference by `delong`.

    The influence of a row on the difference is its weight times what its placement differs between the
    models, from the mean of its class, over the weight of its class.

    Args:
        scores: of champion and challenger, float64 [n] each.
        labels: int8 [n] in {0, 1}.
        weights: float64 [n], above 0.
        clusters: uint64 [n]; None: each row is one.

    Returns the two areas, and the difference (None if a class has less than two units); None of all if a
    class has no row.
    """
    positive = labels == 1
    if positive.all() or not positive.any():
        return None
    placed = [_placements(score, positive, weights) for score in scores]
    total = np.where(positive, weights[positive].sum(), weights[~positive].sum())
    areas = [float((placement * weights)[positive].sum() / weights[positive].sum()) for placement in placed]
    difference = areas[1] - areas[0]
    influence = weights * (placed[1] - placed[0] - difference) / total
    variance, units = _spread(influence, positive, weights, clusters)
    found = estimate(difference, variance, units) if units > ALONE else None
    return areas[0], areas[1], found


def _spread(
    influence: F64, positive: npt.NDArray[np.bool_], weights: F64, clusters: npt.NDArray[np.uint64] | None
) -> tuple[float, float]:
    """Variance of a sum of influences, and the units of the rarer class that it rests on."""
    sides = (positive, ~positive)
    if clusters is None:
        kish = [delong.kish(float(w.sum()), float((w**2).sum())) for w in (weights[side] for side in sides)]
        return delong.of_rows([float((influence[side] ** 2).sum()) for side in sides], kish)
    _, place = np.unique(clusters, return_inverse=True)
    of_class = np.stack([np.bincount(place, weights * side) for side in sides], axis=1).astype(np.float64)
    return delong.of_clusters(np.bincount(place, influence).astype(np.float64), of_class)


def _placements(scores: F64, positive: npt.NDArray[np.bool_], weights: F64) -> F64:
    """Of each row the share of the other class that it is on the right side of, ties half; float64 [n]."""
    values, place = np.unique(scores, return_inverse=True)
    of_class = [
        np.bincount(place, np.where(side, weights, 0.0), len(values)).astype(np.float64)
        for side in (positive, ~positive)
    ]
    of_yes, of_no = delong.placements(of_class[0], of_class[1])
    return np.asarray(np.where(positive, of_yes[place], of_no[place]))

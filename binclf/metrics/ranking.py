"""How well scores rank: what follows from the histogram alone.

Scores that were joined in a bin may have been in any order: what follows is told beside a bound on its error,
0 where every distinct score has a bin of its own.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.metrics import delong
from binclf.metrics.clusters import Clusters
from binclf.metrics.histogram import Histogram
from binclf.metrics.intervals import Z95, Interval, student_of
from binclf.metrics.reliability import probability

F64 = npt.NDArray[np.float64]

CURVE_POINTS = 256
GAINS = 10


def roc_auc(histogram: Histogram) -> tuple[float, float]:
    """Share of (positive, negative) pairs in order, ties counted half (Mann-Whitney), and a bound.

    Joined bins turn pairs that may be in either order into ties: at most half of those within bins.
    """
    below, positive, negative = _sides(histogram)
    pairs = positive.sum() * negative.sum()
    tied = (positive * negative)[histogram.joined].sum() / 2
    return float((positive * (below + negative / 2)).sum() / pairs), float(tied / pairs)


def roc_auc_interval(histogram: Histogram, area: float, clusters: Clusters | None = None) -> Interval | None:
    """95 % interval of ROC-AUC on the scale of the logit, by `delong`.

    Of weighted rows each squared deviation counts by the square of its weight. None where one class has the
    weight of a single row or cluster, or where the classes are wholly apart, which leaves no spread to
    estimate from.
    """
    variance, units = clusters.of_area(histogram, area) if clusters else _of_rows(histogram, area)
    if units <= delong.ALONE or not 0 < area < 1 or variance <= 0:
        return None
    reach = student_of(Z95, units - 1) if clusters else Z95
    half = reach * math.sqrt(variance) / (area * (1 - area))
    middle = math.log(area / (1 - area))
    low, high = probability(np.array([middle - half, middle + half])).tolist()
    return low, high


def _of_rows(histogram: Histogram, area: float) -> tuple[float, float]:
    """Variance of ROC-AUC where rows are independent, and the units that it rests on."""
    sides = histogram.units[:, :2].astype(np.float64).T
    spreads, units = list[float](), list[float]()
    for own, placed, squares in zip(sides, delong.placements(*sides), histogram.squares.T, strict=True):
        spreads.append(float((squares * (placed - area) ** 2).sum() / own.sum() ** 2))
        units.append(delong.kish(float(own.sum()), float(squares.sum())))
    return delong.of_rows(spreads, units)


def pr_auc(histogram: Histogram) -> tuple[float, float]:
    """Average precision, the sum over thresholds of (recall step) x precision, and a bound.

    Of joined bins the middle of what is possible is taken, and half of that room is the bound.
    """
    positive = histogram.positive.astype(np.float64)
    tp, fp = _from_top(histogram.positive), _from_top(histogram.negative)
    area, bound = (positive * ratio(tp, tp + fp)).sum(), 0.0
    joined = histogram.joined
    if joined.any():
        above, below = precision_room(positive, histogram.negative.astype(np.float64))
        above, below = above[joined].sum(), below[joined].sum()
        area += (above - below) / 2
        bound = float((above + below) / 2 / tp[0])
    return float(area / tp[0]), bound


def precision_room(positive: F64, negative: F64) -> tuple[F64, F64]:
    """How much more, and less, than as ties the positives of bins could add up in precision.

    They could all come first in their bin, each with at most the precision that all of them have without the
    bin's negatives; or all last, where precision rises from that of none of them to that of the bin, ever
    more slowly: its mean is above the middle of the two.

    Args:
        positive: weight of each bin, scores ascending, float64 [B].
        negative: the other class's.
    """
    tp, fp = _from_top(positive), _from_top(negative)
    precision = ratio(tp, tp + fp)
    best, worst = ratio(tp, tp + fp - negative), ratio(tp - positive, tp - positive + fp)
    return positive * (best - precision), positive * (precision - worst) / 2


def left_open(histogram: Histogram) -> float:
    """The larger of the bounds of the two areas; 0 where they are exact, or undefined."""
    if not histogram.has_both or not histogram.joined.any():
        return 0.0
    return max(roc_auc(histogram)[1], pr_auc(histogram)[1])


def kolmogorov_smirnov(histogram: Histogram) -> tuple[float, float, float]:
    """Largest distance of the two classes' distribution functions, the probability where it is, and a bound.

    Within a joined bin all negatives may come first, or all positives: by what the distance could then be
    more than it is between bins the bound is told.
    """
    below, positive, negative = _sides(histogram)
    distance = (below + negative) / negative.sum() - np.cumsum(positive) / positive.sum()
    rise, fall = negative / negative.sum(), positive / positive.sum()
    place = int(np.abs(distance).argmax())
    found, joined = float(abs(distance[place])), histogram.joined
    within = np.maximum(distance + fall, rise - distance)[joined]
    bound = max(float(within.max(initial=0.0)) - found, 0.0)
    return found, float(probability(histogram.highest[place : place + 1])[0]), bound


def gains(histogram: Histogram) -> tuple[list[dict[str, float]], float]:
    """Of the best-scored tenth, two tenths ... of the rows: which share of the positives they hold.

    A tied score on the border gives of its positives the share of its rows that are inside. So does a joined
    bin; if p positives and n negatives of it come in any order, that is off by at most p n / (p + n): told as
    a bound on all `captured`.
    """
    positive = histogram.positive[::-1].astype(np.float64)
    own = histogram.units[::-1, :2].sum(axis=1).astype(np.float64)
    tp = np.concatenate([[0.0], np.cumsum(histogram.positive[::-1]).astype(np.float64)])
    seen = np.concatenate([[0.0], np.cumsum(histogram.units[::-1, :2].sum(axis=1)).astype(np.float64)])
    shares = np.arange(1, GAINS + 1) / GAINS
    captured = np.interp(shares * seen[-1], seen, tp) / tp[-1]
    places = np.searchsorted(seen, shares * seen[-1]).clip(1, len(seen) - 1) - 1
    thresholds = probability(histogram.middles()[::-1][places])
    steps = np.diff(captured, prepend=0.0)
    open_ = np.where(histogram.joined[::-1], ratio(positive * (own - positive), own), 0.0)[places]
    return [
        {
            "share": float(shares[i]),
            "captured": float(captured[i]),
            "lift": float(captured[i] / shares[i]),
            "positive_rate": float(steps[i] * tp[-1] / (seen[-1] / GAINS)),
            "threshold": float(thresholds[i]),
        }
        for i in range(GAINS)
    ], float(open_.max() / tp[-1])


def curves(histogram: Histogram) -> dict[str, list[dict[str, float]]]:
    """ROC and precision-recall curves of at most 256 points, thresholds descending; empty if undefined."""
    if not histogram.has_both:
        return {"roc": [], "pr": []}
    tp = np.cumsum(histogram.positive[::-1]).astype(np.float64)
    fp = np.cumsum(histogram.negative[::-1]).astype(np.float64)
    # evenly along the curve itself, so that its steep and its flat parts are both drawn
    along = tp / tp[-1] + fp / fp[-1]
    at = np.unique(np.searchsorted(along, np.linspace(0, 2, CURVE_POINTS)).clip(0, len(tp) - 1))
    recall, false, precision = tp[at] / tp[-1], fp[at] / fp[-1], ratio(tp[at], tp[at] + fp[at])
    return {
        "roc": _points(
            false_positive_rate=[0.0, *false.tolist()], true_positive_rate=[0.0, *recall.tolist()]
        ),
        "pr": _points(recall=recall.tolist(), precision=precision.tolist()),
    }


def _points(**columns: list[float]) -> list[dict[str, Any]]:
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _sides(histogram: Histogram) -> tuple[F64, F64, F64]:
    """For each bin the weight of negatives below it, and of its own classes."""
    positive, negative = histogram.positive, histogram.negative
    below = np.cumsum(negative) - negative
    return below.astype(np.float64), positive.astype(np.float64), negative.astype(np.float64)


def _from_top(own: npt.NDArray[Any]) -> F64:
    """Of each bin the weight in it and above, float64 [B]."""
    return np.asarray(np.cumsum(own[::-1])[::-1], dtype=np.float64)


def ratio(part: F64, whole: F64) -> F64:
    """Elementwise; 0 of nothing."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)

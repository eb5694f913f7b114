"""How well scores rank: what follows from the histogram alone, one stretch of its bins after another.

Scores that were joined in a bin may have been in any order: what follows is told beside a bound on its error,
0 where every distinct score has a bin of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.metrics import delong
from binclf.metrics.clusters import Clusters
from binclf.metrics.histogram import Histogram, Stretch
from binclf.metrics.intervals import Z95, Interval, student_of
from binclf.metrics.reliability import probability

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

CURVE_POINTS = 256
GAINS = 10


def roc_auc(histogram: Histogram) -> tuple[float, float]:
    """Share of (positive, negative) pairs in order, ties counted half (Mann-Whitney), and a bound.

    Joined bins turn pairs that may be in either order into ties: at most half of those within bins.
    """
    ordered = tied = 0.0
    for stretch in histogram.stretches():
        placed, _ = delong.placements_of(stretch)
        ordered += float((stretch.positive * placed).sum())
        tied += float((stretch.positive * stretch.negative)[stretch.bins.joined].sum())
    positive, negative = histogram.totals
    return ordered / positive, tied / 2 / (positive * negative)


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
    totals, spreads, squares = histogram.totals, np.zeros(2), np.zeros(2)
    for stretch in histogram.stretches():
        of_rows = stretch.bins.squares
        squares += of_rows.sum(axis=0)
        for side, placed in enumerate(delong.placements_of(stretch)):
            spreads[side] += (of_rows[:, side] * (placed - area) ** 2).sum()
    units = [delong.kish(own, float(square)) for own, square in zip(totals, squares, strict=True)]
    return delong.of_rows((spreads / np.square(totals)).tolist(), units)


def pr_auc(histogram: Histogram) -> tuple[float, float]:
    """Average precision, the sum over thresholds of (recall step) x precision, and a bound.

    Of joined bins the middle of what is possible is taken, and half of that room is the bound.
    """
    area = above = below = 0.0
    for stretch in histogram.stretches():
        tp, fp, joined = stretch.tp, stretch.fp, stretch.bins.joined
        area += float((stretch.positive * ratio(tp, tp + fp)).sum())
        if joined.any():
            more, less = precision_room((stretch.positive, stretch.negative), (tp, fp))
            above, below = above + float(more[joined].sum()), below + float(less[joined].sum())
    positive = histogram.totals[0]
    return (area + (above - below) / 2) / positive, (above + below) / 2 / positive


def precision_room(own: tuple[F64, F64], from_here: tuple[F64, F64]) -> tuple[F64, F64]:
    """How much more, and less, than as ties the positives of bins could add up in precision.

    They could all come first in their bin, each with at most the precision that all of them have without the
    bin's negatives; or all last, where precision rises from that of none of them to that of the bin, ever
    more slowly: its mean is above the middle of the two.

    Args:
        own: weight of the positives and of the negatives of each bin, scores ascending, float64 [B] each.
        from_here: of each bin and those above it.
    """
    (positive, negative), (tp, fp) = own, from_here
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
    positives, negatives = histogram.totals
    found, score, reach = -1.0, 0.0, 0.0
    for stretch in histogram.stretches():
        below = (stretch.below[1] + np.cumsum(stretch.negative)) / negatives
        distance = below - (stretch.below[0] + np.cumsum(stretch.positive)) / positives
        place = int(np.abs(distance).argmax())
        if abs(distance[place]) > found:
            found, score = float(abs(distance[place])), float(stretch.bins.highest[place])
        rise, fall = stretch.negative / negatives, stretch.positive / positives
        within = np.maximum(distance + fall, rise - distance)[stretch.bins.joined]
        reach = max(reach, float(within.max(initial=0.0)))
    return found, float(probability(np.array([score]))[0]), max(reach - found, 0.0)


def gains(histogram: Histogram) -> tuple[list[dict[str, float]], float]:
    """Of the best-scored tenth, two tenths ... of the rows: which share of the positives they hold.

    A tied score on the border gives of its positives the share of its rows that are inside. So does a joined
    bin; if p positives and n negatives of it come in any order, that is off by at most p n / (p + n): told as
    a bound on all `captured`.
    """
    positives, whole = histogram.totals[0], sum(histogram.totals)
    shares = np.arange(1, GAINS + 1) / GAINS
    places = _reached(histogram, lambda stretch: stretch.tp + stretch.fp, shares * whole)
    tp, fp = _from_there(histogram, places)
    positive, negative = histogram.units[places, :2].T.astype(np.float64)
    own = positive + negative
    inside = ratio(shares * whole - (tp + fp - own), own)  # of the bin on the border
    captured = (tp - positive + inside * positive) / positives
    border = histogram.of(places)
    thresholds = probability(border.middles())
    steps = np.diff(captured, prepend=0.0)
    open_ = np.where(border.joined, ratio(positive * negative, own), 0.0)
    return [
        {
            "share": float(shares[i]),
            "captured": float(captured[i]),
            "lift": float(captured[i] / shares[i]),
            "positive_rate": float(steps[i] * positives / (whole / GAINS)),
            "threshold": float(thresholds[i]),
        }
        for i in range(GAINS)
    ], float(open_.max() / positives)


def curves(histogram: Histogram) -> dict[str, list[dict[str, float]]]:
    """ROC and precision-recall curves of at most 256 points, thresholds descending; empty if undefined."""
    if not histogram.has_both:
        return {"roc": [], "pr": []}
    positives, negatives = histogram.totals
    # evenly along the curve itself, so that its steep and its flat parts are both drawn
    along = np.linspace(0, 2, CURVE_POINTS)
    at = _reached(histogram, lambda stretch: stretch.tp / positives + stretch.fp / negatives, along)
    tp, fp = _from_there(histogram, np.unique(at)[::-1])
    recall, false, precision = tp / positives, fp / negatives, ratio(tp, tp + fp)
    return {
        "roc": _points(
            false_positive_rate=[0.0, *false.tolist()], true_positive_rate=[0.0, *recall.tolist()]
        ),
        "pr": _points(recall=recall.tolist(), precision=precision.tolist()),
    }


def _points(**columns: list[float]) -> list[dict[str, Any]]:
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _reached(histogram: Histogram, along: Callable[[Stretch], F64], targets: F64) -> I64:
    """The bin, coming from the top, by which so much is reached; the lowest where rounding falls short of it.

    Args:
        histogram: not empty.
        along: what grows from the top to the bottom, of each bin of a stretch.
        targets: float64 [T].
    """
    bins = np.zeros(len(targets), dtype=np.int64)  # by which it is reached
    for stretch in histogram.stretches():
        found = along(stretch)[::-1]
        bins += len(found) - found.searchsorted(targets)
    return np.maximum(bins - 1, 0)


def _from_there(histogram: Histogram, places: I64) -> tuple[F64, F64]:
    """Of some bins the weight of positives and of negatives in them and above, float64 [len(places)] each."""
    found = np.zeros((2, len(places)))
    for stretch in histogram.stretches():
        here = (places >= stretch.within.start) & (places < stretch.within.stop)
        if here.any():
            within = places[here] - stretch.first
            found[:, here] = stretch.tp[within], stretch.fp[within]
    return found[0], found[1]


def ratio(part: F64, whole: F64) -> F64:
    """Elementwise; 0 of nothing."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)

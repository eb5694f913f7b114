"""How well scores rank: what follows from the histogram alone.

Joined bins count as ties. Areas are told beside a bound on their error: 0 where every distinct score has a
bin of its own.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.metrics.histogram import Histogram
from binclf.metrics.intervals import Z95, Interval
from binclf.metrics.reliability import probability

F64 = npt.NDArray[np.float64]

CURVE_POINTS = 256
GAINS = 10


def roc_auc(histogram: Histogram) -> tuple[float, float]:
    """Share of (positive, negative) pairs in order, ties counted half (Mann-Whitney), and a bound.

    Joined bins turn pairs that may be in either order into ties: at most half of those within bins.
    """
    below, _, positive, negative = _sides(histogram)
    pairs = positive.sum() * negative.sum()
    tied = (positive * negative).sum() / 2 if histogram.grain else 0.0
    return float((positive * (below + negative / 2)).sum() / pairs), float(tied / pairs)


def roc_auc_interval(histogram: Histogram) -> Interval | None:
    """95 % interval of ROC-AUC: DeLong, DeLong and Clarke-Pearson (1988), on the scale of the logit.

    Of weighted rows each squared deviation counts by the square of its weight. None where one class has the
    weight of a single row, or where the classes are wholly apart, which leaves no spread to estimate from.
    """
    below, above, positive, negative = _sides(histogram)
    area = roc_auc(histogram)[0]
    variance = 0.0
    sides = (
        (positive, (below + negative / 2) / negative.sum()),
        (negative, (above + positive / 2) / positive.sum()),
    )
    for (own, placed), squares in zip(sides, histogram.squares.T, strict=True):
        effective = own.sum() ** 2 / squares.sum() if squares.any() else 0.0
        if effective <= 1 + 1e-9:
            return None
        spread = float((squares * (placed - area) ** 2).sum() / own.sum() ** 2)
        variance += spread * effective / (effective - 1)
    if not 0 < area < 1 or variance <= 0:
        return None
    half = Z95 * math.sqrt(variance) / (area * (1 - area))
    middle = math.log(area / (1 - area))
    low, high = probability(np.array([middle - half, middle + half])).tolist()
    return low, high


def pr_auc(histogram: Histogram) -> tuple[float, float]:
    """Average precision, the sum over thresholds of (recall step) x precision, and a bound.

    The positives of a joined bin could all come first in it, each with at most the precision that all of them
    have without the bin's negatives; or all last, where precision rises from that of none of them to that of
    the bin, ever more slowly: its mean is above the middle of the two.
    """
    positive = histogram.positive[::-1].astype(np.float64)
    negative = histogram.negative[::-1].astype(np.float64)
    tp = np.cumsum(histogram.positive[::-1]).astype(np.float64)
    fp = np.cumsum(histogram.negative[::-1]).astype(np.float64)
    precision = ratio(tp, tp + fp)
    bound = 0.0
    if histogram.grain:
        best, worst = ratio(tp, tp + fp - negative), ratio(tp - positive, tp - positive + fp)
        above, below = (positive * (best - precision)).sum(), (positive * (precision - worst) / 2).sum()
        bound = float(max(above, below) / tp[-1])
    return float((positive * precision).sum() / tp[-1]), bound


def kolmogorov_smirnov(histogram: Histogram) -> tuple[float, float]:
    """Largest distance of the two classes' distribution functions, and the probability where it is."""
    below, _, positive, negative = _sides(histogram)
    distance = (below + negative) / negative.sum() - np.cumsum(positive) / positive.sum()
    place = int(np.abs(distance).argmax())
    return float(abs(distance[place])), float(probability(histogram.middles()[place : place + 1])[0])


def gains(histogram: Histogram) -> list[dict[str, float]]:
    """Of the best-scored tenth, two tenths ... of the rows: which share of the positives they hold.

    A tied score on the border gives of its positives the share of its rows that are inside.
    """
    tp = np.concatenate([[0.0], np.cumsum(histogram.positive[::-1]).astype(np.float64)])
    seen = np.concatenate([[0.0], np.cumsum(histogram.units[::-1, :2].sum(axis=1)).astype(np.float64)])
    shares = np.arange(1, GAINS + 1) / GAINS
    captured = np.interp(shares * seen[-1], seen, tp) / tp[-1]
    places = np.searchsorted(seen, shares * seen[-1]).clip(1, len(seen) - 1) - 1
    thresholds = probability(histogram.middles()[::-1][places])
    steps = np.diff(captured, prepend=0.0)
    return [
        {
            "share": float(shares[i]),
            "captured": float(captured[i]),
            "lift": float(captured[i] / shares[i]),
            "positive_rate": float(steps[i] * tp[-1] / (seen[-1] / GAINS)),
            "threshold": float(thresholds[i]),
        }
        for i in range(GAINS)
    ]


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


def _sides(histogram: Histogram) -> tuple[F64, F64, F64, F64]:
    """For each bin the weight of negatives below it and of positives above it; and of its own classes."""
    positive, negative = histogram.positive, histogram.negative
    below = np.cumsum(negative) - negative
    above = positive.sum() - np.cumsum(positive)
    return (
        below.astype(np.float64),
        above.astype(np.float64),
        positive.astype(np.float64),
        negative.astype(np.float64),
    )


def ratio(part: F64, whole: F64) -> F64:
    """Elementwise; 0 of nothing."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)

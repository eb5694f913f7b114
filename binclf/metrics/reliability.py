"""Do probabilities mean what they say: calibration slope and intercept, Brier's parts, reliability bins."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from binclf.metrics.histogram import Histogram

F64 = npt.NDArray[np.float64]

WIDE_BINS = 15  # of equal width in the probability: the expected calibration error's
EVEN_BINS = 20  # of equal weight: the picture's and the decomposition's
MOST_STEPS = 60
FLAT = 1e-10  # of a Newton step, in log-odds
ROUNDING = 1e-13  # of a loss: no step is halved for less
MANY, TOGETHER = 2**14, 16  # bins from which on neighbours are joined for a start, and how many of them
MOST_CONDITION = 1e12
FARTHEST = 1e6  # log-odds beyond are as sure as these


def even_bins(histogram: Histogram) -> list[dict[str, float]]:
    """At most 20 bins of about equal weight, scores ascending: share of the weight, prediction, outcome.

    Rows of one score stay together: a score belongs where the middle of its rows' ranks does.
    """
    own = histogram.units[:, :2].sum(axis=1)
    total = int(own.sum())
    if not total:
        return []
    middle = (np.cumsum(own) - own / 2) / total
    place = np.minimum((middle * EVEN_BINS).astype(np.int64), EVEN_BINS - 1)
    weights = own.astype(np.float64)
    weight, predicted, observed = (
        np.bincount(place, weights=values, minlength=EVEN_BINS)
        for values in (
            weights,
            weights * probability(histogram.middles()),
            histogram.positive.astype(np.float64),
        )
    )
    return [
        {
            "weight": float(weight[i] / total),
            "predicted": float(predicted[i] / weight[i]),
            "observed": float(observed[i] / weight[i]),
        }
        for i in np.flatnonzero(weight > 0)
    ]


def brier_parts(bins: list[dict[str, float]], brier: float, rate: float) -> dict[str, float]:
    """Murphy's (1973) decomposition: brier = reliability - resolution + uncertainty + within.

    `within` is what is left inside bins (Stephenson et al. 2008): 0 where all of a bin is predicted alike.
    """
    reliability = sum(b["weight"] * (b["predicted"] - b["observed"]) ** 2 for b in bins)
    resolution = sum(b["weight"] * (b["observed"] - rate) ** 2 for b in bins)
    uncertainty = rate * (1 - rate)
    return {
        "brier_reliability": reliability,
        "brier_resolution": resolution,
        "brier_uncertainty": uncertainty,
        "brier_within": brier - (reliability - resolution + uncertainty),
    }


def line(histogram: Histogram) -> tuple[float, float] | None:
    """Calibration slope and intercept on the log-odds (Cox 1958): (1, 0) where probabilities are true.

    The slope b is that of the logistic regression logit P(y) = a + b z on the scores z; the intercept is a of
    the one with b = 1: calibration in the large. None where a fit does not end: the classes are apart.
    """
    scores = np.clip(histogram.middles(), -FARTHEST, FARTHEST)
    positive, weight = (
        histogram.positive.astype(np.float64),
        histogram.units[:, :2].sum(axis=1).astype(np.float64),
    )
    sloped = _fit(positive, weight, [np.ones_like(scores), scores], np.zeros_like(scores))
    shifted = _fit(positive, weight, [np.ones_like(scores)], scores)
    if sloped is None or shifted is None:
        return None
    return float(sloped[1]), float(shifted[0])


def softplus(logits: F64) -> F64:
    """log(1 + exp), the sigmoid's integral, elementwise, float64, without overflow."""
    return np.asarray(np.maximum(logits, 0.0) + np.log1p(np.exp(-np.abs(logits))))


def log_losses(logits: F64, labels: npt.NDArray[np.int8]) -> F64:
    """The log-loss of each row, float64 [n]; a sure and right one is not lost in rounding."""
    return np.asarray(np.maximum(logits, 0.0) - logits * labels + np.log1p(np.exp(-np.abs(logits))))


def probability(logits: F64) -> F64:
    """sigmoid, elementwise, float64, without overflow."""
    # above is 1 or e^z; a second exp takes half the time of choosing between the two
    return np.asarray(np.exp(np.minimum(logits, 0.0)) / (1.0 + np.exp(-np.abs(logits))))


def _fit(positive: F64, weight: F64, columns: list[F64], offset: F64) -> F64 | None:
    """Weights of a logistic regression on one or two columns of many bins, in the order of their scores.

    Neighbours are joined for a start: that fit is cheap, and so near that two or three steps are left.
    """
    start = None
    if len(offset) > MANY:
        begins = np.arange(0, len(offset), TOGETHER)
        filled = np.add.reduceat(weight, begins) > 0

        def joined(values: F64) -> F64:
            return np.asarray(np.add.reduceat(values, begins)[filled])

        own = joined(weight)
        means = [joined(weight * values) / own for values in (*columns, offset)]
        start = _newton(joined(positive), own, means[:-1], means[-1], np.zeros(len(columns)))
    return _newton(positive, weight, columns, offset, np.zeros(len(columns)) if start is None else start)


def _newton(positive: F64, weight: F64, columns: list[F64], offset: F64, beta: F64) -> F64 | None:
    """By Newton's method from `beta` on, steps halved at need; None where that does not end.

    Sums are NumPy's own and not those of a linear algebra library, whose bits depend on the cores.
    """

    def logits_of(beta: F64) -> F64:
        return np.asarray(offset + sum((b * column for b, column in zip(beta, columns, strict=True)), 0.0))

    logits = logits_of(beta)
    loss = _loss(logits, positive, weight)
    for _ in range(MOST_STEPS):
        p = probability(logits)
        rest = positive - weight * p
        curvature = weight * p * (1 - p)
        gradient = np.array([(rest * column).sum() for column in columns])
        hessian = np.array([[(curvature * one * other).sum() for one in columns] for other in columns])
        if not np.linalg.cond(hessian) < MOST_CONDITION:
            return None
        step = np.linalg.solve(hessian, gradient)
        if np.abs(step).max() < FLAT:
            return beta + step
        while True:
            logits = logits_of(beta + step)
            new = _loss(logits, positive, weight)
            if new <= loss * (1 + ROUNDING) or np.abs(step).max() < FLAT:
                break
            step = step / 2
        beta, loss = beta + step, new
    return None


def _loss(logits: F64, positive: F64, weight: F64) -> float:
    losses = weight * softplus(logits) - positive * logits
    return float(losses.sum())

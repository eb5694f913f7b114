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
    ones = np.ones_like(scores)
    sloped = _fit(positive, weight, [ones, scores], np.zeros_like(scores))
    shifted = _fit(positive, weight, [ones], scores)
    if sloped is None or shifted is None:
        return None
    return float(sloped[1]), float(shifted[0])


def probability(logits: F64) -> F64:
    """sigmoid, elementwise, float64, without overflow."""
    e = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1.0, e) / (1.0 + e)


def _fit(positive: F64, weight: F64, columns: list[F64], offset: F64) -> F64 | None:
    """Weights of a logistic regression on one or two columns by Newton's method, steps halved at need.

    Sums are NumPy's own and not those of a linear algebra library, whose bits depend on the cores.
    """
    beta = np.zeros(len(columns))
    logits = offset
    loss = _loss(logits, positive, weight)
    for _ in range(MOST_STEPS):
        p = probability(logits)
        rest, curvature = positive - weight * p, weight * p * (1 - p)
        gradient = np.array([(rest * column).sum() for column in columns])
        hessian = np.array([[(curvature * one * other).sum() for one in columns] for other in columns])
        if not np.linalg.cond(hessian) < MOST_CONDITION:
            return None
        step = np.linalg.solve(hessian, gradient)
        if np.abs(step).max() < FLAT:
            return beta
        while True:
            logits = offset + sum((b * column for b, column in zip(beta + step, columns, strict=True)), 0.0)
            new = _loss(logits, positive, weight)
            if new <= loss or np.abs(step).max() < FLAT:
                break
            step = step / 2
        beta, loss = beta + step, new
    return None


def _loss(logits: F64, positive: F64, weight: F64) -> float:
    losses = weight * np.logaddexp(0.0, logits) - positive * logits
    return float(losses.sum())

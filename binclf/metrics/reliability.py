"""Do probabilities mean what they say: calibration slope and intercept, Brier's parts, reliability bins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from binclf.metrics.histogram import Histogram

F64 = npt.NDArray[np.float64]
Points = tuple[F64, F64, F64]  # weight of positives and of all rows at each score, and the scores

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
    total = sum(histogram.totals)
    if not total:
        return []
    sums = np.zeros((3, EVEN_BINS))  # weight, times what is predicted, and of positives
    for stretch in histogram.stretches():
        own = stretch.positive + stretch.negative
        middle = (sum(stretch.below) + np.cumsum(own) - own / 2) / total
        place = np.minimum((middle * EVEN_BINS).astype(np.int64), EVEN_BINS - 1)
        for row, values in enumerate((own, own * probability(stretch.bins.middles()), stretch.positive)):
            sums[row] += np.bincount(place, weights=values, minlength=EVEN_BINS)
    weight, predicted, observed = sums
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

    def points() -> Iterator[Points]:
        for stretch in histogram.stretches():
            scores = np.clip(stretch.bins.middles(), -FARTHEST, FARTHEST)
            yield stretch.positive, stretch.positive + stretch.negative, scores

    few = _few(points()) if len(histogram.scores) > MANY else None
    sloped, shifted = (_fit(points, few, is_sloped=is_sloped) for is_sloped in (True, False))
    return None if sloped is None or shifted is None else (float(sloped[1]), float(shifted[0]))


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


def _few(points: Iterable[Points]) -> Points:
    """Neighbours joined, each where its rows are on average."""
    found: list[F64] = []
    for positive, weight, scores in points:
        begins = np.arange(0, len(weight), TOGETHER)
        sums = np.stack([np.add.reduceat(own, begins) for own in (positive, weight, weight * scores)])
        found.append(sums[:, sums[1] > 0])
    positive, weight, moved = np.concatenate(found, axis=1)
    return positive, weight, moved / weight


def _fit(points: Callable[[], Iterable[Points]], few: Points | None, *, is_sloped: bool) -> F64 | None:
    """Intercept and slope of a logistic regression on the scores; or the intercept where the slope is 1.

    Where neighbours were joined their fit is a start: it is cheap, and so near that two or three steps are
    left.
    """
    start = np.zeros(1 + is_sloped)
    if few is not None:
        alone = [few]
        found = _newton(lambda: alone, start)
        start = start if found is None else found
    return _newton(points, start)


def _newton(points: Callable[[], Iterable[Points]], beta: F64) -> F64 | None:
    """By Newton's method from `beta` on, steps halved at need; None where that does not end.

    Sums are NumPy's own and not those of a linear algebra library, whose bits depend on the cores.
    """
    loss = _loss(points(), beta)
    for _ in range(MOST_STEPS):
        gradient, hessian = _bend(points(), beta)
        if not np.linalg.cond(hessian) < MOST_CONDITION:
            return None
        step = np.linalg.solve(hessian, gradient)
        if np.abs(step).max() < FLAT:
            return beta + step
        while True:
            new = _loss(points(), beta + step)
            if new <= loss * (1 + ROUNDING) or np.abs(step).max() < FLAT:
                break
            step = step / 2
        beta, loss = beta + step, new
    return None


def _bend(points: Iterable[Points], beta: F64) -> tuple[F64, F64]:
    """Slope and curvature of the likelihood, float64 [p] and [p, p]."""
    count = len(beta)
    gradient, hessian = np.zeros(count), np.zeros((count, count))
    for positive, weight, scores in points:
        p = probability(_logits(beta, scores))
        rest, curvature = positive - weight * p, weight * p * (1 - p)
        columns = (np.ones_like(scores), scores)[:count]
        gradient += [(rest * column).sum() for column in columns]
        hessian += [[(curvature * one * other).sum() for one in columns] for other in columns]
    return gradient, hessian


def _loss(points: Iterable[Points], beta: F64) -> float:
    total = 0.0
    for positive, weight, scores in points:
        logits = _logits(beta, scores)
        total += float((weight * softplus(logits) - positive * logits).sum())
    return total


def _logits(beta: F64, scores: F64) -> F64:
    return np.asarray(beta[0] + (beta[1] if len(beta) == 2 else 1.0) * scores)

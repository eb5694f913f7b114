"""Variances of areas under the ROC curve: DeLong, DeLong and Clarke-Pearson 1988; clustered, Obuchowski 1997.

The area is a mean over the positive rows of their placement, the share of negative weight below them, ties
half; and over the negative rows of theirs, the share of positive weight above. A row moves it by its weight
times what its placement is off from the mean of its class, over the weight of its class: its influence. What
is drawn independently, rows of each class or clusters of rows, varies it by the squares of their influences.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from binclf.metrics.histogram import Stretch

F64 = npt.NDArray[np.float64]

ALONE = 1 + 1e-9  # units: no spread can be told of so few


def placements(
    positive: F64,
    negative: F64,
    below: tuple[float, float] = (0.0, 0.0),
    total: tuple[float, float] | None = None,
) -> tuple[F64, F64]:
    """Of bins of equal scores, ascending, where a positive row of each is placed, and a negative one.

    Args:
        positive: weight of the positive rows of each bin, float64 [B], not all 0.
        negative: of the negative rows.
        below: weight of positives and of negatives below these bins.
        total: of all; None: these bins are all.
    """
    positives, negatives = total or (float(positive.sum()), float(negative.sum()))
    under = below[1] + np.cumsum(negative) - negative / 2
    over = positives - below[0] - np.cumsum(positive) + positive / 2
    return under / negatives, over / positives


def placements_of(stretch: Stretch) -> tuple[F64, F64]:
    """`placements` of some of the bins of a histogram, among all of them."""
    return placements(stretch.positive, stretch.negative, stretch.below, stretch.total)


def kish(weight: float, squares: float) -> float:
    """Effective number of units (Kish): (sum of w)^2 / sum of w^2; 0 of none."""
    return weight**2 / squares if squares > 0 else 0.0


def of_rows(squares: Sequence[float], units: Sequence[float]) -> tuple[float, float]:
    """Variance where rows are independent, and the units of the rarer class, which it rests on.

    Args:
        squares: for each class the sum of squared influences.
        units: and its effective number of rows. Where it is 1 the variance is 0 and says nothing.
    """
    if min(units) <= ALONE:
        return 0.0, min(units)
    return sum(s * u / (u - 1) for s, u in zip(squares, units, strict=True)), min(units)


def of_clusters(influence: F64, weights: F64) -> tuple[float, float]:
    """Variance where clusters are, and the units of the rarer class.

    Args:
        influence: of each cluster, the sum of its rows', float64 [C].
        weights: of the rows of each class in each cluster, float64 [C, 2].
    """
    units = min(kish(float(own.sum()), float((own**2).sum())) for own in weights.T)
    count = int(weights.any(axis=1).sum())
    if units <= ALONE:
        return 0.0, units
    return float((influence**2).sum()) * count / (count - 1), units

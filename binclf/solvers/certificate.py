"""How far a point is from the optimum, proven from loss, gradient and Hessian there.

Let F be the mean log-loss with its l2 penalty, v the way from the point to the optimum, a = |v| in the norm
of the Hessian H, and D = sqrt(g' H^-1 g), Newton's decrement. Along v the third derivative is at most S times
the second, S = max over rows of |u'v| (Bach, "Self-concordant analysis for logistic regression", 2010), so
with R = max |u| in the norm of H^-1, S <= R a, and from 0 = F'(optimum)

    a (1 - exp(-R a)) / (R a) <= D,   hence   a <= -log(1 - R D) / R   where R D < 1,

and F(point) - F(optimum) <= -g'v <= D a by convexity. R is at most the sum of m sqrt(diag(H^-1)) over a row's
terms, m their largest magnitudes. Each weight, and each sum of weights, is within a times its norm in H^-1 of
its optimum; and over rows of weight W in all, that norm over sqrt(W) is its standard error (where a penalty
says as much as the data, the spread of what it and they together leave open). So all are within a sqrt(W)
standard errors. What rounding may have done is estimated and added to D.

The point after a full step v = -H^-1 g need not be looked at. Along v the curvature stays between
exp(-t S) H and exp(t S) H, so the gradient there is at most (exp(S) - 1 - S) / S D in the norm of H^-1, and
exp(S / 2) more in the norm that H has there; R grows by exp(S / 2) at most. With S below NEAR the standard
errors are the same to 6 digits.

Where the objective has l1 or bounds, the point's model takes the place of D: an estimate, and told as such.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.solvers.blocks import Terms
from binclf.solvers.quadratic import Inverse, Model

F64 = npt.NDArray[np.float64]


# slope in directions that are left out as flat, in units of the diagonal: columns that differ by float32's
# rounding (6e-8) alone have less, as roundings average out; more is what could still be gained there
UNSEEN = 2e-8
EPSILON = 4 * float(np.finfo(np.float64).eps)
NEAR = 5e-7  # the logits of all rows move by less: so little do their curvatures differ


@dataclass(frozen=True, slots=True)
class Certificate:
    """The distance from the optimum."""

    decrement: float  # Newton's, of the mean objective
    gap: float | None  # the objective is at most so far above its least; None: too far to tell
    errors: float | None  # each weight is within so many standard errors of the optimum's; None: likewise
    is_proven: bool  # else both are estimates of the model there
    model_gap: float  # and what the model there says in any case
    model_errors: float
    rank: int  # directions in which the objective is curved
    weights: int

    def as_json(self) -> dict[str, Any]:
        """For `model.json`."""
        return asdict(self)

    def told(self) -> str:
        """In words."""
        if self.gap is None or self.errors is None:
            return (
                f"by its model about {self.model_gap:.1e} above the least objective and "
                f"{self.model_errors:.1e} standard errors from the optimum"
            )
        words = "within" if self.is_proven else "by its model within"
        return f"{words} {self.gap:.1e} of the least objective and {self.errors:.1e} standard errors"


def certify(model: Model, weight: float, terms: Terms) -> Certificate:
    """From the model at a point.

    Args:
        model: of the penalised mean log-loss.
        weight: of the rows.
        terms: of a row.
    """
    inverse, root = model.inverse, math.sqrt(weight)
    move, is_least = model.least
    decrement = model.decrement
    gap, errors = max(-model.change(move), 0.0), decrement * root
    unknown = Certificate(decrement, None, None, False, gap, errors, inverse.rank, len(move))
    if not model.penalty.is_smooth:
        if not is_least:
            return unknown
        return replace(unknown, gap=unknown.model_gap, errors=unknown.model_errors)
    reach = _reach(inverse, terms)
    unseen = np.abs(inverse.scale * (model.slope + model.curved @ move)).max(initial=0.0)
    most = decrement + _rounding(model, reach)
    if not most * reach < 1 or (inverse.rank < len(move) and unseen > UNSEEN):
        return unknown
    far = _far(most, reach)
    return replace(unknown, gap=most * far, errors=far * root, is_proven=True)


def foretold(model: Model, weight: float, terms: Terms) -> Certificate | None:
    """Of the point after Newton's step, from what is known before it; None where that is too far to tell."""
    if not model.penalty.is_smooth or model.inverse.rank < len(model.point):
        return None
    move = model.least[0]
    stretch = float(np.abs(move) @ terms.magnitudes)
    if not stretch <= NEAR:
        return None
    left = model.decrement * stretch / 2 * math.exp(1.5 * stretch)  # (exp(S) - 1 - S) / S <= S / 2 exp(S)
    reach = _reach(model.inverse, terms) * math.exp(stretch / 2)
    left += _rounding(model, reach)
    if not left * reach < 1:
        return None
    far, size = _far(left, reach), len(move)
    gap, errors = left * far, far * math.sqrt(weight)
    return Certificate(left, gap, errors, True, gap, errors, size, size)


def _rounding(model: Model, reach: float) -> float:
    """What the slope may be wrong by, in the norm of the inverse, and the step and the point in that of H.

    The residual of the step's system; and EPSILON of each product that was added up, and of each coordinate.
    """
    inverse, point, move = model.inverse, np.abs(model.point), model.least[0]
    left = model.slope + model.curved @ move
    parts = np.abs(model.curved) @ np.abs(move) + model.penalty.l2 * point
    slope = float(parts @ inverse.lengths) + reach
    coordinates = float(point @ np.sqrt(np.maximum(np.diag(model.curved), 0)))
    return math.sqrt(max(float(left @ inverse.times(left)), 0.0)) + EPSILON * (slope + coordinates)


def _far(decrement: float, reach: float) -> float:
    """The most that the optimum is away, in the norm of the Hessian."""
    return -math.log1p(-reach * decrement) / reach if reach else decrement


def _reach(inverse: Inverse, terms: Terms) -> float:
    """R: a bound of |u| in the norm of the inverse, over all rows that there can be."""
    lengths = terms.magnitudes * inverse.lengths
    dense, table = np.delete(lengths, terms.table), lengths[terms.table]
    return float(dense.sum() + np.sort(table)[len(table) - terms.categories :].sum())

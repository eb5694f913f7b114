"""How far a point is from the optimum, proven from loss, gradient and Hessian there.

Let F be the mean log-loss with its l2 penalty, v the way from the point to the optimum, a = |v| in the norm
of the Hessian H, and D = sqrt(g' H^-1 g), Newton's decrement. Along v the third derivative is at most S times
the second, S = max over rows of |u'v| (Bach, "Self-concordant analysis for logistic regression", 2010), so
with R = max |u| in the norm of H^-1, S <= R a, and from 0 = F'(optimum)

    a (1 - exp(-R a)) / (R a) <= D,   hence   a <= -log(1 - R D) / R   where R D < 1,

and F(point) - F(optimum) <= -g'v <= D a by convexity. R is at most the sum of m sqrt(diag(H^-1)) over a row's
terms, m their largest magnitudes. Each weight, and each sum of weights, is within a times its norm in H^-1 of
its optimum; and over rows of weight W in all, that norm over sqrt(W) is its standard error. So all are within
a sqrt(W) standard errors.

Where the objective has l1 or bounds, the point's model takes the place of D: an estimate, and told as such.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.solvers.blocks import Terms
from binclf.solvers.quadratic import Inverse, Model

F64 = npt.NDArray[np.float64]


# slope in directions that are left out as flat, in units of the diagonal: columns that differ by float32's
# rounding (6e-8) alone have less, as roundings average out; more is what could still be gained there
UNSEEN = 2e-8


@dataclass(frozen=True, slots=True)
class Certificate:
    """The distance from the optimum."""

    decrement: float  # Newton's, of the mean objective
    gap: float | None  # the objective is at most so far above its least; None: not proven
    errors: float | None  # each weight is within so many standard errors of the optimum's; None: not proven
    is_proven: bool  # else both are estimates of the model there
    rank: int  # directions in which the objective is curved
    weights: int

    def as_json(self) -> dict[str, Any]:
        """For `model.json`."""
        return asdict(self)

    def told(self) -> str:
        """In words."""
        if self.gap is None or self.errors is None:
            return f"decrement {self.decrement:.1e}: still far from the optimum"
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
    counts = {"rank": inverse.rank, "weights": len(model.point)}
    move, is_least = model.least
    if not model.penalty.is_smooth:
        far = math.sqrt(float(move @ (model.curved @ move)))
        if not is_least:
            return Certificate(far, None, None, is_proven=False, **counts)
        return Certificate(far, max(-model.change(move), 0.0), far * root, is_proven=False, **counts)
    decrement = math.sqrt(max(-float(model.slope @ move), 0.0))
    reach = _reach(inverse, terms)
    unseen = np.abs(inverse.scale * (model.slope + model.curved @ move)).max(initial=0.0)
    if not decrement * reach < 1 or (inverse.rank < len(move) and unseen > UNSEEN):
        return Certificate(decrement, None, None, is_proven=False, **counts)
    far = -math.log1p(-reach * decrement) / reach if reach else decrement
    return Certificate(decrement, decrement * far, far * root, is_proven=True, **counts)


def _reach(inverse: Inverse, terms: Terms) -> float:
    """R: a bound of |u| in the norm of the inverse, over all rows that there can be."""
    lengths = terms.magnitudes * np.sqrt(np.maximum(np.diag(inverse.matrix()), 0))
    dense, table = np.delete(lengths, terms.table), lengths[terms.table]
    return float(dense.sum() + np.sort(table)[len(table) - terms.categories :].sum())

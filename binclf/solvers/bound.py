"""How far a point is above the least objective, from loss and gradient alone.

Let P(w, b) = (1/W) sum of c l(z) + R(w), z = x'w + b, c a row's weight, W their sum, R = l1 |w| + l2/2
|w|^2 with l2 > 0, and a the slopes of the rows, c (p - y). By Fenchel's duality P is nowhere less than

    D(a') = (1/W) sum of c h(a'/c) - R*(-v'),   v' = (1/W) sum of a' x,   for each a' with sum 0,

that lies between nought and a (h is the entropy: of a row's p or 1 - p). The sum of all a is W g, g the
intercept's gradient. To make it nought, the slopes of one class, those whose sum B is the larger in
magnitude, are lowered by the share e = W |g| / B. That moves v by no more than |g| K, K the length of the
longest row. With G the gradient of the weights (with l1, the least of the subgradients), and since R curves
by at least l2,

    P - D(a') <= (|G| + |g| K)^2 / (2 l2) + E,

where E, what the entropies lose beyond the first order, is a divergence of p (1 - e) from p in each row. It
is convex in e, nought at 0 and the row's loss at 1, so E <= e times the mean loss. Sums of |a| and of a
tell B. All this is proven, up to rounding.

Without l2 no bound is known. What the pairs of L-BFGS say is told as an estimate: with the least curvature
m that they saw, in units in which the Hessian's diagonal is one, |G|^2 / (2 m) in these units. W times the
objective is the negative log-likelihood, so that a weight is off by about sqrt(2 W gap) of its own standard
errors at most.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from binclf.solvers.slopes import Totals


@dataclass(frozen=True, slots=True)
class Bound:
    """The distance from the optimum, with the names of a `Certificate`; what nobody knows of it is None."""

    slope: float  # length of the gradient of the weights, with penalties
    intercept_slope: float  # magnitude
    gap: float | None  # the objective is at most so far above its least
    weights_gap: float  # and if the intercept were where its slope is nought; 0, too, where nothing is known
    model_gap: float  # as the pairs have it
    model_errors: float  # in standard errors
    errors: None = None

    @property
    def is_proven(self) -> bool:
        """Whether there is a bound."""
        return self.gap is not None

    def as_json(self) -> dict[str, Any]:
        """For `model.json`."""
        return {**asdict(self), "is_proven": self.is_proven}

    def told(self) -> str:
        """In words."""
        about = f"{self.model_gap:.1e} above the least objective, {self.model_errors:.1e} standard errors"
        proven = "" if self.gap is None else f"; within {self.gap:.1e}, proven"
        return f"by its curvature about {about} from the optimum{proven}"


def gap_of(found: Totals, lengths: tuple[float, float], longest: float, l2: float) -> float | None:
    """The most that the objective is above its least; None without an l2.

    Args:
        found: at the point.
        lengths: of the gradient of the weights, with penalties, and the intercept's.
        longest: K.
        l2: of the penalty.
    """
    if not l2:
        return None
    weights, intercept = lengths
    larger = (found.size / found.weight + intercept) / 2  # B / W
    lost = intercept / larger * found.loss / found.weight if larger else 0.0
    return (weights + intercept * longest) ** 2 / (2 * l2) + lost


def estimate(square: float, least: float, weight: float) -> tuple[float, float]:
    """The gap, and in standard errors, from a gradient's square and the least curvature of the pairs."""
    gap = square / (2 * least)
    return gap, math.sqrt(2 * weight * gap)

"""The objective of many weights, and the way down it: a point, its gradient, and a search along a line.

With l1 a step ends in the orthant where it began, or on its faces: a weight that would change its sign is
nought (Andrew and Gao, "Scalable Training of L1-Regularized Log-Linear Models", 2007). Within an orthant
the objective is smooth, and its slope along the step is that of the smooth part and the change of l1 |w|.

A step is taken by Armijo's rule; or, near the optimum, where rounding is all that is left of differences,
by its slopes: that at the end is less steep than that at the beginning was, turned round, which on a
parabola says the same (Hager and Zhang, "A New Conjugate Gradient Method with Guaranteed Descent and an
Efficient Line Search", 2005). A step that ends as steep as it began is taken further (Wolfe's condition).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binclf.solvers.descent import SUFFICIENT, agreed, rounding_of
from binclf.solvers.quadratic import one_thread
from binclf.solvers.slopes import First, Slopes, Totals

F64 = npt.NDArray[np.float64]

TRIALS = 20
STEEP = 0.9  # of the slope at the beginning: the end is as steep
FLAT = 0.8  # and turned round: it is no steeper on the other side
LEAST, MOST = 0.1, 0.5  # of a step that climbs, that is tried next
FURTHER, FURTHEST = 2.0, 10.0  # times a step that is still steep


@dataclass(frozen=True, slots=True)
class Elastic:
    """Penalty of all weights alike, l1 |w|_1 + l2 / 2 |w|^2; the intercept, the last, is free."""

    l1: float
    l2: float

    def of(self, point: F64) -> float:
        """At a point, float64 [p]."""
        weights = point[:-1]
        with one_thread():
            square = float(weights @ weights)
        return self.size(point) + self.l2 / 2 * square

    def size(self, point: F64) -> float:
        """The part of l1."""
        return self.l1 * float(np.abs(point[:-1]).sum()) if self.l1 else 0.0

    def steepest(self, point: F64, slope: F64) -> F64:
        """The least of the subgradients, float64 [p], of a point and the slope of what is smooth there."""
        if not self.l1:
            return slope
        steep = slope.copy()
        own, weights = steep[:-1], point[:-1]
        own += self.l1 * np.sign(weights)
        own -= np.where(weights == 0, np.clip(own, -self.l1, self.l1), 0.0)
        return steep


@dataclass(frozen=True, slots=True)
class State:
    """A point and what is known there."""

    point: F64  # [p]
    slope: F64  # [p], of the mean log-loss with its l2
    objective: float
    totals: Totals

    @property
    def loss(self) -> float:
        """Mean log-loss."""
        return self.totals.loss / self.totals.weight


class Surface:
    """Points and what is known there, asked for by all ranks alike."""

    def __init__(self, slopes: Slopes, penalty: Elastic) -> None:
        """Of the mean log-loss over the rows, and a penalty."""
        self.slopes, self.penalty = slopes, penalty
        self.passes = 0
        self._rounding = rounding_of(slopes.blocks, slopes.store.source.group_rows)

    def at(self, point: F64) -> State:
        """What is known at a point, by a pass over the rows."""
        self.passes += 1
        return self._state(point, *self.slopes.at(point))

    def first(self, point: F64) -> tuple[State, First]:
        """The same where the intercept alone says a base rate, and what is known there."""
        self.passes += 1
        totals, gradient, first = self.slopes.first(point)
        return self._state(point, totals, gradient), first

    def beside(self, state: State, l2: float) -> State:
        """What is known at a point, where it was reached beside another penalty, of that l2."""
        slope = state.slope.copy()
        slope[:-1] += (self.penalty.l2 - l2) * state.point[:-1]
        objective = state.loss + self.penalty.of(state.point)
        return State(state.point, slope, float(agreed(self.slopes.world, [objective])[0]), state.totals)

    def _state(self, point: F64, totals: Totals, gradient: F64) -> State:
        gradient /= totals.weight
        gradient[:-1] += self.penalty.l2 * point[:-1]
        objective = totals.loss / totals.weight + self.penalty.of(point)
        return State(point, gradient, float(agreed(self.slopes.world, [objective])[0]), totals)

    def search(self, state: State, way: F64, share: float) -> State | None:
        """A better point on a way down, float64 [p], or one as good as can be told; None if there is none.

        Args:
            state: where it begins.
            way: weights that are nought move against their steepest slope, if there is an l1.
            share: of the way, that is tried first.
        """
        best: State | None = None
        for _ in range(TRIALS):
            there = self._there(state, way, share)
            moved = there - state.point
            bent = self.penalty.size(there) - self.penalty.size(state.point)
            promised = self._product(state.slope, moved) + bent
            if not (promised < 0 and np.isfinite(self.slopes.reach(there))):
                share *= LEAST
                continue
            after = self.at(there)
            along = self._product(after.slope, moved) + bent
            least = promised / (promised - along) if along > promised else FURTHEST  # on a parabola
            if not self._is_down(state, after, promised, along):
                if best is not None:
                    return best
                share *= min(max(least, LEAST), MOST)
            elif along < STEEP * promised:
                best = after
                share *= min(max(least, FURTHER), FURTHEST)
            else:
                return after if best is None or after.objective <= best.objective else best
        return best

    def is_below(self, objective: float, other: float) -> bool:
        """Whether it is less by more than rounding."""
        return objective < other - self._rounding * abs(objective)

    def _there(self, state: State, way: F64, share: float) -> F64:
        """The end of a step."""
        there = state.point + share * way
        if self.penalty.l1:
            weights = there[:-1]
            weights[weights * state.point[:-1] < 0] = 0.0
        return there

    def _is_down(self, state: State, after: State, promised: float, along: float) -> bool:
        """Whether a step is to be taken, by the slopes along it at its ends."""
        room = self._rounding * abs(state.objective)
        is_even = after.objective <= state.objective + room and along <= FLAT * -promised
        return is_even or after.objective <= state.objective + SUFFICIENT * promised

    def _product(self, one: F64, other: F64) -> float:
        with one_thread():
            own = float(one @ other)
        return float(agreed(self.slopes.world, [own])[0])

"""The step of Newton's method: where the second-order model of the objective, with penalties, is least."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from binclf.solvers.blocks import Sums

F64 = npt.NDArray[np.float64]

FLAT = 1e-12  # of a scaled Hessian's largest eigenvalue: less is none
SOUND = 1e-8  # the same, where products with the inverse are taken from each other
SAFE = 100  # times that, the least square of a pivot of a Cholesky factor
SWEEPS, ROUNDS = 50, 20  # of coordinate descent, before and between looks at the free coordinates
STILL = 1e-15  # no coordinate moves any more
OPTIMAL = 1e-10  # of what a slope is made of: it is nought


@dataclass(frozen=True, slots=True)
class Penalty:
    """What is added to the mean log-loss: l1 |w|_1 + l2 / 2 |w|^2, within bounds; float64 [p] each."""

    l1: F64
    l2: F64
    low: F64  # bounds
    high: F64

    @property
    def is_smooth(self) -> bool:
        """Whether there is neither an l1 nor a bound."""
        return not self.l1.any() and bool(np.isinf(self.low).all() and np.isinf(self.high).all())

    def of(self, point: F64) -> float:
        """At a point."""
        return float(self.l1 @ np.abs(point) + 0.5 * (self.l2 @ (point * point)))


def one_thread() -> Any:  # noqa: ANN401 - a context of threadpoolctl
    """Linear algebra by one thread: more would add up in another order, and give other bits."""
    return _pools().limit(limits=1, user_api="blas")


@cache
def _pools() -> ThreadpoolController:
    """Looked for once: it takes milliseconds."""
    return ThreadpoolController()


class Inverse:
    """Of a symmetric matrix without negative eigenvalues; where it is flat, its pseudo-inverse."""

    def __init__(self, matrix: F64, flat: float = FLAT) -> None:
        """Of float64 [p, p]; by eigenvalues where a Cholesky factor tells that it is not safe otherwise.

        Args:
            matrix: scaled to a diagonal of ones before it is looked at.
            flat: of its largest eigenvalue, what is none.
        """
        diagonal = np.diag(matrix)
        self.size = len(matrix)
        self.scale = np.zeros(self.size)  # to a diagonal of ones
        np.divide(1.0, np.sqrt(np.maximum(diagonal, 0)), out=self.scale, where=diagonal > 0)
        scaled = matrix * self.scale[:, np.newaxis] * self.scale
        with one_thread():
            try:
                if np.diag(np.linalg.cholesky(scaled)).min(initial=1.0) ** 2 > SAFE * flat:
                    self._scaled, self._vectors = scaled, None
                    self.flat, self.rank = np.zeros((self.size, 0)), self.size
                    return
            except np.linalg.LinAlgError:  # it is flat somewhere
                pass
            values, vectors = np.linalg.eigh(scaled)
        kept = values > flat * max(float(values[-1]), 0.0)
        self._vectors = vectors[:, kept] / np.sqrt(values[kept])
        unscaled = np.where(self.scale > 0, self.scale, 1.0)[:, np.newaxis]
        self.flat = unscaled * vectors[:, ~kept]  # [p, k], the directions that are left out
        self.rank = int(kept.sum())

    def times(self, right: F64) -> F64:
        """The (pseudo-)inverse times float64 [p, ...]."""
        scale = self.scale.reshape(-1, *(1 for _ in right.shape[1:]))
        with one_thread():
            if self._vectors is not None:
                return np.asarray(scale * (self._vectors @ (self._vectors.T @ (scale * right))))
            return np.asarray(scale * np.linalg.solve(self._scaled, scale * right))

    @cached_property
    def lengths(self) -> F64:
        """Of the coordinates' own directions, in its norm: float64 [p]."""
        return np.sqrt(np.maximum(np.diag(self.matrix()), 0.0))

    def matrix(self) -> F64:
        """The (pseudo-)inverse, float64 [p, p]."""
        return self.times(np.eye(self.size))


class Model:
    """The second-order model of the penalised mean log-loss around a point; worked out when asked for."""

    def __init__(self, point: F64, sums: Sums, penalty: Penalty) -> None:
        """From the sums at the point, float64 [p]."""
        self.point, self.penalty = point, penalty
        self.slope = sums.gradient / sums.weight + penalty.l2 * point  # of what is smooth, [p]
        self.curved = sums.hessian / sums.weight + np.diag(penalty.l2)  # [p, p]

    @cached_property
    def inverse(self) -> Inverse:
        """Of the curvature."""
        return Inverse(self.curved)

    @cached_property
    def least(self) -> tuple[F64, bool]:
        """The way to where the model is least, float64 [p], and whether that was found."""
        return (-self.inverse.times(self.slope), True) if self.penalty.is_smooth else _descend(self)

    @property
    def decrement(self) -> float:
        """Newton's: the way to the least, in the norm of the curvature."""
        move = self.least[0]
        square = -(self.slope @ move) if self.penalty.is_smooth else move @ (self.curved @ move)
        return float(np.sqrt(max(float(square), 0.0)))

    def promised(self, moved: F64) -> float:
        """What the objective changes by after a move, to first order."""
        change = np.abs(self.point + moved) - np.abs(self.point)
        return float(self.slope @ moved) + float(self.penalty.l1 @ change)

    def change(self, moved: F64) -> float:
        """And to second order."""
        return self.promised(moved) + 0.5 * float(moved @ (self.curved @ moved))


def _descend(model: Model) -> tuple[F64, bool]:
    """By coordinate descent (Friedman, Hastie and Tibshirani, 2010), then all free coordinates at once.

    Coordinates that depend on each other creep; once it is known which are free, they have a system of their
    own.
    """
    point, penalty = model.point, model.penalty
    moved = np.zeros(len(point))
    for _ in range(ROUNDS):
        _sweep(model, moved)
        exact, is_least = _polished(model, moved)
        if is_least:
            return exact, True
        there = np.clip(point + exact, penalty.low, penalty.high)
        there[(penalty.l1 > 0) & (there * (point + moved) < 0)] = 0.0
        moved = min((there - point, moved), key=model.change).copy()
    return moved, False


def _sweep(model: Model, moved: F64) -> None:
    """Each coordinate to its own least, some times over; `moved` is changed in place."""
    point, slope, curved, penalty = model.point, model.slope, model.curved, model.penalty
    diagonal = np.diag(curved)
    left = slope + curved @ moved  # gradient of the smooth part of the model, where we are
    able = np.flatnonzero(diagonal > 0).tolist()
    for _ in range(SWEEPS):
        largest = 0.0
        for place in able:
            now, bend = point[place] + moved[place], diagonal[place]
            free = now - left[place] / bend
            shrunk = np.sign(free) * max(abs(free) - penalty.l1[place] / bend, 0.0)
            change = min(max(shrunk, penalty.low[place]), penalty.high[place]) - now
            if change:
                moved[place] += change
                left += change * curved[place]
                largest = max(largest, abs(change) * np.sqrt(bend))
        if largest <= STILL:
            break


def _polished(model: Model, moved: F64) -> tuple[F64, bool]:
    """The least with the same coordinates at nought or at a bound, and whether it is the least of all."""
    point, slope, curved, penalty = model.point, model.slope, model.curved, model.penalty
    there = point + moved
    is_free = ((there != 0) | (penalty.l1 == 0)) & (there > penalty.low) & (there < penalty.high)
    free, sign = np.flatnonzero(is_free), np.sign(there)
    exact = np.where(is_free, 0.0, moved)
    pull = slope + penalty.l1 * sign + curved @ exact
    exact[free] = -Inverse(curved[np.ix_(free, free)]).times(pull[free])
    end, left = point + exact, slope + curved @ exact
    room = OPTIMAL * (np.abs(slope) + np.abs(curved) @ np.abs(exact) + penalty.l1)
    kept = (end[free] * sign[free] > 0) | (penalty.l1[free] == 0)
    within = (end[free] > penalty.low[free]) & (end[free] < penalty.high[free])
    if not (kept.all() and within.all() and (np.abs(left + penalty.l1 * sign)[free] <= room[free]).all()):
        return exact, False
    up = np.where(end > 0, penalty.l1, np.where(end < 0, -penalty.l1, penalty.l1))  # of the penalty
    down = np.where(end > 0, penalty.l1, -penalty.l1)  # and downwards
    can_rise, can_fall = ~is_free & (end < penalty.high), ~is_free & (end > penalty.low)
    if (can_rise & (left + up < -room)).any() or (can_fall & (left + down > room)).any():
        return exact, False
    return exact, True

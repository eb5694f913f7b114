"""The step of Newton's method: where the second-order model of the objective, with penalties, is least."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve
from threadpoolctl import ThreadpoolController

F64 = npt.NDArray[np.float64]

SAFE = 1e-10  # least square of a pivot of a Cholesky factor
FLAT = 1e-12  # of a scaled Hessian's largest eigenvalue: less is none
SWEEPS = 1000  # of coordinate descent
STILL = 1e-13  # of the largest move of the first sweep: no coordinate moves any more


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
    """A symmetric matrix without negative eigenvalues, factored; where it is flat, its pseudo-inverse."""

    def __init__(self, matrix: F64) -> None:
        """Factor float64 [p, p]: by Cholesky, or where that is not safe, by eigenvalues."""
        diagonal = np.diag(matrix)
        self.size = len(matrix)
        self.scale = np.zeros(self.size)  # to a diagonal of ones
        np.divide(1.0, np.sqrt(np.maximum(diagonal, 0)), out=self.scale, where=diagonal > 0)
        scaled = matrix * self.scale[:, np.newaxis] * self.scale
        with one_thread():
            try:
                self._factor = np.linalg.cholesky(scaled)
                self._vectors = None
                if np.diag(self._factor).min(initial=1.0) ** 2 > SAFE:
                    self.rank = self.size
                    return
            except np.linalg.LinAlgError:  # it is flat somewhere
                pass
            values, vectors = np.linalg.eigh(scaled)
        kept = values > FLAT * max(float(values[-1]), 0.0)
        self._vectors = vectors[:, kept] / np.sqrt(values[kept])
        self.rank = int(kept.sum())

    def times(self, right: F64) -> F64:
        """The (pseudo-)inverse times float64 [p, ...]."""
        scale = self.scale.reshape(-1, *(1 for _ in right.shape[1:]))
        with one_thread():
            if self._vectors is not None:
                return np.asarray(scale * (self._vectors @ (self._vectors.T @ (scale * right))))
            return np.asarray(scale * cho_solve((self._factor, True), scale * right))

    def matrix(self) -> F64:
        """The (pseudo-)inverse, float64 [p, p]."""
        return self.times(np.eye(self.size))


def step(point: F64, gradient: F64, hessian: F64, penalty: Penalty) -> F64:
    """From a point to where its model is least, float64 [p].

    Args:
        point: float64 [p].
        gradient: of the mean log-loss, [p].
        hessian: of the mean log-loss, [p, p].
        penalty: beside it.
    """
    slope = gradient + penalty.l2 * point
    curved = hessian + np.diag(penalty.l2)
    if penalty.is_smooth:
        return -Inverse(curved).times(slope)
    return _descend(point, slope, curved, penalty)


def _descend(point: F64, slope: F64, curved: F64, penalty: Penalty) -> F64:
    """By coordinate descent (Friedman, Hastie and Tibshirani, 2010), each coordinate to its own least."""
    moved = np.zeros(len(point))
    left = slope.copy()  # gradient of the smooth part of the model, where we are
    diagonal = np.diag(curved)
    able = np.flatnonzero(diagonal > 0).tolist()
    first = 0.0
    for sweep in range(SWEEPS):
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
        first = largest if sweep == 0 else first
        if largest <= STILL * first:
            break
    return moved

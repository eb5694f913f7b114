"""Units in which the objective bends alike in all directions, or nearly: those of the pairs of L-BFGS.

Weights are measured in units of the Hessian's diagonal D at the base rate. What that leaves are the
directions that every categorical column brings: to raise all of its weights, and lower the intercept,
changes no row's logit (or few, where buckets are shared), so only the penalty bends it. There are as many
as columns, and L-BFGS would creep along them. Let Z have a 1 for each place in its column, the one that
most of its rows come from, and the intercept a column of its own. In units of D, Q = D^(1/2) Z, its columns
made of length one, is orthonormal, and

    A = Q' D^(-1/2) H D^(-1/2) Q,     L = 1 + Q (A^(-1/2) - 1) Q'

make the Hessian L D^(-1/2) H D^(-1/2) L the identity on Q, and leave what is apart from it alone (a coarse
space, as in Nicolaides, "Deflation of Conjugate Gradients with Applications to Boundary Value Problems",
1987). Columns of places are told from some rows, and A from others, so that places which no row of the
first had count as missed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from binclf.solvers.descent import agreed
from binclf.solvers.owners import Columns
from binclf.solvers.problem import Problem
from binclf.solvers.quadratic import one_thread
from binclf.solvers.surface import Surface
from binclf.world import World

F64 = npt.NDArray[np.float64]

FLOOR = 1e-8  # of the largest eigenvalue of A: less is rounding
CAUTIOUS, HALF = 0.05, 0.5  # in units of the diagonal alone, curvature may be as large as a row has columns


class Scaling:
    """Points, ways and slopes, float64 [p] each, to and from the units of the pairs."""

    def __init__(self, scale: F64, world: World) -> None:
        """By the square root of the diagonal, float64 [p], alone."""
        self.scale, self._world = scale, world
        self._coarse: _Coarse | None = None
        self.cautious = CAUTIOUS  # the share of a first step that is tried

    def with_columns(self, columns: Columns, bend: float, l2: float) -> Scaling:
        """With what raises all weights of a column.

        Args:
            columns: of the places.
            bend: p (1 - p) of each row at the base rate.
            l2: of the penalty.
        """
        self._coarse, self.cautious = _Coarse(columns, self.scale, bend, l2, self._world), HALF
        return self

    def of_slope(self, slope: F64) -> F64:
        """A gradient in units of the pairs."""
        return self._added(slope / self.scale, is_back=False)

    def of_step(self, step: F64) -> F64:
        """A step of the weights likewise."""
        return self._added(step * self.scale, is_back=True)

    def way(self, found: F64) -> F64:
        """A way of the pairs in units of the weights; changes what is given."""
        found = self._added(found, is_back=False)
        found /= self.scale
        return found

    def _added(self, vector: F64, *, is_back: bool) -> F64:
        return vector if self._coarse is None else self._coarse.add(vector, self.scale, is_back=is_back)


def scaling_of(problem: Problem, surface: Surface, scale: F64, columns: Columns | None) -> Scaling:
    """Of a fit, with the columns of its places, if they are looked at."""
    rate, found = problem.base_rate, Scaling(scale, surface.slopes.world)
    return found if columns is None else found.with_columns(columns, rate * (1 - rate), surface.penalty.l2)


def columns_of(problem: Problem, surface: Surface) -> Columns | None:
    """Of a fit; None with l1, where weights are looked at one by one, and so are their units."""
    if surface.penalty.l1 or not problem.features.categorical:
        return None
    return Columns.of(problem.train, problem.features, surface.slopes.blocks)


class _Coarse:
    """L and its inverse, as 1 + Q K Q'."""

    def __init__(self, columns: Columns, scale: F64, bend: float, l2: float, world: World) -> None:
        count = len(columns.together) - 1
        self._owner, self._world = columns.owner, world
        table = scale[len(scale) - 1 - len(columns.owner) : -1]
        squares = np.bincount(columns.owner, table * table, minlength=count + 1)
        squares[count] = scale[-1] ** 2
        self._shares = np.zeros(count + 1)  # of each column's length, for one of its places
        np.divide(1.0, np.sqrt(squares), out=self._shares, where=squares > 0)
        held = np.bincount(columns.owner, minlength=count + 1).astype(np.float64)
        held[count] = 0.0  # the intercept has no penalty
        coarse = (bend * columns.together + l2 * np.diag(held)) * np.outer(self._shares, self._shares)
        coarse[np.diag_indices(count + 1)] += squares == 0
        with one_thread():
            values, vectors = np.linalg.eigh(coarse)
            roots = np.sqrt(np.maximum(values, FLOOR * values[-1]))
            both = [(vectors * by) @ vectors.T - np.eye(count + 1) for by in (1 / roots, roots)]
        self._forth, self._back = agreed(world, np.array(both))

    def add(self, vector: F64, scale: F64, *, is_back: bool) -> F64:
        """L or its inverse times a vector, float64 [p], which is changed."""
        places = slice(len(vector) - 1 - len(self._owner), len(vector) - 1)
        sums = np.bincount(self._owner, scale[places] * vector[places], minlength=len(self._shares))
        parts: F64 = sums * self._shares
        parts[-1] = vector[-1]
        matrix = self._back if is_back else self._forth
        parts = agreed(self._world, (matrix * parts).sum(axis=1))
        shares = parts * self._shares
        shares[-1] = 0.0  # of places that are no column's
        vector[places] += scale[places] * shares[self._owner]
        vector[-1] += parts[-1]
        return vector

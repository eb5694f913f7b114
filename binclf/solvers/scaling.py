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

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binclf.features import Features
from binclf.solvers.blocks import Rows
from binclf.solvers.descent import agreed
from binclf.solvers.problem import Problem
from binclf.solvers.quadratic import one_thread
from binclf.solvers.surface import Surface
from binclf.world import World

F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]

SAMPLE_ROWS = 2**17  # of each of the two samples, about
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


def scaling_of(problem: Problem, surface: Surface, scale: F64) -> Scaling:
    """Of a fit; with l1 weights are looked at one by one, and so are their units."""
    features, rate, slopes = problem.features, problem.base_rate, surface.slopes
    found = Scaling(scale, slopes.world)
    if surface.penalty.l1 or not features.categorical:
        return found
    columns = Columns.of(problem.train, features, slopes.blocks)
    return found.with_columns(columns, rate * (1 - rate), surface.penalty.l2)


@dataclass(frozen=True, slots=True)
class Columns:
    """Which categorical column each place belongs to, and what rows have of each column's places."""

    owner: I32  # [V], C where no row of the sample has the place
    together: F64  # [C + 1, C + 1], mean of u u', u a row's number of places of each column, and 1

    @classmethod
    def of(cls, store: Rows, features: Features, blocks: list[range]) -> Columns:
        """From some rows, the same whoever asks."""
        size, count = features.table_size, len(features.categorical)
        first, second = _samples(store.source.group_rows, blocks)
        most, owner = np.zeros(size, dtype=np.int64), np.full(size, count, dtype=np.int32)
        ids = [np.array(store.kept(group).ids) for group in first]
        for column in range(count):
            rows = np.bincount(np.concatenate([each[:, column] for each in ids]), minlength=size)
            owner[rows > most] = column
            np.maximum(most, rows, out=most)
        together, seen = np.zeros((count + 1, count + 1)), 0
        for group in second:
            owners = owner[store.kept(group).ids]
            places = owners + np.arange(len(owners))[:, np.newaxis] * (count + 1)
            has = np.bincount(places.ravel(), minlength=len(owners) * (count + 1)).astype(np.float64)
            has = has.reshape(-1, count + 1)
            has[:, count] = 1.0
            together += has.T @ has  # of integers, so exact
            seen += len(owners)
        return cls(owner, together / max(seen, 1))


def _samples(group_rows: Iterable[int], blocks: list[range]) -> tuple[list[int], list[int]]:
    """Row groups of two samples, apart where there are blocks enough; they follow from row counts alone."""
    rows = list(group_rows)
    groups = [[group for block in blocks[start::2] for group in block if rows[group]] for start in (0, 1)]
    first, second = (_some(own, rows) for own in groups)
    return first, second or first


def _some(groups: list[int], rows: list[int]) -> list[int]:
    """Evenly spread, of about as many rows as a sample takes."""
    step = max(sum(rows[group] for group in groups) // SAMPLE_ROWS, 1)
    return groups[::step]


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

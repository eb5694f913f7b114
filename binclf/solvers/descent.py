"""Points with what is known there, and steps between them that never climb."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from binclf.solvers.blocks import Reducer, Sums
from binclf.solvers.quadratic import Model, Penalty
from binclf.world import World

F64 = npt.NDArray[np.float64]

HALVINGS = 40
SUFFICIENT = 1e-4  # of what the slope promises, that a step must gain
EPSILON = float(np.finfo(np.float64).eps)


class State:
    """A point and what is known there."""

    def __init__(self, point: F64, sums: Sums, objective: float, penalty: Penalty) -> None:
        self.point, self.sums, self.objective, self.penalty = point, sums, objective, penalty

    @cached_property
    def model(self) -> Model:
        """Asked for where rows have a weight."""
        return Model(self.point, self.sums, self.penalty)


class Descent:
    """Steps that all ranks take alike."""

    def __init__(self, reducer: Reducer, penalty: Penalty) -> None:
        """Of an objective: the mean log-loss over the reducer's rows, and a penalty."""
        self.reducer, self.penalty = reducer, penalty
        self._rounding = rounding_of(reducer.blocks, reducer.store.source.group_rows)

    def at(self, point: F64, blocks: Sequence[range] | None = None) -> State:
        """What is known at a point; of some blocks only, if they are named."""
        sums = self.reducer.at(point, blocks)
        mean = sums.loss / sums.weight if sums.weight else 0.0
        objective = float(self.agreed([mean + self.penalty.of(point)])[0])
        return State(point, sums, objective, self.penalty)

    def step(self, state: State, blocks: Sequence[range]) -> State | None:
        """A better point, or one that is as good as can be told; None if there is none."""
        move = self.agreed(state.model.least[0])
        for halving in range(HALVINGS):
            there = state.point + 0.5**halving * move
            if not np.isfinite(np.abs(there) @ self.reducer.terms.magnitudes):
                continue
            promised = float(self.agreed([state.model.promised(there - state.point)])[0])
            if not promised < 0:
                return None
            after = self.at(there, blocks)
            if after.objective <= state.objective + SUFFICIENT * promised + self.rounding(state):
                return after
        return None

    def rounding(self, state: State) -> float:
        """Differences of the objective that say nothing."""
        return self._rounding * abs(state.objective)

    def agreed(self, values: Sequence[float] | F64) -> F64:
        """Rank 0's."""
        return agreed(self.reducer.world, values)


def agreed(world: World, values: Sequence[float] | F64) -> F64:
    """Rank 0's: another kind of processor may round otherwise, and decide otherwise."""
    own = np.asarray(values, dtype=np.float64)
    return world.sum_floats(own if world.rank == 0 else np.zeros_like(own))


def rounding_of(blocks: Sequence[range], group_rows: Sequence[int]) -> float:
    """The share of a sum over rows, added up by blocks of row groups, that says nothing."""
    largest = max((sum(group_rows[group] for group in block) for block in blocks), default=0)
    # of n numbers that are added one after the other, some sqrt(n) roundings are left
    return EPSILON * math.sqrt(64 + largest)

"""The optimum of up to millions of weights, by L-BFGS; with l1, by its orthant-wise form (OWL-QN).

Each pass over the rows gives loss and gradient (`slopes`), the same integers on any number of ranks; all
ranks then do the same with them, and whatever a processor might round otherwise is rank 0's. So all have
the same bits.

The first pass, at the base rate, gives the Hessian's diagonal, too, and weights are measured in its units
(`scaling`). With l1 the pairs speak of those weights alone that are not nought, or leave it now.
"""

from __future__ import annotations

import logging
import math
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.errors import DataError
from binclf.objective import l2_of
from binclf.solvers import checkpoint
from binclf.solvers.bound import Bound, estimate, gap_of
from binclf.solvers.checkpoint import Checkpoint
from binclf.solvers.descent import agreed
from binclf.solvers.known import Known
from binclf.solvers.pace import SLOW_SECONDS
from binclf.solvers.pairs import Pairs, Way
from binclf.solvers.point import weights_of
from binclf.solvers.problem import Problem, Solution
from binclf.solvers.quadratic import one_thread
from binclf.solvers.scaling import Scaling, columns_of, scaling_of
from binclf.solvers.slopes import Slopes, Totals
from binclf.solvers.surface import Elastic, State, Surface
from binclf.solvers.verdict import CERTAIN, base_loss, base_point, grows, one_sided
from binclf.storage import Place
from binclf.world import World

log = logging.getLogger(__name__)

F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

MOST_PAIRS, LEAST_PAIRS = 10, 3
MOST_PASSES = 2000
NEAR = 1e-3  # of train.tolerance: so near the least objective, where that can be proven
STALE = 50  # steps that neither shorten the gradient nor lower the objective: what is left is rounding
FEW = 2  # pairs, with which the curvature is first known well enough to end at a near point


def fit(
    problem: Problem, world: World, *, pairs: int = MOST_PAIRS, checkpoints: Place | None = None
) -> Solution:
    """Fit the weights; going on from the newest checkpoint if there is one.

    Args:
        problem: stores with features attached; the same on all ranks.
        world: the ranks.
        pairs: of steps, that are remembered.
        checkpoints: folder for rank 0's checkpoints, or None.

    Raises:
        DataError: classes can be told apart without fault and nothing bounds the weights.
    """
    run = Lbfgs(problem, world, pairs, checkpoints)
    state, bound = run.ended(*run.go())
    penalty, passes, rows = run.surface.penalty, run.surface.passes, problem.train.source.rows
    record = {
        "solver": "lbfgs", "l2": penalty.l2, "l1": penalty.l1, "pairs": run.pairs.most, "passes": passes,
        "history": run.history, "train_loss": state.loss, "objective": state.objective,
        "certificate": bound.as_json(),
    }  # fmt: skip
    receipt = {"passes": passes, "rows_seen": passes * rows, "each_row_once_a_pass": True}
    return Solution(weights_of(state.point, problem.features.width), record, receipt)


@dataclass(frozen=True, slots=True)
class _Look:
    """What follows from a point."""

    scaled: F64  # [p], the steepest slope in units of the diagonal's
    free: Mask | None  # [p], weights that move; None: all
    way: Way
    bound: Bound


class Lbfgs:
    """One fit on one rank."""

    def __init__(self, problem: Problem, world: World, pairs: int, checkpoints: Place | None) -> None:
        settings, slopes = problem.settings, Slopes(problem.train, problem.features, problem.weight, world)
        self.problem, self.world, self.checkpoints = problem, world, checkpoints
        self.surface = Surface(slopes, Elastic(settings.l1, l2_of(settings.l2, problem.weight)))
        self.pairs = Pairs(pairs, slopes.size)
        self.scaling = Scaling(np.ones(slopes.size), world)
        self.tolerance, self.enough = math.sqrt(settings.tolerance), 0.0  # standard errors; a gap, if that is
        self.history: list[dict[str, float]] = []
        self.shortest = sys.float_info.max  # square of a gradient's length
        self.stale = 0  # steps since then
        self.kept = self.told = time.monotonic()

    def go(self) -> tuple[State, _Look]:
        """The optimum, and what is seen there."""
        state = self._resumed() or self.begun()
        while True:
            self._keep(state)
            found = self._look(state)
            if self._is_done(found):
                break
            after = self.surface.search(state, *self._start(state, found))
            if after is not None:
                step, change = after.point - state.point, after.slope - state.slope
                self.pairs.add(self.scaling.of_step(step), self.scaling.of_slope(change))
                state = after
            elif self.pairs.held:
                self.pairs.clear()  # what they say leads nowhere
            else:
                break  # no float is better
        return state, found

    def begun(self) -> State:
        """At the base rate, or where a path has come to."""
        penalty, seen = self.surface.penalty, self.problem.seen
        if isinstance(seen, Known):
            state, first, columns = self.surface.beside(seen.state, seen.l2), seen.first, seen.columns
        else:
            state, first = self.surface.first(base_point(self.problem))
            columns = columns_of(self.problem, self.surface)
        if first.one_sided.any() and not (penalty.l1 or penalty.l2):
            raise DataError(one_sided(first.one_sided, self.problem))
        self.first, self.columns = first, columns
        bends = first.diagonal / state.totals.weight
        bends[:-1] += penalty.l2
        bends[bends <= 0] = 1.0
        self.scaling = scaling_of(self.problem, self.surface, np.sqrt(bends), columns)
        return state

    def known(self, state: State) -> Known:
        """What holds beside other penalties, too."""
        return Known(state, self.surface.penalty.l2, self.first, self.columns)

    def _look(self, state: State) -> _Look:
        """Where to go from a point, and how far that is; told, if the point is a new one."""
        penalty = self.surface.penalty
        steep = penalty.steepest(state.point, state.slope)
        free = (state.point != 0) | (steep != 0) if penalty.l1 else None
        scaled = self.scaling.of_slope(steep)
        way = self.pairs.way(scaled, free)
        numbers = agreed(self.world, [*way.shares, way.square, way.least, _length(steep[:-1]), steep[-1]])
        way = Way(numbers[:-4], *numbers[-4:-2].tolist())
        bound = self._bound(state, way, (float(numbers[-2]), abs(float(numbers[-1]))))
        if not self.history or self.history[-1]["passes"] < self.surface.passes:
            self._tell(state, bound, way)
        return _Look(scaled, free, way, bound)

    def _bound(self, state: State, way: Way, lengths: tuple[float, float]) -> Bound:
        model_gap, model_errors = estimate(way.square, way.least, state.totals.weight)
        longest, l2 = self.surface.slopes.longest, self.surface.penalty.l2
        gap, weights_gap = (gap_of(state.totals, (lengths[0], b), longest, l2) for b in (lengths[1], 0.0))
        return Bound(*lengths, gap, weights_gap or 0.0, model_gap, model_errors)

    def _tell(self, state: State, bound: Bound, way: Way) -> None:
        """A point to the record and the log."""
        least = min((one["objective"] for one in self.history), default=math.inf)
        is_nearer = way.square < self.shortest or self.surface.is_below(state.objective, least)
        self.stale = 0 if is_nearer else self.stale + 1
        self.shortest = min(self.shortest, way.square)
        passes, known = self.surface.passes, {"objective": state.objective, "train_loss": state.loss}
        self.history.append({**known, "model_gap": bound.model_gap, "passes": passes})
        if self.world.rank == 0:
            is_slow = time.monotonic() - self.told > SLOW_SECONDS  # who waits wants to know
            level = logging.INFO if is_slow else logging.DEBUG
            log.log(level, "pass %d: train loss %.9f, %s", passes, state.loss, bound.told())
            self.told = time.monotonic() if is_slow else self.told

    def _is_done(self, found: _Look) -> bool:
        is_near = self.tolerance > 0 and found.bound.model_errors <= self.tolerance
        # a penalty alone may bend where no step has looked; the intercept is put right at the end
        is_near &= found.bound.weights_gap <= NEAR * self.problem.settings.tolerance
        if self.enough:
            is_near = self.pairs.held >= FEW and found.bound.model_gap <= self.enough
        is_over = self.surface.passes >= MOST_PASSES or self.stale >= STALE
        return is_near or is_over or not found.way.square

    def _start(self, state: State, found: _Look) -> tuple[F64, float]:
        """The way, float64 [p], and the share of it that is tried first."""
        way = self.scaling.way(self.pairs.along(found.way.shares, found.scaled))
        if found.free is not None:
            way[~found.free] = 0.0
            weights = way[:-1]  # one that is nought leaves it down its slope, or stays
            weights[(state.point[:-1] == 0) & (weights * found.scaled[:-1] > 0)] = 0.0
        return way, 1.0 if self.pairs.held else self.scaling.cautious

    def ended(self, state: State, found: _Look) -> tuple[State, Bound]:
        """The last point, its intercept put right if that tells more, and what is known there."""
        penalty, bound = self.surface.penalty, found.bound
        bend = state.totals.bend / state.totals.weight
        if bound.gap is not None and bound.weights_gap < bound.gap / 2 and bend > 0:
            there = state.point.copy()
            there[-1] -= float(agreed(self.world, [state.slope[-1] / bend])[0])
            after = self.surface.at(there)
            steep = penalty.steepest(after.point, after.slope)
            lengths = agreed(self.world, [_length(steep[:-1]), abs(steep[-1])])
            nearer = self._bound(after, found.way, (float(lengths[0]), float(lengths[1])))
            state, bound = (after, nearer) if (nearer.gap or 0.0) < bound.gap else (state, bound)
        if not (penalty.l1 or penalty.l2) and state.loss < CERTAIN * base_loss(self.problem):
            furthest = int(np.argmax(np.abs(state.point[:-1])))
            raise DataError(grows(self.surface.passes, furthest, self.problem))
        if self.world.rank == 0:
            passes = self.surface.passes
            log.info("%d passes: train loss %.9f, %s", passes, state.loss, bound.told())
            if bound.model_errors > self.tolerance > 0:
                log.warning("it stopped before train.tolerance, as no float is better or passes are many")
        return state, bound

    def _keep(self, state: State) -> None:
        """A checkpoint, from which the same steps follow, if the last is old enough."""
        is_due = time.monotonic() - self.kept >= self.problem.settings.checkpoint_seconds
        if self.checkpoints is None or self.world.rank or not is_due:
            return
        own = {"point": state.point, "slope": state.slope, "scale": self.scaling.scale, **self.pairs.arrays()}
        record: dict[str, Any] = {
            "solver": "lbfgs", "history": self.history, "passes": self.surface.passes, "stale": self.stale,
            "objective": state.objective, "totals": asdict(state.totals), "shortest": self.shortest,
            **self.pairs.as_json(),
        }  # fmt: skip
        checkpoint.write(self.checkpoints, Checkpoint(self.surface.passes, 0, own, record))
        self.kept = time.monotonic()

    def _resumed(self) -> State | None:
        """Where the newest checkpoint was written; every rank reads the same file."""
        found = None if self.checkpoints is None else checkpoint.seen_by_all(self.checkpoints, self.world)
        if found is None:
            return None
        record, arrays = found.record, found.arrays
        self.pairs = Pairs.again(record, arrays, self.surface.slopes.size)
        self.columns = columns_of(self.problem, self.surface)
        self.scaling = scaling_of(self.problem, self.surface, np.array(arrays["scale"]), self.columns)
        self.history, self.surface.passes = list(record["history"]), record["passes"]
        self.shortest, self.stale = record["shortest"], record["stale"]
        point, slope = np.array(arrays["point"]), np.array(arrays["slope"])
        return State(point, slope, record["objective"], Totals(**record["totals"]))


def _length(vector: F64) -> float:
    with one_thread():
        return float(np.sqrt(vector @ vector))

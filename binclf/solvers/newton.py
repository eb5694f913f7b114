"""The maximum-likelihood weights themselves, by Newton's method: exact sums, few passes, and a certificate.

Each pass over the rows gives loss, gradient and Hessian at a point; the next point is where their model is
least (`Model.least`), or on the way there where that would raise the objective (Armijo's rule). All ranks
work out the same from the same integers, so all have the same bits.

It begins where a step leads that was worked out from what an earlier run knew (`warm`) or while rows were
decoded (`pilot`), else at the optimum of a few row groups (`sample`), unless the base rate alone does better.
The last step, of which it is proven beforehand where it ends, is not looked at again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.errors import ConfigError, DataError
from binclf.objective import l2_of
from binclf.solvers import checkpoint
from binclf.solvers.blocks import Reducer
from binclf.solvers.bundles import bundles_of
from binclf.solvers.certificate import Certificate, certify, foretold
from binclf.solvers.checkpoint import Checkpoint
from binclf.solvers.descent import Descent, State
from binclf.solvers.findings import findings_of
from binclf.solvers.inference import dependences
from binclf.solvers.pace import SLOW_SECONDS
from binclf.solvers.penalties import Near
from binclf.solvers.point import penalty_of, weights_of
from binclf.solvers.problem import Problem, Seen, Solution
from binclf.solvers.quadratic import Model, Penalty
from binclf.solvers.sample import optimum_of, sample_of
from binclf.solvers.verdict import Fit, base_loss, base_point, failed, is_good
from binclf.storage import Place
from binclf.world import World

log = logging.getLogger(__name__)

F64 = npt.NDArray[np.float64]

MOST_WEIGHTS = 4096  # a Hessian of 128 MiB, and several of them
MOST_PASSES = 100


def fit(problem: Problem, world: World, *, checkpoints: Place | None = None) -> Solution:
    """Fit the weights; going on from the newest checkpoint if there is one.

    Args:
        problem: stores with features attached; the same on all ranks.
        world: the ranks.
        checkpoints: folder for rank 0's checkpoints, or None.

    Raises:
        ConfigError: there are too many weights for a Hessian, or a bound names no numeric column.
        DataError: the classes can be told apart without fault and nothing bounds the weights.
    """
    features = problem.features
    reducer, penalty = _reducer(problem, world), penalty_of(problem)
    found = _Newton(problem, reducer, penalty, checkpoints).go()
    told = dependences(features, found.sums)
    if world.rank == 0:
        loss, passes = found.history[-1]["train_loss"], len(found.history)
        log.info("%d passes: train loss %.9f, %s", passes, loss, found.certificate.told())
        for names in told:
            log.warning("%s", _dependent(names))
    findings = findings_of(problem, found, reducer)
    passes = len(found.history) + findings.passes
    return Solution(
        weights_of(found.point, features.width),
        {
            "solver": "newton",
            "l2": l2_of(problem.settings.l2, problem.weight),
            "l1": problem.settings.l1,
            "passes": passes,
            "history": found.history,
            "certificate": found.certificate.as_json(),
            "dependent_columns": told,
        },
        {"passes": passes, "rows_seen": passes * reducer.store.source.rows, "each_row_once_a_pass": True},
        findings.inference,
        findings.covariance,
        findings.influence,
        seen=Seen(found.model.point, found.sums),
    )


def approached(problem: Problem, world: World) -> Near:
    """Weights within the tolerance of the settings, and nothing else that `fit` gives."""
    found = _Newton(problem, _reducer(problem, world), penalty_of(problem), None).go()
    seen = Seen(found.model.point, found.sums)
    return Near(seen, found.point, len(found.history), found.history[-1]["train_loss"])


def looked_at(point: F64, problem: Problem, world: World) -> Seen:
    """What a pass finds at a point, float64 [p]."""
    return Seen(point, _reducer(problem, world).at(point))


def _reducer(problem: Problem, world: World) -> Reducer:
    features = problem.features
    size = features.width + features.table_size + 1
    if size > MOST_WEIGHTS:
        raise ConfigError(
            f"train.solver = 'newton' takes at most {MOST_WEIGHTS:,} weights, and these features have "
            f"{size:,}: lower features.max_levels or features.hash_bits, or use 'lbfgs'."
        )
    is_kept = problem.settings.warm_start != "off"  # for whichever run begins with what this one knows
    bundles = bundles_of(problem.train.source.files, size) if is_kept else ()
    return Reducer(problem.train, features, problem.weight, world, bundles)


def _dependent(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"column '{names[0]}' is constant, or nearly so beside its size: it has no effect of its own"
    listed = ", ".join(f"'{name}'" for name in names)
    return f"columns {listed} depend on each other: their weights share one effect"


class _Newton:
    """One fit on one rank."""

    def __init__(
        self, problem: Problem, reducer: Reducer, penalty: Penalty, checkpoints: Place | None
    ) -> None:
        self.problem, self.reducer, self.checkpoints = problem, reducer, checkpoints
        self.descent = Descent(reducer, penalty)
        self.history: list[dict[str, float]] = []
        self.told = time.monotonic()  # the last line of progress

    def go(self) -> Fit:
        point, is_last = self._resume()
        base = base_point(self.problem)
        start = self._warm() if point is None else self.descent.at(point)
        found = self._from(self.descent.at(base) if start is None else start, is_last=is_last)
        is_good = self._is_good(found)
        if not is_good and start is not None:
            self._forget()  # a few rows may be told apart where all are not
            found = self._from(self.descent.at(base))
            is_good = self._is_good(found)
        if not is_good:
            raise DataError(failed(found, self.problem, self.reducer))
        return found

    def _from(self, state: State, *, is_last: bool = False) -> Fit:
        """Steps from a point on, until there is no better one."""
        before, is_blind = np.inf, False
        while True:
            found = self._judged(state)
            decrement = found.certificate.decrement
            ending = self._ending(state)
            is_last = is_last or self._is_done(found.certificate) or len(self.history) > MOST_PASSES
            is_last = is_last or (is_blind and decrement > before / 2)  # what is left is rounding
            is_last, is_ending = self.descent.agreed([is_last, ending is not None]) > 0
            self._keep(state, is_last=is_last)
            if is_ending:
                return self._ended(found, ending or found.certificate)
            if is_last:
                return found
            after = self.descent.step(state, self.reducer.blocks)
            if after is None:  # no float is better
                return found
            is_blind = state.objective - after.objective <= self.descent.rounding(state)
            before, state = decrement, after

    def _ending(self, state: State) -> Certificate | None:
        """What is known of the point after the next step, if that is enough to take it unseen."""
        found = foretold(state.model, state.sums.weight, self.reducer.terms) if state.sums.weight else None
        return found if found is not None and self._is_done(found) else None

    def _ended(self, found: Fit, ending: Certificate) -> Fit:
        """After a step that is not looked at."""
        if self.reducer.world.rank == 0:
            log.debug("and a step from there: %s", ending.told())
        point = found.point + self.descent.agreed(found.model.least[0])
        return replace(found, point=point, certificate=ending)

    def _forget(self) -> None:
        """What was kept of steps that led nowhere."""
        self.history.clear()
        if self.checkpoints is not None and self.reducer.world.rank == 0:
            checkpoint.remove_all(self.checkpoints)

    def _is_good(self, found: Fit) -> bool:
        return bool(self.descent.agreed([float(is_good(found, self.problem, self.reducer))])[0] > 0)

    def _judged(self, state: State) -> Fit:
        """What is known at a point, and told."""
        sums = state.sums
        certificate = certify(state.model, sums.weight, self.reducer.terms)
        mean = sums.loss / sums.weight
        entry = {"objective": state.objective, "train_loss": mean, "decrement": certificate.decrement}
        self.history.append(entry)
        if self.reducer.world.rank == 0:
            is_slow = time.monotonic() - self.told > SLOW_SECONDS  # who waits wants to know
            level, passes = logging.INFO if is_slow else logging.DEBUG, len(self.history)
            log.log(level, "pass %d: train loss %.9f, %s", passes, mean, certificate.told())
            self.told = time.monotonic()
        return Fit(state.point, state.model, sums, certificate, self.history)

    def _warm(self) -> State | None:
        """Where few rows lead, or a first look at all of them; None if the base rate does better."""
        point = self._start()
        if point is None or not np.isfinite(np.abs(point) @ self.reducer.terms.magnitudes):
            return None
        whole = self.descent.at(point)
        return whole if whole.objective < base_loss(self.problem) else None

    def _start(self) -> F64 | None:
        """Where to begin, if anything is known of that."""
        seen = self.problem.seen
        if isinstance(seen, Seen) and seen.sums.weight:
            move = Model(seen.point, seen.sums, self.descent.penalty).least[0]
            return self.descent.agreed(seen.point + move)
        sample = sample_of(self.reducer.store.source, self.reducer.size, self.problem.settings.seed)
        return optimum_of(sample, self.descent, self.problem) if sample else None

    def _is_done(self, certificate: Certificate) -> bool:
        tolerance = self.problem.settings.tolerance
        return tolerance > 0 and certificate.errors is not None and certificate.errors <= tolerance

    def _keep(self, state: State, *, is_last: bool) -> None:
        """A checkpoint, from which the same steps follow."""
        if self.checkpoints is not None and self.reducer.world.rank == 0:
            record: dict[str, Any] = {"solver": "newton", "history": self.history, "is_last": bool(is_last)}
            checkpoint.write(
                self.checkpoints, Checkpoint(len(self.history), 0, {"point": state.point}, record)
            )

    def _resume(self) -> tuple[F64 | None, bool]:
        """The newest checkpoint's point, and whether it is the last; every rank reads the same file."""
        world = self.reducer.world
        found = None if self.checkpoints is None else checkpoint.seen_by_all(self.checkpoints, world)
        if found is None:
            return None, False
        self.history = list(found.record["history"])[:-1]  # the last is looked at again
        return np.asarray(found.arrays["point"], dtype=np.float64), bool(found.record["is_last"])

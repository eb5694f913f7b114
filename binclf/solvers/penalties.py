"""The penalty that validation rows choose: a path of penalties, each begun where the one before ended.

From strong to weak, as glmnet goes (Friedman, Hastie and Tibshirani, "Regularization Paths for Generalized
Linear Models via Coordinate Descent", 2010): the weights of one penalty are near those of the next, and what
a pass found of the log-loss at a point holds for any penalty. So the first step towards the next costs no
pass, and one or two more of Newton's are enough for weights within `NEAR` standard errors, and some six of
L-BFGS's for an objective within `NEAR_GAP` of the least: far less than what chance makes of validation rows.
l1 and l2 keep the ratio that the settings give them; without l1 all is l2.

Of millions of weights points are large, so no more are kept than may be asked for: from that of the penalty
which is taken so far on.

The path ends where `PATIENCE` penalties in a row brought nothing, or at a tenth of scikit-learn's C = 1.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.errors import DataError
from binclf.features import Encoded
from binclf.loader import Store
from binclf.objective import l2_of
from binclf.solvers import checkpoint
from binclf.solvers.checkpoint import Checkpoint
from binclf.solvers.known import Known
from binclf.solvers.parts import sums_of
from binclf.solvers.problem import Problem, Seen
from binclf.storage import Place
from binclf.world import World

log = logging.getLogger(__name__)

F64 = npt.NDArray[np.float64]

STRONGEST = 1.0  # beside a mean log-loss of at most log 2: next to nothing is left of any weight
WEAKEST = 0.1  # over the weight of train
STEP = math.sqrt(10.0)  # from one penalty to the next
PATIENCE = 3
PASSES = {"newton": 2, "lbfgs": 6}  # over train that a penalty takes, as a rule
NEAR = 0.1  # standard errors that the weights of a penalty may be from its optimum,
NEAR_GAP = 1e-5  # or of many weights, the objective from its least
FOLDER = "penalties"  # in that of the checkpoints


@dataclass(frozen=True, slots=True)
class Tried:
    """One penalty."""

    l1: float
    l2: float
    passes: int  # over train
    train_loss: float  # mean log-loss, without the penalty
    log_loss: float  # of validation
    error: float  # its standard error


@dataclass(frozen=True, slots=True)
class Near:
    """Where a solver ended that was asked for little."""

    seen: Seen | Known  # at the last point that was looked at
    point: F64  # weights of x, of the table, and the intercept, [p]
    passes: int
    train_loss: float


@dataclass(frozen=True, slots=True)
class Solver:
    """How a path is gone."""

    approached: Callable[[Problem, World], Near]  # a point near the optimum of a problem
    looked_at: Callable[[F64, Problem, World], Seen | Known]  # what a pass finds at a point
    within: str  # how near, in words


def strengths(weight: float) -> list[float]:
    """The penalties of a path, the strongest first, for training rows of this weight."""
    count = max(math.ceil(math.log(STRONGEST * weight / WEAKEST, STEP)), 0) + 1
    return [STRONGEST / STEP**place for place in range(count)]


def chosen(
    problem: Problem, solver: Solver, world: World, checkpoints: Place | None
) -> tuple[Problem, dict[str, Any]]:
    """The problem with the penalty that does best on validation rows, and the path as `model.json` has it.

    The same on all ranks, which must all ask; an interrupted path goes on after its last penalty.

    Args:
        problem: stores with features attached, one of validation among them.
        solver: how a penalty's weights are found, and what is known at a point.
        world: the ranks.
        checkpoints: folder for rank 0's checkpoints, or None.

    Raises:
        DataError: validation has no rows.
    """
    validation = problem.validation
    if validation is None or not validation.source.rows:
        raise DataError(
            "train.choose_l2 is judged on validation rows, and there are none: raise "
            "split.validation_fraction, or set train.l2."
        )
    path = _Path(problem, validation, solver, world, None if checkpoints is None else checkpoints / FOLDER)
    path.go()
    best = path.tried[path.taken]
    if world.rank == 0:
        log.info(
            "penalty chosen on %s validation rows: l2 = %.3g%s, log-loss %.6f +- %.6f (%d tried, %d passes)",
            f"{validation.source.rows:,}", best.l2, f", l1 = {best.l1:.3g}" if best.l1 else "",
            best.log_loss, best.error, len(path.tried), sum(one.passes for one in path.tried),
        )  # fmt: skip
    record = {
        "rule": problem.settings.l2_rule,
        "rows": validation.source.rows,
        "tried": [asdict(one) for one in path.tried],
        "taken": path.taken,
        "within": solver.within,
    }
    return replace(_with(problem, best.l1, best.l2), seen=path.seen_at(path.taken)), record


def _with(problem: Problem, l1: float, l2: float) -> Problem:
    return replace(problem, settings=problem.settings.model_copy(update={"l1": l1, "l2": l2}))


class _Path:
    """Penalties that were tried, on one rank."""

    def __init__(
        self, problem: Problem, validation: Store, solver: Solver, world: World, folder: Place | None
    ) -> None:
        self.problem, self.validation, self.world, self.folder = problem, validation, world, folder
        self.solver = solver
        self.tried: list[Tried] = []
        self._points: dict[int, F64] = {}  # that were looked at last, of penalties that may be taken
        self._seen: dict[int, Seen | Known] = {}  # of those that may be asked for again
        settings = problem.settings
        own = (settings.l1, l2_of(settings.l2, problem.weight)) if settings.l1 else (0.0, 1.0)
        self._shares = own[0] / max(own), own[1] / max(own)

    @property
    def best(self) -> int:
        """The place of the least loss on validation; of equals the strongest."""
        return int(np.argmin([one.log_loss for one in self.tried]))

    @property
    def taken(self) -> int:
        """The place of the penalty that the rule takes."""
        if self.problem.settings.l2_rule == "least":
            return self.best
        most = self.tried[self.best].log_loss + self.tried[self.best].error
        return next(place for place, one in enumerate(self.tried) if one.log_loss <= most)

    def go(self) -> None:
        """Until the path ends."""
        self._resume()
        for place, strength in list(enumerate(strengths(self.problem.weight)))[len(self.tried) :]:
            if place and place - self.best > PATIENCE:
                break
            self._try(place, strength)

    def seen_at(self, place: int) -> Seen | Known | None:
        """What is known at the last point of a penalty; by a pass, if that was not kept.

        None where the point was not kept either: the rule came back to a penalty that it had left, as noise
        of validation rows may have it, though rarely.
        """
        if place not in self._seen and place in self._points:
            there = _with(self.problem, self.tried[place].l1, self.tried[place].l2)
            self._seen[place] = self.solver.looked_at(self._points[place], there, self.world)
        return self._seen.get(place)

    def _try(self, place: int, strength: float) -> None:
        l1, l2 = (strength * share for share in self._shares)
        begun = replace(
            _with(self.problem, l1, l2), seen=self.seen_at(place - 1) if place else self.problem.seen
        )
        loose = begun.settings.model_copy(update={"tolerance": NEAR})
        near = self.solver.approached(replace(begun, settings=loose), self.world)
        width, shift = self.problem.features.width, self.problem.shift
        loss, error = mean_log_loss(near.point, width, self.validation, self.world, shift)
        self.tried.append(Tried(l1, l2, near.passes, near.train_loss, loss, error))
        self._points[place] = near.seen.point
        self._seen[place] = near.seen
        taken = self.taken
        self._points = {at: point for at, point in self._points.items() if at >= taken}
        self._seen = {at: seen for at, seen in self._seen.items() if at in (place, taken)}
        if self.world.rank == 0:
            log.info(
                "l2 = %.3g%s: train log-loss %.6f, validation %.6f +- %.6f (%d %s)",
                l2, f", l1 = {l1:.3g}" if l1 else "", near.train_loss, loss, error, near.passes,
                "pass" if near.passes == 1 else "passes",
            )  # fmt: skip
            self._keep()

    def _keep(self) -> None:
        if self.folder is not None:
            record = {"tried": [asdict(one) for one in self.tried]}
            arrays = {f"point {place}": point for place, point in self._points.items()}
            checkpoint.write(self.folder, Checkpoint(len(self.tried), 0, arrays, record))

    def _resume(self) -> None:
        found = None if self.folder is None else checkpoint.seen_by_all(self.folder, self.world)
        if found is not None:
            self.tried = [Tried(**one) for one in found.record["tried"]]
            self._points = {
                int(name.removeprefix("point ")): np.array(point) for name, point in found.arrays.items()
            }


def mean_log_loss(point: F64, width: int, store: Store, world: World, shift: float) -> tuple[float, float]:
    """Weighted mean log-loss of a part and its standard error, the same bits for any number of ranks.

    The error is that of a mean of independent rows, sqrt(sum w^2 (loss - mean)^2) / sum w.

    Args:
        point: weights of x, of the table, and the intercept, float64 [p].
        width: how many are of x.
        store: of the part.
        world: the ranks, which must all ask.
        shift: of the log-odds.
    """

    def of(rows: Encoded) -> list[float]:
        # elementwise and by einsum, whose order of additions depends on nothing but the shape
        z = np.einsum("nf,f->n", rows.x.astype(np.float64), point[:width]) + (point[-1] + shift)
        if rows.ids.shape[1]:
            z += point[width:-1][rows.ids].sum(axis=1)
        loss = np.logaddexp(0.0, z) - rows.y.astype(np.float64) * z
        w = np.ones_like(loss) if rows.w is None else rows.w.astype(np.float64)
        squares = w * w
        sums = (w * loss, w, squares * loss * loss, squares * loss, squares)
        return [float(values.sum()) for values in sums]

    total = sums_of(store, world, 5, of).sum(axis=0)
    mean = float(total[0] / total[1])
    spread = max(float(total[2] - 2 * mean * total[3] + mean * mean * total[4]), 0.0)
    return mean, math.sqrt(spread) / float(total[1])

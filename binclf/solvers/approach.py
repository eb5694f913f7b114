"""L-BFGS on a path of penalties: each begins where the one before ended, without a pass over the rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from binclf.solvers.known import Known
from binclf.solvers.lbfgs import MOST_PAIRS, Lbfgs
from binclf.solvers.penalties import NEAR_GAP, Near
from binclf.solvers.problem import Problem
from binclf.world import World

F64 = npt.NDArray[np.float64]


def approached(problem: Problem, world: World, *, pairs: int = MOST_PAIRS) -> Near:
    """Weights whose objective is within `NEAR_GAP` of the least, by its curvature: of a path's penalties."""
    run = Lbfgs(problem, world, pairs, None)
    run.enough = NEAR_GAP
    state, _ = run.go()
    return Near(run.known(state), state.point, run.surface.passes, state.loss)


def looked_at(point: F64, problem: Problem, world: World) -> Known:
    """What passes find at a point, float64 [p], and at the base rate, where all begins."""
    run = Lbfgs(problem, world, 0, None)
    run.begun()
    return run.known(run.surface.at(point))

"""The solver that was chosen, at work: beside the penalty that validation rows choose, if they are asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from binclf.loader.process import Peak
from binclf.solvers import approach, lbfgs, penalties
from binclf.solvers.choice import Choice
from binclf.solvers.distance import judged
from binclf.solvers.penalties import Solver
from binclf.solvers.problem import Problem, Solution
from binclf.storage import Place
from binclf.world import World


def solved(choice: Choice, problem: Problem, world: World, checkpoints: Place | None, peak: Peak) -> Solution:
    """The weights, and how far they are from the optimum; torch is imported for the solver that needs it.

    The same on all ranks, which must all ask.

    Args:
        choice: the solver.
        problem: stores with features attached.
        world: the ranks.
        checkpoints: folder for rank 0's checkpoints, or None.
        peak: of memory, beside which torch's own is not counted.
    """
    if choice.name == "newton":
        return _by_newton(choice, problem, world, checkpoints)
    if choice.name == "lbfgs":
        found = _by_lbfgs(choice, problem, world, checkpoints)
        return found if choice.lacking else judged(found, problem, world, "")  # its own bound is there anyway
    with peak.apart():  # 330 MB of torch's own
        import torch

        from binclf.solvers import minibatch

        world.parallel(torch.nn.Linear(1, 1).to(world.device))  # what DDP imports when it is first used
    return judged(minibatch.fit(problem, world, checkpoints=checkpoints), problem, world, choice.lacking)


def _by_newton(choice: Choice, problem: Problem, world: World, checkpoints: Place | None) -> Solution:
    from binclf.solvers import newton

    fit = partial(newton.fit, world=world, checkpoints=checkpoints)
    if not choice.is_path:
        return fit(problem)
    within = f"{penalties.NEAR} standard errors of its weights"
    return _chosen(fit, Solver(newton.approached, newton.looked_at, within), problem, world, checkpoints)


def _by_lbfgs(choice: Choice, problem: Problem, world: World, checkpoints: Place | None) -> Solution:
    fit = partial(lbfgs.fit, world=world, pairs=choice.pairs, checkpoints=checkpoints)
    if not choice.is_path:
        return fit(problem)
    solver = Solver(
        partial(approach.approached, pairs=choice.pairs), approach.looked_at,
        f"about {penalties.NEAR_GAP} of its least objective",
    )  # fmt: skip
    return _chosen(fit, solver, problem, world, checkpoints)


def _chosen(
    fit: Callable[[Problem], Solution],
    solver: Solver,
    problem: Problem,
    world: World,
    checkpoints: Place | None,
) -> Solution:
    problem, path = penalties.chosen(problem, solver, world, checkpoints)
    solution = fit(problem)
    return replace(solution, record={**solution.record, "penalties": path})

"""The solver that was chosen, at work: beside the penalty that validation rows choose, if they are asked."""

from __future__ import annotations

from dataclasses import replace

from binclf.loader.process import Peak
from binclf.solvers import lbfgs, penalties
from binclf.solvers.choice import Choice
from binclf.solvers.distance import judged
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
        return _by_newton(problem, world, checkpoints)
    if choice.name == "lbfgs":
        found = lbfgs.fit(problem, world, pairs=choice.pairs, checkpoints=checkpoints)
        return found if choice.lacking else judged(found, problem, world, "")  # its own bound is there anyway
    with peak.apart():  # 330 MB of torch's own
        import torch

        from binclf.solvers import minibatch

        world.parallel(torch.nn.Linear(1, 1).to(world.device))  # what DDP imports when it is first used
    return judged(minibatch.fit(problem, world, checkpoints=checkpoints), problem, world, choice.lacking)


def _by_newton(problem: Problem, world: World, checkpoints: Place | None) -> Solution:
    from binclf.solvers import newton

    if not problem.settings.choose_l2:
        return newton.fit(problem, world, checkpoints=checkpoints)
    solver = newton.approached, newton.looked_at
    problem, path = penalties.chosen(problem, solver, world, checkpoints)
    solution = newton.fit(problem, world, checkpoints=checkpoints)
    return replace(solution, record={**solution.record, "penalties": path})

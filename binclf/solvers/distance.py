"""How far the weights that any solver found are from the optimum: one pass over the rows of train."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from binclf.solvers.blocks import Reducer
from binclf.solvers.certificate import certify
from binclf.solvers.descent import Descent
from binclf.solvers.point import penalty_of, point_of
from binclf.solvers.problem import Problem, Solution, Weights
from binclf.solvers.verdict import is_curved
from binclf.world import World

log = logging.getLogger(__name__)


def judged(solution: Solution, problem: Problem, world: World, lacking: str) -> Solution:
    """With how far it is from the optimum, unless a reason says that this is not to be known."""
    found: Mapping[str, Any] = {"certificate": None, "no_certificate": lacking}
    if not lacking:
        found = distance(problem, solution.weights, world)
    elif world.rank == 0:
        log.info("how far the optimum is remains unknown: %s", lacking)
    return replace(solution, record={**solution.record, **found})


def distance(problem: Problem, weights: Weights, world: World) -> dict[str, Any]:
    """The certificate, and the loss and the objective at these weights, as `model.json` has them.

    Args:
        problem: stores with features attached.
        weights: as a solver gives them, the same on all ranks.
        world: the ranks, which must all ask.
    """
    reducer = Reducer(problem.train, problem.features, problem.weight, world)
    state = Descent(reducer, penalty_of(problem)).at(point_of(weights))
    found = certify(state.model, state.sums.weight, reducer.terms)
    if not is_curved(state.model, problem, reducer):  # rows so certain that nothing pulls prove nothing
        found = replace(found, gap=None, errors=None, is_proven=False)
    mean = state.sums.loss / state.sums.weight
    if world.rank == 0:
        log.info("the weights that were kept: train loss %.9f, %s", mean, found.told())
    return {"train_loss": mean, "objective": state.objective, "certificate": found.as_json()}

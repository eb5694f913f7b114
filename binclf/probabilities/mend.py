"""A solver's weights to honest probabilities: corrected where odds were moved, calibrated on request."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from binclf.config import Config
from binclf.predict import of_weights
from binclf.probabilities.calibrate import calibrate
from binclf.probabilities.correct import Correction, correct
from binclf.probabilities.part import Part
from binclf.solvers.inference import unknown
from binclf.solvers.problem import Problem, Solution
from binclf.split import Split
from binclf.world import World

log = logging.getLogger(__name__)


def mend(config: Config, split: Split, problem: Problem, solution: Solution, world: World) -> Solution:
    """The solution with its intercept corrected, and what to record of that and of calibration.

    All ranks must ask.
    """
    correction: Correction | None = None
    calibration: dict[str, Any] = {"method": "none", "map": None}
    if problem.is_moved:
        part = Part(split, "train", world, config.data.weight)
        model = of_weights(problem.features, solution.weights)
        correction = correct(part, model, problem.base_rate, problem.shift)
        solution = _moved(solution, correction.total)
        if world.rank == 0:
            log.info("%s", correction.told())
    if config.train.calibration != "none":
        part = Part(split, "validation", world, config.data.weight, config.data.group)
        calibration = calibrate(
            config.train.calibration, part, of_weights(problem.features, solution.weights)
        )
    told = {"correction": correction and correction.as_json(), "calibration": calibration}
    return replace(solution, probabilities=told)


def _moved(solution: Solution, by: float) -> Solution:
    """With another intercept, of whose errors nothing is known: the solver's are of the one that it found."""
    inference = dict(solution.inference)
    if inference:
        inference["intercept"] = unknown(inference["intercept"]["estimate"] + by)
    covariance = solution.covariance and solution.covariance.without_intercept()
    weights = {**solution.weights, "bias": solution.weights["bias"] + by}
    return replace(solution, weights=weights, inference=inference, covariance=covariance)

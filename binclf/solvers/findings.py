"""What is told of an optimum beside its weights: errors, tests, their covariance, and files that disagree."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.objective import l2_of
from binclf.solvers.blocks import Reducer
from binclf.solvers.covariance import Covariance
from binclf.solvers.inference import Coefficients, Spread, coefficients
from binclf.solvers.influence import Bent, influence
from binclf.solvers.problem import Problem
from binclf.solvers.quadratic import SOUND, Inverse
from binclf.solvers.variance import Variance, model_variance, variance_of
from binclf.solvers.verdict import Fit
from binclf.solvers.wald import inflation, joint_tests

F64 = npt.NDArray[np.float64]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Findings:
    """As `model.json` has them, and how many passes over the rows they took."""

    inference: Mapping[str, Any] = field(default_factory=dict)
    covariance: Covariance | None = None
    influence: Mapping[str, Any] = field(default_factory=dict)
    passes: int = 0


def findings_of(problem: Problem, found: Fit, reducer: Reducer) -> Findings:
    """Of the optimum that was found; all ranks must ask.

    With l1 or bounds no errors are known, and files are judged without them.

    Raises:
        DataError: errors are to be robust or clustered, and there are too few rows or groups for that.
    """
    sums, penalty, features = found.sums, found.model.penalty, problem.features
    known: Coefficients | None = None
    told: dict[str, Any] = {}
    settings = problem.settings
    has_use = settings.influence or settings.errors == "model"
    scores = model_variance(problem, found, reducer) if has_use else None
    bent = Bent(Inverse(sums.hessian, SOUND), scores, partial(_held, settings.l2, len(found.point)))
    passes = int(scores is not None)
    if penalty.is_smooth:
        penalised = sums.hessian + np.diag(sums.weight * penalty.l2)
        inverse = Inverse(penalised)
        variance: Variance = variance_of(problem, found, reducer, inverse, scores)
        spread = Spread(penalised, inverse, variance.middle)
        known = coefficients(features, found.point, spread, variance.factor)
        told = {
            **known.as_json(),
            "errors": dict(variance.told),
            "joint": joint_tests(features, found.point, spread, variance.factor),
            "variance_inflation": inflation(features, sums, bent.inverse),
        }
        passes += variance.passes
    blamed: dict[str, Any] = {}
    if settings.influence:
        blamed = influence(found, reducer, bent, known)
        passes += bool(blamed)
        if blamed.get("beyond_chance") and reducer.world.rank == 0:
            log.info("%s", _disagreeing(blamed))
    covariance = None if known is None else Covariance(known.paths, known.covariance)
    return Findings(told, covariance, blamed, passes)


def _held(l2: float, size: int, weight: float) -> F64:
    """What `train.l2` adds to the Hessian's diagonal of rows that weigh so much, float64 [p]."""
    return np.append(np.full(size - 1, weight * l2_of(l2, weight) if weight > 0 else 0.0), 0.0)


def _disagreeing(blamed: Mapping[str, Any]) -> str:
    worst = blamed["worst"][0]
    return (
        f"{blamed['beyond_chance']:,} of {blamed['tests']:,} {blamed['of']} disagree with the model beyond "
        f"chance, first of all {worst['file']} (p = {worst['p']:.1e}): see the report"
    )

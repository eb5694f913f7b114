"""The weights as one vector: those of x, of the table, and the intercept last."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from binclf.errors import ConfigError
from binclf.objective import l2_of
from binclf.solvers.problem import Problem, Weights
from binclf.solvers.quadratic import Penalty

F64 = npt.NDArray[np.float64]


def penalty_of(problem: Problem) -> Penalty:
    """As the settings have it; the intercept is free."""
    features, settings = problem.features, problem.settings
    size = features.width + features.table_size + 1
    free = np.ones(size)
    free[-1] = 0.0
    low, high = np.full(size, -np.inf), np.full(size, np.inf)
    place_of = {column.name: place for place, column in enumerate(features.numeric)}
    for key, bound in (("nonnegative", low), ("nonpositive", high)):
        for name in getattr(settings, key):
            if name not in place_of:
                raise ConfigError(f"train.{key} names '{name}', which is no numeric feature: remove it.")
            bound[place_of[name]] = 0.0
    return Penalty(settings.l1 * free, l2_of(settings.l2, problem.weight) * free, low, high)


def weights_of(point: F64, width: int) -> Weights:
    """As a model's file has them."""
    parts = {"weight": point[:width], "table": point[width:-1], "bias": point[-1:]}
    return {name: part for name, part in parts.items() if len(part)}


def point_of(weights: Weights) -> F64:
    """The other way."""
    return np.concatenate([weights[name] for name in ("weight", "table", "bias") if name in weights])


def name_of(place: int, problem: Problem) -> str:
    """The column that a weight belongs to, for a message."""
    features = problem.features
    for number, column in enumerate(features.numeric):
        if place == number:
            return f"column '{column.name}'"
        if place == column.indicator:
            return f"missing values of column '{column.name}'"
    for categorical in reversed(features.categorical):
        if not categorical.is_hashed and place - features.width >= categorical.offset:
            return f"column '{categorical.name}'"
    return "the hashed columns"

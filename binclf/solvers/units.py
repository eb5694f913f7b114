"""Weights in original units."""

from __future__ import annotations

from typing import Any

import numpy as np

from binclf.features import Features
from binclf.features.records import FIRST_LEVEL, NULL, OTHER
from binclf.solvers.problem import Weights


def coefficients(features: Features, weights: Weights) -> dict[str, Any]:
    """Weights in original units: of a number per unit, of a missing value and of a level as they are."""
    weight, table = weights.get("weight", np.zeros(0)), weights.get("table", np.zeros(0))
    numeric: dict[str, Any] = {}
    intercept = float(weights["bias"][0])
    for place, column in enumerate(features.numeric):
        slope = float(weight[place]) / column.scale
        intercept -= slope * column.centre
        entry = {"per_unit": slope, "log1p": column.is_log1p}
        if column.indicator >= 0:
            entry["missing"] = slope * column.fill + float(weight[column.indicator])
        numeric[column.name] = entry
    levels: dict[str, Any] = {}
    for categorical in features.categorical:
        if categorical.is_hashed:
            levels[categorical.name] = {"hashed": True}
            continue
        first = categorical.offset + FIRST_LEVEL
        own = table[first : first + len(categorical.levels)].tolist()
        entry = dict(zip(categorical.levels, own, strict=True))
        levels[categorical.name] = {
            "levels": entry,
            "missing": float(table[categorical.offset + NULL]),
            "other": float(table[categorical.offset + OTHER]),
        }
    return {"intercept": intercept, "numeric": numeric, "categorical": levels}

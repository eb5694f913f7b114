"""The variance of the gradient at the optimum, the middle of every standard error; `train.errors` says which.

With s_i the slope of a row's weighted log-loss and u_i its columns, s_i u_i is the row's score.

- model: H. Rows are independent, the model is right, and a weight of w is w rows. Class weights do not count
  rows, and H then says too much. With a, b the factors of the classes, p a row's probability under the
  weighted odds and q under the data's, p / (1 - p) = (a / b) q / (1 - q), the variance of a row's slope,
  a (p - 1) or b p, is q a^2 (1 - p)^2 + (1 - q) b^2 p^2 = a b p (1 - p). So the Hessian without class weights
  at the same point times a b takes the place of H.
- hc0: the sum of s_i^2 u_i u_i'. Rows are independent, whatever their weights mean and whether or not the
  model is right (Huber 1967, White 1980; statsmodels' HC0).
- hc1: the same times N / (N - K).
- clustered: the sum over groups of g g', g being the sum of the scores of a group's rows. Groups are
  independent (Liang and Zeger 1986); times G / (G - 1) (N - 1) / (N - K), as statsmodels has it.

N are rows and G groups. K = tr(P^-1 H) is the number of weights; with a penalty, of those that it leaves
free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.errors import DataError
from binclf.loader import Balanced
from binclf.solvers.blocks import Reducer
from binclf.solvers.clusters import clustered
from binclf.solvers.problem import Problem
from binclf.solvers.quadratic import Inverse
from binclf.solvers.verdict import Fit

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Variance:
    """Of the gradient summed over the rows."""

    middle: F64  # [p, p]
    factor: float  # that the coefficients' covariance is multiplied by
    told: Mapping[str, Any]  # for model.json
    passes: int  # over the rows, that it took


def model_variance(problem: Problem, found: Fit, reducer: Reducer) -> F64 | None:
    """Where classes have weights the variance that the model has for it, by one pass; None: the Hessian."""
    if not isinstance(problem.train, Balanced):
        return None
    plain = Reducer(problem.train.store, problem.features, problem.weight, reducer.world)
    return np.asarray(plain.at(found.point).hessian * problem.train.product)


def variance_of(
    problem: Problem, found: Fit, reducer: Reducer, inverse: Inverse, scores: F64 | None
) -> Variance:
    """As `train.errors` asks for it; all ranks must ask.

    Args:
        problem: with `group`, where errors are clustered.
        found: the optimum.
        reducer: over the rows of train.
        inverse: of the penalised Hessian.
        scores: what `model_variance` gave.

    Raises:
        DataError: there are too few rows or groups for the correction, or too many groups to be added up.
    """
    kind, hessian = problem.settings.errors, found.sums.hessian
    if kind == "model":
        return Variance(hessian if scores is None else scores, 1.0, {"kind": kind}, 0)
    rows = reducer.store.source.rows
    weights = float(np.trace(inverse.times(hessian)))
    if kind == "hc0":
        return Variance(reducer.at(found.point, squared=True).hessian, 1.0, {"kind": kind, "rows": rows}, 1)
    if not rows > weights + 0.5:
        raise DataError(
            f"train.errors = '{kind}' divides by rows less weights, and there are {rows:,} rows and "
            f"{weights:,.0f} weights: take 'hc0' or 'model', or fewer columns."
        )
    told: dict[str, Any] = {"kind": kind, "rows": rows, "weights": weights}
    if kind == "hc1":
        factor = rows / (rows - weights)
        middle, passes = reducer.at(found.point, squared=True).hessian, 1
    else:
        middle, groups, passes = clustered(problem.group, found.point, reducer)
        factor = groups / (groups - 1) * (rows - 1) / (rows - weights)
        told |= {"group": problem.group, "groups": groups}
    return Variance(middle, factor, {**told, "factor": factor}, passes)

"""No distance from the optimum is told that is not so, least of all where columns are nearly the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression as Reference

from binclf.errors import DataError
from binclf.solvers import newton
from binclf.solvers.blocks import Terms
from binclf.solvers.certificate import certify
from binclf.solvers.point import penalty_of
from binclf.solvers.quadratic import Model
from tests.optimum import (
    ALONE,
    design_of,
    fitted,
    made,
    point_of,
    problem_of,
    simple,
    sums_at,
)
from tests.trained import people, whole

pytestmark = pytest.mark.usefixtures("many_blocks")


@pytest.mark.parametrize("distance", [1e-7, 1e-4, 1e-2, 0.1, 0.5])
def test_a_certificate_that_is_given_holds(known: Any, distance: float) -> None:
    """At points around the optimum: neither the objective nor any weight is further from it than is said."""
    store, features, rows = known
    task = problem_of(store, features, rows, l2=1e-3, tolerance=0.0)
    best, design = point_of(newton.fit(task, ALONE)), design_of(features, rows)
    penalty, terms = penalty_of(task), Terms.of(features)
    least, proven = sums_at(best, design, rows), 0
    for seed in range(20):
        away = np.random.default_rng(seed).normal(size=len(best))
        curved = least.hessian / least.weight + np.diag(penalty.l2)
        there = best + distance * away / np.sqrt(away @ curved @ away)
        sums = sums_at(there, design, rows)
        told = certify(Model(there, sums, penalty), sums.weight, terms)
        if not told.is_proven or told.gap is None or told.errors is None:
            continue
        proven += 1
        gap = sums.loss / sums.weight + penalty.of(there) - least.loss / least.weight - penalty.of(best)
        inverse = np.linalg.inv(sums.hessian / sums.weight + np.diag(penalty.l2))
        errors = np.abs(there - best) / np.sqrt(np.diag(inverse) / sums.weight)
        assert gap <= told.gap + 1e-14
        assert errors.max() <= told.errors * (1 + 1e-6) + 1e-9
    assert proven == 20 or distance >= 1e-2


def least_of(a: np.ndarray, b: np.ndarray, y: np.ndarray) -> float:
    """Mean log-loss at the optimum of two columns that are told apart, by scikit-learn."""
    design = np.column_stack([a, b])
    reference = Reference(C=np.inf, solver="newton-cholesky", tol=1e-10, max_iter=1000).fit(design, y)
    z = design @ reference.coef_[0] + reference.intercept_[0]
    return float((np.logaddexp(0, z) - y * z).mean())


@pytest.mark.parametrize("eps", [3e-3, 1e-4, 1e-5, 3e-6, 1e-6, 3e-7])
def test_columns_that_are_nearly_the_same_are_fitted_or_named_and_never_called_proven_in_vain(
    tmp_path: Path, eps: float
) -> None:
    draw = np.random.default_rng(0)
    a, e = draw.normal(size=(2, 3000))
    y = 2 * e + draw.logistic(size=3000) > 0
    table = simple({"a": a, "b": a + eps * e}, y)
    least = least_of(a, e, y)
    if eps <= 1e-6:  # float32 cannot hold what sets them apart
        with pytest.raises(DataError, match="columns 'a', 'b' are nearly the same"):
            fitted(tmp_path, table, l2=0.0)
        return
    solution, _ = fitted(tmp_path, table, l2=0.0)
    found = solution.record["history"][-1]["train_loss"]
    assert found == pytest.approx(least, abs=5e-3 if eps < 1e-5 else 1e-3)  # of columns in float32


@pytest.mark.parametrize("eps", [1.0, 1e-3, 1e-4, 5e-5])
@pytest.mark.parametrize("tolerance", [1e-6, 1e-12, 0.0])
def test_no_certificate_is_better_than_rounding_allows(tmp_path: Path, eps: float, tolerance: float) -> None:
    """Where columns are nearly the same, in long double: what is told of the weights as they are written."""
    table = people(3000, 3).select(["age", "visits", "bought", "w"])
    draw = np.random.default_rng(5)
    near = np.array(table["visits"].to_pylist(), dtype=float) + eps * draw.normal(size=3000)
    store, features = made(tmp_path, table.append_column("near", pa.array(near)))
    rows = whole(store)
    task = problem_of(store, features, rows, l2=0.0, tolerance=tolerance)
    solution = newton.fit(task, ALONE)
    design, point = design_of(features, rows).astype(np.longdouble), point_of(solution).astype(np.longdouble)
    y, w = rows.y[:, 0].astype(np.longdouble), rows.w[:, 0].astype(np.longdouble)
    z = design @ point
    p = 1 / (1 + np.exp(-z))
    slope = (design.T @ (w * (p - y))).astype(float)
    curved = ((design.T * (w * p * (1 - p))) @ design).astype(float)
    scale = 1 / np.sqrt(np.diag(curved))
    move = scale * np.linalg.solve(curved * scale * scale[:, None], scale * slope)
    truth = np.sqrt(slope @ move)  # of the sum: in standard errors
    certificate = solution.record["certificate"]
    assert certificate["is_proven"]
    assert truth <= certificate["errors"]
    assert tolerance == 0 or certificate["errors"] <= max(tolerance, 1e-7)  # nor much worse


@pytest.mark.parametrize("eps", [1e-2, 1e-3])
def test_a_bound_does_not_keep_columns_that_are_nearly_the_same_from_their_optimum(
    tmp_path: Path, eps: float
) -> None:
    draw = np.random.default_rng(1)
    a, e, c = draw.normal(size=(3, 2000))
    y = 2 * e + draw.logistic(size=2000) > 0
    columns = {"a": a, "b": a + eps * e}
    smooth, _ = fitted(tmp_path / "smooth", simple(columns, y), l2=0.0)
    away = c * (1.0 if np.cov(c, y)[0, 1] < 0 else -1.0)
    bound, _ = fitted(tmp_path / "bound", simple({**columns, "c": away}, y), l2=0.0, nonnegative=("c",))
    losses = [s.record["history"][-1]["train_loss"] for s in (smooth, bound)]
    assert losses[1] <= losses[0] + 1e-9


@pytest.mark.parametrize("centre", [1e5, 1e7, 16_777_213])
def test_a_column_far_from_nought_stays_within_its_bounds(tmp_path: Path, centre: float) -> None:
    """Its centre is subtracted as float32 holds it."""
    draw = np.random.default_rng(0)
    far = centre + np.arange(600) % 2
    y = (np.arange(600) % 2) + draw.logistic(size=600) > 0.5
    solution, rows = fitted(tmp_path, simple({"far": far}, y), l2=1e-3)
    assert solution.record["certificate"]["is_proven"]
    assert np.isfinite(rows.x).all()

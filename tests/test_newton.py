"""Newton's method finds the optimum that scikit-learn and the optimality conditions know."""

from __future__ import annotations

from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression as Reference

from binclf.config import parse
from binclf.errors import ConfigError
from binclf.solvers import cuts, newton, sample
from binclf.solvers.blocks import Reducer
from binclf.solvers.descent import Descent
from binclf.solvers.point import penalty_of
from tests.optimum import (
    ALONE,
    PEOPLE,
    design_of,
    fitted,
    made,
    point_of,
    problem_of,
    simple,
    sums_at,
)
from tests.trained import people, stores, whole, write

pytestmark = pytest.mark.usefixtures("many_blocks")


@pytest.mark.parametrize("l2", [1e-2, 1e-5, -1.0])
def test_the_optimum_is_scikit_learns(known: Any, l2: float) -> None:
    store, features, rows = known
    task = problem_of(store, features, rows, l2=l2)
    solution = newton.fit(task, ALONE)
    design, w = design_of(features, rows), rows.w[:, 0].astype(float)
    strength = penalty_of(task).l2[0]
    reference = Reference(C=1 / (strength * w.sum()), solver="newton-cholesky", tol=1e-12, max_iter=1000)
    reference.fit(design[:, :-1], rows.y[:, 0], sample_weight=w)
    theirs = np.append(reference.coef_[0], reference.intercept_[0])
    ours = point_of(solution)
    losses = [sums_at(point, design, rows).loss / w.sum() for point in (ours, theirs)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-8)
    curved = sums_at(ours, design, rows).hessian + np.diag(w.sum() * penalty_of(task).l2)
    errors = np.sqrt(np.diag(np.linalg.inv(curved)))
    assert np.abs((ours - theirs) / errors).max() < 1e-5
    assert solution.record["certificate"]["is_proven"]


@pytest.mark.parametrize("seconds", [1e9, -1.0])
def test_passes_are_told_to_who_waits_for_them(
    known: Any, seconds: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(newton, "SLOW_SECONDS", seconds)
    caplog.set_level("INFO")
    store, features, rows = known
    task = problem_of(store, features, rows, l2=1e-2, influence=False)
    passes = newton.fit(task, ALONE).record["passes"]
    lines = [record.getMessage() for record in caplog.records]
    assert len([line for line in lines if line.startswith("pass ")]) == (passes if seconds < 0 else 0)
    assert lines[-1].startswith(f"{passes} passes: train loss 0.")


def test_labels_that_are_flipped_in_one_file_have_their_optimum_too(tmp_path: Path) -> None:
    """The answer to the rows as they are: scikit-learn's, with errors that tell how little is known."""
    for number in range(3):
        table = people(900, number + 1)
        if number == 1:
            flipped = pa.array([not value for value in table["bought"].to_pylist()])
            table = table.set_column(table.column_names.index("bought"), "bought", flipped)
        write(tmp_path / "data" / f"{number}.parquet", table, [500, 400])
    data = {"path": str(tmp_path / "data"), "label": "bought", "weight": "w", "exclude": ["id"]}
    config = {"name": "flipped", "store": str(tmp_path / "store"), "data": data, "split": {"method": "none"}}
    _, features, found = stores(parse(config))
    rows = whole(found["train"])
    task = problem_of(found["train"], features, rows, l2=1e-4)
    solution = newton.fit(task, ALONE)
    design, w = design_of(features, rows), rows.w[:, 0].astype(float)
    reference = Reference(C=1 / (1e-4 * w.sum()), solver="newton-cholesky", tol=1e-12, max_iter=1000)
    reference.fit(design[:, :-1], rows.y[:, 0], sample_weight=w)
    theirs = np.append(reference.coef_[0], reference.intercept_[0])
    assert np.abs(point_of(solution) - theirs).max() < 1e-7
    assert solution.record["certificate"]["is_proven"]


@pytest.mark.parametrize("l1", [1e-3, 2e-2])
@pytest.mark.parametrize("is_bound", [False, True])
def test_with_l1_and_bounds_the_conditions_of_optimality_hold(known: Any, l1: float, is_bound: bool) -> None:
    """They are sufficient, as the objective is convex: no other solver need be believed."""
    store, features, rows = known
    names = [column.name for column in features.numeric]
    bounds = {"nonnegative": ("visits",), "nonpositive": ("age", "income")} if is_bound else {}
    solution = newton.fit(problem_of(store, features, rows, l1=l1, l2=1e-4, **bounds), ALONE)
    point, design = point_of(solution), design_of(features, rows)
    sums = sums_at(point, design, rows)
    slope = sums.gradient / sums.weight + 1e-4 * np.append(point[:-1], 0)
    assert abs(slope[-1]) < 1e-9
    for place, (weight, own) in enumerate(zip(point[:-1], slope[:-1], strict=True)):
        name = names[place] if place < len(names) else ""
        if weight:
            assert own == pytest.approx(-l1 * np.sign(weight), abs=1e-9), name
            assert not (name in bounds.get("nonnegative", ()) and weight < 0)
            assert not (name in bounds.get("nonpositive", ()) and weight > 0)
        else:
            upper = np.inf if name in bounds.get("nonpositive", ()) else l1
            lower = -np.inf if name in bounds.get("nonpositive", ()) else -l1
            lower, upper = (-l1, np.inf) if name in bounds.get("nonnegative", ()) else (lower, upper)
            if name in bounds.get("nonpositive", ()):
                lower, upper = -np.inf, l1
            assert lower - 1e-9 <= own <= upper + 1e-9, name
    assert (point[:-1] == 0).any()
    if is_bound:
        assert point[names.index("visits")] == 0  # it would be negative
    assert not solution.inference


def test_errors_and_tests_are_those_of_the_definition(known: Any) -> None:
    store, features, rows = known
    task = problem_of(store, features, rows, l2=1e-3)
    solution = newton.fit(task, ALONE)
    point, design = point_of(solution), design_of(features, rows)
    sums = sums_at(point, design, rows)
    inverse = np.linalg.inv(sums.hessian + np.diag(sums.weight * penalty_of(task).l2))
    covariance = inverse @ sums.hessian @ inverse
    told = solution.inference
    centres = np.zeros(len(point))
    for place, column in enumerate(features.numeric):
        centres[place] = -column.centre / column.scale
        entry = told["numeric"][column.name]["per_unit"]
        error = np.sqrt(covariance[place, place]) / column.scale
        assert entry["estimate"] == pytest.approx(point[place] / column.scale, rel=1e-12)
        assert entry["se"] == pytest.approx(error, rel=1e-6)
        assert entry["z"] == pytest.approx(point[place] / column.scale / error, rel=1e-6)
        assert entry["p"] == pytest.approx(2 * NormalDist().cdf(-abs(entry["z"])), rel=1e-6)
        assert entry["odds_high"] == pytest.approx(
            np.exp(entry["estimate"] + 1.959963984540054 * error), rel=1e-6
        )
    centres[-1] = 1.0
    assert told["intercept"]["se"] == pytest.approx(np.sqrt(centres @ covariance @ centres), rel=1e-6)
    city = next(column for column in features.categorical if column.name == "city")
    place = features.width + city.offset + 2 + city.levels.index("Celle")
    entry = told["categorical"]["city"]["level Celle"]
    assert entry["estimate"] == pytest.approx(point[place])
    assert entry["se"] == pytest.approx(np.sqrt(covariance[place, place]), rel=1e-6)


def test_the_textbook_s_errors_without_a_penalty(tmp_path: Path) -> None:
    """The inverse of the observed information, in original units."""
    table = people(1500, 3).select(["age", "income", "visits", "w", "bought"]).drop_null()
    store, features = made(tmp_path, table)
    rows = whole(store)
    solution = newton.fit(problem_of(store, features, rows, l2=0.0), ALONE)
    names, told = ("age", "income", "visits"), solution.inference
    raw = np.column_stack([*(table[name].to_numpy() for name in names), np.ones(len(table))])
    entries = [*(told["numeric"][name]["per_unit"] for name in names), told["intercept"]]
    beta = np.array([entry["estimate"] for entry in entries])
    w = table["w"].to_numpy()
    p = 1 / (1 + np.exp(-raw @ beta))
    covariance = np.linalg.inv((raw.T * (w * p * (1 - p))) @ raw)
    found = [entry["se"] for entry in entries]
    assert found == pytest.approx(np.sqrt(np.diag(covariance)).tolist(), rel=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e12, 1e30])
@pytest.mark.parametrize("standardise", [True, False])
def test_units_do_not_matter(tmp_path: Path, scale: float, standardise: bool) -> None:
    draw = np.random.default_rng(4)
    a, b = draw.normal(size=(2, 700)) + 1.0
    y = a - b + draw.logistic(size=700) > 0
    store, features = made(tmp_path, simple({"a": a * scale, "b": b}, y), standardise=standardise)
    solution = newton.fit(problem_of(store, features, whole(store), l2=0.0), ALONE)
    plain, _ = fitted(tmp_path / "plain", simple({"a": a, "b": b}, y), l2=0.0)
    found, wanted = (s.inference["numeric"]["a"]["per_unit"] for s in (solution, plain))
    assert found["estimate"] * scale == pytest.approx(wanted["estimate"], rel=1e-4)
    assert found["z"] == pytest.approx(wanted["z"], rel=1e-4)


def test_a_sample_is_where_it_begins(tmp_path: Path, known: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store, features = made(tmp_path, people(20_000, 5), [400] * 50, **PEOPLE)
    rows = whole(store)
    task = problem_of(store, features, rows, l2=1e-4)
    cold = newton.fit(task, ALONE)
    monkeypatch.setattr(sample, "SAMPLE_ROWS", 2000)
    monkeypatch.setattr(sample, "ROWS_A_WEIGHT", 1)
    warm = newton.fit(task, ALONE)
    best = cold.record["history"][-1]["train_loss"]
    begun = [solution.record["history"][0]["train_loss"] - best for solution in (warm, cold)]
    assert begun[0] < begun[1] / 10
    assert warm.record["passes"] <= cold.record["passes"]
    assert point_of(warm) == pytest.approx(point_of(cold), abs=1e-6)


def test_no_step_is_shortened_for_what_rounding_did_to_the_objective(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Near the optimum nothing but rounding is left of differences, and it grows with the rows of a block."""
    monkeypatch.setattr(cuts, "LEAST_ROWS", 2**20)
    draw = np.random.default_rng(0)
    a, b = draw.normal(size=(2, 150_000))
    store, features = made(tmp_path, simple({"a": a, "b": b}, a + draw.logistic(size=len(a)) > 0))
    task = problem_of(store, features, whole(store), l2=1e-6)
    best = point_of(newton.fit(task, ALONE))
    descent = Descent(Reducer(store, features, task.weight, ALONE), penalty_of(task))
    for seed in range(20):
        state = descent.at(best + 1e-7 * np.random.default_rng(seed).normal(size=3))  # 2e-5 standard errors
        after = descent.step(state, descent.reducer.blocks)
        assert after is not None
        assert after.model.decrement < state.model.decrement / 100


def test_too_many_weights_and_wrong_names_are_refused(known: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store, features, rows = known
    with pytest.raises(ConfigError, match=r"train\.nonnegative names 'town', which is no numeric feature"):
        newton.fit(problem_of(store, features, rows, nonnegative=("town",)), ALONE)
    monkeypatch.setattr(newton, "MOST_WEIGHTS", 3)
    with pytest.raises(ConfigError, match="takes at most 3 weights"):
        newton.fit(problem_of(store, features, rows), ALONE)

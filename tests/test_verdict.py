"""Rows without an optimum of their own, or with many: each ends with the right answer or names the column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from binclf.errors import DataError
from binclf.solvers import newton, sample
from tests.optimum import ALONE, fitted, made, point_of, problem_of, simple
from tests.trained import whole

pytestmark = pytest.mark.usefixtures("many_blocks")


def test_classes_that_can_be_told_apart_end_with_a_name_or_with_the_penalty_s_answer(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    y = np.arange(200) % 2
    table = simple({"noise": draw.normal(size=200), "teller": y * 2.0 + draw.random(200)}, y)
    with pytest.raises(DataError, match="column 'teller' grows without end"):
        fitted(tmp_path / "free", table, l2=0.0)
    solution, _ = fitted(tmp_path / "held", table, l2=1e-6)
    assert solution.record["certificate"]["is_proven"]
    assert np.isfinite(point_of(solution)).all()
    assert solution.record["history"][-1]["train_loss"] < 1e-3


def test_a_level_that_only_one_class_has_is_named(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    rare = (np.arange(400) % 10 == 0).astype(float)
    y = (draw.random(400) < 0.5) | (rare == 1)
    with pytest.raises(DataError, match="column 'rare' grows without end"):
        fitted(tmp_path, simple({"rare": rare, "noise": draw.normal(size=400)}, y), l2=0.0)


@pytest.mark.parametrize("l2", [0.0, 1e-4])
def test_columns_that_say_the_same_or_nothing_are_named_and_share(tmp_path: Path, l2: float) -> None:
    draw = np.random.default_rng(1)
    a, b = draw.normal(size=(2, 600))
    y = a + b + draw.logistic(size=600) > 0
    table = simple({"a": a, "twice": 2 * a, "b": b, "still": np.full(600, 7.0)}, y)
    solution, _ = fitted(tmp_path, table, l2=l2)
    named = {frozenset(names) for names in solution.record["dependent_columns"]}
    assert named == {frozenset({"a", "twice"}), frozenset({"still"})}
    told = solution.inference["numeric"]
    assert told["still"]["per_unit"]["estimate"] == 0
    assert told["still"]["per_unit"]["se"] is None
    shares = [told[name]["per_unit"]["estimate"] for name in ("a", "twice")]
    assert shares[0] == pytest.approx(2 * shares[1], rel=1e-4)
    assert told["b"]["per_unit"]["se"] is not None
    alone, _ = fitted(tmp_path / "alone", simple({"a": a, "b": b}, y), l2=l2 / 2 if l2 else 0.0)
    if not l2:
        once = alone.inference["numeric"]["a"]["per_unit"]["estimate"]
        assert shares[0] + 2 * shares[1] == pytest.approx(once, rel=1e-6)


def test_more_columns_than_rows(tmp_path: Path) -> None:
    draw = np.random.default_rng(2)
    columns = {f"c{i:02d}": draw.normal(size=30) for i in range(60)}
    y = np.arange(30) % 2
    with pytest.raises(DataError, match="grows without end"):
        fitted(tmp_path / "free", simple(columns, y), l2=0.0)
    solution, _ = fitted(tmp_path / "held", simple(columns, y), l2=1e-2)
    assert solution.record["certificate"]["is_proven"]
    assert np.isfinite(point_of(solution)).all()


def test_rows_without_weight_do_not_count(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    a = draw.normal(size=800)
    y, w = a + draw.logistic(size=800) > 0, (np.arange(800) % 4 > 0).astype(float)
    y = np.where(w > 0, y, ~y)
    kept = w > 0
    weighted, _ = fitted(tmp_path / "all", simple({"a": a}, y, w), l2=1e-4)
    without, _ = fitted(tmp_path / "some", simple({"a": a[kept]}, y[kept]), l2=1e-4)
    ours, theirs = (s.inference["numeric"]["a"]["per_unit"] for s in (weighted, without))
    assert ours["estimate"] == pytest.approx(theirs["estimate"], rel=1e-6)
    assert ours["se"] == pytest.approx(theirs["se"], rel=1e-6)


def test_a_sample_that_is_told_apart_does_not_lead_astray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "SAMPLE_ROWS", 200)
    monkeypatch.setattr(sample, "ROWS_A_WEIGHT", 1)
    x = np.random.default_rng(0).integers(0, 2, 4000).astype(float)
    y = x.copy()
    y[-4:] = 1 - x[-4:]
    x[-4:], y[-4:] = [0, 1, 0, 1], [1, 0, 1, 0]
    store, features = made(tmp_path, simple({"x": x}, y > 0), [100] * 40)
    solution = newton.fit(problem_of(store, features, whole(store), l2=0.0), ALONE)
    rate = [y[x == side].mean() for side in (0, 1)]
    wanted = np.log(rate[1] / (1 - rate[1])) - np.log(rate[0] / (1 - rate[0]))
    assert solution.inference["numeric"]["x"]["per_unit"]["estimate"] == pytest.approx(wanted, rel=1e-6)


def test_a_sample_without_weight_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "SAMPLE_ROWS", 200)
    monkeypatch.setattr(sample, "ROWS_A_WEIGHT", 1)
    draw = np.random.default_rng(0)
    columns = {f"c{i:02d}": draw.normal(size=4000) for i in range(20)}
    y = columns["c00"] + draw.logistic(size=4000) > 0
    table = simple(columns, y, (np.arange(4000) < 400).astype(float))
    store, features = made(tmp_path, table, [100] * 40)
    solution = newton.fit(problem_of(store, features, whole(store), l2=1e-3), ALONE)
    assert solution.record["certificate"]["is_proven"]


def test_classes_that_can_be_told_apart_are_noticed_beside_a_bound_too(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    y = np.arange(200) % 2
    table = simple({"noise": draw.normal(size=200), "teller": y * 2.0 + draw.random(200)}, y)
    with pytest.raises(DataError, match="column 'teller' grows without end"):
        fitted(tmp_path, table, l2=0.0, nonnegative=("noise",))

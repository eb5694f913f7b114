"""L-BFGS finds the optimum that Newton's method, scipy and the conditions know, and its bound holds."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.optimize import minimize
from scipy.sparse import csr_matrix, hstack

from binclf.errors import DataError
from binclf.features import Features
from binclf.solvers import lbfgs, newton
from binclf.solvers.bound import gap_of
from binclf.solvers.point import penalty_of
from binclf.solvers.slopes import Slopes
from binclf.solvers.surface import Elastic, Surface
from tests.optimum import ALONE, design_of, made, point_of, problem_of, simple
from tests.trained import people, whole

pytestmark = pytest.mark.usefixtures("many_blocks")


def objective(point: Any, design: Any, rows: Any, l1: float, l2: float) -> tuple[float, Any]:
    """Mean log-loss with its penalty by the definition, and the gradient of what is smooth."""
    y, w = rows.y[:, 0].astype(float), rows.w[:, 0].astype(float)
    z = design @ point
    p = np.exp(-np.logaddexp(0, -z))
    gradient = np.asarray(design.T @ (w * (p - y))).ravel() / w.sum()
    gradient[:-1] += l2 * point[:-1]
    loss = float((w * (np.logaddexp(0, z) - y * z)).sum() / w.sum())
    penalty = l1 * np.abs(point[:-1]).sum() + l2 / 2 * (point[:-1] @ point[:-1])
    return loss + float(penalty), gradient


@pytest.mark.parametrize("l1", [0.0, 1e-3, 2e-2])
@pytest.mark.parametrize("l2", [1e-2, 1e-5, -1.0])
def test_the_optimum_is_newton_s(known: Any, l1: float, l2: float) -> None:
    store, features, rows = known
    task = problem_of(store, features, rows, l1=l1, l2=l2)
    found, best = lbfgs.fit(task, ALONE), newton.fit(task, ALONE)
    l2 = float(penalty_of(task).l2[0])
    design = design_of(features, rows)
    ours, theirs = (objective(point_of(each), design, rows, l1, l2)[0] for each in (found, best))
    assert -1e-13 < ours - theirs < 1e-9
    assert found.record["objective"] == pytest.approx(ours, rel=1e-12)
    assert 1e-9 >= found.record["certificate"]["gap"] >= ours - theirs - 1e-14
    assert found.record["history"][-1]["objective"] <= found.record["history"][0]["objective"]


def test_steps_that_lower_the_objective_go_on_though_the_gradient_gets_no_shorter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(5)
    same = draw.normal(size=2000)
    columns = {f"x{i}": same + 10.0 ** -(1 + i % 3) * draw.normal(size=2000) for i in range(12)}
    store, features = made(tmp_path, simple(columns, same + draw.logistic(size=2000) > 0), [2000])
    task = problem_of(store, features, whole(store), l2=1e-6)
    lengths: list[float] = []
    told = lbfgs.Lbfgs._tell

    def tell(self: Any, state: Any, bound: Any, way: Any) -> None:
        lengths.append(way.square)
        told(self, state, bound, way)

    monkeypatch.setattr(lbfgs.Lbfgs, "_tell", tell)
    monkeypatch.setattr(lbfgs, "STALE", 3)  # as fifty are where there are more such columns
    found, best = lbfgs.fit(task, ALONE), newton.fit(task, ALONE)
    shortest = np.minimum.accumulate(lengths)
    assert any((shortest[i : i + 4] == shortest[i]).all() for i in range(len(lengths) - 5))
    assert found.record["objective"] - best.record["history"][-1]["objective"] < 1e-9


@pytest.mark.parametrize("l1", [0.0, 2e-2])
def test_without_a_tolerance_no_float_is_better(known: Any, l1: float) -> None:
    store, features, rows = known
    task = problem_of(store, features, rows, l1=l1, l2=1e-4, tolerance=0.0)
    found, best = point_of(lbfgs.fit(task, ALONE)), point_of(newton.fit(task, ALONE))
    assert np.abs(found - best).max() < 1e-9
    assert ((found == 0) == (best == 0)).all()
    assert (found == 0).sum() > 3 or not l1


def hashed(folder: Path, bits: int, rows: int = 8_000) -> tuple[Any, Features, Any]:
    """Two numbers with gaps, and three columns of thousands of levels in the same buckets."""
    draw = np.random.default_rng(bits)
    ranks = [(size ** draw.random(rows)).astype(int) for size in (50, 3000, 9000)]
    number = draw.normal(size=rows)
    effects = [draw.normal(size=9001) * 0.7 for _ in ranks]
    z = number + sum(effect[rank] for effect, rank in zip(effects, ranks, strict=True)) - 1
    columns = {f"c{i}": pa.array([f"v{rank}" for rank in own]) for i, own in enumerate(ranks)}
    number[draw.random(rows) < 0.1] = np.nan
    table = simple(
        {"a": number, "b": draw.exponential(size=rows), **columns}, z + draw.logistic(size=rows) > 0
    )
    store, features = made(folder, table, [3000] * 2 + [2000], max_levels=2, hash_bits=bits)
    return store, features, whole(store)


def sparse_design(features: Features, rows: Any) -> Any:
    """As `design_of`, but what is nought is not there."""
    count, columns = rows.ids.shape
    ends = np.arange(count + 1) * columns
    hot = csr_matrix((np.ones(count * columns), rows.ids.ravel(), ends), shape=(count, features.table_size))
    return hstack([csr_matrix(rows.x.astype(float)), hot, csr_matrix(np.ones((count, 1)))], format="csr")


@pytest.mark.slow
@pytest.mark.parametrize(("bits", "l2"), [(12, 1e-4), (18, 1e-4), (18, 1e-6)])
def test_hashed_columns_have_scipy_s_optimum(tmp_path: Path, bits: int, l2: float) -> None:
    store, features, rows = hashed(tmp_path, bits)
    design = sparse_design(features, rows)
    task = problem_of(store, features, rows, l2=l2)
    found = lbfgs.fit(task, ALONE)
    used = np.flatnonzero(design.getnnz(axis=0))  # the weights of all other buckets are nought
    ours, slope = objective(point_of(found), design, rows, 0.0, l2)
    assert abs(slope[-1]) < 1e-12
    assert float(slope[:-1] @ slope[:-1]) / (2 * l2) < 1e-8  # the optimum is as near, as the penalty bends
    if l2 > 1e-5:  # with less of a penalty scipy creeps
        limits = {"maxiter": 300, "maxfun": 400, "ftol": 1e-15, "gtol": 1e-7}
        arguments = (design[:, used], rows, 0.0, l2)
        best = minimize(objective, np.zeros(len(used)), arguments, "L-BFGS-B", jac=True, options=limits)
        assert abs(ours - best.fun) < 1e-8
    assert not point_of(found)[np.setdiff1d(np.arange(design.shape[1]), used)].any()
    assert found.record["passes"] < 100


def test_hashed_columns_with_l1_meet_the_conditions_of_optimality(tmp_path: Path) -> None:
    """They are sufficient, as the objective is convex."""
    store, features, rows = hashed(tmp_path, 12)
    l1, l2 = 1e-3, 1e-4
    found = point_of(lbfgs.fit(problem_of(store, features, rows, l1=l1, l2=l2, tolerance=1e-12), ALONE))
    slope = objective(found, sparse_design(features, rows), rows, l1, l2)[1]
    weights, own = found[:-1], slope[:-1]
    assert abs(slope[-1]) < 1e-7
    assert np.abs(own + l1 * np.sign(weights))[weights != 0].max() < 1e-7
    assert np.abs(own[weights == 0]).max() < l1 + 1e-7
    assert 10 < (weights != 0).sum() < 1000


def test_sums_of_all_rows_are_those_of_the_definition(known: Any) -> None:
    store, features, rows = known
    design, slopes = design_of(features, rows), Slopes(store, features, float(rows.w.sum()), ALONE)
    point = np.random.default_rng(0).normal(size=(1, design.shape[1]))[0] / 4
    totals, gradient = slopes.at(point)
    mean, wanted = objective(point, design, rows, 0.0, 0.0)
    assert totals.loss / totals.weight == pytest.approx(mean, rel=1e-12)
    np.testing.assert_allclose(gradient / totals.weight, wanted, atol=1e-14)
    start = np.zeros(len(point))
    start[-1] = -0.3
    p, w = 1 / (1 + np.exp(0.3)), rows.w[:, 0].astype(float)
    _, _, first = slopes.first(start)
    np.testing.assert_allclose(first.diagonal, (design**2).T @ (w * p * (1 - p)), rtol=1e-12, atol=1e-12)
    positive = design.T @ (w * rows.y[:, 0])
    both = (positive > 0) & (positive < design.T @ w - 1e-9)
    table = slice(features.width, -1)
    assert first.one_sided.tolist() == (~both & (design.T @ w > 0))[table].tolist()


@cache
def least(l1: float, l2: float, folder: Path) -> tuple[Any, Surface, float]:
    """A small problem's surface, and its least objective by Newton's method."""
    store, features = made(folder, people(800, 4), [300, 500], categorical=["code"], log1p=["income"])
    rows = whole(store)
    task = problem_of(store, features, rows, l1=l1, l2=l2, tolerance=0.0)
    best = newton.fit(task, ALONE)
    surface = Surface(Slopes(store, features, task.weight, ALONE), Elastic(l1, l2))
    return point_of(best), surface, best.record["history"][-1]["objective"]


@pytest.mark.parametrize(("l1", "l2"), [(0.0, 1e-1), (0.0, 1e-3), (5e-3, 1e-2)])
def test_a_bound_holds_anywhere_and_is_not_idle_near_the_optimum(
    l1: float, l2: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Where the intercept is off, too, and where almost all rows are told wrong."""
    folder = tmp_path_factory.getbasetemp() / f"bounds-{l1}-{l2}"
    best, surface, lowest = least(l1, l2, folder)
    draw, shares = np.random.default_rng(0), []
    for size in (1e-6, 1e-4, 1e-2, 0.3, 3.0):
        for kind in range(8):
            off = (
                draw.normal(size=len(best))
                * size
                * (np.arange(len(best)) == len(best) - 1 if kind < 3 else 1)
            )
            state = surface.at(best + off * (1 if kind % 2 else -1))
            steep = surface.penalty.steepest(state.point, state.slope)
            lengths = (float(np.linalg.norm(steep[:-1])), abs(float(steep[-1])))
            bound = gap_of(state.totals, lengths, surface.slopes.longest, l2)
            assert bound is not None
            assert bound >= state.objective - lowest - 1e-13
            shares.append(bound / max(state.objective - lowest, 1e-30))
    assert min(shares) < 1e6


def told_apart(folder: Path, **train: Any) -> Any:
    draw = np.random.default_rng(0)
    y = np.arange(200) % 2
    table = simple({"noise": draw.normal(size=200), "teller": y * 2.0 + draw.random(200)}, y)
    store, features = made(folder, table)
    return lbfgs.fit(problem_of(store, features, whole(store), **train), ALONE)


def test_classes_that_can_be_told_apart_end_with_a_name_or_with_the_penalty_s_answer(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="column 'teller' grows without end"):
        told_apart(tmp_path / "free", l2=0.0)
    solution = told_apart(tmp_path / "held", l2=1e-6)
    assert np.isfinite(point_of(solution)).all()
    assert solution.record["train_loss"] < 1e-3
    assert solution.record["certificate"]["is_proven"]


def test_a_level_whose_rows_are_of_one_class_is_named_at_once(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    town = np.array(["Aachen", "Bonn", "Cork"])[draw.integers(0, 3, 400)]
    y = (draw.random(400) < 0.5) | (town == "Cork")
    table = simple({"noise": draw.normal(size=400), "town": pa.array(town.tolist())}, y)
    for hash_bits, words in ((0, "the first of them in column 'town'"), (6, "in the hashed columns")):
        hashing: dict[str, Any] = {"max_levels": 2, "hash_bits": hash_bits} if hash_bits else {}
        store, features = made(tmp_path / str(hash_bits), table, **hashing)
        rows = whole(store)
        with pytest.raises(DataError, match=words):
            lbfgs.fit(problem_of(store, features, rows, l2=0.0), ALONE)
        for penalty in ({"l2": 1e-6}, {"l2": 0.0, "l1": 1e-6}):
            found = lbfgs.fit(problem_of(store, features, rows, **penalty), ALONE)
            assert np.isfinite(point_of(found)).all()
            assert found.record["certificate"]["is_proven"] == ("l1" not in penalty)


def test_more_columns_than_rows(tmp_path: Path) -> None:
    draw = np.random.default_rng(2)
    columns = {f"c{i:02d}": draw.normal(size=30) for i in range(60)}
    store, features = made(tmp_path, simple(columns, np.arange(30) % 2))
    rows = whole(store)
    with pytest.raises(DataError, match="grows without end"):
        lbfgs.fit(problem_of(store, features, rows, l2=0.0), ALONE)
    task = problem_of(store, features, rows, l2=1e-2)
    found, best = lbfgs.fit(task, ALONE), newton.fit(task, ALONE)
    assert found.record["objective"] - best.record["history"][-1]["objective"] < 1e-9


def test_rows_without_weight_do_not_count(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    a = draw.normal(size=800)
    y, w = a + draw.logistic(size=800) > 0, (np.arange(800) % 4 > 0).astype(float)
    town = np.where(w > 0, np.array(["Aachen", "Bonn"])[draw.integers(0, 2, 800)], "Cork")
    y, kept = np.where(w > 0, y, ~y), w > 0
    points: list[float] = []
    for at, weights in ((slice(None), w), (kept, w[kept])):
        columns = {"a": a[at], "town": pa.array(town[at].tolist())}
        store, features = made(tmp_path / str(len(points)), simple(columns, y[at], weights))
        task = problem_of(store, features, whole(store), l2=0.0, tolerance=0.0)
        points.append(lbfgs.fit(task, ALONE).record["train_loss"])
    assert points[0] == pytest.approx(points[1], rel=1e-8)  # numbers are rounded to float32 in other units


def test_columns_that_say_nothing_or_the_same_have_an_optimum_too(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    a = draw.normal(size=600)
    y = a + draw.logistic(size=600) > 0
    columns = {"a": a, "twice": 2 * a, "still": np.full(600, 7.0)}
    store, features = made(tmp_path, simple(columns, y))
    for l2 in (0.0, 1e-4):
        task = problem_of(store, features, whole(store), l2=l2)
        found, best = lbfgs.fit(task, ALONE), newton.fit(task, ALONE)
        assert abs(found.record["train_loss"] - best.record["history"][-1]["train_loss"]) < 1e-9
        assert point_of(found)[2] == 0


def test_a_set_whose_columns_tell_nothing_ends_at_the_base_rate(tmp_path: Path) -> None:
    y = np.arange(100) % 4 == 0
    store, features = made(tmp_path, simple({"still": np.full(100, 7.0)}, y))
    found = lbfgs.fit(problem_of(store, features, whole(store), l2=1e-3), ALONE)
    assert found.weights["bias"][0] == pytest.approx(np.log(1 / 3), rel=1e-12)
    assert np.isfinite(found.record["certificate"]["model_gap"])

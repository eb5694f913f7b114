"""Errors are those of the published formulas, whoever has which rows; tests of columns are the books'."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from binclf.config import Config, Train, parse
from binclf.errors import ConfigError, DataError
from binclf.loader import HeldRows, Source
from binclf.solvers import clusters, cuts, newton
from binclf.solvers.problem import Problem, Solution
from binclf.split import ensure
from binclf.train import learn_features
from binclf.world import join
from tests.coverage_of import covered
from tests.inferred import covariance, drawn, files, fitted, irls, task_of, told_of
from tests.optimum import ALONE, design_of, made, point_of, problem_of, streamed
from tests.ranks import run, small_job
from tests.trained import decoding, people, whole

pytestmark = pytest.mark.usefixtures("many_blocks")

NAMES = ("a", "b")
ROWS = (400, 333, 507)


def tables(seed: int = 0) -> list[pa.Table]:
    """Three files with weights that count nothing, and groups of 1 to 9 rows that lie in all of them."""
    found = [drawn(rows, seed + place, weighted=True) for place, rows in enumerate(ROWS)]
    draw = np.random.default_rng(seed)
    return [table.append_column("who", pa.array(draw.integers(0, 250, len(table)))) for table in found]


def raw(found: list[pa.Table]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Design with the intercept last, labels, weights and groups."""
    table = pa.concat_tables(found)
    y, w, who = (table[name].to_numpy().astype(float) for name in ("y", "w", "who"))
    return np.column_stack([*(table[name].to_numpy() for name in NAMES), np.ones(len(y))]), y, w, who


@pytest.mark.parametrize("errors", ["model", "hc0", "hc1", "clustered"])
def test_errors_are_those_of_the_published_formulas(tmp_path: Path, errors: str) -> None:
    found = tables()
    solution = fitted(tmp_path, found, group="who", l2=0.0, errors=errors)
    design, y, w, who = raw(found)
    wanted = covariance(design, y, w, irls(design, y, w), errors, who)
    assert told_of(solution, NAMES) == pytest.approx(np.sqrt(np.diag(wanted)), rel=1e-6)
    told = solution.inference["errors"]
    assert told["kind"] == errors
    assert told.get("groups") == (len(set(who)) if errors == "clustered" else None)


def test_weights_that_are_copies_have_the_errors_of_their_copies_and_of_hc0_not(tmp_path: Path) -> None:
    """Kinds of errors differ in what a weight means: so many rows to the model, one row to the others."""
    table = drawn(500, 3)
    doubled = pa.concat_tables([table, table])
    weighted = table.append_column("w", pa.array(np.full(500, 2.0)))
    model = [fitted(tmp_path / f"m{i}", [one], l2=0.0) for i, one in enumerate((doubled, weighted))]
    assert told_of(model[0], NAMES) == pytest.approx(told_of(model[1], NAMES), rel=1e-6)
    robust = [
        fitted(tmp_path / f"r{i}", [one], l2=0.0, errors="hc0") for i, one in enumerate((table, weighted))
    ]
    assert told_of(robust[0], NAMES) == pytest.approx(told_of(robust[1], NAMES), rel=1e-6)


def test_groups_of_one_row_are_hc1_but_for_their_factor(tmp_path: Path) -> None:
    found = [t.set_column(t.column_names.index("who"), "who", pa.array(np.arange(len(t)) + 1000 * i))
             for i, t in enumerate(tables())]  # fmt: skip
    one, other = (
        fitted(tmp_path / errors, found, group="who", l2=0.0, errors=errors)
        for errors in ("clustered", "hc1")
    )
    assert told_of(one, NAMES) == pytest.approx(
        told_of(other, NAMES), rel=1e-9
    )  # N / (N - 1) (N - 1) / (N - K)


def test_groups_take_turns_where_memory_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, features = files(tmp_path, tables(), group="who", groups=None)
    task = task_of(store, features, group="who", l2=0.0, errors="clustered")
    once = newton.fit(task, ALONE)
    monkeypatch.setattr(clusters, "ROOM", 8 * 3 * 100)  # 100 groups at a time
    monkeypatch.setattr(clusters, "AT_ONCE", 8 * 3 * 7)
    monkeypatch.setattr(clusters, "LEAST_SORTED", 10)
    turns = newton.fit(task, ALONE)
    assert told_of(turns, NAMES) == pytest.approx(told_of(once, NAMES), rel=1e-12)
    assert turns.record["passes"] == once.record["passes"] + 2
    monkeypatch.setattr(clusters, "MOST_TURNS", 2)
    with pytest.raises(
        DataError, match=r"'who' has 2\d\d groups, whose scores for 3 weights take 6 KiB.*2 passes"
    ):
        newton.fit(task, ALONE)
    monkeypatch.setattr(clusters, "MOST_GROUPS", 20)
    with pytest.raises(DataError, match="more than 20 groups"):
        newton.fit(task, ALONE)


def test_groups_may_be_text_or_missing_and_must_differ(tmp_path: Path) -> None:
    found = tables()
    text = [None if i % 10 == 0 else f"who {i}" for i in raw(found)[3].astype(int)]
    whole_table = pa.concat_tables(found).drop_columns("who").append_column("who", pa.array(text))
    solution = fitted(tmp_path, [whole_table], group="who", l2=0.0, errors="clustered")
    design, y, w, _ = raw(found)
    wanted = covariance(design, y, w, irls(design, y, w), "clustered", [str(one) for one in text])
    assert told_of(solution, NAMES) == pytest.approx(np.sqrt(np.diag(wanted)), rel=1e-6)
    same = whole_table.drop_columns("who").append_column("who", pa.array(["x"] * len(text)))
    with pytest.raises(DataError, match=r"data\.group = 'who' has the same value in all 1,240 training rows"):
        fitted(tmp_path / "same", [same], group="who", errors="clustered")


def test_class_weights_have_errors_of_their_own_kind(tmp_path: Path) -> None:
    """hc0 of the rows as they are weighed."""
    found = tables()
    solution = fitted(tmp_path, found, group="who", l2=0.0, errors="hc0", class_weight="balanced")
    design, y, w, _ = raw(found)
    rate = (w * y).sum() / w.sum()
    w = w * np.where(y > 0, 0.5 / rate, 0.5 / (1 - rate))
    wanted = covariance(design, y, w, irls(design, y, w), "hc0")
    assert told_of(solution, NAMES) == pytest.approx(np.sqrt(np.diag(wanted)), rel=1e-6)


def test_few_rows_beside_the_weights_are_told(tmp_path: Path) -> None:
    table = pa.table({"a": [1.0, 2.0, 3.0], "b": [1.0, 0.0, 2.0], "y": [True, False, True]})
    with pytest.raises(DataError, match=r"rows less weights, and there are 3 rows and 3 weights"):
        fitted(tmp_path, [table], l2=1e-9, errors="hc1")


def dummies(city: list[str], *others: np.ndarray) -> np.ndarray:
    """Each level but the first against it, other columns, and ones."""
    levels = sorted(set(city))
    hot = [np.array([one == level for one in city], float) for level in levels[1:]]
    return np.column_stack([*hot, *others, np.ones(len(city))])


@pytest.mark.parametrize("errors", ["model", "hc0"])
@pytest.mark.parametrize("l2", [0.0, 1e-12])
def test_the_joint_test_of_a_category_is_walds_of_its_dummies(tmp_path: Path, errors: str, l2: float) -> None:
    table = people(1500, 4).select(["age", "city", "w", "bought"]).rename_columns(["age", "city", "w", "y"])
    table = table.drop_null()
    solution = fitted(tmp_path, [table], l2=l2, errors=errors)
    design = dummies(table["city"].to_pylist(), table["age"].to_numpy())
    y, w = table["y"].to_numpy().astype(float), table["w"].to_numpy()
    beta = irls(design, y, w)
    varies = covariance(design, y, w, beta, errors)[:4, :4]
    chi2 = beta[:4] @ np.linalg.solve(varies, beta[:4])
    told = solution.inference["joint"]["city"]
    assert told["df"] == 4
    assert told["chi2"] == pytest.approx(chi2, rel=1e-5)
    assert told["p"] == pytest.approx(stats.chi2.sf(chi2, 4), rel=1e-3)


def test_variance_inflation_is_that_of_the_weighted_regression_on_the_others(tmp_path: Path) -> None:
    table = people(1500, 5).select(["age", "visits", "city", "w", "bought"]).drop_null()
    table = table.append_column(
        "older", pa.array(table["age"].to_numpy() + 3 * table["visits"].to_numpy() ** 0.5)
    )
    table = table.append_column("same", table["older"])
    store, features = made(tmp_path, table.drop_columns("same"))
    rows = whole(store)
    solution = newton.fit(problem_of(store, features, rows, l2=0.0), ALONE)
    design = design_of(features, rows)
    w = rows.w[:, 0].astype(float)
    p = 1 / (1 + np.exp(-design @ point_of(solution)))
    root = np.sqrt(w * p * (1 - p))[:, np.newaxis]
    for place, column in enumerate(features.numeric):
        others = np.delete(design, place, axis=1)
        left = design[:, [place]] * root
        left = left - root * others @ np.linalg.lstsq(root * others, left, rcond=None)[0]
        mean = (root**2 * design[:, [place]]).sum() / (root**2).sum()
        wanted = ((design[:, [place]] - mean) ** 2 * root**2).sum() / (left**2).sum()
        assert solution.inference["variance_inflation"][column.name] == pytest.approx(wanted, rel=1e-6)
    both = newton.fit(problem_of(*made(tmp_path / "both", table), rows, l2=0.0), ALONE)
    inflation = both.inference["variance_inflation"]
    assert (inflation["older"], inflation["same"]) == (None, None)
    assert inflation["visits"] == pytest.approx(solution.inference["variance_inflation"]["visits"], rel=1e-6)


def test_the_covariance_is_that_of_the_entries(tmp_path: Path) -> None:
    table = people(1500, 6)
    store, features = made(tmp_path, table)
    solution = newton.fit(problem_of(store, features, whole(store), errors="hc1"), ALONE)
    found = solution.covariance
    assert found is not None
    assert np.array_equal(found.matrix, found.matrix.T)
    for path, variance in zip(found.paths, np.diag(found.matrix), strict=True):
        entry: Any = solution.inference
        for name in path:
            entry = entry[name]
        if entry["se"] is not None:
            assert entry["se"] == pytest.approx(np.sqrt(variance), rel=1e-12)
    moved = found.without_intercept()
    assert np.isnan(moved.matrix).sum() == 2 * len(found.paths) - 1
    # differences of levels that have no error of their own have one: as of dummies
    first, second = (
        found.paths.index(("categorical", "city", f"level {one}")) for one in ("Aachen", "Celle")
    )
    assert found.matrix[first, first] + found.matrix[second, second] - 2 * found.matrix[first, second] > 0


def test_tiers_have_the_same_bits(tmp_path: Path) -> None:
    store, features = files(tmp_path, tables(), group="who")
    task = task_of(store, features, group="who", errors="clustered")
    assert digest(newton.fit(task, ALONE)) == digest(
        newton.fit(replace(task, train=streamed(store, features)), ALONE)
    )


def digest(solution: Solution) -> str:
    """Of all that is told beside the weights."""
    assert solution.covariance is not None
    told = json.dumps([solution.inference, solution.influence, solution.covariance.names])
    return hashlib.sha256(told.encode() + solution.covariance.matrix.tobytes()).hexdigest()


def on_a_rank(config: Config, exact: bool) -> list[str]:
    """Body: fit on this rank's share; the digests of what is told, with robust errors and clustered ones."""
    cuts.LEAST_ROWS, cuts.ROWS_A_WEIGHT = 20, 0
    if not exact:  # the negative control: what this rank has of each group, as if no other had any
        setattr(clusters._Scores, "everywhere", lambda self: [self.sums * self.unit])  # noqa: B010
    with join("cpu") as world:
        split = ensure(config)
        how = decoding(config, split)
        store = HeldRows(Source(split.parts["train"], how))
        features = learn_features(world, config, how, split, store)
        store.attach(features)
        store.fill(range(len(store.source.group_rows)))
        weight, rate = split.weight("train"), split.base_rate("train")
        found = []
        for errors in ("hc0", "clustered"):
            settings = config.train.model_copy(update={"errors": errors})
            task = Problem(store, None, features, weight, rate, settings, group=config.data.group)
            found.append(digest(newton.fit(task, world)))
        return found


@pytest.mark.slow
def test_any_number_of_ranks_tells_the_same_bits(tmp_path: Path) -> None:
    """With groups that have rows on all of them; without what other ranks have of these it is another."""
    train = {"solver": "newton", "device": "cpu", "lanes": 8}
    config = small_job(tmp_path, data={"group": "town"}, split={"method": "none"}, train=train)
    ensure(config)
    found = [told for ranks in (1, 2, 3) for told in run(ranks, on_a_rank, config=config, exact=True)]
    assert len({tuple(told) for told in found}) == 1
    robust, apart = run(2, on_a_rank, config=config, exact=False)[0]
    assert robust == found[0][0]
    assert apart != found[0][1]


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"train": {"errors": "clustered"}}, r"train\.errors = 'clustered' needs data\.group"),
        ({"train": {"errors": "hc0", "l1": 0.1}}, r"train\.errors has no effect beside train\.l1"),
        ({"train": {"errors": "hc0", "nonnegative": ["a"]}}, "no effect beside train.nonnegative"),
        ({"train": {"errors": "hc0", "epochs": 3}}, r"train\.errors is read by newton and train\.epochs by"),
        ({"train": {"errors": "hc0", "device": "cuda"}}, r"train\.device = 'cuda' has no effect with newton"),
        ({"train": {"solver": "minibatch", "influence": False}}, r"train\.influence has no effect with"),
        ({"train": {"solver": "lbfgs", "influence": False}}, r"train\.influence has no effect with"),
        ({"train": {"solver": "lbfgs", "errors": "hc0"}}, r"train\.errors has no effect with .* 'lbfgs'"),
        ({"train": {"errors": "robust"}}, "errors"),
    ],
)
def test_errors_that_cannot_be_had_are_refused(sections: dict[str, Any], words: str, tmp_path: Path) -> None:
    config = {"name": "a", "store": str(tmp_path), "data": {"path": "x", "label": "y"}, **sections}
    with pytest.raises(ConfigError, match=words):
        parse(config)


def test_errors_ask_for_the_solver_that_tells_them() -> None:
    """Where auto chooses; whether files are judged leaves it the choice."""
    assert Train(errors="hc0").asked == "newton"
    assert Train(influence=False).asked == "auto"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["model", "hc0", "clustered"])
def test_intervals_cover_the_truth_about_as_often_as_they_say(tmp_path: Path, kind: str) -> None:
    """The acceptance has a thousand fits, and narrow bounds; of 60 with 2 slopes, 0.95 +- 0.08."""
    share = np.mean([covered(tmp_path / str(seed), seed, kind) for seed in range(60)])
    assert share >= 0.87

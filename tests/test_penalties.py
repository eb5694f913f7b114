"""The penalty that validation rows choose: against scikit-learn, on any ranks, and after a kill."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression as Reference
from sklearn.metrics import log_loss

from binclf.config import Train, parse
from binclf.errors import ConfigError, DataError
from binclf.plan import foresee
from binclf.report import penalty
from binclf.retrain import retrain
from binclf.solvers import approach, lbfgs, newton, penalties
from binclf.solvers.penalties import STEP, Solver, chosen, mean_log_loss, strengths
from binclf.solvers.problem import Problem
from tests.optimum import ALONE, PEOPLE, design_of, point_of, problem_of
from tests.ranks import small_job
from tests.trained import on_disk, people, settings, stores, whole, write

NEWTON = Solver(newton.approached, newton.looked_at, "0.1 standard errors")
LBFGS = Solver(approach.approached, approach.looked_at, "a small gap")
TRAIN: dict[str, Any] = {"solver": "newton", "device": "cpu", "lanes": 8}


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Some hundred rows and a few columns, so that a penalty matters: problem, and both parts' rows."""
    folder = tmp_path_factory.mktemp("few")
    write(folder / "data" / "a.parquet", people(600, 4), [100, 0, 300, 200])
    config = settings(
        folder / "data", folder / "store", features=PEOPLE,
        split={"validation_fraction": 0.3, "test_fraction": 0.1}, train={"solver": "newton", "epochs": 20},
    )  # fmt: skip
    _, features, found = stores(config)
    rows = {part: whole(store) for part, store in found.items()}
    problem = problem_of(found["train"], features, rows["train"])
    return replace(problem, validation=found["validation"]), rows


def tried(problem: Problem, **train: Any) -> tuple[Problem, dict[str, Any]]:
    """The path's choice and its record."""
    asked = Train(**{**TRAIN, "choose_l2": True, **train})
    return chosen(replace(problem, settings=asked), NEWTON, ALONE, None)


def reference(problem: Problem, rows: Any, l2: float) -> np.ndarray:
    """scikit-learn's weights beside a penalty."""
    design, w = design_of(problem.features, rows), rows.w[:, 0].astype(float)
    found = Reference(C=1 / (l2 * w.sum()), solver="newton-cholesky", tol=1e-12, max_iter=1000)
    found.fit(design[:, :-1], rows.y[:, 0], sample_weight=w)
    return np.append(found.coef_[0], found.intercept_[0])


def losses_of(point: np.ndarray, problem: Problem, rows: Any) -> tuple[float, float]:
    """scikit-learn's log-loss, and the standard error by its definition."""
    z = design_of(problem.features, rows) @ point
    y, w = rows.y[:, 0].astype(float), rows.w[:, 0].astype(float)
    losses = np.logaddexp(0, z) - y * z
    mean = log_loss(y, 1 / (1 + np.exp(-z)), sample_weight=w)
    return mean, float(np.sqrt((w**2 * (losses - mean) ** 2).sum()) / w.sum())


def test_each_penalty_is_judged_as_scikit_learn_would_and_the_best_is_taken(few: Any) -> None:
    problem, rows = few
    best, record = tried(problem)
    found = record["tried"]
    assert len(found) > 4
    for one in found:
        point = reference(problem, rows["train"], one["l2"])
        loss, error = losses_of(point, problem, rows["validation"])
        # a step of length a = NEAR / sqrt(n) in the norm of the Hessian moves the loss of m other rows by
        # about a sqrt(p / m): with p = 17 and n = 420, a tenth of that loss's own standard error at most
        assert one["log_loss"] == pytest.approx(loss, abs=error / 10)
        assert one["error"] == pytest.approx(error, rel=0.02)
        # (the penalty's pull is the slope of the loss there: at most some 0.2 in that norm, times a = 0.005)
        assert one["train_loss"] == pytest.approx(losses_of(point, problem, rows["train"])[0], abs=1e-3)
    least = min(found, key=lambda one: one["log_loss"])
    assert found[record["taken"]] == least
    assert best.settings.l2 == least["l2"]
    final = newton.fit(best, ALONE)
    assert final.record["l2"] == least["l2"]
    theirs = reference(problem, rows["train"], least["l2"])
    assert np.abs(point_of(final) - theirs).max() < 1e-5


def test_a_penalty_costs_one_or_two_passes(few: Any) -> None:
    _, record = tried(few[0])
    assert all(1 <= one["passes"] <= 2 for one in record["tried"][1:])


def test_the_one_standard_error_rule_takes_the_strongest_that_may_be_as_good(few: Any) -> None:
    best, record = tried(few[0], l2_rule="one_standard_error")
    found = record["tried"]
    least = min(found, key=lambda one: one["log_loss"])
    within = [one for one in found if one["log_loss"] <= least["log_loss"] + least["error"]]
    assert found[record["taken"]] == max(within, key=lambda one: one["l2"])
    assert best.settings.l2 > least["l2"]


def test_the_path_goes_down_by_half_decades_and_ends_where_nothing_is_gained(few: Any) -> None:
    weight = few[0].weight
    asked = strengths(weight)
    assert asked[0] == 1.0
    assert 0.1 / weight / STEP <= asked[-1] <= 0.1 / weight * (1 + 1e-9)
    assert np.allclose(np.diff(np.log(asked)), -np.log(STEP))
    _, record = tried(few[0])
    found = record["tried"]
    assert [one["l2"] for one in found] == asked[: len(found)]
    best = int(np.argmin([one["log_loss"] for one in found]))
    assert len(found) == min(best + 1 + penalties.PATIENCE, len(asked))


def test_beside_l1_both_keep_their_ratio(few: Any) -> None:
    best, record = tried(few[0], l1=2e-3, l2=1e-3)
    assert [one["l1"] / one["l2"] for one in record["tried"]] == pytest.approx([2.0] * len(record["tried"]))
    assert record["tried"][0]["l1"] == 1.0
    assert best.settings.l1 == record["tried"][record["taken"]]["l1"] > 0
    assert newton.fit(best, ALONE).record["l1"] == best.settings.l1


def test_lbfgs_finds_the_same_path_and_takes_the_same_penalty(few: Any) -> None:
    problem, rows = few
    best, record = tried(problem)
    asked = replace(problem, settings=Train(**{**TRAIN, "solver": "lbfgs", "choose_l2": True}))
    wide, found = chosen(asked, LBFGS, ALONE, None)
    assert [one["l2"] for one in found["tried"]] == [one["l2"] for one in record["tried"]]
    assert wide.settings.l2 == best.settings.l2
    for one in found["tried"]:
        loss, error = losses_of(reference(problem, rows["train"], one["l2"]), problem, rows["validation"])
        assert one["log_loss"] == pytest.approx(loss, abs=error / 10)
        assert one["passes"] < 20
    assert np.abs(point_of(lbfgs.fit(wide, ALONE)) - point_of(newton.fit(best, ALONE))).max() < 1e-2


@pytest.mark.parametrize("after", [1, 3])
@pytest.mark.parametrize(
    ("solver", "l1"), [("newton", 0.0), ("lbfgs", 0.0), ("lbfgs", 1e-3)], ids=["newton", "lbfgs", "l1"]
)
def test_a_path_that_was_cut_off_goes_on_to_the_same_bits(
    few: Any, solver: str, l1: float, after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    way, fit = (NEWTON, newton.fit) if solver == "newton" else (LBFGS, lbfgs.fit)
    asked = {**TRAIN, "solver": solver, "choose_l2": True} | ({"l1": l1, "l2": 1e-3} if l1 else {})
    problem = replace(few[0], settings=Train(**asked))
    whole_path, record = chosen(problem, way, ALONE, None)
    keep, kept = penalties._Path._keep, []

    def cut(path: Any) -> None:
        keep(path)
        kept.append(path)
        if len(kept) == after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(penalties._Path, "_keep", cut)
        with pytest.raises(KeyboardInterrupt):
            chosen(problem, way, ALONE, tmp_path)
    again, told = chosen(problem, way, ALONE, tmp_path)
    assert told == record
    assert np.array_equal(point_of(fit(again, ALONE)), point_of(fit(whole_path, ALONE)))
    monkeypatch.setattr(penalties._Path, "_try", partial(pytest.fail, "it was done"))
    assert chosen(problem, way, ALONE, tmp_path)[1] == record  # a path that is done is not done again


def test_the_loss_is_the_same_in_streams_and_shifted(few: Any) -> None:
    problem, rows = few
    point = np.random.default_rng(0).normal(size=len(reference(problem, rows["train"], 1e-3)))
    width = problem.features.width
    for shift in (0.0, -1.5):
        found = mean_log_loss(point, width, problem.validation, ALONE, shift)
        moved = np.append(point[:-1], point[-1] + shift)
        assert found == pytest.approx(losses_of(moved, problem, rows["validation"]), rel=1e-6)


def test_settings_that_have_no_effect_or_no_rows_are_refused(few: Any, tmp_path: Path) -> None:
    config = small_job(tmp_path).model_dump()
    for train, words in (
        ({"choose_l2": True, "l2": 1e-3}, "train.l2 has no effect with train.choose_l2"),
        ({"l2_rule": "one_standard_error"}, "has no effect without train.choose_l2"),
        ({"choose_l2": True, "solver": "minibatch"}, "train.choose_l2 has no effect"),
    ):
        with pytest.raises(ConfigError, match=words):
            parse(config | {"train": train})
    with pytest.raises(ConfigError, match=r"set split\.validation_fraction"):
        parse(config | {"train": {"choose_l2": True}, "split": {"validation_fraction": 0.0}})
    parse(config | {"train": {"choose_l2": True, "l1": 1e-3, "l2": 1e-3}})
    with pytest.raises(DataError, match="there are none"):
        tried(replace(few[0], validation=None))


def noisy(folder: Path) -> dict[str, Any]:
    """A column of two hundred levels that say next to nothing, as tail numbers do: 3,000 rows."""
    random = np.random.default_rng(5)
    x, level = random.normal(size=3000), random.integers(0, 200, 3000)
    effect = random.normal(scale=0.1, size=200)[level]
    table = pa.table(
        {
            "x": x,
            "tail": [f"N{number:03d}" for number in level],
            "late": random.random(3000) < 1 / (1 + np.exp(-x - effect)),
        }
    )
    write(folder / "data" / "a.parquet", table, [1000, 2000])
    return {
        "name": "noisy", "store": str(folder / "store"), "registry": {"uri": "off"},
        "data": {"path": str(folder / "data"), "label": "late"}, "features": {"min_count": 2},
    }  # fmt: skip


@pytest.mark.slow
def test_one_model_on_any_ranks_and_better_than_without_the_choice(tmp_path: Path) -> None:
    config = noisy(tmp_path)
    plain = on_disk(retrain(parse(config | {"train": {"solver": "newton", "ranks": 1}})))
    found: list[bytes] = []
    ways: list[dict[str, Any]] = [{"ranks": 1}, {"ranks": 2, "cache": "none"}]
    for train in ways:
        run = on_disk(retrain(parse(config | {"train": {"choose_l2": True, **train}})))
        record = json.loads((run / "model.json").read_text())["training"]
        found.append((run / "model.safetensors").read_bytes() + json.dumps(record["penalties"]).encode())
    assert found[0] == found[1]
    assert record["l2"] == record["penalties"]["tried"][record["penalties"]["taken"]]["l2"]
    losses = [json.loads((one / "metrics.json").read_text())["test"]["log_loss"] for one in (plain, run)]
    assert losses[1] < losses[0] - 0.01
    assert "The choice of the penalty" in (run / "report.html").read_text()
    assert "The choice of the penalty" not in (plain / "report.html").read_text()


def test_the_report_tells_the_path_and_where_it_ends() -> None:
    run: Any = SimpleNamespace(record={"training": {}})
    assert penalty.section(run) is None
    entry: dict[str, Any] = {
        "l1": 0.0,
        "l2": 0.1,
        "passes": 2,
        "train_loss": 0.5,
        "log_loss": 0.52,
        "error": 0.01,
    }
    others = [entry | {"l2": 0.03, "log_loss": 0.51}, entry | {"l2": 0.01, "log_loss": 0.53}]
    path: dict[str, Any] = {"rule": "least", "rows": 1234, "tried": [entry, *others], "taken": 1}
    run.record = {"training": {"penalties": path}}
    section: Any = penalty.section(run)
    words, charts, table = section.blocks
    assert "l2 = 0.03" in words.lines[0]
    assert "1,234" in words.lines[0]
    assert "<svg" in charts.charts[0].svg
    assert [row[0].note for row in table.rows] == ["", "taken", ""]
    assert table.heads[:2] == ("l2", "Log-loss of validation")
    path["taken"] = 0
    section = penalty.section(run)
    assert "beyond it none was tried" in section.blocks[1].lines[0]
    path["tried"] = [one | {"l1": 2 * one["l2"]} for one in (entry, *others)]
    section = penalty.section(run)
    assert section.blocks[-1].heads[:2] == ("l2", "l1")


def test_a_plan_tells_the_passes_of_a_path(tmp_path: Path) -> None:
    config = small_job(tmp_path).model_dump()
    without = foresee(parse(config | {"train": {"solver": "newton"}}), 1)["passes"]
    found = foresee(parse(config | {"train": {"choose_l2": True}}), 1)["passes"]
    tried = found["judge_l2"]
    assert found == without | {"choose_l2": 2 * tried, "judge_l2": tried}
    assert 8 <= tried <= len(strengths(1031))

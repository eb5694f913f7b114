"""The file that disagrees is named, the others are not, and each moved the model as far as is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from binclf.loader import HeldRows
from binclf.loader.process import Peak
from binclf.objective import l2_of
from binclf.solvers import findings, influence, newton
from binclf.solvers.choice import Choice
from binclf.solvers.portions import units_of
from binclf.solvers.problem import Problem, Solution
from binclf.solvers.solve import solved
from tests.inferred import drawn, files, fitted, task_of, told_of
from tests.optimum import ALONE, design_of, point_of
from tests.planted import planted, world
from tests.trained import whole

pytestmark = pytest.mark.usefixtures("many_blocks")


def by_file(solution: Solution) -> dict[str, Mapping[str, Any]]:
    return {entry["file"]: entry for entry in solution.influence["worst"]}


def test_the_statistic_is_that_of_the_definition(tmp_path: Path) -> None:
    """From one-hot designs, and free of the penalty's pull, which is strong here."""
    sizes = [700, 900, 1500, 4000]
    tables = [world(rows, place, columns=3) for place, rows in enumerate(sizes)]
    store, features = files(tmp_path, tables)
    for l2 in (1e-6, 1e-1):
        solution = newton.fit(task_of(store, features, l2=l2), ALONE)
        design, y = design_of(features, whole(store)), whole(store).y[:, 0]
        tested = (design != 0).sum(axis=0) > 100  # not the missing and rare levels, which no row has
        design, point = design[:, tested], point_of(solution)[tested]
        p = 1 / (1 + np.exp(-design @ point))
        hessian, slopes = (design.T * (p * (1 - p))) @ design, design * (p - y)[:, np.newaxis]
        inverse = np.linalg.pinv(hessian, rcond=1e-10, hermitian=True)
        told, first = by_file(solution), 0
        for place, rows in enumerate(sizes):
            own = slice(first, first + rows)
            first += rows
            curved = (design[own].T * (p * (1 - p))[own]) @ design[own]
            rest = slopes[own].sum(axis=0) - curved @ inverse @ slopes.sum(axis=0)
            varies = curved - curved @ inverse @ curved
            statistic = rest @ np.linalg.pinv(varies, rcond=1e-9, hermitian=True) @ rest
            entry = told[f"part-{place:03}.parquet"]
            assert entry["statistic"] == pytest.approx(statistic, rel=1e-5)
            assert entry["freedom"] == np.linalg.matrix_rank(varies, hermitian=True, tol=1e-6) == 7
            assert entry["p"] == pytest.approx(stats.chi2.sf(entry["statistic"], 7), rel=1e-9)
            assert entry["rows"] == rows


@pytest.mark.parametrize("l2", [0.0, 1e-3])
def test_a_file_moved_coefficients_by_about_what_a_training_without_it_shows(
    tmp_path: Path, l2: float
) -> None:
    """To first order: the rest is the square of what was moved."""
    tables = [drawn(2000, place, shift=0.25 * (place == 2)) for place in range(5)]
    with_all = fitted(tmp_path / "all", tables, l2=l2)
    without = fitted(tmp_path / "without", tables[:2] + tables[3:], l2=l2)
    entry = by_file(with_all)["part-002.parquet"]
    assert with_all.influence["worst"][0] == entry
    assert len(entry["moved"]) == 3
    for move in entry["moved"]:
        one, other = (entry_at(solution, move["path"]) for solution in (with_all, without))
        moved = (one["estimate"] - other["estimate"]) / one["se"]
        assert move["errors"] == pytest.approx(moved, abs=0.02)


def entry_at(solution: Solution, path: list[str]) -> Any:
    found: Any = solution.inference
    for name in path:
        found = found[name]
    return found


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "penalised": {"l2": 0.05},
    "lasso": {"l1": 1e-3},
    "class weights": {"class_weight": "balanced"},
    "row weights": {},
}


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_files_that_are_alike_have_uniform_p(
    tmp_path: Path, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3 trainings of 64 files, of very different sizes, by the test of Kolmogorov and Smirnov."""
    monkeypatch.setattr(influence, "KEPT", 64)
    found: list[float] = []
    for seed in range(3):
        sizes = np.random.default_rng(seed).integers(200, 2000, 64)
        weighted = variant == "row weights"
        tables = [
            drawn(int(rows), 100 * seed + place, weighted=weighted, shift=-1.5)
            for place, rows in enumerate(sizes)
        ]
        solution = fitted(tmp_path / str(seed), tables, **VARIANTS[variant])
        assert len(solution.influence["worst"]) == 64
        found += [entry["p"] for entry in solution.influence["worst"]]
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert min(found) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_file_with_flipped_labels_is_named_first_and_no_other(tmp_path: Path, seed: int) -> None:
    """The acceptance has 20 seeds."""
    wrong, told = planted(tmp_path / "planted", seed)
    first, *others = told["worst"]
    assert first["file"] == wrong
    assert first["p"] < 1e-4 < min(entry["p"] for entry in others)
    assert told["tests"] == 16
    assert told["beyond_chance"] >= 1


def test_small_files_are_judged_together_and_a_lone_file_by_its_row_groups(tmp_path: Path) -> None:
    store, features = files(tmp_path / "small", [drawn(40, place) for place in range(10)])
    assert units_of(store.source, 3) == [range(3), range(3, 6), range(6, 9), range(9, 10)]
    told = newton.fit(task_of(store, features), ALONE).influence
    assert told["of"] == "files"
    assert {(e["file"], e["last_file"], e["files"], e["rows"]) for e in told["worst"]} >= {
        ("part-003.parquet", "part-005.parquet", 3, 120),
        ("part-009.parquet", "part-009.parquet", 1, 40),
    }
    lone, features = files(tmp_path / "lone", [drawn(1000, 1)], groups=[300, 0, 50, 650])
    told = newton.fit(task_of(lone, features), ALONE).influence
    assert told["of"] == "row groups"
    assert sorted(tuple(entry["row_groups"]) for entry in told["worst"]) == [(0, 0), (1, 3)]
    only, features = files(tmp_path / "only", [drawn(1000, 1)])
    assert newton.fit(task_of(only, features), ALONE).influence == {}


def test_what_one_file_alone_tells_is_neither_tested_nor_told_as_moved(tmp_path: Path) -> None:
    """A weight that is one file's own fits there, and without the file nothing would be known of it."""
    tables = [world(3000, place, columns=2) for place in range(4)]
    numbers = np.random.default_rng(0).normal(size=3000)
    tables = [t.append_column("extra", pa.array(numbers * (i == 1))) for i, t in enumerate(tables)]
    solution = fitted(tmp_path, tables, l2=0.0)
    told = by_file(solution)
    assert told["part-001.parquet"]["freedom"] == 6  # two numbers and four levels
    assert told["part-000.parquet"]["freedom"] == 6
    moved = {tuple(move["path"]) for move in told["part-001.parquet"]["moved"]}
    assert moved == {("numeric", "x0", "per_unit"), ("numeric", "x1", "per_unit")}
    assert ("numeric", "extra", "per_unit") in {
        tuple(move["path"]) for move in told["part-000.parquet"]["moved"]
    }


def test_a_pass_that_loses_rows_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, features = files(tmp_path, [drawn(600, place) for place in range(3)])
    task: Problem = task_of(store, features)
    kept, found = HeldRows.kept, findings.findings_of

    def late(*arguments: Any) -> Any:
        monkeypatch.setattr(HeldRows, "kept", lambda self, group: kept(self, group).between(0, 599))
        return found(*arguments)

    monkeypatch.setattr(newton, "findings_of", late)
    with pytest.raises(AssertionError, match="a pass saw 1797 rows of 1800"):
        newton.fit(task, ALONE)


def test_beside_a_penalty_that_was_chosen_all_is_told_of_that_one_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of few rows and many columns, so that the penalty holds the weights that files move."""
    store, features = files(tmp_path / "train", [world(150, place, columns=20) for place in range(4)])
    others, _ = files(tmp_path / "others", [world(600, 9, columns=20)])
    others.attach(features)
    asked: list[Problem] = []

    def counted(problem: Problem, *rest: Any) -> findings.Findings:
        asked.append(problem)
        return findings.findings_of(problem, *rest)

    monkeypatch.setattr(newton, "findings_of", counted)
    monkeypatch.setattr("binclf.solvers.portions.ROWS_A_WEIGHT", 1)
    task = replace(task_of(store, features, choose_l2=True, errors="hc0"), validation=others)
    found = solved(Choice("newton", "", is_path=True), task, ALONE, None, Peak())
    assert len(found.record["penalties"]["tried"]) > 4
    assert len(asked) == 1
    assert found.record["passes"] == len(found.record["history"]) + 2
    assert found.record["l2"] > 5 * l2_of(-1.0, task.weight)
    same = newton.fit(task_of(store, features, l2=found.record["l2"], errors="hc0"), ALONE)
    names = [column.name for column in features.numeric]
    assert told_of(found, names) == pytest.approx(told_of(same, names), rel=1e-5)
    assert len(same.influence["worst"]) == 4
    for one, other in zip(found.influence["worst"], same.influence["worst"], strict=True):
        assert one["file"] == other["file"]
        assert one["statistic"] == pytest.approx(other["statistic"], rel=1e-5)
        moves = [{tuple(m["path"]): m["errors"] for m in entry["moved"]} for entry in (one, other)]
        assert moves[0] == pytest.approx(moves[1], rel=1e-4)


def test_it_can_be_left_out(tmp_path: Path) -> None:
    tables = [drawn(600, place) for place in range(3)]
    with_it, without = (fitted(tmp_path / str(one), tables, influence=one) for one in (True, False))
    assert not without.influence
    assert with_it.record["passes"] == without.record["passes"] + 1

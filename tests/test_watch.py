"""Rows that are watched while they are scored: one verdict, however often and by however many they are."""

from __future__ import annotations

import json
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from binclf import artifact
from binclf.cli.options import parse
from binclf.drift.page import html
from binclf.drift.run import drift, of_watch, told_of
from binclf.drift.words import markdown_of
from binclf.errors import ConfigError, DataError
from binclf.parquet import Rows
from binclf.profile import Watch
from binclf.score import conclude
from binclf.score import score as score_rows
from tests.trained import people, write

watching = import_module("binclf.profile.watch")
scoring = import_module("binclf.score.run")


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """Four files of two row groups; in the last two incomes are in cents."""
    for number in range(4):
        table = people(200, seed=number + 3).drop_columns("bought")
        write(tmp_path / "new" / f"{number}.parquet", cents(table) if number > 1 else table, [120, 80])
    return tmp_path / "new"


def cents(table: Any) -> Any:
    place = table.schema.get_field_index("income")
    return table.set_column(place, "income", pc.multiply(table.column("income"), 1e6))


def warning(run: Path, folder: Path) -> Path:
    """A copy of a run that only warns."""
    copy = folder / run.name
    shutil.copytree(run, copy)
    (copy / artifact.MANIFEST).unlink()
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"drift": {"on_skew": "warn"}}))
    artifact.seal(copy)
    return copy


def seen(output: Path) -> list[str]:
    return [path.name for path in output.glob("*") if not path.name.startswith(("_receipts", "_staging"))]


def killed(patch: pytest.MonkeyPatch, *asked: Any) -> None:
    """All parts are scored, and then the process is gone."""

    def gone(*_: Any) -> None:
        raise KeyboardInterrupt

    with patch.context() as own:
        own.setattr(scoring, "_sealed", gone)
        with pytest.raises(KeyboardInterrupt):
            score_rows(*asked)


def test_a_kill_between_scoring_and_the_verdict_lets_nothing_through(
    trained_run: Path, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(monkeypatch, trained_run, new, tmp_path / "out")
    for again in (score_rows, score_rows, conclude):
        with pytest.raises(DataError, match="'income' is typically"):
            again(trained_run, new, tmp_path / "out")
        assert seen(tmp_path / "out") == []


def test_the_verdict_is_the_same_by_one_call_and_by_shares(
    trained_run: Path, new: Path, tmp_path: Path
) -> None:
    told = []
    with pytest.raises(DataError) as caught:
        score_rows(trained_run, new, tmp_path / "whole")
    told.append(str(caught.value))
    assert score_rows(trained_run, new, tmp_path / "shared", part="2/2")["waiting_for"] == 2
    for share in ("1/2", "2/2"):
        with pytest.raises(DataError) as caught:
            score_rows(trained_run, new, tmp_path / "shared", part=share)
        told.append(str(caught.value))
    with pytest.raises(DataError) as caught:
        conclude(trained_run, new, tmp_path / "shared")
    assert {*told, str(caught.value)} == {told[0]}
    assert seen(tmp_path / "shared") == []


def test_what_is_mended_is_scored_and_the_rest_was(trained_run: Path, new: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        score_rows(trained_run, new, tmp_path / "out")
    for number in (2, 3):
        write(new / f"{number}.parquet", people(200, seed=number + 3).drop_columns("bought"), [120, 80])
    receipt = score_rows(trained_run, new, tmp_path / "out")
    assert (receipt["rows"], receipt["scored_before"], receipt["skewed"]) == (800, 2, [])


def test_a_new_file_of_a_growing_folder_is_watched(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "SAMPLE", 200)  # one row group of five is looked at
    for number in range(5):
        write(tmp_path / "new" / f"{number}.parquet", people(200, seed=number + 3))
    assert score_rows(trained_run, tmp_path / "new", tmp_path / "out")["skewed"] == []
    write(tmp_path / "new" / "6.parquet", cents(people(200, seed=9)))
    with pytest.raises(DataError, match="in 200 rows: has its unit changed"):
        score_rows(trained_run, tmp_path / "new", tmp_path / "out")
    assert not (tmp_path / "out" / "6.parquet").exists()


def test_a_sample_is_spread_over_what_is_new(trained_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "SAMPLE", 100)
    run, watch = artifact.open_run(trained_run), Watch(is_sample=True)
    watch.begin(run, scoring.golden.model_of(run), range(7, 17), 350)
    assert [number for number in range(20) if watch.lacks(number)] == [7, 10, 13, 16]


def test_skew_that_only_warns_is_told_by_whoever_commits_and_ever_after(
    trained_run: Path, new: Path, tmp_path: Path
) -> None:
    run, out = warning(trained_run, tmp_path / "runs"), tmp_path / "out"
    for share in ("2/2", "1/2"):
        score_rows(run, new, out, part=share)
    receipts = [conclude(run, new, out), score_rows(run, new, out)]
    for receipt in receipts:
        assert [skew["column"] for skew in receipt["skewed"]] == ["income"]
    assert [receipt.get("scored_before") for receipt in receipts] == [None, 4]  # which conclude cannot know


def test_a_watch_sees_all_that_is_committed_whoever_scored_it(
    trained_run: Path, new: Path, tmp_path: Path
) -> None:
    run, watch = warning(trained_run, tmp_path / "runs"), Watch()
    expected = drift(run, new)
    score_rows(run, new, tmp_path / "out", part="2/2")
    score_rows(run, new, tmp_path / "out", observers=[watch])
    found = of_watch(watch, str(new))
    assert found is not None
    assert {**found.as_json(), "data": ""} == {key: {**expected, "data": ""}[key] for key in found.as_json()}
    write(tmp_path / "other.parquet", people(50, seed=9))
    score_rows(run, tmp_path / "other.parquet", tmp_path / "others", observers=[watch])  # and begins anew
    again = of_watch(watch, "")
    assert again is not None
    assert again.rows == 50
    with pytest.raises(ConfigError, match="2 watches"):
        score_rows(run, new, tmp_path / "more", observers=[watch, Watch()])


def test_who_commits_can_tell_the_drift_of_what_others_have_scored(
    trained_run: Path, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, expected = warning(trained_run, tmp_path / "runs"), Watch()
    score_rows(run, new, tmp_path / "whole", observers=[expected])
    for part in ("2/2", "1/2"):
        watch = Watch(is_sample=True)
        score_rows(run, new, tmp_path / "shared", part=part, observers=[watch])
    assert of_watch(watch, "") == of_watch(expected, "")  # by the part that was last
    late = Watch()
    conclude(run, new, tmp_path / "shared", watch=late)
    assert of_watch(late, "") is None  # nothing was new
    killed(monkeypatch, run, new, tmp_path / "killed")
    conclude(run, new, tmp_path / "killed", watch=late)
    assert of_watch(late, "") == of_watch(expected, "")


def test_the_drift_of_a_sample_says_of_how_many_rows(
    trained_run: Path, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, watch = warning(trained_run, tmp_path / "runs"), Watch(is_sample=True)
    monkeypatch.setattr(watching, "SAMPLE", 400)  # every second row group, of 120 rows
    score_rows(run, new, tmp_path / "out", observers=[watch])
    found = of_watch(watch, "new")
    assert found is not None
    assert (found.rows, found.sample_of) == (480, 800)
    assert "480 rows, a sample of the 800 of new, beside" in markdown_of(found)
    assert "480, a sample of the 800" in html(found)
    assert told_of(found)["sample_of"] == 800
    assert drift(run, new)["sample_of"] == 0


class Unhashable:
    """An observer of which no set can be made."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self.rows = 0

    def see(self, number: int, rows: Rows, logits: npt.NDArray[np.float64]) -> None:
        """One row group."""
        self.rows += len(rows)


def test_an_observer_need_not_be_hashable(trained_run: Path, tmp_path: Path) -> None:
    observer = Unhashable()
    score_rows(trained_run, write(tmp_path / "a.parquet", people(50)), tmp_path / "out", observers=[observer])
    assert observer.rows == 50


def test_rows_that_are_left_out_are_not_shown_to_a_watch(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = people(200, seed=8)
    incomes = table.column("income").to_pylist()
    incomes[3] = float("inf")
    place = table.schema.get_field_index("income")
    source = write(tmp_path / "a.parquet", table.set_column(place, "income", [incomes]))
    told, watch = ["score.on_bad_row=quarantine"], Watch()
    killed(monkeypatch, trained_run, source, tmp_path / "out", told)
    receipt = score_rows(trained_run, source, tmp_path / "out", told, observers=[watch])
    assert (receipt["rows"], receipt["scored_before"], watch.observation.rows) == (199, 1, 199)
    assert pq.read_table(tmp_path / "out" / "a.parquet").num_rows == 199


def test_a_page_that_is_not_written_is_told(
    trained_run: Path, new: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in (2, 3):
        (new / f"{number}.parquet").unlink()
    page = tmp_path / "drift.html"
    options = parse(["score", str(trained_run), str(new), str(tmp_path / "out"), "--drift", str(page)])
    assert (options.run(options)["drift"] or "").startswith("score")
    page.unlink()
    assert options.run(options)["drift"] is None
    assert not page.exists()
    assert "drift.html is not written" in caplog.text

"""What is read is what was meant: not our own output, no file twice, none that changed meanwhile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from binclf import artifact, split
from binclf.errors import BusyError, DataError
from binclf.evaluate import evaluate
from binclf.parquet import find
from binclf.retrain import fit, retrain
from binclf.split import deal
from tests import made


def test_a_store_inside_the_data_is_never_read_as_input(tmp_path: Path) -> None:
    made.write(tmp_path / "a.parquet", made.mixed(400))
    config = made.config(tmp_path, tmp_path / "runs")
    assert [split.ensure(config).receipt["rows"] for _ in range(3)] == [400, 400, 400]


@pytest.mark.parametrize("pattern", ["**", "**/*", "*", "**/*.parquet"])
def test_a_glob_finds_each_file_once(pattern: str, tmp_path: Path) -> None:
    for name in ("x/a.parquet", "x/y/b.parquet", "x/y/z/c.parquet"):
        made.write(tmp_path / name, made.mixed(5))
    found = [file.relative for file in find(tmp_path / pattern).files]
    assert found == ["x/a.parquet", "x/y/b.parquet", "x/y/z/c.parquet"]


def test_a_file_that_changes_after_it_was_fingerprinted_is_refused(tmp_path: Path) -> None:
    path = made.write(tmp_path / "a.parquet", made.mixed(300))
    config = made.config(path, tmp_path / "runs")
    task = split.plan(config).tasks[0]
    content = path.read_bytes()
    made.write(path, made.mixed(300, seed=9))
    with pytest.raises(DataError, match=r"a\.parquet changed or went while it was being split"):
        split.perform(task, split.home(config))
    path.write_bytes(content)
    assert split.ensure(config).receipt["rows"] == 300


def test_a_file_that_changes_before_it_is_trained_on_is_refused(tmp_path: Path) -> None:
    path = made.write(tmp_path / "a.parquet", made.mixed(300))
    run = artifact.begin(made.config(path, tmp_path / "runs", split={"method": "none"}))
    made.write(path, made.mixed(300, seed=9))
    with pytest.raises(DataError, match=r"a\.parquet changed or went since the data were split"):
        fit(run)


def test_a_partition_folder_is_not_dropped_in_silence(tmp_path: Path) -> None:
    made.write(tmp_path / "data" / "year=2013" / "a.parquet", made.mixed(300))
    with pytest.raises(DataError, match=r"partition folder 'year=2013'"):
        split.ensure(made.config(tmp_path / "data", tmp_path / "runs"))
    excluded = made.config(
        tmp_path / "data", tmp_path / "runs", data={"exclude": ["who", "time", "w", "year"]}
    )
    assert split.ensure(excluded).receipt["rows"] == 300


@pytest.mark.slow
def test_many_files_of_one_row_have_the_right_shares_together() -> None:
    slots = np.concatenate(
        [
            deal.at_random(np.zeros(1, np.int8), key, fractions=(0.1, 0.2), is_alone=False, stratify=True)
            for key in range(20_000)
        ]
    )
    shares = np.bincount(slots, minlength=3) / len(slots)
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.012)  # four standard deviations


def test_a_third_label_value_in_another_row_group_is_refused(tmp_path: Path) -> None:
    words = np.array(["yes", "no"] * 150)
    table = made.mixed(300).set_column(made.mixed(1).column_names.index("label"), "label", [words])
    path = made.write(tmp_path / "a.parquet", table)
    config = made.config(path, tmp_path / "runs", data={"positive": "yes"}, train={"epochs": 1})
    run = retrain(config)
    words = np.where(np.arange(300) < 100, "no", np.where(np.arange(300) < 200, "maybe", "yes"))
    place = table.column_names.index("label")
    other = made.write(tmp_path / "b.parquet", table.set_column(place, "label", [words]), group_rows=100)
    with pytest.raises(
        DataError, match=r"label 'label' of .*b\.parquet holds 'yes', a third value beside maybe, no"
    ):
        evaluate(run, other)


def test_two_processes_do_not_work_in_one_run(tmp_path: Path) -> None:
    path = made.write(tmp_path / "a.parquet", made.mixed(300))
    run = artifact.begin(made.config(path, tmp_path / "runs", train={"epochs": 1}))
    with artifact.working(run), pytest.raises(BusyError, match="in use by another process"):
        fit(run)

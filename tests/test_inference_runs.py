"""Whole runs: what is told of errors, columns and files stands in model.json, in a file and in the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from safetensors import safe_open

from binclf import artifact, report
from binclf.config import parse
from binclf.report import disagreeing
from binclf.retrain import retrain
from tests.planted import world
from tests.test_page import Page
from tests.trained import on_disk, write


def ran(folder: Path, **train: Any) -> artifact.Run:
    """Eight files of one world, one of them with a sixth of its labels flipped, and a group."""
    for place in range(8):
        table = world(1500, place, columns=3)
        y = table["y"].to_numpy(zero_copy_only=False) ^ ((place == 2) & (np.arange(1500) % 6 == 0))
        table = table.set_column(table.column_names.index("y"), "y", pa.array(y))
        write(
            folder / "data" / f"day-{place}.parquet",
            table.append_column("who", pa.array(np.arange(1500) % 97)),
        )
    config = {
        "name": "told", "store": str(folder / "runs"), "registry": {"uri": "off"},
        "data": {"path": str(folder / "data"), "label": "y", "group": "who"},
        "train": {"solver": "newton", "device": "cpu", "ranks": 1, "lanes": 8, **train},
    }  # fmt: skip
    return artifact.open_run(on_disk(retrain(parse(config))))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> artifact.Run:
    return ran(tmp_path_factory.mktemp("told"), errors="clustered")


def covariance(run: artifact.Run) -> tuple[np.ndarray, list[list[str]]]:
    with safe_open(Path(str(run.path)) / "covariance.safetensors", "numpy") as file:
        return file.get_tensor("covariance"), json.loads(file.metadata()["names"])


def test_the_covariance_is_a_file_of_the_run_that_the_manifest_covers(run: artifact.Run) -> None:
    matrix, names = covariance(run)
    assert "covariance.safetensors" in run.contents
    assert len(names) == len(matrix) == 1 + 3 + 6
    for name, variance in zip(names, np.diag(matrix), strict=True):
        entry: Any = run.record["inference"]
        for part in name:
            entry = entry[part]
        assert entry["se"] is None or entry["se"] == pytest.approx(np.sqrt(variance))


def test_nothing_is_known_of_an_intercept_that_was_moved(tmp_path: Path) -> None:
    matrix, names = covariance(ran(tmp_path, class_weight="balanced", errors="hc0"))
    place = names.index(["intercept"])
    assert np.isnan(matrix[place]).all()
    assert not np.isnan(np.delete(np.delete(matrix, place, 0), place, 1)).any()


def test_the_report_tells_which_errors_and_the_file_that_disagrees(run: artifact.Run) -> None:
    page = Page((Path(str(run.path)) / "report.html").read_text())
    assert page.unclosed == []
    groups = run.record["inference"]["errors"]["groups"]
    assert 50 < groups < 97  # those of train
    assert f"if groups of rows are independent ({groups} values of who); with" in page.text("coefficients")
    assert "town" in page.text("joint-table")
    assert "x0" in page.text("inflation-table")
    told = page.text("influence")
    assert "1 of 8 files disagrees with the model beyond chance." in told
    assert "Rows of one who depend on each other" in told
    assert told.index("day-2.parquet") < told.index("day-0.parquet")
    text = report.read(run.path)["text"]
    assert "1 of 8 files disagrees with the model beyond chance:\n- day-2.parquet: p = " in text
    assert run.record["influence"]["worst"][0]["file"] == "day-2.parquet"


def test_passes_are_foretold_and_counted(run: artifact.Run) -> None:
    receipts = json.loads(run.contents["receipts.json"])
    assert receipts["predicted"]["passes"]["train"] == 4 + 2
    assert receipts["actual"]["passes"] == len(run.record["training"]["history"]) + 2
    assert receipts["train"]["rows_seen"] == receipts["actual"]["passes"] * receipts["train"]["rows"]


def entry(**changes: Any) -> dict[str, Any]:
    plain = {
        "file": "a\u202e.parquet", "last_file": "b.parquet", "files": 1, "row_groups": None, "rows": 10,
        "statistic": 900.0, "freedom": 3, "p": 0.0, "moved": [],
    }  # fmt: skip
    return plain | changes


def test_files_are_named_as_they_were_taken_and_nothing_can_hide_in_a_name() -> None:
    moved = [{"path": ["categorical", "city", "level <b>"], "errors": -2.04}]
    worst = [
        entry(moved=moved),
        entry(files=3, p=1e-8),
        entry(row_groups=[2, 2], p=0.001),
        entry(row_groups=[2, 5], p=0.9),
    ]
    found = {"of": "files", "tests": 20, "level": 0.05, "beyond_chance": 3, "worst": worst}
    lines = disagreeing.lines(found)
    assert lines == [
        "3 of 20 files disagree with the model beyond chance:",
        "- a\\u202e.parquet: p below 1e-300; moved city = <b> by \u22122 standard errors",
        "- a\\u202e.parquet to b.parquet (3 files): p = 1e-08",
        "- a\\u202e.parquet, row group 2: p = 0.001",
    ]
    assert disagreeing.lines({**found, "beyond_chance": 0}) == []
    assert disagreeing.lines({}) == []

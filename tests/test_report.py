"""The report says what happened, trusts no text of the data, and is the same bytes each time."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from binclf import artifact, report
from binclf.errors import ArtifactError
from binclf.evaluate import of_parts
from binclf.pictures import PICTURES, pictures

GOOD: dict[str, Any] = {
    "rows": 1234, "positive_rate": 0.25, "log_loss": 0.4, "base_log_loss": 0.5, "roc_auc": 0.8,
}  # fmt: skip


def test_is_judged_by_test_then_validation_then_train() -> None:
    assert report.judged_part({"train": {}, "test": {}, "validation": {}}) == "test"
    assert report.judged_part({"train": {}, "validation": {}}) == "validation"
    assert report.judged_part({"train": {}}) == "train"


def test_verdict_tells_gain_rows_and_rate() -> None:
    found = report.verdict("test", GOOD)
    assert found == (
        "**Log-loss 0.4000** on 1,234 test rows (25.00% positive): 20.0% below 0.5000, that of telling the "
        "base rate to everyone, ROC-AUC 0.8000."
    )


@pytest.mark.parametrize("loss", [0.5, 0.7])
def test_a_loss_no_better_than_the_base_rate_is_said_first(loss: float) -> None:
    found = report.verdict("test", {**GOOD, "log_loss": loss, "roc_auc": 0.99})
    assert found.startswith("**Do not trust the probabilities**")


def test_training_rows_say_nothing_about_new_data() -> None:
    assert "there is no test part" in report.verdict("train", GOOD)


def test_a_part_without_weight_is_not_judged() -> None:
    nothing = {**GOOD, "rows": 0, "log_loss": None}
    assert report.verdict("test", nothing) == "**Not judged**: the test part has no rows with weight."


def test_the_page_tells_metrics_split_training_and_coefficients(trained_run: Path) -> None:
    page, run = report.read(trained_run), artifact.open_run(trained_run)
    split = run.split
    for words in (
        f"# people: {run.id}",
        f"{split.rows('train'):,} train",
        "| roc_auc | ",
        "Label: `bought` = `True`",
        "| income (log1p) | ",
        "| city = Aachen | +",
    ):
        assert words in page
    for name in PICTURES:
        assert f"({name}.svg)" in page


def test_the_heaviest_coefficients_come_first(trained_run: Path) -> None:
    cells = r"^\| [^|]+ \| [^|]+ \| [^|]* \| [^|]* \| ([+-][\d.]+) \|"
    rows = re.findall(cells, report.read(trained_run), re.MULTILINE)
    sizes = [abs(float(value)) for value in rows]
    assert len(sizes) == 4
    assert sizes == sorted(sizes, reverse=True)


def test_page_and_pictures_have_the_same_bytes_each_time(trained_run: Path) -> None:
    run = artifact.open_run(trained_run)
    found = of_parts(run)
    links = {name: f"{name}.svg" for name in PICTURES}
    assert report.markdown(run, found["metrics"], links) == (trained_run / "report.md").read_text()
    for name, picture in pictures("test", found).items():
        assert picture == (trained_run / f"{name}.svg").read_bytes()
        assert ET.fromstring(picture).tag.endswith("svg")


def test_undefined_metrics_are_drawn_and_told_as_such(trained_run: Path) -> None:
    run = artifact.open_run(trained_run)
    metrics = {"test": {"rows": 0, "positive_rate": None, "log_loss": None, "base_log_loss": None}}
    page = report.markdown(run, metrics, {})
    assert "| log_loss | undefined |" in page
    drawn: dict[str, list[float]] = {"roc": [], "pr": [], "calibration": []}
    found = {"metrics": metrics, "pictures": {"test": drawn}}
    assert set(pictures("test", found)) == set(PICTURES)


def test_text_of_the_data_cannot_break_the_page() -> None:
    wild = "a|b`c`<script>[x](y)*_\n| d |\x1b[31m" + "long" * 50
    cell = report._cell(wild)
    assert not re.search(r"(?<!\\)[|`<>\[\]*_]", cell)
    assert "\n" not in cell
    assert "\x1b" not in cell
    assert len(re.sub(r"\\(.)", r"\1", cell)) <= 80  # as it is shown


@pytest.mark.parametrize("length", range(60, 100))
def test_a_cell_is_never_cut_between_a_backslash_and_its_mark(length: int) -> None:
    cell = report._cell("x" * length + "|" * 40)
    assert re.fullmatch(r"(?:[^\\|]|\\[\\|])*…?", cell)


def test_an_unfinished_run_has_no_report(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is no run"):
        report.read(tmp_path)

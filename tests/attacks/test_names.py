"""Names and values that would be commands, paths or markup to somebody: shown as they are, or refused."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import binclf
from tests.commands import run
from tests.trained import write

ROOT = Path(__file__).parents[2]
NUMBERS = [
    "=cmd|' /C calc'!A0", "../../etc/passwd", "\x1b[2J\x1b]0;owned\x07", "\u202egnp.exe",
    "a\nbinclf: error: no", "'; DROP TABLE x; --", '"', "-rf", "--help", "{{7*7}}", "${HOME}", "%s%n%x", " ",
    "x" * 10_000, "~root", "models:/x@y", "\x7f\x08\r", "\u2028\u2066", "a.b", "nul", "__class__",
    "<script>alert(1)</script>",
]  # fmt: skip
WORD = "=HYPERLINK(\u202e\x1b[31m)"
LEVELS = ["=1+1", "@SUM(A1)", "\x1b[31mred", "../..", "<img src=x onerror=alert(1)>", "| --- |\n", ""]
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def hostile(rows: int, seed: int = 0) -> pa.Table:
    """A column of numbers of each name, one of levels, and a label that depends on some."""
    draw = np.random.default_rng(seed)
    columns = {name: draw.normal(size=rows) for name in NUMBERS}
    word = draw.choice(LEVELS, rows)
    score = columns[NUMBERS[0]] - columns[NUMBERS[3]] + (word == LEVELS[1]) + draw.logistic(size=rows)
    return pa.table({**columns, WORD: word.tolist(), "\x1b[id": np.arange(rows), "y": score > 0})


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write(tmp_path / "data" / "=a\x1b[31m.parquet", hostile(400))
    settings = {
        "name": "hostile",
        "store": "runs",
        "data": {"path": "data", "label": "y", "ids": ["\x1b[id"]},
        "train": {"solver": "newton", "l2": 0.001},
        "evaluate": {"slices": [WORD]},
        "registry": {"uri": "off"},
    }
    path = tmp_path / "hostile.json"
    path.write_text(json.dumps(settings))
    return path


def test_no_name_moves_a_cursor_or_leaves_its_place(
    config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The whole way: check, plan, train, evaluate, report, score, drift, in what is printed and written."""
    assert run("check", config) == 0
    assert run("plan", config) == 0
    assert run("retrain", config, "--json") == 0
    told = capfd.readouterr()
    sealed = json.loads(told.out.splitlines()[-1])["run"]
    for command in (
        ["evaluate", sealed],
        ["evaluate", sealed, tmp_path / "data"],
        ["report", sealed],
        ["score", sealed, tmp_path / "data", tmp_path / "scored"],
        ["drift", sealed, tmp_path / "data"],
        ["score", sealed, tmp_path / "nowhere\x1b[31m", tmp_path / "other"],
    ):
        assert run(*command) in (0, 10)
    printed = capfd.readouterr()
    for text in (told.err, printed.out, printed.err):
        assert not UNSEEN.search(text)
    assert "\\x1b[" in told.err + printed.err  # they were there, spelled out
    for name in ("report.html", "card.md"):
        assert not UNSEEN.search((Path(sealed) / name).read_text())
    written = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")}
    assert written == {"data", "hostile.json", "runs", "scored"}
    scored = pq.read_table(tmp_path / "scored")
    assert scored.column_names == ["\x1b[id", "probability", "decision", "model"]
    table = hostile(50, seed=1)
    assert len(binclf.load(sealed).predict_proba(table)) == 50


def test_code_that_is_exported_has_names_as_text_or_is_refused(
    config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is run before it is handed over; `tests/test_export.py` tries each character in each dialect."""
    assert run("retrain", config, "--json") == 0
    sealed = json.loads(capfd.readouterr().out.splitlines()[-1])["run"]
    for kind in ("sql", "sklearn", "onnx"):
        output = tmp_path / f"model.{kind}"
        code = run("export", sealed, "--format", kind, "--output", output)
        assert (code, output.exists()) in ((0, True), (2, False)), capfd.readouterr().err
    if (tmp_path / "model.sklearn").exists():
        tree = ast.parse((tmp_path / "model.sklearn").read_text())
        called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert not called & {"eval", "exec", "os.system", "__import__"}


def test_a_value_in_an_error_is_spelled_out_and_short(
    config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    table = hostile(60)
    values = ["\x1b[2Jyes", "no", "m" * 100_000]
    labels = pa.array([values[row % 3] for row in range(60)])
    write(tmp_path / "data" / "=a\x1b[31m.parquet", table.set_column(len(NUMBERS) + 2, "y", labels))
    assert run("split", config, "data.positive=no") == 10
    words = capfd.readouterr().err
    assert "\\x1b[2Jyes" in words
    assert not UNSEEN.search(words)
    assert len(words) < 2000


def test_nothing_writes_a_table_that_a_spreadsheet_would_execute() -> None:
    """What binclf writes for people is HTML, Markdown, JSON and Parquet: there is no CSV to inject into."""
    for path in (*(ROOT / "binclf").rglob("*.py"), *(ROOT / "flows").rglob("*.py")):
        text = path.read_text()
        assert not re.search(r"\bimport csv\b|csv\.writer|\.to_csv\(|write_csv|to_excel", text), path

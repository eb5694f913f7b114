"""A command ends with the promised code; with --json, stdout is one JSON object and nothing else."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from binclf.cli import options
from binclf.cli.main import _show
from binclf.errors import DamageError
from tests.commands import run
from tests.trained import people, write


@pytest.fixture
def config(people_dir: Path, tmp_path: Path) -> Path:
    path = tmp_path / "people.toml"
    path.write_text(
        f"""name = "people"
store = "runs"
[data]
path = "{people_dir}"
label = "bought"
weight = "w"
ids = ["id"]
[registry]
uri = "off"
[train]
epochs = 2
device = "cpu"
ranks = 1
"""
    )
    return path


def test_split_as_json_is_one_object_and_logs_go_elsewhere(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("split", config, "--json") == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert sum(told["parts"].values()) == told["receipt"]["rows"] == 3000
    assert captured.out.count("\n") == 1
    assert "split part-0.parquet" in captured.err


@pytest.mark.parametrize("verb", [pytest.param("train", marks=pytest.mark.slow), "retrain"])
def test_a_run_evaluated_reported_and_scored_from_the_command_line(
    verb: str, config: Path, people_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(verb, config, "train.epochs=1", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert Path(told["run"]).parent == tmp_path / "runs"
    assert told["part"] == "test"
    assert run("evaluate", told["run"], "--json") == 0
    again = json.loads(capsys.readouterr().out)
    assert {name: again[name] for name in ("train", "validation", "test")} == told["metrics"]
    assert run("evaluate", told["run"], people_dir, "--json") == 0
    caught = capsys.readouterr()
    again = json.loads(caught.out)
    assert again["data"]["rows"] == 3000
    train, validation = (told["metrics"][part]["rows"] for part in ("train", "validation"))
    assert again["fitted_on"] == {"train": train, "validation": validation}
    seen = f"has seen {train:,} in train and {validation:,} in validation: their metrics flatter it"
    assert seen in caught.err
    assert run("evaluate", told["run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["train", "validation", "test"]
    assert lines[3].split() == ["rows", *(f"{told['metrics'][part]['rows']:,}" for part in told["metrics"])]
    assert [line.split()[0] for line in lines[3:]][:4] == [
        "rows",
        "positive_rate",
        "log_loss",
        "base_log_loss",
    ]
    assert run("evaluate", told["run"], people_dir) == 0
    assert capsys.readouterr().out.splitlines()[2].split() == ["data"]
    assert run("report", told["run"]) == 0
    shown = capsys.readouterr().out
    assert shown.replace("\n", " ").startswith(told["verdict"])
    assert shown.endswith(f"{told['report']}\n")
    assert run("report", told["run"], "--json") == 0
    assert json.loads(capsys.readouterr().out)["report"] == told["report"]
    assert run("score", told["run"], people_dir, tmp_path / "out", "--json") == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 3000
    assert run("score", told["run"], people_dir, tmp_path / "out") == 0
    assert "scored_before" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["train.epochs=1", "--json"],
        ["--json", "train.epochs=1"],
        ["train.epochs=1", "--json", "split.seed=3"],
    ],
)
def test_overrides_and_options_come_in_any_order(
    arguments: list[str], config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("split", config, *arguments) == 0
    assert json.loads(capsys.readouterr().out)["receipt"]["rows"] == 3000


def test_help_and_every_verbs_help_end_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    text = capsys.readouterr().out
    verbs = ("demo", "split", "retrain", "train", "evaluate", "report", "score")
    for verb in verbs:
        assert f"    {verb} " in text
        assert run(verb, "--help") == 0
        assert "--json" in capsys.readouterr().out
    assert "rank " not in text.split("VERB\n")[-1].split("Exit codes")[0]
    for code in (2, 10, 12, 13, 14, 70, 75):
        assert f" {code} " in " ".join(text.split())


def test_what_is_shown_is_not_told_in_the_log_too(
    trained_run: Path, people_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("drift", trained_run, people_dir, "--json") == 0
    sentence = json.loads(capsys.readouterr().out)["sentence"]
    assert run("drift", trained_run, people_dir) == 0
    captured = capsys.readouterr()
    assert (captured.out + captured.err).count(sentence) == captured.out.count(sentence) == 1


def test_score_is_shared_and_committed_and_takes_its_settings(
    trained_run: Path, people_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("score", trained_run, people_dir, tmp_path / "out", "score.contributions=1", "--json")
    assert run(*asked, "--part", "1/2") == 0
    assert json.loads(capsys.readouterr().out)["waiting_for"] == 1
    assert run(*asked, "--commit") == 10
    assert run(*asked, "--commit", "--part", "1/2") == 2
    assert run(*asked, "--part", "2/2") == 0
    assert run(*asked, "--commit") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["rows"] == 3000
    names = pq.read_schema(tmp_path / "out" / "part-0.parquet").names
    assert names[-2:] == ["contribution_1", "contribution_1_log_odds"]
    assert run("score", trained_run, people_dir, tmp_path / "other", "train.epochs=1") == 2


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["score", "run"], ["split"], ["train", "x", "--ranks", "two"]]
)
def test_usage_errors_end_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "usage: binclf" in captured.err


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.epoch=3", "did you mean 'train.epochs'"),
        ("train.epochs=0", "train.epochs = 0"),
        ("train.momentum=0.5", "train.momentum has no effect"),
        ("epochs", "is not of the form section.key=value"),
        ("train.ranks=99", "needs train.lanes >= 99"),
        ("data.label=boght", "boght"),
    ],
)
def test_faults_of_the_config_end_with_2_and_name_the_key(
    override: str, words: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run("split", config, override, "--json")
    captured = capsys.readouterr()
    assert words in captured.err
    assert code == (10 if override.startswith("data") else 2)
    told = json.loads(captured.out)["error"]
    assert told["exit_code"] == code
    assert f"binclf: error: {told['message']}\n" in captured.err
    assert "Traceback" not in captured.err


VERBS = [
    name
    for action in options._parser()._actions
    if isinstance(action, argparse._SubParsersAction)
    for name in action.choices
    if name != "rank"
]
SHAPE = {"kind", "exit_code", "message", "notes", "file", "row_group", "column", "rank", "problems"}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_tells_its_error_in_one_shape(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise DamageError("c.parquet is torn: write it again.", "c.parquet").at(row_group=3, column="\x1b[2K")

    monkeypatch.setattr(f"binclf.cli.verbs.{'train' if verb == 'retrain' else verb}", fail)
    needed = {"score": 3, "drift": 2, "compare": 2, "export": 1}.get(verb, 0 if verb == "demo" else 1)
    more = ["--format", "sql", "--output", "x"] if verb == "export" else []
    assert run(verb, *["x"] * needed, *more, "--json") == 10
    captured = capsys.readouterr()
    assert captured.err == "binclf: error: c.parquet is torn: write it again.\n"
    assert captured.out.count("\n") == 1
    told = json.loads(captured.out)["error"]
    assert set(told) == SHAPE
    assert (told["kind"], told["file"], told["row_group"], told["column"], told["rank"]) == (
        "DamageError", "c.parquet", 3, "\x1b[2K", None,
    )  # fmt: skip
    (problem,) = told["problems"]
    assert set(problem) == SHAPE - {"exit_code", "notes", "problems"}


def test_usage_is_told_as_every_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fly", "--json") == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("usage: binclf")
    told = json.loads(captured.out)["error"]
    assert told["exit_code"] == 2
    assert "invalid choice: 'fly'" in told["message"]


def test_a_column_at_fault_is_told_by_file_row_group_and_column(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = people(300)
    place = table.schema.get_field_index("w")
    weights = table["w"].to_pylist()
    weights[250] = -1.0
    write(tmp_path / "bad" / "b.parquet", table.set_column(place, "w", [weights]), [100, 200])
    write(tmp_path / "bad" / "a.parquet", people(50, 2))
    assert run("split", config, f"data.path={tmp_path / 'bad'}", "--json") == 10
    told = json.loads(capsys.readouterr().out)["error"]
    assert (told["file"], told["row_group"], told["column"]) == ("b.parquet", 1, "w")
    assert "-1" not in told["message"]  # values of cells stay where they are


def test_a_missing_config_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", tmp_path / "none.toml") == 2
    assert "none.toml cannot be read" in capsys.readouterr().err


def test_data_at_fault_end_with_10(
    config: Path, trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("split", config, f"data.path={tmp_path / 'none'}") == 10
    lacking = write(tmp_path / "new.parquet", people(10).drop_columns("city"))
    assert run("score", trained_run, lacking, tmp_path / "out", "--json") == 10
    captured = capsys.readouterr()
    assert "binclf: error: new.parquet lacks column 'city'" in captured.err
    assert json.loads(captured.out)["error"]["kind"] == "DataError"
    assert not (tmp_path / "out").exists()


def test_runs_that_cannot_be_trusted_end_with_12(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases: tuple[list[str | Path], ...] = (
        ["evaluate", tmp_path],
        ["report", tmp_path / "none"],
        ["score", tmp_path, config, config],
    )
    for arguments in cases:
        assert run(*arguments) == 12
        assert "is no run" in capsys.readouterr().err
    assert run("train", config, "--resume", tmp_path / "none") == 12


def test_an_output_that_is_a_file_is_the_users_to_mend(
    trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "new.parquet", people(10))
    (tmp_path / "out").write_text("a file")
    assert run("score", trained_run, source, tmp_path / "out") in (2, 12, 13)
    assert "our own fault" not in capsys.readouterr().err


def test_our_own_fault_ends_with_70_tells_all_and_keeps_the_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_path: str) -> str:
        raise AssertionError("7 rows were lost")

    monkeypatch.setattr("binclf.report.read", broken)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert run("report", "run", "--json") == 70
    captured = capsys.readouterr()
    assert "AssertionError: 7 rows were lost" in captured.err
    assert "this is our own fault" in captured.err
    told = json.loads(captured.out)["error"]
    assert (told["kind"], told["exit_code"], told["message"]) == ("AssertionError", 70, "7 rows were lost")
    (kept,) = tmp_path.iterdir()
    assert told["trace"] == str(kept)
    assert "in broken" in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0


def test_an_interrupt_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_path: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("binclf.report.read", interrupted)
    assert run("report", "run") == 130


@pytest.mark.slow
def test_the_module_is_the_command(trained_run: Path, people_dir: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "binclf", "score", str(trained_run)]
    arguments = [str(people_dir), str(tmp_path / "out"), "--json"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, json.loads(done.stdout)["rows"]) == (0, 3000)
    lacking = write(tmp_path / "new.parquet", people(10).drop_columns("city"))
    arguments = [str(lacking), str(tmp_path / "other"), "--json"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, check=False)
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["exit_code"], error["kind"]) == (10, 10, "DataError")
    assert not (tmp_path / "other").exists()


def test_what_no_verb_knows_ends_with_2(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("split", config, "--ranks", "2", "train.epochs=1") == 2
    assert "unrecognized arguments: --ranks" in capsys.readouterr().err
    assert run("report", "run", "more") == 2
    assert "unrecognized arguments: more" in capsys.readouterr().err


def test_what_is_within_is_told_by_its_keys_and_nothing_is_told_as_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _show({"run": "r", "until": "", "skewed": [], "registry": {"model": "m/2", "champion": 1}}, as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "run                r",
        "until              none",
        "skewed             none",
        "registry.model     m/2",
        "registry.champion  1",
    ]

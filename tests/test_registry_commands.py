"""The registry from the command line, and a tracking server: what a user of binclf and of MLflow sees."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import binclf
from binclf import artifact, registry
from tests.commands import run
from tests.ports import free_port
from tests.races import races
from tests.ranks import wait_until
from tests.registered import promoting, sibling
from tests.test_registry import empty_registry, store
from tests.trained import people

__all__ = ["empty_registry", "store"]  # fixtures

pytestmark = pytest.mark.slow
QUIET = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # mlflow starts uvicorn by its name
}


@pytest.fixture
def config(people_dir: Path, store: Path) -> Path:
    path = store.parent / "people.toml"
    path.write_text(
        f"""name = "people"
store = "store"
[data]
path = "{people_dir}"
label = "bought"
ids = ["id"]
"""
    )
    return path


def test_retrain_registers_and_the_gate_has_its_exit_code(
    config: Path, store: Path, people_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("retrain", config, "--strict", "--json") == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert captured.out.count("\n") == 1
    assert told["registry"]["model"] == "models:/people/1"
    assert told["registry"]["is_champion"]
    assert "registered as models:/people/1, champion" in captured.err
    assert run("retrain", config, "--strict", "--json", "registry.promote=never") == 11
    assert json.loads(capsys.readouterr().out)["registry"]["champion"] == 1
    assert run("retrain", config, "--strict", "registry.uri=off") == 2
    assert "--strict has no effect" in capsys.readouterr().err
    assert run("retrain", config, "--json", "registry.promote=always") == 0
    assert json.loads(capsys.readouterr().out)["registry"]["champion"] == 3
    scored = store.parent / "scored"
    assert run("score", "models:/people@champion", people_dir, scored, "--registry", store, "--json") == 0
    receipt = json.loads(capsys.readouterr().out)
    assert receipt["rows"] == 3000
    assert receipt["model"] == registry.open_run("models:/people/3", str(store)).id
    assert run("evaluate", "models:/people/1", "--registry", store, "--json") == 0
    assert json.loads(capsys.readouterr().out)["run"] == Path(told["run"]).name
    assert run("rollback", "people", "--registry", store, "--json") == 0
    assert json.loads(capsys.readouterr().out)["champion"] == 1
    assert run("rollback", "people", "--registry", store) == 12
    assert run("score", "models:/people@shadow", people_dir, scored, "--registry", store) == 12
    assert run("score", "models:/people", people_dir, scored, "--registry", store) == 2


def test_an_unreachable_registry_loses_no_run(
    config: Path, store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert run("retrain", config, "registry.uri=http://127.0.0.1:9", "--json") == 13
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]["kind"] == "StorageError"
    sealed = next(store.glob("people-*/manifest.json")).parent
    artifact.open_run(sealed)
    assert f"register it later with: binclf register {sealed}" in captured.err
    assert run("register", sealed, "--registry", f"sqlite:///{store}/mlflow.db", "--strict", "--json") == 0
    assert json.loads(capsys.readouterr().out)["registry"]["is_champion"]


def test_what_only_the_end_would_refuse_is_refused_before_the_work(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("retrain", config, "store=s3://bucket/runs") == 2
    assert "s3://bucket/runs cannot hold a database: set registry.uri" in capsys.readouterr().err


def test_two_retrainings_that_promote_at_the_same_moment(trained_run: Path, store: Path) -> None:
    assert races(store / "mlflow.db", trained_run, 4, 1) == []


# a tracking server


@contextmanager
def serving(arguments: list[str], port: int, path: str, **environment: str) -> Iterator[str]:
    """One of mlflow's servers on 127.0.0.1, until it answers and until the block ends."""
    command = [sys.executable, "-m", "mlflow", *arguments, "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        command,
        env={**os.environ, **QUIET, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until(lambda: process.poll() is not None or answers(f"{address}{path}"), 120, "mlflow answers")
        assert process.poll() is None
        yield address
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status) == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def tracking(empty_registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "mlflow.db").write_bytes(empty_registry.read_bytes())
    where = [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "a"),
    ]
    with serving(["server", *where, "--workers", "1"], free_port(), "/health") as address:
        yield address


@pytest.fixture(scope="module")
def at_server(tracking: str, trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> artifact.Run:
    """A run that is champion at the server."""
    store = tmp_path_factory.mktemp("store")
    found = sibling(trained_run, store, 1, registry={"uri": tracking, "promote": "always"})
    assert registry.register(found, promoting)["is_champion"]
    return found


def rows() -> Any:
    return people(40, seed=8).to_pandas()[["age", "income", "visits", "member", "city", "code"]]


def test_a_server_serves_the_registry_as_a_file_does(
    tracking: str,
    at_server: artifact.Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BINCLF_CACHE", str(tmp_path / "home"))
    second = sibling(at_server.path, tmp_path, 2, registry={"uri": tracking})  # type: ignore[arg-type]
    assert registry.register(second, promoting)["champion"] == 2
    assert capsys.readouterr().out == ""  # MLflow would tell its page there, beside --json
    assert registry.open_run("models:/people@champion", tracking).id == second.id
    assert registry.roll_back("people", tracking)["champion"] == 1
    expected = binclf.load(str(at_server.path)).predict_proba(rows())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking)
    assert (binclf.load("models:/people@champion").predict_proba(rows()) == expected).all()


def test_mlflow_s_own_client_and_commands_score_to_the_bit(
    tracking: str, at_server: artifact.Run, tmp_path: Path
) -> None:
    """The command in a process of its own: nothing of ours is imported there but by the model."""
    expected = binclf.load(str(at_server.path)).predict_proba(rows()).tolist()
    environment = {**os.environ, **QUIET, "MLFLOW_TRACKING_URI": tracking}
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        import mlflow.pyfunc

        patch.setenv("MLFLOW_TRACKING_URI", tracking)
        found = mlflow.pyfunc.load_model("models:/people/1").predict(rows())
    assert found["probability"].tolist() == expected
    body = json.dumps({"dataframe_split": as_split(rows())})
    (tmp_path / "rows.json").write_text(body)
    command = [
        sys.executable, "-m", "mlflow", "models", "predict", "-m", "models:/people/1",
        "--env-manager", "local", "-i", str(tmp_path / "rows.json"), "-o", str(tmp_path / "scored.json"),
    ]  # fmt: skip
    subprocess.run(command, env=environment, capture_output=True, timeout=180, check=True)
    scored = json.loads((tmp_path / "scored.json").read_text())["predictions"]
    assert [row["probability"] for row in scored] == expected


def as_split(frame: Any) -> dict[str, Any]:
    """Rows as JSON has them: whole floats, null for what is missing."""
    return {
        "columns": list(frame.columns),
        "data": [
            [None if pd.isna(v) else v for v in row] for row in frame.astype(object).to_numpy().tolist()
        ],
    }


def test_mlflow_models_serve_answers_with_our_scores(tracking: str, at_server: artifact.Run) -> None:
    expected = binclf.load(str(at_server.path)).predict_proba(rows()).tolist()
    arguments = ["models", "serve", "-m", "models:/people/1", "--env-manager", "local"]
    body = json.dumps({"dataframe_split": as_split(rows())}).encode()
    with serving(arguments, free_port(), "/ping", MLFLOW_TRACKING_URI=tracking) as address:
        request = urllib.request.Request(
            f"{address}/invocations", body, {"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = json.loads(answer.read())["predictions"]
    assert [row["probability"] for row in found] == expected
    assert [row["decision"] for row in found] == [p >= 0.5 for p in expected]

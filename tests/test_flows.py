"""The flows on a throwaway Prefect server: what they return, show, and leave behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.settings import PREFECT_HOME, PREFECT_SERVER_ANALYTICS_ENABLED, temporary_settings
from prefect.testing.utilities import prefect_test_harness

import binclf
from binclf import artifact
from binclf.config import Config, parse
from binclf.errors import DataError
from binclf.registry import open_run
from flows.artifacts import key_of
from flows.retrain import main as retrain_main
from flows.retrain import retrain
from flows.score import score
from tests.ports import free_port
from tests.ranks import as_toml, small_job, wait_until

pytestmark = [
    pytest.mark.slow,
    # Prefect's own: its temporary server and clients are closed late
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "INFO",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
}


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    home = tmp_path_factory.mktemp("prefect")
    settings = {PREFECT_HOME: home, PREFECT_SERVER_ANALYTICS_ENABLED: False}
    os.environ["DO_NOT_TRACK"] = "1"
    with temporary_settings(settings), prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return small_job(tmp_path_factory.mktemp("job"), train={"epochs": 2})


@pytest.fixture(scope="module")
def summary(_server: None, config: Config) -> dict[str, Any]:
    return retrain(config)


def artifacts(key: str) -> list[Any]:
    with get_client(sync_client=True) as client:
        wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
        return list(client.read_artifacts(artifact_filter=wanted))


@pytest.mark.usefixtures("_server")
def test_the_retrain_flow_registers_the_model(tmp_path: Path) -> None:
    job = small_job(tmp_path, registry={"uri": ""}, train={"solver": "newton"})
    result = retrain(parse(job.model_dump() | {"name": "registered"}))
    assert result["registry"]["model"] == "models:/registered/1"
    assert result["registry"]["is_champion"]
    assert (
        artifact.open_run(result["run"]).contents
        == open_run("models:/registered@champion", str(tmp_path / "runs")).contents
    )


def test_the_retrain_flow_returns_the_summary_of_a_sealed_run(summary: dict[str, Any]) -> None:
    run = artifact.open_run(summary["run"])
    assert run.record["name"] == "small"
    assert set(summary["metrics"]) == {"train", "validation", "test"}
    assert summary["part"] == "test"
    assert json.loads(json.dumps(summary)) == summary


def test_the_retrain_flow_shows_its_model_card_with_the_pictures_in_it(summary: dict[str, Any]) -> None:
    (shown,) = artifacts("small-report")
    assert shown.type == "markdown"
    page = (Path(summary["run"]) / "report.html").read_text()
    assert shown.data.count("(data:image/svg+xml;base64,") == page.count('class="chart"') >= 3
    assert summary["verdict"] in shown.data.replace("**", "")
    assert shown.description == summary["verdict"]


def test_the_retrain_flow_shows_its_metrics_as_a_table(summary: dict[str, Any]) -> None:
    (shown,) = artifacts("small-metrics")
    assert shown.type == "table"
    table = {row["part"]: row for row in json.loads(shown.data)}
    assert list(table) == ["train", "validation", "test"]
    assert table["test"]["log_loss"] == summary["metrics"]["test"]["log_loss"]
    assert table["train"]["rows"] == summary["metrics"]["train"]["rows"]


def test_a_run_from_the_form_gets_plain_settings_and_is_named_after_the_model(
    summary: dict[str, Any], config: Config
) -> None:
    """A worker hands the flow what the form submitted: JSON, not a config."""
    settings: Any = config.model_dump(mode="json") | {"name": "from-the-form"}
    found = retrain(settings)
    assert found["metrics"] == summary["metrics"]
    with get_client(sync_client=True) as client:
        names = {run.name for run in client.read_flow_runs()}
    assert {"retrain small", "retrain from-the-form"} <= names


def test_a_mistyped_key_and_a_value_out_of_bounds_fail_before_any_work(
    summary: dict[str, Any], config: Config
) -> None:
    from prefect.exceptions import ParameterTypeError

    settings: Any = config.model_dump(mode="json")
    with pytest.raises(ParameterTypeError, match=r"config\.train\.epohcs"):
        retrain(settings | {"train": {"epohcs": 3}})
    with pytest.raises(ParameterTypeError, match=r"config\.train\.epochs"):
        retrain(settings | {"train": {"epochs": 0}})


@pytest.mark.usefixtures("_server")
def test_an_error_of_the_library_leaves_the_flow_as_itself(tmp_path: Path, config: Config) -> None:
    settings: Any = config.model_dump(mode="json")
    settings["data"]["path"] = str(tmp_path / "nothing-here")
    with pytest.raises(DataError, match=r"nothing-here does not exist"):
        retrain(settings)
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(as_toml(config).replace(str(config.data.path), str(tmp_path / "nothing-here")))
    assert retrain_main([str(wrong)]) == 10
    assert retrain_main([]) == 2


def test_the_score_flow_scores_every_row_and_shows_its_receipt(
    summary: dict[str, Any], config: Config, tmp_path: Path
) -> None:
    receipt = score(summary["run"], config.data.path, str(tmp_path / "scored"))
    assert (receipt["files"], receipt["rows"], receipt["scored_before"]) == (5, 1031, 0)
    assert len(list((tmp_path / "scored").glob("*.parquet"))) == 5
    (shown,) = artifacts("score-receipt")
    assert "| rows | 1031 |" in shown.data
    assert Path(summary["run"]).name in shown.description
    again = score(summary["run"], config.data.path, str(tmp_path / "scored"))
    assert again["scored_before"] == 5
    shared = score(summary["run"], config.data.path, str(tmp_path / "shared"), machines=2)
    assert (shared["files"], shared["rows"]) == (5, 1031)
    assert binclf.score(summary["run"], config.data.path, tmp_path / "other")["rows"] == 1031


@pytest.mark.parametrize(
    ("name", "key"), [("Late.Flights_2", "late-flights-2-report"), ("a..b", "a-b-report")]
)
def test_keys_of_artifacts_are_what_prefect_takes(name: str, key: str) -> None:
    assert key_of(name, "report") == key


DRIVER = """
import runpy, sys
try:
    runpy.run_module("flows.retrain", run_name="__main__")  # as python -m does
except SystemExit as left:
    print("code", left.code, "torch", "torch" in sys.modules)
"""


def environment(home: Path, **more: str) -> dict[str, str]:
    """Without any setting of Prefect that this process has, and a home of its own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    return {**kept, **QUIET, "PREFECT_HOME": str(home), **more}


def test_the_flow_runs_from_the_shell_with_no_server_and_no_torch_in_its_process(
    tmp_path: Path, config: Config
) -> None:
    path = tmp_path / "small.toml"
    path.write_text(as_toml(config))
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER)
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, str(driver), str(path), "train.epochs=1"],
        env=environment(tmp_path / "home", PYTHONPATH=str(root)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "code 0 torch False"
    assert "epoch 1 of 1: train loss" in done.stderr  # what rank 0 logs comes through


def test_python_m_flows_retrain_exits_with_the_code_of_the_library(tmp_path: Path, config: Config) -> None:
    path = tmp_path / "small.toml"
    path.write_text(as_toml(config))
    done = subprocess.run(
        [sys.executable, "-m", "flows.retrain", str(path), "train.epohcs=1"],
        env=environment(tmp_path / "home"),
        cwd=Path(__file__).parents[1],
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert "did you mean 'train.epochs'" in done.stderr.decode()


@contextmanager
def real_server(home: Path) -> Iterator[str]:
    """`prefect server start` on a free port of this machine; ended by its pid."""
    port = free_port()
    prefect = str(Path(sys.executable).parent / "prefect")
    home.mkdir()
    with (home / "server.log").open("w") as words:
        server = subprocess.Popen(
            [prefect, "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"],
            env=environment(home),
            stdout=words,
            stderr=words,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}/api"
        wait_until(lambda: is_healthy(url), 90, "the server is healthy")
        yield url
    finally:
        server.terminate()
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


DEPLOY = """
import sys, time
from prefect.client.orchestration import get_client
from binclf.config import load
from flows.retrain import retrain

config = load(sys.argv[1]).model_dump(mode="json")
retrain.to_deployment("nightly", cron="0 2 * * *", parameters={"config": config}).apply()
deadline = time.monotonic() + 60
runs = []
while not runs and time.monotonic() < deadline:
    with get_client(sync_client=True) as client:
        runs = [run for run in client.read_flow_runs() if run.state_name == "Scheduled"]
    time.sleep(0.5)
print(len(runs), {run.expected_start_time.strftime("%H:%M") for run in runs})
"""


def test_a_cron_deployment_really_makes_scheduled_runs(tmp_path: Path, config: Config) -> None:
    """With SQLAlchemy 2.1 the server starts and looks healthy, and a schedule makes no runs."""
    path = tmp_path / "small.toml"
    path.write_text(as_toml(config))
    with real_server(tmp_path / "home") as url:
        done = subprocess.run(
            [sys.executable, "-c", DEPLOY, str(path)],
            env=environment(tmp_path / "client", PREFECT_API_URL=url),
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    count, _, times = done.stdout.strip().splitlines()[-1].partition(" ")
    assert int(count) >= 1
    assert times == "{'02:00'}"

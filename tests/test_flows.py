"""The flows on a throwaway Prefect server: what they return, show, and leave behind."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterKey,
    FlowFilter,
    FlowFilterName,
)
from prefect.client.schemas.sorting import FlowRunSort
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_HOME, PREFECT_SERVER_ANALYTICS_ENABLED, temporary_settings
from prefect.task_runners import ProcessPoolTaskRunner
from prefect.testing.utilities import prefect_test_harness

import binclf
from binclf import artifact, split
from binclf.config import Config, parse
from binclf.drift import of_watch, told_of
from binclf.errors import BusyError, ConfigError, DataError
from binclf.profile import Watch
from binclf.registry import open_run
from binclf.retrain import alone
from binclf.storage import place_of
from flows import events
from flows.artifacts import key_of, receipt_of
from flows.backtest import backtest
from flows.flow import TAG
from flows.forms import Retraining, parameters_of
from flows.nightly import nightly
from flows.parts import splitting
from flows.retrain import main as retrain_main
from flows.retrain import retrain
from flows.score import score
from flows.watch import Stage
from tests.ranks import as_toml, small_job
from tests.servers import environment

pytestmark = [
    pytest.mark.slow,
    # Prefect's own: its temporary server and clients are closed late
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

NEWTON = {"solver": "newton", "patience": 3, "window_rows": 16384, "epochs": 20}  # starts without torch


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    home = tmp_path_factory.mktemp("prefect")
    settings = {PREFECT_HOME: home, PREFECT_SERVER_ANALYTICS_ENABLED: False}
    os.environ["DO_NOT_TRACK"] = "1"
    with temporary_settings(settings), prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return small_job(tmp_path_factory.mktemp("job"), train=NEWTON)


@pytest.fixture(scope="module")
def summary(_server: None, config: Config) -> dict[str, Any]:
    return retrain(**parameters_of(config))


def artifacts(key: str) -> list[Any]:
    with get_client(sync_client=True) as client:
        wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
        found = client.read_artifacts(artifact_filter=wanted)
    return sorted(found, key=lambda shown: str(shown.created))


def latest_run(flow: str) -> Any:
    with get_client(sync_client=True) as client:
        named = FlowFilter(name=FlowFilterName(any_=[flow]))
        return client.read_flow_runs(flow_filter=named, sort=FlowRunSort.START_TIME_DESC, limit=1)[0]


def recorded(patch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, str], dict[str, Any]]]:
    """The events that are emitted from now on: name, resource, payload."""
    found: list[tuple[str, dict[str, str], dict[str, Any]]] = []

    def emit(event: str, resource: dict[str, str], payload: dict[str, Any]) -> None:
        found.append((event, resource, payload))

    patch.setattr(events, "emit_event", emit)
    return found


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, str], dict[str, Any]]]:
    """What `recorded` tells."""
    return recorded(monkeypatch)


@dataclass(frozen=True)
class Night:
    """A first night: of which job, what it returned, and the events that it told."""

    job: Config
    found: dict[str, Any]
    told: list[tuple[str, dict[str, str], dict[str, Any]]]

    @property
    def data(self) -> Path:
        """What is learnt from, and scored."""
        return Path(self.job.data.path)


@pytest.fixture(scope="module")
def night(_server: None, tmp_path_factory: pytest.TempPathFactory) -> Night:
    folder = tmp_path_factory.mktemp("night")
    data = {"path": str(folder / "data"), "weight": "", "exclude": ["w"]}
    job = small_job(folder, registry={"uri": ""}, data=data, train=NEWTON)
    job = parse(job.model_dump() | {"name": "registered"})
    with pytest.MonkeyPatch.context() as patch:
        told = recorded(patch)
        found = nightly(**parameters_of(job), source=job.data.path, output=str(folder / "scored"))
        return Night(job, found, list(told))


def test_a_registered_model_is_told_by_an_event_once_and_the_night_scores_with_it(
    night: Night, tmp_path: Path, told: list[Any]
) -> None:
    job, result = night.job, night.found["retrained"]
    assert result["registry"]["model"] == "models:/registered/1"
    assert result["registry"]["is_champion"]
    champion = open_run("models:/registered@champion", job.store)
    assert artifact.open_run(result["run"]).contents == champion.contents
    ((event, resource, payload),) = night.told
    assert event == "binclf.model.promoted"
    assert resource["prefect.resource.id"] == "binclf.model.registered"
    assert set(payload) == {
        "run", "version", "champion", "verdict", "reason", "report", "part", *events.SHOWN
    }  # fmt: skip
    assert night.found["scored"]["rows"] == 1031
    assert night.found["due"] == "registered has no champion yet"
    (report,) = artifacts("registered-report")
    assert f"`mlflow server --backend-store-uri {result['registry']['registry']}`" in report.data
    wordy = parse(job.model_dump(), ["score.contributions=2"])
    again = nightly(**parameters_of(wordy), source=job.data.path, output=str(tmp_path))
    assert (again["due"], "retrained" in again) == ("", False)
    # as this night's config says, and not as that by which the champion was trained
    assert "contribution_2" in pq.read_schema(tmp_path / "part-0.parquet").names
    assert again["scored"]["rows"] == 1031
    same = retrain(
        **parameters_of(parse(job.model_dump() | {"features": {"min_count": 99}})), when="new_data"
    )
    assert same["nothing_new"] == "the champion was made from the same data: there is nothing new"
    assert told == []


def test_what_a_night_calls_is_watched_as_the_night_is(night: Night, tmp_path: Path) -> None:
    """The server settles runs with the deployments' tag that fall silent: also those that ours has called."""
    given = {**parameters_of(night.job), "source": night.job.data.path}
    for tag in ("somebody else's", TAG):
        given["output"] = str(tmp_path / tag)
        with get_client(sync_client=True) as client:
            run = client.create_flow_run(nightly, parameters=given, tags=[tag, "scheduled"])
        result: Any = run_flow(nightly, flow_run=run, parameters=given)
        assert result["due"] == ""
        called = latest_run("score").tags
        assert set(called) & {"somebody else's", "scheduled", TAG} == {tag} & {TAG}


def test_a_night_retrains_only_where_a_refit_would_be_worth_it(
    night: Night, tmp_path: Path, told: list[Any]
) -> None:
    table = pq.read_table(Path(small_job(tmp_path, seed=9).data.path) / "part-2.parquet")

    def done(rows: pa.Table, name: str) -> tuple[str, str, set[str]]:
        """The night after some rows have come: why it is due, what a retraining said, and its tags."""
        pq.write_table(rows, night.data / name)
        found = nightly(
            **parameters_of(night.job),
            source=str(tmp_path / "data"),
            output=str(tmp_path / "scored"),
            retraining=Retraining(when="worthwhile"),
        )
        return found["due"], found["retrained"]["nothing_new"], set(latest_run("retrain").tags)

    due, reason, tags = done(table, "part-5.parquet")
    assert due == "the champion has not seen 1 files, such as part-5.parquet"
    assert reason.startswith("nothing is done: on 257 labelled rows a refit would lower log-loss by about")
    assert "nothing-new" in tags
    assert told == []
    turned = table.set_column(table.column_names.index("late"), "late", pc.invert(table["late"]))
    due, reason, tags = done(turned, "part-6.parquet")
    assert (due[:33], reason) == ("the champion has not seen 2 files", "")
    assert "nothing-new" not in tags
    assert len(told) == 1  # promoted or kept


def test_the_retrain_flow_returns_the_summary_of_a_sealed_run(summary: dict[str, Any]) -> None:
    run = artifact.open_run(summary["run"])
    assert run.record["name"] == "small"
    assert set(summary["metrics"]) == {"train", "validation", "test"}
    assert summary["part"] == "test"
    assert json.loads(json.dumps(summary)) == summary


def test_the_flow_the_command_and_torchrun_make_the_same_model(
    summary: dict[str, Any], config: Config
) -> None:
    """By torchrun see tests/test_torchrun.py, which compares it with the command."""
    other = place_of(binclf.retrain(config))
    for name in ("model.safetensors", "features.json", "metrics.json"):
        assert (place_of(summary["run"]) / name).read_bytes() == (other / name).read_bytes(), name


def test_the_run_says_what_it_was_of_and_how_it_ended(summary: dict[str, Any]) -> None:
    with get_client(sync_client=True) as client:
        (run,) = [run for run in client.read_flow_runs() if {"small", "trained"} <= set(run.tags)]
    assert run.name == "small (from a shell)"
    assert set(run.tags) == {"small", "retrain", "trained"}
    assert run.flow_version == artifact.package_version()


def test_each_stage_has_a_progress_artifact_with_rows_and_loss(summary: dict[str, Any]) -> None:
    for stage, words in (
        ("split", "1,031 of 1,031 rows"),
        ("train", "train loss"),
        ("evaluate", "evaluate: done"),
    ):
        (shown,) = artifacts(f"small-{stage}")
        assert (shown.type, shown.data) == ("progress", 100.0)
        assert words in shown.description


def test_the_last_runs_are_shown_side_by_side(summary: dict[str, Any]) -> None:
    shown = artifacts("small-history")[0]
    assert Path(summary["run"]).name.replace("_", "\\_") in shown.data
    assert "![trend](data:image/svg+xml;base64," in shown.data


def test_what_is_done_is_not_done_again(summary: dict[str, Any], config: Config) -> None:
    runs = set(Path(config.store).glob("small-*"))
    again = retrain(**parameters_of(config))
    newest = max(runs, key=lambda path: path.name[-22:]).name  # the command made one of the same job
    assert again["nothing_new"] == f"{newest} is of the same settings and data: nothing is done again"
    assert again["metrics"] == summary["metrics"]
    assert set(Path(config.store).glob("small-*")) == runs
    assert "nothing-new" in latest_run("retrain").tags


@pytest.mark.usefixtures("_server")
def test_two_retrainings_of_a_model_never_run_at_once(config: Config, told: list[Any]) -> None:
    with alone(config):
        with pytest.raises(BusyError, match=r"small is being retrained in .* by another process"):
            retrain(**parameters_of(config))
        with pytest.raises(BusyError):
            binclf.retrain(config)
    ((event, _, payload),) = told
    assert (event, payload["flow"]) == ("binclf.model.failed", "retrain")
    assert "being retrained" in payload["message"]


def test_the_retrain_flow_shows_its_model_card_with_the_pictures_in_it(summary: dict[str, Any]) -> None:
    shown = artifacts("small-report")[0]
    assert shown.type == "markdown"
    page = (Path(summary["run"]) / "report.html").read_text()
    assert shown.data.count("(data:image/svg+xml;base64,") == page.count('class="chart"') >= 3
    assert summary["verdict"] in shown.data.replace("**", "")
    assert shown.description == summary["verdict"]
    assert shown.data.index(summary["verdict"].split(".")[0]) < shown.data.index("## Model")
    assert f"- Run directory: `{summary['run']}`" in shown.data


def test_the_retrain_flow_shows_its_metrics_as_a_table(summary: dict[str, Any]) -> None:
    shown = artifacts("small-metrics")[0]
    assert shown.type == "table"
    table = {row["part"]: row for row in json.loads(shown.data)}
    assert list(table) == ["train", "validation", "test"]
    assert table["test"]["log_loss"] == summary["metrics"]["test"]["log_loss"]
    assert table["train"]["rows"] == summary["metrics"]["train"]["rows"]


def test_a_run_from_the_form_gets_plain_settings_and_is_named_after_the_model(
    summary: dict[str, Any], config: Config
) -> None:
    """A worker hands the flow what the form submitted: JSON, not a config."""
    settings: Any = parameters_of(config) | {"name": "from-the-form"}
    found = retrain(**settings)
    assert found["metrics"] == summary["metrics"]
    assert latest_run("retrain").name == "from-the-form (from a shell)"


def test_a_mistyped_key_and_a_value_out_of_bounds_fail_before_any_work(
    summary: dict[str, Any], config: Config
) -> None:
    from prefect.exceptions import ParameterTypeError

    settings: Any = parameters_of(config)
    with pytest.raises(ParameterTypeError, match=r"advanced\.train\.epohcs"):
        retrain(**settings | {"advanced": {"train": {"epohcs": 3}}})
    with pytest.raises(ParameterTypeError, match=r"advanced\.train\.epochs"):
        retrain(**settings | {"advanced": {"train": {"epochs": 0}}})
    with pytest.raises(ConfigError, match=r"train\.momentum has no effect with train\.optimizer = 'adam'"):
        retrain(**settings | {"advanced": {"train": {"momentum": 0.5}}})


@pytest.mark.usefixtures("_server")
def test_an_error_of_the_library_leaves_the_flow_as_itself(tmp_path: Path, config: Config) -> None:
    settings: Any = parameters_of(config)
    settings["data"]["path"] = str(tmp_path / "nothing-here")
    with pytest.raises(DataError, match=r"nothing-here does not exist"):
        retrain(**settings)
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
    assert latest_run("score").name == f"{Path(summary['run']).name} on data (from a shell)"
    shown = artifacts("score-receipt")[-1]
    assert "| rows | 1,031 |" in shown.data
    assert Path(summary["run"]).name in shown.description
    (progress,) = artifacts("small-score")
    assert progress.description == "score: 1,031 of 1,031 rows"
    again = score(summary["run"], config.data.path, str(tmp_path / "scored"))
    assert (again["rows"], again["scored_before"], again["drift"]) == (1031, 5, {})
    library = logging.getLogger("binclf")
    assert (library.propagate, library.handlers) == (True, [])  # as it was
    other = binclf.score(summary["run"], config.data.path, tmp_path / "other")
    assert {**other, "output": receipt["output"], "drift": receipt["drift"]} == receipt
    told = backtest(summary["run"], str(tmp_path / "scored"), config.data.path)
    assert (told["counts"]["judged"], told["by"], len(told["periods"])) == (1031, "batch", 5)
    assert "- Judged: 1,031" in artifacts("small-backtest")[-1].data


def test_rows_that_are_not_like_those_of_training_are_told_by_an_event_and_a_page(
    summary: dict[str, Any], config: Config, tmp_path: Path, told: list[Any]
) -> None:
    like = score(
        summary["run"], config.data.path, str(tmp_path / "like"), settings=("score.contributions=1",)
    )
    assert told == []  # the rows of training
    assert like["drift"]["is_alarm"] is False
    assert "contribution_1" in pq.read_schema(tmp_path / "like" / "part-0.parquet").names
    table = pq.read_table(config.data.path)
    moved = pc.add(table["a"], 2.0)
    new = table.set_column(table.column_names.index("a"), "a", moved).drop_columns(["late"])
    (tmp_path / "new").mkdir()
    pq.write_table(new, tmp_path / "new" / "new.parquet")
    drift = score(summary["run"], str(tmp_path / "new"), str(tmp_path / "moved"))["drift"]
    ((event, resource, payload),) = told
    assert event == "binclf.model.drifted"
    assert resource["prefect.resource.id"] == "binclf.model.small"
    assert payload["moved"] == ["a"]
    assert payload["shift"] > 1
    assert set(payload) == {
        "run", "data", "rows", "sample_of", "training_rows", "shift", "sentence", "moved", "unstable",
        "skewed",
    }  # fmt: skip
    shown = artifacts("small-drift")[-1]
    assert (shown.description, shown.data) == (payload["sentence"], drift["text"])
    assert payload["sentence"] in artifacts("score-receipt")[-1].data


def test_the_shares_of_a_scoring_write_what_one_call_does(
    summary: dict[str, Any], config: Config, tmp_path: Path
) -> None:
    watch = Watch()
    whole = binclf.score(summary["run"], config.data.path, tmp_path / "whole", observers=[watch])
    receipt = score(summary["run"], config.data.path, str(tmp_path / "shared"), parts=3)
    for path in (tmp_path / "whole").glob("*.parquet"):
        assert path.read_bytes() == (tmp_path / "shared" / path.name).read_bytes()
    unknown = {"scored_before", "output", "drift"}  # (no share knows the first)
    assert {key: receipt[key] for key in receipt if key not in unknown} == {
        key: whole[key] for key in whole if key not in unknown
    }
    assert "scored_before" not in receipt
    # by the part that was the last, and so has committed
    assert receipt["drift"] == told_of(of_watch(watch, config.data.path))
    assert artifacts("small-drift")[-1].data == receipt["drift"]["text"]
    again = score(summary["run"], config.data.path, str(tmp_path / "shared"), parts=3)
    assert (again["rows"], again["drift"]) == (1031, {})


@pytest.mark.usefixtures("_server")
def test_settings_of_scoring_are_refused_before_anything_runs() -> None:
    from prefect.exceptions import ParameterTypeError

    with pytest.raises(ParameterTypeError, match=r"settings\.0"):
        score("run", "source", "output", settings=("train.epochs=1",))


@pytest.mark.parametrize(
    ("name", "key"), [("Late.Flights_2", "late-flights-2-report"), ("a..b", "a-b-report")]
)
def test_keys_of_artifacts_are_what_prefect_takes(name: str, key: str) -> None:
    assert key_of(name, "report") == key


MINIBATCH = ["train.solver=minibatch", "train.epochs=1"]
DRIVER = """
import runpy, sys
try:
    runpy.run_module("flows.retrain", run_name="__main__")  # as python -m does
except SystemExit as left:
    print("code", left.code, "torch", "torch" in sys.modules)
"""


def test_the_flow_runs_from_the_shell_with_no_server_and_no_torch_in_its_process(
    tmp_path: Path, config: Config
) -> None:
    path = tmp_path / "small.toml"
    path.write_text(as_toml(config))
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER)
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, str(driver), str(path), *MINIBATCH],
        env=environment(tmp_path / "home", PYTHONPATH=str(root)),
        capture_output=True,
        text=True,
        timeout=240,
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


def one_process() -> Any:
    return ProcessPoolTaskRunner(max_workers=1)


def dask() -> Any:
    from prefect_dask.task_runners import DaskTaskRunner

    return DaskTaskRunner(
        cluster_kwargs={
            "n_workers": 1,
            "threads_per_worker": 2,
            "processes": False,
            "dashboard_address": None,
        }
    )


@pytest.mark.usefixtures("_server")
@pytest.mark.filterwarnings("ignore")  # Prefect's and Dask's own
@pytest.mark.parametrize(
    "where", [lambda: ProcessPoolTaskRunner(max_workers=1), dask], ids=["processes", "dask"]
)
def test_the_same_split_comes_of_any_task_runner(tmp_path: Path, where: Any) -> None:
    config = small_job(tmp_path)
    expected = split.ensure(parse(config.model_dump() | {"store": str(tmp_path / "other")}))

    @flow(task_runner=where())
    def only_split(config: Config) -> str:
        with Stage(config.name, "split") as stage:
            return split.ensure(config, splitting(stage)).digest

    assert only_split(config) == expected.digest
    here = sorted(path.name for path in Path(config.store, "split", "parts").glob("*.parquet"))
    there = sorted(path.name for path in (tmp_path / "other" / "split" / "parts").glob("*.parquet"))
    assert here == there
    for name in here:
        one, other = Path(config.store, "split", "parts", name), tmp_path / "other" / "split" / "parts" / name
        assert one.read_bytes() == other.read_bytes(), name


def test_a_receipt_tells_of_skew_in_a_table_that_holds() -> None:
    skew = {"column": "a|b", "rows": 3, "words": "'a|b' is in another unit"}
    told = receipt_of({"rows": 5, "model": "m", "skewed": [skew]})
    rows = [line for line in told.splitlines() if line.startswith("|")]
    assert all(line.replace("\\|", "").count("|") == 3 for line in rows)
    assert "- skew: column" in told
    assert "| skewed | none |" in receipt_of({"rows": 5, "model": "m", "skewed": []})

"""Deployments on a real server: schedules that fire, runs that are cut off, and what they leave behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect.automations import EventTrigger
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.events import Event, RelatedResource, Resource
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import AwaitingRetry, Cancelling, Completed, Running, Scheduled

from binclf import artifact
from binclf.config import Config
from binclf.errors import ConfigError
from binclf.retrain import begin, fit
from deployments import zombies
from deployments.presets import night_of, parameters_of
from deployments.serve import Night, deployments_of
from deployments.serve import main as serve_main
from flows.nightly import due as nightly_due
from flows.nightly import nightly as nightly_flow
from flows.retrain import retrain as retrain_flow
from tests.ranks import as_toml, environment_of, is_alive, small_job, wait_until
from tests.servers import ROOT, background, environment, real_server

pytestmark = [
    pytest.mark.slow,
    # Prefect's own: its clients are closed late
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

NEWTON = {"solver": "newton", "patience": 3, "window_rows": 16384, "epochs": 20}  # starts without torch
SOON = timedelta(seconds=100)  # when the schedule fires, or up to a minute sooner: by then it is served
ALWAYS = ["score/by-hand", "backtest/by-hand"]  # are served
ENDED = {"Completed", "Failed", "Crashed", "Cancelled"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("deployments")


@pytest.fixture(scope="module")
def preset(folder: Path) -> Path:
    """A retraining of a second."""
    path = folder / "quick.toml"
    path.write_text(as_toml(small_job(folder / "quick", train=NEWTON)))
    return path


@pytest.fixture(scope="module")
def long_job(folder: Path) -> Config:
    """One of two ranks that takes some seconds, with checkpoints all the way."""
    return small_job(folder / "long", train={"epochs": 30, "ranks": 2, "patience": 0})


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with real_server(folder / "server") as url:
        yield url


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[SyncPrefectClient]:
    with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
        yield client


class Served:
    """`python -m deployments.serve`, which can be stopped and started again."""

    def __init__(self, url: str, folder: Path, preset: Path) -> None:
        self.folder, self.stack = folder, ExitStack()
        self.environment = environment(
            folder / "client", PREFECT_API_URL=url, PREFECT_RUNNER_POLL_FREQUENCY="1"
        )
        once = (
            f"{(datetime.now(UTC) + SOON).minute} * * * *"  # each run takes the others' processor for seconds
        )
        self.command = [
            sys.executable,
            "-m",
            "deployments.serve",
            str(preset),
            "--cron",
            once,
            "--limit",
            "4",
        ]

    def start(self) -> None:
        """Until its deployments are known to the server."""
        log = self.folder / "serve.log"
        self.process = self.stack.enter_context(background(self.command, self.environment, log))
        wait_until(lambda: "served and polling" in log.read_text(), 60, "deployments are served")

    def terminate(self) -> None:
        """Stop it, as a service manager does."""
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture(scope="module")
def served(url: str, folder: Path, preset: Path) -> Iterator[Served]:
    serving = Served(url, folder, preset)
    with serving.stack:
        serving.start()
        yield serving


@pytest.fixture(scope="module")
def silent(client: SyncPrefectClient, url: str) -> dict[str, UUID]:
    """Runs of which one heartbeat was heard: ours, another's, and one of ours that has ended since."""
    zombies.automation(10, "quick-hearts").create()
    found: dict[str, UUID] = {}
    for name, tags in {"ours": ["quick-hearts"], "another's": [], "ended": ["quick-hearts"]}.items():
        found[name] = client.create_flow_run(retrain_flow, tags=tags, state=Running()).id
        related = [
            {"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"} for tag in tags
        ]
        heartbeat = Event(
            event="prefect.flow-run.heartbeat",
            resource=Resource({"prefect.resource.id": f"prefect.flow-run.{found[name]}"}),
            related=[RelatedResource(one) for one in related],
        )
        httpx.post(f"{url}/events", json=[heartbeat.model_dump(mode="json")]).raise_for_status()
    client.set_flow_run_state(found["ended"], Completed())
    return found


def start(client: SyncPrefectClient, config: Config | None = None) -> UUID:
    parameters: dict[str, Any] = {}
    if config is not None:
        (Path(config.store).parent / "job.toml").write_text(as_toml(config))
        parameters = parameters_of(Path(config.store).parent / "job.toml")
    deployment = client.read_deployment_by_name("retrain/quick")
    return client.create_flow_run_from_deployment(deployment.id, parameters=parameters).id


def state_of(client: SyncPrefectClient, run: UUID) -> str:
    return str(client.read_flow_run(run).state_name)


def processes_of(run: UUID) -> tuple[list[int], list[int]]:
    """The flow process of a run, and its ranks."""
    found: tuple[list[int], list[int]] = ([], [])
    for entry in Path("/proc").glob("[0-9]*"):
        own = environment_of(int(entry.name))
        if own.get("PREFECT__FLOW_RUN_ID") == str(run):
            found["RANK" in own].append(int(entry.name))
    return found


def cut_off_point(run: UUID, store: Path, before: set[str]) -> tuple[list[int], list[int]]:
    """Wait until a run has left checkpoints that were not there before; its processes."""
    wait_until(lambda: len(processes_of(run)[1]) == 2, 120, "there are two ranks")
    wait_until(lambda: checkpoints(store) - before, 120, "there is a checkpoint")
    return processes_of(run)


def checkpoints(store: Path) -> set[str]:
    return {str(path) for path in store.glob("small-*/checkpoints/*")}


@pytest.mark.usefixtures("silent")  # silence takes its time: the test of it comes later
def test_of_the_runs_that_are_late_after_an_outage_one_is_enough(
    client: SyncPrefectClient, served: Served
) -> None:
    """What a server finds that was down for an hour: runs that were due, and were never begun."""
    deployment = client.read_deployment_by_name("retrain/quick-nightly")
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    late = [
        client.create_flow_run_from_deployment(
            deployment.id, state=Scheduled(scheduled_time=hour_ago + timedelta(minutes=number))
        ).id
        for number in range(4)
    ]
    wait_until(lambda: all(state_of(client, run) in ENDED for run in late), 240, "all late runs have ended")
    states = sorted(state_of(client, run) for run in late)
    # (none is Completed where the schedule's own run of this minute was at it)
    assert states in (["Cancelled"] * 3 + ["Completed"], ["Cancelled"] * 4)


def test_a_run_that_is_cancelled_or_killed_leaves_no_rank_and_goes_on_when_it_is_retried(
    client: SyncPrefectClient, served: Served, long_job: Config, folder: Path
) -> None:
    store = Path(long_job.store)
    run = start(client, long_job)
    _, ranks = cut_off_point(run, store, set())
    client.set_flow_run_state(run, Cancelling())
    wait_until(lambda: not any(map(is_alive, ranks)), 10, "no rank is alive")
    wait_until(lambda: state_of(client, run) == "Cancelled", 30, "the run is Cancelled")
    (run_dir,) = store.glob("small-*")
    left = checkpoints(store)
    assert left
    assert not artifact.is_sealed(run_dir)

    client.set_flow_run_state(run, AwaitingRetry(), force=True)  # what the button Retry does
    (flow,), ranks = cut_off_point(run, store, left)
    assert zombies.settle(["retrain/quick"]) == []  # somebody works at it
    os.kill(flow, signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, ranks)), 10, "no rank is alive")
    wait_until(lambda: state_of(client, run) == "Crashed", 30, "the run is Crashed")

    client.set_flow_run_state(run, AwaitingRetry(), force=True)
    wait_until(lambda: state_of(client, run) in ENDED, 240, "the run ends")
    assert state_of(client, run) == "Completed"
    assert list(store.glob("small-*")) == [run_dir]  # the same run, not one from the start
    undisturbed = begin(long_job.model_copy(update={"store": str(folder / "undisturbed")}))
    fit(undisturbed)
    for name in ("model.safetensors", "features.json"):
        assert (run_dir / name).read_bytes() == (undisturbed / name).read_bytes()


def test_prefect_yaml_deploys_with_schedule_limits_and_the_settings_of_a_preset(
    client: SyncPrefectClient, url: str, folder: Path, preset: Path
) -> None:
    client.create_work_pool(WorkPoolCreate(name="pool", type="process"))
    own = environment(folder / "client", PREFECT_API_URL=url, PYTHONPATH=str(ROOT))
    own |= {"BINCLF_HOME": str(ROOT), "BINCLF_POOL": "pool", "BINCLF_PRESET": str(preset)}
    own |= {"BINCLF_INPUT": "new", "BINCLF_OUTPUT": "scored"}
    prefect = str(Path(sys.executable).parent / "prefect")
    command = [prefect, "--no-prompt", "deploy", "--prefect-file", "deployments/prefect.yaml", "--all"]
    done = subprocess.run(
        command, env=own, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    scored = {"source": "new", "output": "scored"}
    for name, parameters, is_active in (("retrain", {}, False), ("nightly", scored, True)):
        nightly = client.read_deployment_by_name(f"{name}/nightly")
        assert nightly.parameters == parameters_of(preset) | parameters
        (item,) = nightly.schedules
        assert (item.schedule.model_dump()["cron"], item.active) == ("0 2 * * *", is_active)
    limits = {}
    for name in ("retrain/nightly", "nightly/nightly", "retrain/by-hand", "nightly/by-hand", *ALWAYS):
        deployment = client.read_deployment_by_name(name)
        limit, options = deployment.global_concurrency_limit, deployment.concurrency_options
        limits[name] = (limit and limit.limit, options and options.collision_strategy.value)
        assert deployment.work_pool_name == "pool"
        assert deployment.pull_steps is not None
        assert deployment.pull_steps[0]["prefect.deployments.steps.set_working_directory"] == {
            "directory": str(ROOT)
        }
        assert deployment.job_variables["env"] == zombies.ENVIRONMENT
    assert limits == {
        "retrain/nightly": (1, "CANCEL_NEW"),
        "nightly/nightly": (1, "CANCEL_NEW"),
        "retrain/by-hand": (1, "ENQUEUE"),
        "nightly/by-hand": (1, "ENQUEUE"),
        "score/by-hand": (None, None),
        "backtest/by-hand": (None, None),
    }


def test_a_run_that_falls_silent_is_crashed_and_those_of_other_people_are_left_alone(
    client: SyncPrefectClient, silent: dict[str, UUID]
) -> None:
    wait_until(lambda: state_of(client, silent["ours"]) == "Crashed", 60, "ours is Crashed")
    assert "No heartbeat for 10 s" in str(client.read_flow_run(silent["ours"]).state)
    assert state_of(client, silent["another's"]) == "Running"
    assert state_of(client, silent["ended"]) == "Completed"


def test_what_a_run_had_begun_whose_process_is_gone_is_crashed_with_it(
    client: SyncPrefectClient, served: Served
) -> None:
    """A flow that is called by another runs in the process of that, as in `nightly`."""
    deployment = client.read_deployment_by_name("retrain/quick").id
    parent = client.create_flow_run_from_deployment(deployment, state=Running()).id
    within = client.create_task_run(nightly_due, parent, "0").id
    child = client.create_flow_run(retrain_flow, parent_task_run_id=within, state=Running()).id
    assert {run.id for run in zombies.settle(["retrain/quick"])} == {parent, child}
    assert [state_of(client, run) for run in (parent, child)] == ["Crashed", "Crashed"]


def test_the_server_watches_once_however_often_it_is_asked(client: SyncPrefectClient) -> None:
    zombies.watch()
    wanted = zombies.watch()
    (found,) = [one for one in client.read_automations() if one.name == wanted.name]
    assert found.enabled
    assert isinstance(found.trigger, EventTrigger)
    assert timedelta(seconds=3 * zombies.BEAT) < found.trigger.within < timedelta(seconds=4 * zombies.BEAT)


def test_a_cron_schedule_has_made_a_run_that_ran(client: SyncPrefectClient, served: Served) -> None:
    """With SQLAlchemy 2.1 the server starts and looks healthy, and a schedule makes no runs."""
    deployment = client.read_deployment_by_name("retrain/quick-nightly")

    def ran() -> list[FlowRun]:
        runs = client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))
        )
        return [run for run in runs if run.auto_scheduled and run.state_name == "Completed"]

    run = wait_until(ran, 240, "a scheduled run is Completed")[0]
    assert run.expected_start_time.second == 0
    assert run.start_time is not None
    late = run.start_time - run.expected_start_time
    assert timedelta(seconds=-1) < late < timedelta(minutes=2)  # Prefect's runner may be a moment early


def test_who_serves_is_stopped_and_its_run_is_shown_as_crashed(
    client: SyncPrefectClient, served: Served, folder: Path
) -> None:
    """Prefect's runner kills its runs when it gets SIGTERM, and leaves them Running."""
    job = small_job(folder / "stopped", train={"epochs": 100_000, "ranks": 2, "patience": 0})
    run = start(client, job)
    flow, ranks = cut_off_point(run, Path(job.store), set())
    served.terminate()
    wait_until(lambda: not any(map(is_alive, [*flow, *ranks])), 10, "no process is alive")
    state = client.read_flow_run(run).state
    assert state is not None
    assert (state.name, state.message) == ("Crashed", zombies.GONE)
    assert checkpoints(Path(job.store))
    # what is due while nobody serves is late then, and not left out
    assert not client.read_deployment_by_name("retrain/quick-nightly").paused


def test_without_a_server_or_with_a_wrong_preset_nothing_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert serve_main([]) == 2
    assert "PREFECT_API_URL is not set" in capsys.readouterr().err
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('name = "wrong"\n[data]\npath = "data"\nlabel = "late"\n[train]\nepohcs = 1\n')
    assert serve_main([str(wrong)]) == 2
    assert "did you mean 'train.epochs'" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="epohcs"):
        deployments_of([wrong], Night())


def test_two_presets_of_one_name_are_refused(preset: Path, tmp_path: Path) -> None:
    other = tmp_path / preset.name
    other.write_text(preset.read_text())
    with pytest.raises(ConfigError, match=r"two presets are named quick\.toml"):
        deployments_of([preset, other], Night())


@pytest.fixture(scope="module")
def registered(folder: Path) -> Path:
    """A preset with a registry, which nobody runs."""
    path = folder / "kept.toml"
    path.write_text(as_toml(small_job(folder / "kept", registry={"uri": ""})))
    return path


def named(presets: list[Path], night: Night) -> list[str]:
    return [f"{one.flow_name}/{one.name}" for one in deployments_of(presets, night)]


def test_each_preset_is_served_by_hand_and_on_schedule_and_none_still_has_a_form(
    preset: Path, registered: Path
) -> None:
    assert named([preset], Night()) == ["retrain/quick", "retrain/quick-nightly", *ALWAYS]
    assert named([preset], Night(cron="")) == ["retrain/quick", *ALWAYS]
    # only where there is a registry is there a champion to score by
    kept = ["retrain/kept", "nightly/kept", "retrain/kept-nightly"]
    assert named([registered], Night()) == [*kept, *ALWAYS]
    alone = deployments_of([], Night())
    assert named([], Night()) == ["retrain/by-hand", "nightly/by-hand", *ALWAYS]
    assert [one.schedules for one in alone] == [[]] * 4


def test_what_is_scored_every_night_is_named_when_serving(
    preset: Path, registered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(registered.parent)
    night = Night(
        when="worthwhile", timezone="Europe/Berlin", scored={"kept": ("new/*.parquet", "s3://b/out")}
    )
    assert named([preset, registered], night) == [
        "retrain/quick", "retrain/quick-nightly",
        "retrain/kept", "nightly/kept", "nightly/kept-nightly", *ALWAYS,
    ]  # fmt: skip
    made = {f"{one.flow_name}/{one.name}": one for one in deployments_of([preset, registered], night)}
    asked = parameters_of(registered) | {
        "source": f"{registered.parent}/new/*.parquet",
        "output": "s3://b/out",
    }
    assert made["nightly/kept"].parameters == asked
    scheduled = made["nightly/kept-nightly"]
    wanted = {"days": 7.0, "new_files": 1, "when": "worthwhile"}
    assert scheduled.parameters == asked | {"retraining": wanted}
    assert "timezone='Europe/Berlin'" in str(scheduled.schedules)
    assert made["retrain/quick-nightly"].parameters == parameters_of(preset) | {"when": "worthwhile"}
    retrain_flow.validate_parameters(made["retrain/kept"].parameters)
    nightly_flow.validate_parameters(scheduled.parameters)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--score", "other", "in", "out"], "--score other: it is none of the presets, quick"),
        (["--score", "quick", "in", "out"], "--score quick asks for a champion, and .*registry.uri = 'off'"),
        (["--score", "quick", "in", "out"] * 2, "--score quick is given twice"),
    ],
)
def test_scores_that_could_not_be_are_refused_before_anything_is_served(
    preset: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], words: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert serve_main([str(preset), *arguments]) == 2
    assert re.search(words, capsys.readouterr().err)


def test_one_of_two_schedules_is_active_and_half_a_night_is_refused() -> None:
    assert night_of() == {"scores": False, "only_retrains": True}
    both = {"source": "in", "output": "out"}
    assert night_of(**both) == {"scores": True, "only_retrains": False, **both}
    with pytest.raises(ConfigError, match="BINCLF_INPUT is set and BINCLF_OUTPUT is not"):
        night_of("in")
    with pytest.raises(ConfigError, match="BINCLF_OUTPUT is set and BINCLF_INPUT is not"):
        night_of("", "out")

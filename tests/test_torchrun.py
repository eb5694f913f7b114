"""The real command line, on ranks of ours and of torchrun: killed, ended, resumed, and what it prints."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import load_file

from binclf import artifact, commit
from binclf.config import load
from binclf.retrain import retrain
from tests.mishaps import (
    STILL_EPOCH,
    kill_rank_1_once,
    raise_in_rank_1,
    stand_still_at_once,
    stand_still_in_the_third_epoch,
)
from tests.ranks import (
    as_toml,
    at_the_start_of_each_rank,
    children_of,
    environment_of,
    is_alive,
    nothing_left,
    small_job,
    wait_until,
)
from tests.trained import on_disk

pytestmark = pytest.mark.slow

EPOCHS = 6
PATIENCE = 120.0  # s; far less than a rank stands still
TRAIN = [sys.executable, "-m", "binclf", "train"]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config file of six epochs, a checkpoint after each step: as TOML, every setting spelled out."""
    folder = tmp_path_factory.mktemp("job")
    train = {"epochs": EPOCHS, "batch_rows": 64, "checkpoint_seconds": 0.0}
    config = small_job(folder, split={"validation_fraction": 0.0}, train=train)
    path = folder / "small.toml"
    path.write_text(as_toml(config))
    return path


@pytest.fixture(scope="module")
def undisturbed(job: Path) -> npt.NDArray[np.float64]:
    """The weights of one rank that nobody disturbed."""
    return weights_of({"run": on_disk(retrain(load(job, ["train.ranks=1"])))})


@pytest.fixture(autouse=True)
def _leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    marker = f"marker-{uuid.uuid4()}"
    monkeypatch.setenv("BINCLF_TEST_MARKER", marker)
    with nothing_left(marker):
        yield


def finished(command: list[str], seconds: float = PATIENCE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)


@contextmanager
def started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A command that runs; whatever becomes of the test, it does not outlive it."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def torchrun(*arguments: str) -> list[str]:
    """On one machine, torchrun finds a free port itself."""
    return [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *arguments]


def weights_of(summary: dict[str, Any]) -> npt.NDArray[np.float64]:
    arrays = load_file(Path(summary["run"]) / "model.safetensors")
    return np.concatenate([arrays[name] for name in sorted(arrays)])


def training_of(summary: dict[str, Any]) -> dict[str, Any]:
    return dict(commit.read_json(Path(summary["run"]) / "model.json")["training"])


def runs_of(job: Path) -> set[Path]:
    return {path.parent for path in (job.parent / "runs").glob("*/config.json")}


def ranks_of(parent: int) -> dict[int, int]:
    """Rank to pid, of the ranks that a command has started."""
    found = {environment_of(pid).get("RANK"): pid for pid in children_of(parent)}
    return {int(rank): pid for rank, pid in found.items() if rank is not None}


def reached(run: Path) -> int:
    """Epochs done, by the newest checkpoint (only two are kept); 0: none."""
    names = [path.stem for path in (run / "checkpoints").glob("at-*.safetensors")]
    return max((int(name.split("-")[1]) for name in names), default=0)


@contextmanager
def befalls(mishap: Callable[[], None], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ranks that are started meanwhile begin with this."""
    with monkeypatch.context() as patch:
        patch.setenv("BINCLF_TEST_MARKS", str(folder))
        at_the_start_of_each_rank(mishap, folder, patch)
        yield


def both_are_asleep(folder: Path) -> bool:
    """Whether both ranks that `stand_still_at_once` do."""
    return all((folder / f"asleep-{rank}").exists() for rank in (0, 1))


def in_the_middle(job: Path, before: set[Path], process: subprocess.Popen[str]) -> Path:
    """Wait until the command is in its third epoch; returns its run."""

    def begun() -> Path | None:
        assert process.poll() is None, process.communicate()
        for run in runs_of(job) - before:
            if reached(run) >= STILL_EPOCH:
                return run
        return None

    return Path(wait_until(begun, PATIENCE, "two epochs are done"))


def test_a_rank_killed_in_an_epoch_ends_the_command_and_any_other_number_of_ranks_goes_on(
    job: Path, undisturbed: npt.NDArray[np.float64], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = runs_of(job)
    with (
        befalls(stand_still_in_the_third_epoch, tmp_path, monkeypatch),
        started([*TRAIN, str(job), "--ranks", "2", "--json"]) as process,
    ):
        run = in_the_middle(job, before, process)
        os.kill(ranks_of(process.pid)[1], signal.SIGKILL)
        output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 14, errors
    told = json.loads(output)["error"]
    assert (told["kind"], told["rank"]) == ("RankError", 1)
    assert f"--resume {run}" in told["notes"][0]
    assert "binclf: error: rank 1 of 2 was killed by SIGKILL" in errors
    assert f"--resume {run}" in errors
    assert not (run / artifact.MANIFEST).exists()

    done = finished([*TRAIN, str(job), "--ranks", "1", "--resume", str(run), "--json"])
    assert done.returncode == 0, done.stderr
    assert f"going on in epoch {STILL_EPOCH + 1}, after" in done.stderr
    summary = json.loads(done.stdout)
    assert summary["run"] == str(run)
    assert (run / artifact.MANIFEST).exists()
    artifact.open_run(run)
    assert training_of(summary)["ranks"] == 1
    assert training_of(summary)["epochs"] == EPOCHS
    assert weights_of(summary) == pytest.approx(undisturbed, abs=1e-5)


def test_sigterm_ends_the_command_with_143_and_its_ranks(
    job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = runs_of(job)
    with (
        befalls(stand_still_in_the_third_epoch, tmp_path, monkeypatch),
        started([*TRAIN, str(job), "--ranks", "2"]) as process,
    ):
        run = in_the_middle(job, before, process)
        pids = ranks_of(process.pid).values()
        assert len(pids) == 2
        process.terminate()
        output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143
    assert not any(map(is_alive, pids))
    assert (output, "Traceback" in errors) == ("", False)
    assert not (run / artifact.MANIFEST).exists()


def test_ctrl_c_ends_the_command_with_130_and_its_ranks(
    job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = runs_of(job)
    command = [*TRAIN, str(job), "--ranks", "2"]
    with befalls(stand_still_at_once, tmp_path, monkeypatch), started(command) as process:
        wait_until(lambda: both_are_asleep(tmp_path), PATIENCE, "two ranks are there")
        pids = ranks_of(process.pid).values()
        assert len(pids) == 2
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert not any(map(is_alive, pids))
    assert "Traceback" not in errors
    (run,) = runs_of(job) - before
    assert not (run / artifact.MANIFEST).exists()


def test_worker_processes_of_two_ranks_change_nothing_and_end(
    job: Path, undisturbed: npt.NDArray[np.float64]
) -> None:
    done = finished([*TRAIN, str(job), "train.workers=1", "--ranks", "2", "--json"])
    assert done.returncode == 0, done.stderr
    assert training_of(json.loads(done.stdout))["ranks"] == 2
    assert weights_of(json.loads(done.stdout)) == pytest.approx(undisturbed, abs=1e-5)


def test_torchrun_seals_one_run_and_prints_its_result_once(
    job: Path, undisturbed: npt.NDArray[np.float64]
) -> None:
    before = runs_of(job)
    done = finished([*torchrun("-m", "binclf", "train"), str(job), "--json"])
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    summary = json.loads(line)
    assert runs_of(job) - before == {Path(summary["run"])}
    artifact.open_run(summary["run"])
    assert training_of(summary)["ranks"] == 2
    assert weights_of(summary) == pytest.approx(undisturbed, abs=1e-5)


def test_kill_9_of_torchruns_agent_leaves_no_rank(
    job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torchrun puts each rank in a session of its own, where it would train on for ever."""
    command = [*torchrun("-m", "binclf", "train"), str(job)]
    with befalls(stand_still_at_once, tmp_path, monkeypatch), started(command) as agent:
        wait_until(lambda: both_are_asleep(tmp_path), PATIENCE, "two ranks are there")
        pids = ranks_of(agent.pid).values()
        assert len(pids) == 2
        agent.kill()
        wait_until(lambda: not any(map(is_alive, pids)), 30, "the ranks die with the agent")


def test_the_words_of_a_rank_come_through_torchrun(
    job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the other name of the verb."""
    at_the_start_of_each_rank(raise_in_rank_1, tmp_path, monkeypatch)
    before = runs_of(job)
    done = finished([*torchrun("-m", "binclf", "retrain"), str(job)])
    assert done.returncode == 1
    assert done.stdout == ""
    assert "binclf: error: c.parquet, row group 2: these are rank 1's own words" in done.stderr
    agents = done.stderr[done.stderr.index("Root Cause") :]
    assert "rank 1's own words" in agents  # its error file: not 'To enable traceback see'
    assert not any((run / artifact.MANIFEST).exists() for run in runs_of(job) - before)


def test_a_restart_by_torchrun_meets_again_and_finishes(
    job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a prefix for each attempt, a restarted rank reads the address of its dead peer."""
    at_the_start_of_each_rank(kill_rank_1_once, tmp_path, monkeypatch)
    path = tmp_path / "exact.toml"
    path.write_text(as_toml(small_job(tmp_path, train={"solver": "newton"})))
    command = torchrun("--max-restarts", "1", "-m", "binclf", "train", str(path), "--json")
    done = finished(command)
    assert done.returncode == 0, done.stderr
    assert "SIGKILL" in done.stderr or "-9" in done.stderr  # it was killed indeed
    artifact.open_run(json.loads(done.stdout)["run"])

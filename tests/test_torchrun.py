"""The real command line, on ranks of ours and of torchrun: killed, ended, resumed, and what it prints."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import load_file

from binclf import artifact, commit
from binclf.errors import DataError
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

pytestmark = pytest.mark.slow

EPOCHS = 40
TRAIN = [sys.executable, "-m", "binclf", "train"]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config file of 40 epochs, a checkpoint after each step: as TOML, every setting spelled out."""
    folder = tmp_path_factory.mktemp("job")
    train = {"epochs": EPOCHS, "batch_rows": 64, "checkpoint_seconds": 0.0}
    config = small_job(folder, split={"validation_fraction": 0.0}, train=train)
    path = folder / "small.toml"
    path.write_text(as_toml(config))
    return path


@pytest.fixture(scope="module")
def undisturbed(job: Path) -> npt.NDArray[np.float64]:
    """The weights of one rank that nobody disturbed."""
    done = finished([*TRAIN, str(job), "--ranks", "1", "--json"])
    assert done.returncode == 0, done.stderr
    return weights_of(json.loads(done.stdout))


@pytest.fixture(autouse=True)
def _leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    marker = f"marker-{uuid.uuid4()}"
    monkeypatch.setenv("BINCLF_TEST_MARKER", marker)
    with nothing_left(marker):
        yield


def finished(command: list[str], seconds: float = 90) -> subprocess.CompletedProcess[str]:
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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    agent = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    return [*agent, "--master-addr", "127.0.0.1", "--master-port", str(port), *arguments]


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


def in_the_middle(job: Path, before: set[Path], process: subprocess.Popen[str]) -> Path:
    """Wait until the command is past its second epoch; returns its run."""

    def begun() -> Path | None:
        assert process.poll() is None, process.communicate()
        for run in runs_of(job) - before:
            if reached(run) >= 2:
                return run
        return None

    return Path(wait_until(begun, 60, "two epochs are done"))


def test_a_rank_killed_in_an_epoch_ends_the_command_and_any_other_number_of_ranks_goes_on(
    job: Path, undisturbed: npt.NDArray[np.float64]
) -> None:
    before = runs_of(job)
    with started([*TRAIN, str(job), "--ranks", "2", "--json"]) as process:
        run = in_the_middle(job, before, process)
        began = time.monotonic()
        os.kill(ranks_of(process.pid)[1], signal.SIGKILL)
        output, errors = process.communicate(timeout=20)
        assert time.monotonic() - began < 10
    assert process.returncode == 14, errors
    assert output == ""
    assert "binclf: error: rank 1 of 2 was killed by SIGKILL" in errors
    assert f"--resume {run}" in errors
    assert not (run / artifact.MANIFEST).exists()
    epochs = reached(run)
    assert 2 <= epochs < EPOCHS

    done = finished([*TRAIN, str(job), "--ranks", "1", "--resume", str(run), "--json"])
    assert done.returncode == 0, done.stderr
    assert f"going on in epoch {epochs + 1}, after" in done.stderr
    summary = json.loads(done.stdout)
    assert summary["run"] == str(run)
    assert (run / artifact.MANIFEST).exists()
    artifact.open_run(run)
    assert training_of(summary)["ranks"] == 1
    assert training_of(summary)["epochs"] == EPOCHS
    assert weights_of(summary) == pytest.approx(undisturbed, abs=1e-5)


def test_sigterm_ends_the_command_with_143_and_its_ranks(job: Path) -> None:
    before = runs_of(job)
    with started([*TRAIN, str(job), "--ranks", "2"]) as process:
        run = in_the_middle(job, before, process)
        pids = ranks_of(process.pid).values()
        assert len(pids) == 2
        process.terminate()
        output, errors = process.communicate(timeout=20)
    assert process.returncode == 143
    assert not any(map(is_alive, pids))
    assert (output, "Traceback" in errors) == ("", False)
    assert not (run / artifact.MANIFEST).exists()


def test_ctrl_c_ends_the_command_with_130_and_its_ranks(job: Path) -> None:
    before = runs_of(job)
    with started([*TRAIN, str(job), "--ranks", "2"]) as process:
        run = in_the_middle(job, before, process)
        pids = ranks_of(process.pid).values()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert not any(map(is_alive, pids))
    assert "Traceback" not in errors
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


def test_kill_9_of_torchruns_agent_leaves_no_rank(job: Path) -> None:
    """Torchrun puts each rank in a session of its own, where it would train on for ever."""
    before = runs_of(job)
    with started([*torchrun("-m", "binclf", "train"), str(job), f"train.epochs={EPOCHS * 100}"]) as agent:
        run = in_the_middle(job, before, agent)
        pids = ranks_of(agent.pid).values()
        assert len(pids) == 2
        agent.kill()
        wait_until(lambda: not any(map(is_alive, pids)), 3, "the ranks die with the agent")
    assert not (run / artifact.MANIFEST).exists()


def raise_in_rank_1() -> None:
    import binclf.train as module

    def wrong(*_: object) -> None:
        raise DataError("c.parquet, row group 2: these are rank 1's own words")

    if os.environ["RANK"] == "1":
        module.learn_features = wrong  # type: ignore[assignment]


def kill_rank_1_once() -> None:
    import binclf.train as module

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        module.learn_features = die  # type: ignore[assignment]


@pytest.mark.parametrize("verb", ["train", "retrain"])
def test_the_words_of_a_rank_come_through_torchrun(
    job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    at_the_start_of_each_rank(raise_in_rank_1, tmp_path, monkeypatch)
    before = runs_of(job)
    done = finished([*torchrun("-m", "binclf", verb), str(job)])
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
    command = torchrun("--max-restarts", "1", "-m", "binclf", "train", str(job), "train.epochs=2", "--json")
    done = finished(command)
    assert done.returncode == 0, done.stderr
    assert "SIGKILL" in done.stderr or "-9" in done.stderr  # it was killed indeed
    artifact.open_run(json.loads(done.stdout)["run"])

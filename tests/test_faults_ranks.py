"""Ranks that are not at the same job, ports that they open, and processes that read rows and are gone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from binclf import artifact, train
from binclf.config import parse
from binclf.errors import RankError
from binclf.loader.steps import Loader, StepDataset
from binclf.solvers import checkpoint
from binclf.world import Lone, join
from tests.ranks import as_toml, children_of, environment_of, is_alive, run, small_job, wait_until
from tests.test_loader import ORDERS, store_of
from tests.trained import on_disk, people, settings, stores, whole, write

LISTENS = "0A"  # the state of a socket in /proc/net/tcp


class Two(Lone):
    """Rank 1 of 2, which hears what rank 0 says."""

    def __init__(self, said: dict[str, str]) -> None:
        """What rank 0 has."""
        super().__init__("cpu")
        self.rank, self.size, self.said = 1, 2, said

    def gather(self, content: bytes) -> list[bytes]:
        """Rank 0's, and its own."""
        return [json.dumps(self.said).encode(), content]


@pytest.mark.parametrize("fact", ["config", "split", "binclf"])
def test_ranks_of_other_settings_data_or_code_are_refused_by_name(fact: str, tmp_path: Path) -> None:
    config = small_job(tmp_path)
    run_dir = artifact.begin(config)
    said: dict[str, str] = {}

    class Listening(Two):
        """Remembers what it says itself."""

        def gather(self, content: bytes) -> list[bytes]:
            said.update(json.loads(content))
            return [content, content]

    train._agreed_split(Listening({}), config, run_dir)
    assert set(said) == {"config", "split", "binclf"}
    other = Two({**said, fact: "0123456789abcdef"})
    with pytest.raises(
        RankError, match=rf"rank 1 and rank 0 do not have the same {fact} .*start all ranks alike"
    ):
        train._agreed_split(other, config, run_dir)


def of_another_config(folder: Path) -> None:
    """The body of a rank: rank 1 was started with another seed."""
    config = artifact.read_config(folder)
    if os.environ["RANK"] == "1":
        config = parse(config.model_dump(), ["train.seed=9"])
    with join("cpu") as world:
        train.train_in(world, config, folder)


@pytest.mark.slow
def test_a_rank_that_was_started_with_another_config_stops_all_before_the_first_row(tmp_path: Path) -> None:
    run_dir = on_disk(artifact.begin(small_job(tmp_path)))
    with pytest.raises(AssertionError, match="rank 1 and rank 0 do not have the same config"):
        run(2, of_another_config, folder=run_dir)
    assert not (run_dir / "model.safetensors").exists()


def listening() -> list[tuple[str, int]]:
    """Address, in hexadecimal, and port of each socket of this process that listens."""
    links = [entry.path for entry in os.scandir("/proc/self/fd")]
    own = {os.readlink(link) for link in links if os.path.lexists(link)}
    found: list[tuple[str, int]] = []
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/self/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENS and f"socket:[{fields[9]}]" in own:
                address, _, port = fields[1].partition(":")
                found.append((address, int(port, 16)))
    return found


GARBAGE = [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x80\x04\x95" + bytes(60), b"\xff" * 4096]


def scanned() -> tuple[list[tuple[str, int]], float]:
    """The body of a rank: somebody of this machine sends rubbish to each of its ports meanwhile."""
    with join("cpu") as world:
        world.sum_floats(np.ones(3))
        found = listening()
        for _, port in found:
            for content in GARBAGE:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as made:
                    made.sendall(content)
        total = 0.0
        for _ in range(20):
            total = float(world.sum_floats(np.array([world.rank + 1.0]))[0])
    return found, total


@pytest.mark.slow
def test_ranks_of_one_machine_listen_to_nobody_outside_and_bear_rubbish() -> None:
    """Gloo's own sockets are on the loopback, and the ranks meet through a file: no store has a port."""
    everyone = run(2, scanned)
    addresses = {address for found, _ in everyone for address, _ in found}
    assert addresses  # they do listen
    assert addresses <= {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
    assert [total for _, total in everyone] == [3.0, 3.0]


@pytest.mark.slow
@pytest.mark.parametrize("victims", [[0], [0, 1]], ids=["rank 0", "all ranks"])
def test_rank_0_or_all_killed_end_the_command_with_14_and_a_checkpoint(
    victims: list[int], tmp_path: Path
) -> None:
    """Rank 0 is the one that writes; rank 1's end is told in `tests/test_torchrun.py`."""
    config = small_job(tmp_path, train={"epochs": 100_000, "batch_rows": 64, "checkpoint_seconds": 0.0})
    (tmp_path / "job.toml").write_text(as_toml(config))
    command = [sys.executable, "-m", "binclf", "train", str(tmp_path / "job.toml"), "--ranks", "2"]
    checkpoints = partial(Path(config.store).glob, "*/checkpoints/at-*.safetensors")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: any(checkpoints()) or process.poll() is not None, 120, "it trains")
            ranks = {environment_of(pid).get("RANK"): pid for pid in children_of(process.pid)}
            pids = [ranks[str(rank)] for rank in victims]
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 14, errors
    assert "binclf: error: rank 0 of 2 was killed by SIGKILL" in errors
    assert not any(map(is_alive, ranks.values()))
    assert not list(Path(config.store).glob("*/manifest.json"))
    (run_dir,) = {path.parents[1] for path in checkpoints()}
    assert checkpoint.newest(run_dir / "checkpoints") is not None
    assert f"--resume {run_dir}" in errors


@pytest.fixture
def loader(tmp_path: Path) -> Loader:
    write(tmp_path / "data" / "a.parquet", people(400, 1), [100, 300])
    config = settings(tmp_path / "data", tmp_path / "store", split={"method": "none", "seed": 42})
    _, features, made = stores(config)
    held = store_of("ram", (made["train"].source, features, whole(made["train"])), tmp_path)
    return Loader(StepDataset(held, ORDERS["tiny windows"], 0, 1), workers=1)


@pytest.mark.slow
def test_a_process_that_reads_rows_and_is_killed_ends_the_epoch_as_a_lost_rank(loader: Loader) -> None:
    batches = loader.epoch(0)
    next(batches)
    workers: Any = loader.data._iterator
    os.kill(workers._workers[0].pid, signal.SIGKILL)
    with pytest.raises(RankError, match=r"a process that reads rows for this rank was killed or ended"):
        list(batches)

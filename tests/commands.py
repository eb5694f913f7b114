"""Commands run to their end: the code they end with, and how long after their last words."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from binclf import cli
from tests.bucket import environment, made_bucket, serving
from tests.ranks import as_toml, small_job

SECONDS = 20.0  # within which a command is gone after its last line, or it hangs


def run(*arguments: str | Path) -> int:
    """The exit code of a command run in this process."""
    with pytest.raises(SystemExit, match=r"^\d+$") as caught:
        cli.main([str(argument) for argument in arguments])
    return int(str(caught.value.code))


def exits(folder: Path, times: int) -> tuple[float, list[str]]:
    """Run each command so many times; the longest wait after a last line, and what was wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "small.toml"
    config.write_text(as_toml(small_job(folder, train={"solver": "newton"})))
    minibatch = ["train", str(config), "train.solver=minibatch", "train.epochs=1"]  # a process with torch
    first = ["retrain", str(config)]
    code, _, words = finish(first)
    if code:
        return 0.0, [f"{first}: {code}: {words}"]
    trained = max((folder / "runs").glob("small-*/manifest.json")).parent
    commands: list[tuple[list[str], int]] = [
        (["check", str(config)], 0),
        (["plan", str(config)], 0),
        (["split", str(config)], 0),
        (minibatch, 0),
        ([*minibatch, "--ranks", "2"], 0),
        (["retrain", str(config), "registry.uri="], 0),
        (["register", str(trained), "--registry", f"sqlite:///{folder}/runs/mlflow.db"], 0),
        (["evaluate", str(trained), str(folder / "data")], 0),
        (["report", str(trained)], 0),
        (["plan", str(config), "train.nonsense=1"], 2),
        (["split", str(config), f"data.path={folder / 'nowhere'}"], 10),
        (["report", str(folder)], 12),
        (["rollback", "nobody", "--registry", str(folder / "runs")], 12),
    ]
    slowest, wrong = 0.0, list[str]()
    for number in range(times):
        score = ["score", str(trained), str(folder / "data"), str(folder / f"scored-{number}")]
        for command, expected in [*commands, (score, 0)]:
            code, seconds, words = finish(command)
            slowest = max(slowest, seconds)
            if code != expected or seconds > SECONDS:
                wrong.append(f"{command[0]} ended with {code} after {seconds:.1f} s: {words[-500:]}")
    return slowest, wrong


def exits_from_a_store(folder: Path, times: int) -> tuple[float, list[str]]:
    """Commands on data, store and output in S3, whose client may hang a process at its end."""
    folder.mkdir(parents=True, exist_ok=True)
    slowest, wrong = 0.0, list[str]()
    with serving(folder) as address, pytest.MonkeyPatch.context() as patch:
        for name, value in environment(address, folder / "home").items():
            patch.setenv(name, value)
        bucket = made_bucket(address, "exits")
        config = small_job(folder, train={"solver": "newton"})
        bucket.put_folder("data", folder / "data")
        path = folder / "small.toml"
        path.write_text(as_toml(config))
        there = [f"data.path={bucket.root}/data", f"store={bucket.root}/runs"]
        code, _, words = finish(["retrain", str(path), *there, "--json"])
        if code:
            return 0.0, [words]
        made = next(line for line in words.splitlines() if "run directory: " in line).split(": ")[1]
        for number in range(times):
            commands: list[tuple[list[str], int]] = [
                (["split", str(path), *there], 0),
                (["score", made, f"{bucket.root}/data", f"{bucket.root}/scored-{number}"], 0),
                (["evaluate", made, f"{bucket.root}/nowhere"], 10),
            ]
            for command, expected in commands:
                code, seconds, words = finish(command)
                slowest = max(slowest, seconds)
                if code != expected or seconds > SECONDS:
                    wrong.append(f"{command[0]} ended with {code} after {seconds:.1f} s: {words[-500:]}")
    return slowest, wrong


def finish(arguments: list[str]) -> tuple[int, float, str]:
    """A command's code, the seconds between its last output and its end, and its words."""
    process = subprocess.Popen(
        [sys.executable, "-m", "binclf", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines, last = list[str](), [time.monotonic()]
    assert process.stdout is not None
    stream = process.stdout

    def listen() -> None:
        with stream:
            for line in stream:
                lines.append(line)
                last[0] = time.monotonic()

    listener = threading.Thread(target=listen)
    listener.start()
    code = process.wait(timeout=300)
    seconds = time.monotonic() - last[0]
    listener.join()
    return code, seconds, "".join(lines)

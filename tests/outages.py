"""Prefect's server killed while a flow trains: back again, the run finishes; gone for good, the work is kept.

Part of `make acceptance`: it takes one to two minutes, most of which servers take to start.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from binclf.config import Config
from tests.ports import free_port
from tests.ranks import as_toml, small_job, wait_until
from tests.servers import ROOT, environment, is_healthy, server_command

LONG = {"epochs": 60, "patience": 0, "lanes": 5, "window_rows": 11}
BEGUN = re.compile(r"epoch \d+ of 60: ")  # of epochs that are quick one line a second is told


def outages(folder: Path) -> list[str]:
    """The laws that were broken."""
    folder.mkdir(parents=True)
    config = small_job(folder, train=LONG)
    (folder / "small.toml").write_text(as_toml(config))
    port = free_port()
    broken: list[str] = []
    server = _server(folder, port)
    try:
        flow = _training(folder, port, seed=1)
        server.kill()
        server.wait()
        server = _server(folder, port)
        if flow.wait(300) != 0 or _states(port) != ["Completed"]:
            broken.append(f"a server was restarted: the flow ended {flow.returncode}, as {_states(port)}")
        flow = _training(folder, port, seed=2)
        server.kill()
        server.wait()
        if flow.wait(600) == 0:
            broken.append("a flow said that all is well without a server to tell it to")
    finally:
        server.kill()
        server.wait()
    return broken + _kept(folder, config)


def _kept(folder: Path, config: Config) -> list[str]:
    """What the flow did without its server is finished, and is found by the next one."""
    sealed = {path.parent.name for path in Path(config.store).glob("*/manifest.json")}
    own = environment(folder / "other-home")
    command = [sys.executable, "-m", "flows.retrain", str(folder / "small.toml"), "split.seed=2"]
    again = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, check=False)
    found = {path.parent.name for path in Path(config.store).glob("*/manifest.json")}
    if len(sealed) != 2 or found != sealed or "nothing is done again" not in again.stderr:
        return [f"{sealed} were kept when the server was gone, then {found}: {again.stderr[-2000:]}"]
    return []


def _training(folder: Path, port: int, seed: int) -> subprocess.Popen[bytes]:
    """A flow that trains."""
    words = folder / f"flow-{seed}.log"
    command = [sys.executable, "-m", "flows.retrain", str(folder / "small.toml"), f"split.seed={seed}"]
    # patient enough for a restart; then soon convinced, for Prefect asks again at every step
    retries = "5" if seed == 1 else "1"
    own = environment(
        folder / "client",
        PREFECT_API_URL=f"http://127.0.0.1:{port}/api",
        PREFECT_CLIENT_MAX_RETRIES=retries,
    )
    with words.open("w") as log:
        flow = subprocess.Popen(command, cwd=ROOT, env=own, stdout=log, stderr=log)
    wait_until(lambda: BEGUN.search(words.read_text()) or flow.poll() is not None, 120, "it trains")
    return flow


def _server(folder: Path, port: int) -> subprocess.Popen[bytes]:
    with (folder / "server.log").open("a") as log:
        server = subprocess.Popen(
            server_command(port), env=environment(folder / "home"), stdout=log, stderr=log
        )
    wait_until(lambda: is_healthy(f"http://127.0.0.1:{port}/api"), 120, "the server is healthy")
    return server


def _states(port: int) -> list[str]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/flow_runs/filter",
        data=b"{}",
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        runs: list[dict[str, Any]] = json.loads(answer.read())
    return [str(run["state"]["name"]) for run in runs]

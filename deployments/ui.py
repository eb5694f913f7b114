"""Everything on this machine by one command, for a first look: `make ui`.

    python -m deployments.ui [DIR] [--score NAME INPUT OUTPUT] [--port 4200] [--mlflow-port 5000]

Starts a Prefect server, serves deployments for each TOML config in DIR, opens the pages of their registry
with MLflow, all on 127.0.0.1, and prints the links. Where DIR has no config, the demo's data and models are
brought about first. Ctrl-C stops all of it, the runs at work too; what they did stays in DIR, and the next
start goes on from there.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from binclf.config import load
from binclf.errors import BinclfError
from binclf.registry import tracking_uri
from deployments.children import Child, stop_all
from deployments.serve import absolute, add_score
from deployments.zombies import ENVIRONMENT

ROOT = Path(__file__).parents[1]
HOST = "127.0.0.1"
SQLITE = "sqlite:///"
READY_SECONDS = 180.0
QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_CLI_COLORS": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven processes more, of no use here
    "PYTHONUNBUFFERED": "1",
}


def main(arguments: Sequence[str]) -> int:
    """Start, print the links, wait for Ctrl-C, stop; returns the exit code."""
    options = _options().parse_args(arguments)
    directory = options.directory.resolve()
    ports = [_port(options.port), _port(options.mlflow_port)]
    began = time.monotonic()
    children: list[Child] = []
    _interrupt_on(signal.SIGTERM)
    try:
        links = start(directory, options.score, ports, children)
        _say(f"\nReady after {time.monotonic() - began:.0f} s:\n" + "\n".join(links) + "\n")
        _say("Ctrl-C stops everything.")
        return _watch(children)
    except KeyboardInterrupt:
        _say("\nstopping")
        return 0
    except BinclfError as error:
        _say(f"\n{error}")
        return error.exit_code
    except RuntimeError as error:
        _say(f"\n{error}")
        return 70
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would leave half of it running
        stop_all(children)


def start(
    directory: Path, scored: Sequence[Sequence[str]], ports: Sequence[int], children: list[Child]
) -> list[str]:
    """Start the processes, each into `children` as it is started; returns lines with the links.

    Args:
        directory: has the configs, and gets logs and what the server knows.
        scored: name, input and output of what is scored on schedule.
        ports: of Prefect and MLflow.
        children: the processes.

    Raises:
        ConfigError: a preset is wrong.
        RuntimeError: one of them ended, or was not ready in time; with its last words.
    """
    site, pages = (f"http://{HOST}:{port}" for port in ports)
    logs, python = directory / "logs", [sys.executable, "-m"]
    logs.mkdir(parents=True, exist_ok=True)
    environment = environment_for(directory, f"{site}/api")

    def begin(name: str, command: Sequence[str]) -> Child:
        children.append(Child(name, command, environment, ROOT, logs / f"{name}.log"))
        return children[-1]

    server = begin("server", [*python, "prefect", "server", "start", "--host", HOST, "--port", str(ports[0])])
    unfinished = directory / ".demo-unfinished"
    if unfinished.exists() or not presets_of(directory):
        _say(f"the demo's data and first models, in {directory}: half a minute")
        unfinished.touch()
        begin("demo", [*python, "binclf", "demo", str(directory)]).wait()
        unfinished.unlink()
    presets = presets_of(directory)
    _until(lambda: _answers(f"{site}/api/health"), server)
    options = [text for name, *places in scored for text in ("--score", name, *map(absolute, places))]
    serving = begin("serve", [*python, "deployments.serve", *map(str, presets), *options])
    shown = [("Prefect", f"{site}/v2/"), ("Custom runs", f"{site}/v2/deployments")]
    if registry := registry_of(presets):
        mlflow = [*python, "mlflow", "server", "--backend-store-uri", registry, "--workers", "1"]
        mlflow_pages = begin("mlflow", [*mlflow, "--host", HOST, "--port", str(ports[1])])
        _until(lambda: _answers(f"{pages}/health"), mlflow_pages)
        shown.append(("MLflow", pages))
    _until(lambda: "served and polling" in serving.words(), serving)
    return [f"  {name:12} {link}" for name, link in [*shown, ("logs", str(logs))]]


def presets_of(directory: Path) -> list[Path]:
    """The configs of a directory, by name."""
    return sorted(directory.glob("*.toml"))


def registry_of(presets: Sequence[Path]) -> str:
    """The registry of the first preset that has one in a file; empty: a server has pages of its own.

    Raises:
        ConfigError: a preset is wrong.
    """
    for uri in (tracking_uri(load(str(preset))) for preset in presets):
        if uri.startswith(SQLITE):
            Path(uri.removeprefix(SQLITE)).parent.mkdir(parents=True, exist_ok=True)
            return uri
    return ""


def environment_for(directory: Path, api: str) -> dict[str, str]:
    """Without any Prefect setting of the user's own; what the server knows stays in the directory."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    site = api.removesuffix("/api")
    return {
        **own,
        **QUIET,
        **ENVIRONMENT,
        "PREFECT_HOME": str(directory / "prefect"),
        "PREFECT_API_URL": api,
        "PREFECT_RUNNER_POLL_FREQUENCY": "2",  # seconds from Submit to the start; Prefect's own are 10
        # pages of other origins may not talk to it through the browser
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": site,
    }


def _watch(children: Sequence[Child]) -> int:
    """Until a child that should stay has ended."""
    while True:
        for child in children:
            if child.name != "demo" and child.has_ended():
                raise RuntimeError(child.last_words())
        time.sleep(0.5)


def _until(claim: Callable[[], bool], child: Child) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not claim():
        if child.has_ended() or time.monotonic() > deadline:
            raise RuntimeError(child.last_words())
        time.sleep(0.1)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _port(wanted: int) -> int:
    """The wanted port of this machine, or a free one if somebody has it."""
    for port in (wanted, 0):
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((HOST, port))
            except OSError:
                _say(f"port {port} is taken: another one will do")
                continue
            return int(trial.getsockname()[1])
    raise RuntimeError("no port is free")


def _interrupt_on(number: signal.Signals) -> None:
    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(number, interrupt)
    signal.signal(signal.SIGINT, interrupt)  # a shell's `&` leaves it ignored


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deployments.ui", description=__doc__.split("\n")[0])
    parser.add_argument("directory", nargs="?", type=Path, default=Path("demo"), metavar="DIR")
    add_score(parser)
    parser.add_argument("--port", type=int, default=4200, help="of Prefect: 4200, or a free one")
    parser.add_argument("--mlflow-port", type=int, default=5000, help="of MLflow: 5000, or a free one")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

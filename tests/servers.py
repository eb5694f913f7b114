"""Prefect servers and what talks to them, each with a home of its own, on free ports of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port
from tests.ranks import wait_until

ROOT = Path(__file__).parents[1]
QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "INFO",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
}


def environment(home: Path, **more: str) -> dict[str, str]:
    """Without any setting of Prefect that this process has, and a home of its own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    return {**kept, **QUIET, "PREFECT_HOME": str(home), **more}


@contextmanager
def background(
    command: Sequence[str], environment: dict[str, str], log: Path, seconds: float = 20
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, ended by its pid after the block; SIGINT is as ever for it."""
    with log.open("w") as words:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=ROOT,
            stdout=words,
            stderr=words,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def real_server(home: Path) -> Iterator[str]:
    """`prefect server start` on a free port of this machine; the address of its API."""
    port = free_port()
    home.mkdir()
    with background(server_command(port), environment(home), home / "server.log"):
        url = f"http://127.0.0.1:{port}/api"
        wait_until(lambda: is_healthy(url), 90, "the server is healthy")
        yield url


def server_command(port: int) -> list[str]:
    """What starts a server without pages."""
    prefect = str(Path(sys.executable).parent / "prefect")
    return [prefect, "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"]


def is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False

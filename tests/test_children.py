"""Processes of one command: they end with it, in whatever way it ends, and so does what they have started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deployments import children
from deployments.children import Child, stop_all
from tests.ranks import children_of, is_alive, wait_until
from tests.servers import ROOT

pytestmark = pytest.mark.slow


def begin(folder: Path, script: str, name: str = "child") -> Child:
    return Child(name, ["bash", "-c", script], dict(os.environ), folder, folder / f"{name}.log")


def test_a_child_is_stopped_with_all_that_it_has_started(tmp_path: Path) -> None:
    child = begin(tmp_path, "sleep 60 & sleep 60 & echo started; wait")
    wait_until(lambda: "started" in child.words(), 10, "it has started two")
    pids = [child.process.pid, *children_of(child.process.pid)]
    assert len(pids) == 3
    child.stop()
    assert not any(map(is_alive, pids))
    child.stop()  # once more does no harm


def test_who_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "SECONDS", 0.4)
    child = begin(tmp_path, "trap '' TERM; echo started; while :; do sleep 0.1; done")
    wait_until(lambda: "started" in child.words(), 10, "it has started")
    child.stop()
    assert child.has_ended()
    assert child.process.returncode == -signal.SIGKILL


def test_the_last_to_be_started_is_the_first_to_be_stopped(tmp_path: Path) -> None:
    log = tmp_path / "order"
    both = [
        begin(
            tmp_path, f"trap 'echo {name} >> {log}; exit' TERM; echo up; while :; do sleep 0.05; done", name
        )
        for name in ("server", "worker")
    ]
    wait_until(lambda: all("up" in child.words() for child in both), 10, "both are up")
    stop_all(both)
    assert log.read_text().split() == ["worker", "server"]


def test_a_failure_is_told_by_the_end_of_its_log(tmp_path: Path) -> None:
    child = begin(tmp_path, "seq 5000; echo the reason >&2; exit 3")
    with pytest.raises(RuntimeError, match=r"child ended with code 3; .*child\.log ends with:") as failure:
        child.wait()
    assert str(failure.value).endswith("the reason\n")
    assert len(str(failure.value)) < 3000


def test_a_child_follows_a_parent_that_was_killed(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys, time\n"
        "from deployments.children import Child\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "child = Child('child', ['sleep', '60'], dict(os.environ), folder, folder / 'child.log')\n"
        "print(child.process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    with parent.stdout:
        pid = int(parent.stdout.readline())
    assert is_alive(pid)
    parent.kill()
    parent.wait()
    wait_until(lambda: not is_alive(pid), 10, "the child has gone, too")


def test_a_child_hears_ctrl_c_although_a_shell_has_its_parent_ignore_it(tmp_path: Path) -> None:
    """Prefect's worker turns SIGTERM into SIGINT: started with SIGINT ignored, nothing would stop it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        command = [sys.executable, "-c", "import signal; print(signal.getsignal(signal.SIGINT))"]
        child = Child("child", command, dict(os.environ), tmp_path, tmp_path / "child.log")
        child.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    assert "default_int_handler" in child.words()

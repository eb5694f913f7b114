"""The launcher: ranks start and end together, and the guilty one's own words come back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from binclf.errors import (
    ArtifactError,
    BinclfError,
    BusyError,
    ConfigError,
    DataError,
    RankError,
    StorageError,
)
from binclf.launch import group
from binclf.launch import launch as start
from binclf.storage.local import SCRATCH, scratch
from tests.mishaps import LONG, bodies_instead_of_training
from tests.ranks import (
    at_the_start_of_each_rank,
    children_of,
    environment_of,
    is_alive,
    nothing_left,
    wait_until,
)

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _ends_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Of each test: no process is left."""
    marker = f"marker-{uuid.uuid4()}"
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("BINCLF_TEST_MARKER", marker)
    monkeypatch.setenv("BINCLF_TEST_MARKS", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    at_the_start_of_each_rank(bodies_instead_of_training, tmp_path, monkeypatch)
    with nothing_left(marker):
        yield


def test_a_data_error_of_rank_1_comes_back_as_such_in_its_own_words() -> None:
    words = r"^rank 1 of 2: b\.parquet, row group 3: 'a' holds 2 infinities$"
    with pytest.raises(DataError, match=words):
        start("rank", ["meet_and_raise_on_rank_1"], 2)


def test_a_killed_rank_is_named_with_its_signal_long_before_the_others_lose_patience() -> None:
    began = time.monotonic()
    with pytest.raises(RankError, match=r"^rank 1 of 2 was killed by SIGKILL \(out of memory\?\)\.$"):
        start("rank", ["meet_and_kill_rank_1"], 2)
    assert time.monotonic() - began < LONG / 4


def test_a_rank_that_lives_and_stands_still_is_given_up_by_those_that_wait_for_it() -> None:
    words = r"the work of rank 1 stands still for 1 s \(a pass over the rows of train, step 1\)"
    with pytest.raises(RankError, match=rf"^rank 0 of 2: timed out: {words}: it hangs"):
        start("rank", ["stand_still_on_rank_1"], 2)


@pytest.mark.parametrize("kind", [ConfigError, DataError, ArtifactError, StorageError, RankError, BusyError])
def test_every_kind_of_error_comes_back_as_itself(
    kind: type[BinclfError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIND", kind.__name__)
    with pytest.raises(kind, match=rf"^the words of {kind.__name__}$") as caught:
        start("rank", ["raise_kind"], 1)
    assert type(caught.value) is kind


def test_an_unexpected_error_comes_back_with_its_trace() -> None:
    with pytest.raises(RankError, match=r"(?s)^rank 1 of 2: Traceback.*raise_what_nobody.*by nought"):
        start("rank", ["raise_what_nobody_expects"], 2)


def test_a_rank_that_ends_without_a_record_is_told_with_its_last_words() -> None:
    with pytest.raises(RankError, match=r"^rank 1 of 2 ended with code 3; its last words:\n(.*\n)*last"):
        start("rank", ["exit_without_a_word"], 2)


def test_an_error_that_no_disk_takes_keeps_its_kind() -> None:
    with pytest.raises(StorageError, match=r"(?s)rank 1 of 2 ended with code 13.*the disk is full") as caught:
        start("rank", ["fail_where_no_disk_takes_the_words"], 2)
    assert caught.value.where.rank == 1


def test_ranks_do_not_inherit_the_secrets_of_servers_that_they_never_ask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "admin:secret")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    monkeypatch.setenv("AWS_PROFILE", "needed")
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "of a run")  # no secret: by it a run's ranks are found
    lines: list[str] = []
    start("rank", ["tell_the_environment"], 1, on_line=lines.append)
    (names,) = [set(line.split()) for line in lines if "AWS_PROFILE" in line]
    assert [name for name in names if name.startswith(("PREFECT_", "MLFLOW_"))] == ["PREFECT__FLOW_RUN_ID"]


def test_what_a_killed_launcher_left_goes_with_the_next_and_what_is_held_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, young = tmp_path / f"{SCRATCH}left", tmp_path / f"{SCRATCH}young"
    with scratch() as held:
        for folder in (left, young):
            folder.mkdir()
            (folder / "rank-1.txt").touch()
        for folder in (left, held):
            os.utime(folder, (0, 0))
        with scratch():
            assert held.is_dir()
            assert young.is_dir()
            assert not left.exists()
    assert not held.exists()


def test_a_rank_that_leaves_too_early_is_a_failure_of_the_group() -> None:
    with pytest.raises(RankError, match=r"^rank 0 of 2"):
        start("rank", ["exit_well_too_early"], 2)


def test_a_rank_that_aborts_because_its_peer_has_gone_is_not_the_guilty_one() -> None:
    for _ in range(3):
        with pytest.raises(DataError, match=r"^rank 1 of 2: rank 1 is the guilty one$"):
            start("rank", ["abort_after_the_peer_raised"], 2)


def test_a_rank_that_ignores_sigterm_is_killed_after_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "GRACE_SECONDS", 1.0)
    began = time.monotonic()
    with pytest.raises(DataError, match=r"^rank 1 of 2: rank 1 ended$"):
        start("rank", ["ignore_the_polite_signal"], 2)
    assert 1.0 < time.monotonic() - began < LONG / 4


def test_the_children_of_a_killed_rank_end_too() -> None:
    with pytest.raises(RankError, match="rank 1 of 2 was killed by SIGKILL"):
        start("rank", ["have_a_child_and_be_killed"], 2)


def test_each_line_of_rank_0_is_passed_on_in_order_and_none_of_the_others() -> None:
    lines: list[str] = []
    start("rank", ["write_many_lines"], 2, on_line=lines.append)
    assert lines == [f"rank 0 line {number} {'x' * 80}" for number in range(5000)]


def test_a_listener_that_fails_does_not_stop_the_job() -> None:
    """As when stderr is a pipe that was closed: the ranks must not block on theirs."""
    heard: list[str] = []

    def listen(line: str) -> None:
        heard.append(line)
        raise BrokenPipeError("nobody reads this any more")

    ended = threading.Event()

    def go() -> None:
        start("rank", ["write_many_lines"], 1, on_line=listen)
        ended.set()

    threading.Thread(target=go, daemon=True).start()
    is_over = ended.wait(LONG / 4)
    for child in children_of(os.getpid()):  # do not leave a blocked rank behind
        if not is_over and "RANK" in environment_of(child):
            os.kill(child, signal.SIGKILL)
    assert is_over
    assert heard


def test_ranks_that_end_well_leave_nothing_behind(tmp_path: Path) -> None:
    start("rank", ["end_well"], 2)
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.fixture
def are_asleep(tmp_path: Path) -> Callable[[], bool]:
    """Whether both ranks run `sleep_in_silence`."""
    return lambda: all((tmp_path / f"asleep-{rank}").exists() for rank in (0, 1))


def launcher(body: str) -> subprocess.Popen[str]:
    """A process that launches two ranks."""
    command = f"from binclf.launch import launch; launch('rank', ['{body}'], 2)"
    return subprocess.Popen([sys.executable, "-c", command], stderr=subprocess.PIPE, text=True)


def ranks_of(parent: subprocess.Popen[str]) -> list[int]:
    pids = children_of(parent.pid)
    return pids if len(pids) == 2 else []


def test_sigterm_to_the_launcher_ends_the_ranks_and_exits_143(are_asleep: Callable[[], bool]) -> None:
    with launcher("sleep_in_silence") as parent:
        wait_until(are_asleep, 60, "two ranks run the body")
        pids = ranks_of(parent)
        assert len(pids) == 2
        parent.terminate()
        assert parent.wait(60) == 143
        assert not any(map(is_alive, pids))
        assert parent.stderr is not None
        assert "Traceback" not in parent.stderr.read()


@pytest.mark.parametrize(
    "is_early", [True, False]
)  # before a rank has asked to die with its parent, or after
def test_kill_9_of_the_launcher_leaves_no_silent_rank(is_early: bool, are_asleep: Callable[[], bool]) -> None:
    with launcher("sleep_in_silence") as parent:
        pids = wait_until(lambda: ranks_of(parent), 60, "two ranks run")
        if not is_early:
            wait_until(are_asleep, 60, "they run the body")
        parent.kill()
        wait_until(lambda: not any(map(is_alive, pids)), 30, "the ranks die with their launcher")

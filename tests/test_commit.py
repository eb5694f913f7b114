"""A file appears whole or not at all, and a lock has one holder."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from binclf import commit
from binclf.errors import ArtifactError, BusyError, StorageError

HOLDER = """
import pathlib, sys
from binclf import commit
with commit.locked(pathlib.Path(sys.argv[1]), wait=True):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "file"
    with commit.beside(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.name.startswith(".")
        assert temporary.name.endswith(".tmp")
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert os.listdir(path.parent) == ["file"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail() -> None:
        with commit.beside(path) as temporary:
            temporary.write_text("new")
            raise RuntimeError("on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_two_writers_of_one_file_do_not_share_a_temporary(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with commit.beside(path) as one, commit.beside(path) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"  # the outer block ended last


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full: free some space"),
        (errno.EDQUOT, "the quota is used up"),
        (errno.EROFS, "read-only: choose another place"),
        (errno.EACCES, "permission is denied: choose another place"),
        (errno.EIO, "the disk fails"),
    ],
)
def test_the_disk_s_own_errors_are_storage_errors_that_name_the_file(
    tmp_path: Path, number: int, words: str
) -> None:
    path = tmp_path / "file"
    with pytest.raises(StorageError, match=words) as caught, commit.beside(path):
        raise OSError(number, os.strerror(number))
    assert str(path) in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_a_storage_error(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match="the disk is full"),
        commit.beside(tmp_path / "file"),
        open("/dev/full", "wb", buffering=0) as full,
    ):
        full.write(b"x")


def test_other_errors_of_the_system_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"), commit.beside(tmp_path / "file"):
        raise FileNotFoundError(errno.ENOENT, "gone")


def test_json_comes_back_as_it_went(tmp_path: Path) -> None:
    value = {"text": "ü", "numbers": [1, 0.1, -1e300, 2**60], "none": None, "nested": {"a": [True]}}
    commit.write_json(tmp_path / "a.json", value)
    assert commit.read_json(tmp_path / "a.json") == value


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_json_lacks_are_never_written(tmp_path: Path, number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        commit.write_json(tmp_path / "a.json", {"loss": number})
    assert os.listdir(tmp_path) == []


def test_missing_and_damaged_json_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(ArtifactError, match=r"a\.json is missing: it was removed, or never finished"):
        commit.read_json(path)
    for damaged in (b'{"a": 1', b"", b"\xff\xfe\x00"):
        path.write_bytes(damaged)
        with pytest.raises(ArtifactError, match=r"a\.json is not JSON"):
            commit.read_json(path)


def test_a_held_lock_is_busy_for_another_process_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "store" / ".lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(BusyError, match="store is in use by another process: wait"):
            commit.locked(path, wait=False).__enter__()
        holder.kill()
        holder.wait(10)
        with commit.locked(path, wait=False):
            assert path.exists()


def test_waiters_for_a_lock_take_turns(tmp_path: Path) -> None:
    inside, most = [0], [0]

    def work() -> None:
        for _ in range(20):
            with commit.locked(tmp_path / ".lock", wait=True):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert most == [1]
    assert inside == [0]


def test_a_lock_is_free_after_an_error_inside(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="inside"), commit.locked(tmp_path / ".lock", wait=False):
        raise RuntimeError("inside")
    with commit.locked(tmp_path / ".lock", wait=False):
        assert (tmp_path / ".lock").exists()

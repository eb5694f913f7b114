"""A disk that fails at any call: the file is named, nothing half is seen, and a rerun has all the bits."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from binclf import artifact, commit
from binclf.errors import StorageError
from binclf.retrain import begin, retrain
from binclf.score import score
from binclf.split import ensure
from tests import made
from tests.commands import run
from tests.ranks import as_toml, small_job
from tests.trained import on_disk, people, write

Calls = Callable[[], Any]
FAULTS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS)


class Faulty:
    """os.replace and os.fsync, of which the n-th call fails, and all after it: a full disk stays full."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int = 10**9) -> None:
        """Counts calls from now on."""
        self.at, self.calls, self.fired = at, 0, 0
        for name in ("replace", "fsync"):
            patch.setattr(os, name, self._of(getattr(os, name)))

    def _of(self, real: Calls) -> Calls:
        def call(*arguments: Any, **named: Any) -> Any:
            self.calls += 1
            if self.calls >= self.at:
                self.fired += 1
                number = FAULTS[self.at % len(FAULTS)]
                raise OSError(number, os.strerror(number))
            return real(*arguments, **named)

        return call


def calls_of(job: Calls) -> int:
    """How often a job that nobody disturbs asks the disk."""
    with pytest.MonkeyPatch.context() as patch:
        counted = Faulty(patch)
        job()
    assert counted.calls > 2
    return counted.calls


def fails(job: Calls, at: int) -> None:
    """The job meets the fault and says so as the disk's."""
    with pytest.MonkeyPatch.context() as patch:
        faulty = Faulty(patch, at)
        with pytest.raises(StorageError, match=r"cannot be written \(.*\): .*and run it again"):
            job()
    assert faulty.fired


def parquet(folder: Path) -> dict[str, bytes]:
    """What readers of Parquet see, by relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*.parquet"))
        if not any(part.startswith(("_", ".")) for part in path.relative_to(folder).parts)
    }


def test_a_split_survives_a_fault_at_each_call(tmp_path: Path) -> None:
    data = made.mixed_files(tmp_path / "data", [130, 70])
    whole = made.config(data, tmp_path / "whole")
    calls = calls_of(lambda: ensure(whole))
    for at in range(1, calls + 1):
        config = made.config(data, tmp_path / f"store-{at}")
        fails(lambda config=config: ensure(config), at)  # type: ignore[misc]
        split = list((tmp_path / f"store-{at}" / "split").glob("*.json"))  # what is written last
        assert not split or at == calls  # whose last call brings the folder to the disk that has its name
        assert not list((tmp_path / f"store-{at}").rglob("*.tmp"))
        ensure(config)
        assert parquet(tmp_path / f"store-{at}") == parquet(tmp_path / "whole")


@pytest.mark.slow
def test_a_scoring_survives_a_fault_at_each_call(trained_run: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / "new" / f"{name}.parquet", people(40))
    calls = calls_of(lambda: score(trained_run, tmp_path / "new", tmp_path / "whole"))
    expected = parquet(tmp_path / "whole")
    for at in range(1, calls + 1):
        out = tmp_path / f"out-{at}"
        fails(lambda out=out: score(trained_run, tmp_path / "new", out), at)  # type: ignore[misc]
        seen = parquet(out)
        assert seen.items() <= expected.items()
        assert not (out / "_manifest.json").exists() or seen == expected
        assert score(trained_run, tmp_path / "new", out)["rows"] == 80
        assert parquet(out) == expected
        assert not (out / "_staging").exists()


@pytest.mark.slow
def test_a_training_survives_a_fault_from_its_first_file_to_its_seal(tmp_path: Path) -> None:
    config = small_job(tmp_path, train={"solver": "newton", "ranks": 1})
    ensure(config)
    whole = on_disk(retrain(config))
    run_dir = on_disk(begin(config))
    calls = calls_of(lambda: retrain(config, resume=run_dir))
    for at in (1, calls // 2, calls - 1, calls):
        run_dir = on_disk(begin(config))
        fails(lambda run_dir=run_dir: retrain(config, resume=run_dir), at)  # type: ignore[misc]
        if at < calls:  # the last call brings the folder of a manifest to the disk that has its name
            assert not artifact.is_sealed(run_dir)
        if not artifact.is_sealed(run_dir):
            retrain(config, resume=run_dir)
        artifact.open_run(run_dir)
        for name in ("model.safetensors", "features.json", "metrics.json"):
            assert (run_dir / name).read_bytes() == (whole / name).read_bytes()


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """A real fault: the kernel refuses to write more into any file (EFBIG)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_the_kernel_refuses_to_write_is_the_disks_fault(trained_run: Path, tmp_path: Path) -> None:
    data = made.mixed_files(tmp_path / "data", [20_000])
    config = made.config(data, tmp_path / "store")
    with no_file_beyond(2**16), pytest.raises(StorageError, match="larger than allowed: raise the limit"):
        ensure(config)
    assert not list((tmp_path / "store").rglob("*.parquet"))
    assert ensure(config).receipt["rows"] == 20_000
    source = write(tmp_path / "new.parquet", people(20_000))
    with no_file_beyond(2**16), pytest.raises(StorageError, match="larger than allowed: raise the limit"):
        score(trained_run, source, tmp_path / "out")
    assert parquet(tmp_path / "out") == {}
    assert score(trained_run, source, tmp_path / "out")["rows"] == 20_000


def test_what_no_disk_takes_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "file").write_text("x")
    for path, words in (
        (tmp_path / "folder", "a directory is where a file is needed"),
        (tmp_path / "file" / "below", "a file is where a directory is needed"),
        (tmp_path / ("x" * 256), "the name is longer than the disk takes"),
    ):
        with pytest.raises(StorageError, match=words):
            commit.write_bytes(path, b"new")
    commit.write_bytes(tmp_path / ("y" * 255), b"new")
    assert (tmp_path / "file").read_text() == "x"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "y" * 255]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, "permission is denied"),
        (errno.EIO, "the disk fails: check it"),
        (errno.ESTALE, "mount it again"),
        (errno.EMFILE, "raise the limit (ulimit -n)"),
    ],
)
def test_a_file_of_ours_that_cannot_be_read_is_no_fault_of_ours(
    number: int, words: str, trained_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Anywhere, by any command; the library raises Python's own error, which is an OSError as ours is."""
    real, fired = Path.read_bytes, [0]

    def refuse(self: Path) -> bytes:
        if self.name == "features.json":
            fired[0] += 1
            raise OSError(number, os.strerror(number), str(self))
        return real(self)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert run("evaluate", trained_run) == 13
    told = capsys.readouterr().err
    assert f"features.json cannot be used ({os.strerror(number)})" in told
    assert words in told
    assert "our own fault" not in told
    assert fired == [1]


@pytest.mark.slow
def test_many_files_need_few_handles(tmp_path: Path) -> None:
    """The whole job, under a limit of 64: 48 and Python's own."""
    made.mixed_files(tmp_path / "data", [10] * 150)
    config = made.config(tmp_path / "data", tmp_path / "store", train={"solver": "newton"})
    (tmp_path / "job.toml").write_text(as_toml(config))
    command = [sys.executable, "-m", "binclf", "retrain", str(tmp_path / "job.toml")]
    done = subprocess.run(
        ["bash", "-c", 'ulimit -n 64; exec "$@"', "bash", *command],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_runs_that_begin_in_one_second_have_ids_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the clock went back to a second that was: an id is never had twice."""
    data = made.mixed_files(tmp_path / "data", [120])
    config = made.config(data, tmp_path / "store")
    split = ensure(config)
    module = import_module("binclf.artifact.begin")
    monkeypatch.setattr(module, "STAMP", "20260101-000000")  # every second is this one
    runs = [artifact.begin(config, split=split) for _ in range(40)]
    assert len(set(runs)) == 40
    assert {artifact.read_split(path).digest for path in runs} == {split.digest}

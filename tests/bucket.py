"""A bucket of a test's own on a real S3 server at 127.0.0.1 (see `tests.bucket_server`)."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

from binclf.storage import Remote, remote
from tests.ranks import wait_until


@dataclass(frozen=True)
class Bucket:
    """An empty bucket, and the server's other side."""

    address: str  # of the server, http://127.0.0.1:PORT
    root: Remote

    def counts(self) -> dict[str, int]:
        """Requests by method since the last call."""
        with urllib.request.urlopen(f"{self.address}/_counts") as answer:
            found: dict[str, int] = json.load(answer)
        return found

    def fail(self, times: int, match: str = "", status: int = 503) -> None:
        """The next requests whose path has a text fail."""
        self._faults(fail=times, match=match, status=status)

    def slow(self, times: int, seconds: float, match: str = "") -> None:
        """The next requests whose path has a text wait."""
        self._faults(slow=times, match=match, seconds=seconds)

    def calm(self) -> None:
        """No more faults."""
        self._faults()

    def put(self, name: str, source: Path) -> Remote:
        """Send a file."""
        (self.root / name).upload(source)
        return self.root / name

    def put_folder(self, name: str, folder: Path) -> Remote:
        """Send all files below a folder."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{name}/{path.relative_to(folder).as_posix()}", path)
        return self.root / name

    def _faults(self, **faults: Any) -> None:
        request = urllib.request.Request(
            f"{self.address}/_faults", json.dumps(faults).encode(), method="POST"
        )
        urllib.request.urlopen(request).close()


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A server on a free port of 127.0.0.1, for as long as the block lasts; its address."""
    command = [sys.executable, "-m", "tests.bucket_server", str(folder / "port")]
    with (folder / "log").open("w") as words:
        server = subprocess.Popen(command, stdout=words, stderr=words, cwd=Path(__file__).parents[1])
    try:
        port = wait_until(lambda: (folder / "port").exists() and (folder / "port").read_text(), 60, "S3")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def environment(address: str, home: Path) -> dict[str, str]:
    """What a process needs to reach the server."""
    return {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "BINCLF_CACHE": str(home),
    }


def made_bucket(address: str, name: str) -> Bucket:
    """A new bucket."""
    maker = fs.S3FileSystem(
        endpoint_override=address.removeprefix("http://"),
        scheme="http",
        region="us-east-1",
        access_key="test",
        secret_key="test",
        allow_bucket_creation=True,
    )
    maker.create_dir(name)
    found = Bucket(address, Remote("s3", name))
    found.counts()
    return found


@pytest.fixture(scope="session")
def s3_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server for all tests of the session."""
    with serving(tmp_path_factory.mktemp("s3")) as address:
        yield address


@contextmanager
def reached(address: str, home: Path) -> Iterator[Bucket]:
    """A new bucket, the environment to reach it, and a local home of its own."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
            patch.delenv(name, raising=False)
        for name, value in environment(address, home).items():
            patch.setenv(name, value)
        found = made_bucket(address, f"b{secrets.token_hex(6)}")
        yield found
        found.calm()


@pytest.fixture
def bucket(s3_address: str, tmp_path: Path) -> Iterator[Bucket]:
    """A test's own."""
    with reached(s3_address, tmp_path / "home") as found:
        yield found


@pytest.fixture(scope="module")
def kept_bucket(s3_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """One for all tests of a module that only look at it."""
    with reached(s3_address, tmp_path_factory.mktemp("home")) as found:
        yield found


@pytest.fixture
def twice_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are made twice, not so often that a failing test takes half a minute."""
    monkeypatch.setattr(remote, "ATTEMPTS", 2)
    remote._filesystem.cache_clear()

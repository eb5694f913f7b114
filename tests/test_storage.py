"""Object stores: one set of names with disks, and nothing half written."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from binclf import commit
from binclf.config import parse
from binclf.errors import ArtifactError, BusyError, ConfigError, DataError, StorageError
from binclf.parquet import find
from binclf.storage import (
    Remote,
    fingerprint_of,
    place_of,
    remote,
    remove_tree,
    sha256_of,
    stamp_of,
)
from binclf.storage.credentials import CREDENTIALS
from tests.bucket import Bucket

NAMES = [
    "a.parquet", "b.pq", "year=2013/c.parquet", "year=2014/deep/d.parquet", "_hidden/e.parquet",
    ".f.parquet", "g.parquet.tmp", "h.csv", "year=2013/_SUCCESS", "x1.parquet", "x2.parquet",
]  # fmt: skip


def planted(bucket: Bucket, folder: Path) -> tuple[Path, Remote]:
    """The same files on disk and in the bucket."""
    for name in NAMES:
        path = folder / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 10)
    return folder / "tree", bucket.put_folder("tree", folder / "tree")


@pytest.fixture(scope="module")
def folders(kept_bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Remote]:
    """To be looked at."""
    return planted(kept_bucket, tmp_path_factory.mktemp("folders"))


# One set of names


@pytest.mark.parametrize(
    "ask",
    [
        lambda root: [(root / name).exists() for name in [*NAMES, "nope", "year=2013", "year=201"]],
        lambda root: [(root / name).is_file() for name in [*NAMES, "nope", "year=2013"]],
        lambda root: [(root / name).is_dir() for name in [*NAMES, "nope", "year=2014/deep"]],
        lambda root: [(root / name).read_bytes() for name in NAMES],
        lambda root: [sha256_of(root / name) for name in NAMES],
        lambda root: sorted(p.name for p in root.glob("*.parquet")),
        lambda root: sorted(p.relative_to(root).as_posix() for p in root.rglob("*.parquet")),
        lambda root: [
            (p.name, p.stem, p.suffix, p.parent.name)
            for p in (root / "year=2013/c.parquet", root / "h", root / "a.b.c")
        ],
        lambda root: (root / "a/b").relative_to(root).as_posix(),
        lambda root: [(root / "a").is_relative_to(p) for p in (root, root / "a", root / "b", root / "a/b")],
        lambda root: stamp_of(root / "a.parquet") == stamp_of(root / "a.parquet"),
        lambda root: stamp_of(root / "x1.parquet") == stamp_of(root / "a.parquet"),
        lambda root: [fingerprint_of(root / n) == fingerprint_of(root / "b.pq") for n in ("b.pq", "h.csv")],
    ],
)
def test_a_store_answers_as_a_disk_does(folders: tuple[Path, Remote], ask: Callable[[Any], object]) -> None:
    local, remote = folders
    assert ask(remote) == ask(local)


def test_what_is_removed_is_gone(bucket: Bucket, tmp_path: Path) -> None:
    for root in planted(bucket, tmp_path):
        (root / "a.parquet").unlink()
        (root / "a.parquet").unlink(missing_ok=True)
        with pytest.raises(FileNotFoundError):
            (root / "a.parquet").unlink()
        remove_tree(root / "year=2014")
        remove_tree(root / "never there")
        assert not (root / "year=2014/deep/d.parquet").exists()
        assert (root / "year=2013/c.parquet").exists()
        for ask in (stamp_of, sha256_of, fingerprint_of):
            with pytest.raises(FileNotFoundError):
                ask(root / "a.parquet")


@pytest.mark.parametrize(
    "below",
    ["", "year=2013", "*.parquet", "year=*", "**/*.parquet", "*/*.parquet", "x[12].parquet", "x?.parquet",
     "x[!1].parquet", "_hidden", "**", "year=201[34]/**/*.parquet", "a.parquet"],
)  # fmt: skip
def test_the_same_files_are_found(folders: tuple[Path, Remote], below: str) -> None:
    local, remote = (find(f"{root}/{below}".rstrip("/"), ignore="") for root in folders)
    assert [file.relative for file in remote.files] == [file.relative for file in local.files]
    assert remote.is_single_file == local.is_single_file
    assert set(remote.skipped) == set(local.skipped)


@pytest.mark.parametrize("below", ["nope", "*.orc", "year=2099/*"])
def test_nothing_found_is_told_in_the_same_words(folders: tuple[Path, Remote], below: str) -> None:
    words = []
    for root in folders:
        with pytest.raises(DataError) as caught:
            find(f"{root}/{below}")
        words.append(str(caught.value).replace(str(root), "ROOT"))
    assert words[0] == words[1]


def test_our_own_store_within_the_data_is_passed_over(folders: tuple[Path, Remote]) -> None:
    for root in folders:
        listing = find(str(root), ignore=root / "year=2014")
        assert "year=2014/deep/d.parquet" not in [file.relative for file in listing.files]


def test_a_store_of_another_sort_has_no_files_among_the_data(folders: tuple[Path, Remote]) -> None:
    for data, store in (folders, reversed(folders)):
        assert find(str(data), ignore=store) == find(str(data))


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("s3://key:secret@bucket/x", "holds credentials"),
        ("s3://bucket/x?secret_key=abc", "holds credentials"),
        ("s3://bucket/x?session_token=abc", "holds credentials"),
        ("s3:///x", "names no bucket"),
        ("s3://bucket/x?colour=red", "'colour' is none"),
        ("s3://bucket/x?anonymous=yes", "needs true or false"),
        ("s3://bucket/x?region=", "option 'region' needs a value"),
        ("s3://bucket/x?scheme=http", "no effect without endpoint_override"),
        ("s3://bucket/../x", r"have no '\.\.'"),
        ("s3://buck*/x", "names no bucket"),
        ("abfs://:acc0untkey@account/x", "holds credentials"),
        ("abfss://container/x?sv=1&sig=abc", "holds credentials"),
        ("https://me:word@host/x", "holds credentials"),
        ("abfs://container/x", "addresses begin with s3://"),
        ("ftp://host/x", "addresses begin with s3://"),
    ],
)
def test_an_address_that_cannot_be_is_refused(uri: str, words: str) -> None:
    for override in (f"data.path={uri}", f"store={uri}"):
        with pytest.raises(ConfigError, match=words) as caught:
            parse({"name": "x", "data": {"path": "d", "label": "y"}}, [override])
        if "credentials" in words:
            told = str(caught.value)
            assert not any(secret in told for secret in ("secret@", "abc", "acc0untkey", "word@"))


def test_a_file_uri_is_a_path(tmp_path: Path) -> None:
    config = parse({"name": "x", "store": f"file://{tmp_path}/a b", "data": {"path": "d", "label": "y"}})
    assert config.store == f"{tmp_path}/a b"
    assert place_of(f"file://{tmp_path}/a%20b") == tmp_path / "a b"


@given(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20))
def test_an_address_survives_being_written_down(name: str) -> None:
    assume(name not in (".", "..") and not re.search(r"\?\w+=", name))
    for options in ("", "region=eu-west-1", "endpoint_override=http%3A//127.0.0.1:9000&region=us-east-1"):
        there = Remote("s3", "bucket/folder", options) / name
        assert place_of(str(there)) == there
        assert there.name == name
        assert there.is_relative_to(Remote("s3", "bucket"))


# Whole or not at all


def test_nothing_half_written_is_seen(bucket: Bucket, twice_at_most: None) -> None:
    path = bucket.root / "x.json"
    with pytest.raises(FileNotFoundError), commit.beside(path) as temporary:
        temporary.with_name("none").read_bytes() if temporary.write_bytes(b"half") else None
    assert not path.exists()
    assert not temporary.exists()
    commit.write_json(path, {"a": 1})
    assert commit.read_json(path) == {"a": 1}
    bucket.fail(100, "x.json")
    with pytest.raises(StorageError, match=r"x\.json cannot be written .*check the address"):
        commit.write_json(path, {"a": 2})
    bucket.calm()
    assert commit.read_json(path) == {"a": 1}
    with pytest.raises(ArtifactError, match="is missing"):
        commit.read_json(bucket.root / "y.json")


def test_a_lock_holds_among_the_processes_of_a_machine(bucket: Bucket) -> None:
    with commit.locked(bucket.root / ".lock", wait=False):
        with (
            pytest.raises(BusyError, match=str(bucket.root)),
            commit.locked(bucket.root / ".lock", wait=False),
        ):
            pass
        with commit.locked(bucket.root / "other/.lock", wait=False):
            pass
    assert bucket.root.files() == []


def test_a_bucket_that_is_not_there_is_the_stores_fault(bucket: Bucket) -> None:
    with pytest.raises(StorageError, match=r"cannot be written .*NO_SUCH_BUCKET"):
        commit.write_json(Remote("s3", "no-such-bucket/x.json"), {})


@pytest.mark.parametrize("fault", [KeyboardInterrupt, OSError(errno.EIO, "Input/output error")])
def test_an_upload_that_is_broken_off_leaves_no_object(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    monkeypatch.setattr(remote, "PIECE_BYTES", 6 * 2**20)
    path = tmp_path / "large"
    path.write_bytes(bytes(20 * 2**20))

    class Breaking:
        def __init__(self, file: Any) -> None:
            self.file, self.reads = file, 0

        def __enter__(self) -> Breaking:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def read(self, count: int) -> bytes:
            self.reads += 1
            if self.reads == 3:
                raise fault
            return bytes(self.file.read(count))

    real = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *mode: Breaking(real(self, *mode)))
    with pytest.raises((KeyboardInterrupt, OSError)):
        (bucket.root / "large").upload(path)
    assert not (bucket.root / "large").exists()


def test_who_has_no_credentials_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CREDENTIALS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("AWS_SHARED_CREDENTIALS_FILE", raising=False)
    monkeypatch.delenv("AWS_CONFIG_FILE", raising=False)

    def told(uri: str) -> str:
        with pytest.raises(StorageError) as caught, remote.problem(Remote.parse(uri), "listed"):
            raise OSError("AWS Error ACCESS_DENIED during ListObjectsV2 operation")
        return str(caught.value)

    lacking = "No credentials are set here: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    assert lacking in told("s3://bucket/data")
    assert "?anonymous=true" in told("s3://bucket/data")
    for uri in ("s3://bucket/data?anonymous=true", "gs://bucket/data"):
        assert lacking not in told(uri)
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert lacking not in told("s3://bucket/data")

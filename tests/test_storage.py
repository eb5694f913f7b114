"""Object stores: the same answers as a disk gives, faults survived or told as what they are."""

from __future__ import annotations

import errno
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from safetensors.numpy import load

from binclf import artifact, commit, config
from binclf.config import parse
from binclf.errors import ArtifactError, BusyError, ConfigError, DamageError, DataError, StorageError
from binclf.parquet import Reader, find, footers, tail
from binclf.retrain import retrain
from binclf.score import score
from binclf.split import ensure
from binclf.storage import (
    Place,
    Remote,
    fingerprint_of,
    place,
    place_of,
    remote,
    remove_tree,
    sha256_of,
    stamp_of,
)
from binclf.storage.credentials import CREDENTIALS
from tests import made
from tests.bucket import Bucket
from tests.ranks import as_toml, small_job
from tests.trained import on_disk

NAMES = [
    "a.parquet", "b.pq", "year=2013/c.parquet", "year=2014/deep/d.parquet", "_hidden/e.parquet",
    ".f.parquet", "g.parquet.tmp", "h.csv", "year=2013/_SUCCESS", "x1.parquet", "x2.parquet",
]  # fmt: skip


@pytest.fixture
def folders(bucket: Bucket, tmp_path: Path) -> tuple[Path, Remote]:
    """The same files on disk and in the bucket."""
    for name in NAMES:
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 10)
    return tmp_path / "tree", bucket.put_folder("tree", tmp_path / "tree")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are made twice, not so often that a failing test takes half a minute."""
    monkeypatch.setattr(remote, "ATTEMPTS", 2)
    remote._filesystem.cache_clear()


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


def test_what_is_removed_is_gone(folders: tuple[Path, Remote]) -> None:
    for root in folders:
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


def test_nothing_half_written_is_seen(bucket: Bucket, impatient: None) -> None:
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


def test_without_time_and_tag_nothing_is_taken_from_memory(
    people: tuple[Path, Remote], bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "_metadata", lambda file: {})
    files = find(people[1]).files
    footers(files)
    bucket.counts()
    footers(files)
    assert bucket.counts() == {"HEAD": 3, "GET": 3}


# Parquet from a store


@pytest.fixture
def people(bucket: Bucket, tmp_path: Path) -> tuple[Path, Remote]:
    """Mixed files on disk and in the bucket."""
    folder = made.mixed_files(tmp_path / "data", [300, 120, 201])
    return folder, bucket.put_folder("data", folder)


def test_footers_are_fetched_once_for_all_processes_and_row_groups_by_one_request(
    people: tuple[Path, Remote], bucket: Bucket
) -> None:
    files = find(people[1]).files
    bucket.counts()
    feet = footers(files)
    assert bucket.counts() == {"HEAD": 3, "GET": 3}
    footers(files)
    assert bucket.counts() == {"HEAD": 3}  # whether they are still the same
    tail.forget()  # as in another process
    footers(files)
    assert bucket.counts() == {"HEAD": 3}
    with Reader(files[0].path, "x") as reader:
        for group in range(len(feet[0].groups)):
            reader.read(group, [column.name for column in feet[0].columns])
    groups = len(feet[0].groups)  # each is one GET, and a look whether the object is still the same
    assert bucket.counts() == {"HEAD": 1 + groups, "GET": groups}


def test_what_is_read_is_what_is_there(people: tuple[Path, Remote]) -> None:
    local, remote = (find(root).files for root in people)
    for one, other in zip(local, remote, strict=True):
        with Reader(one.path) as here, Reader(other.path) as there:
            names = here.file.schema_arrow.names
            for mine, theirs in zip(here.all(names), there.all(names), strict=True):
                assert theirs.table.to_pandas().equals(mine.table.to_pandas())


@pytest.mark.slow
def test_answers_that_fail_or_dawdle_are_asked_for_again(people: tuple[Path, Remote], bucket: Bucket) -> None:
    file = find(people[1]).files[0]
    expected = pq.read_table(people[0] / "part-000.parquet")
    with Reader(file.path) as reader:
        bucket.fail(3, "part-000")
        got = reader.read(0, expected.column_names).table
        assert bucket.counts()["failed"] == 3
        bucket.slow(1, 4.0, "part-000")
        slow = reader.read(1, expected.column_names).table
        assert bucket.counts()["slowed"] == 1
    whole = pa.concat_tables([got, slow]).to_pandas()
    assert whole.equals(expected.slice(0, 200).to_pandas())


def test_a_store_that_does_not_answer_is_never_a_damaged_file(
    people: tuple[Path, Remote], bucket: Bucket, impatient: None
) -> None:
    file = find(people[1]).files[0]
    with Reader(file.path) as reader:
        bucket.fail(10_000, "part-000")
        with pytest.raises(StorageError, match=r"part-000.parquet cannot be read"):
            reader.read(0, ["number"])
        tail.forget()
        with pytest.raises(StorageError, match=r"part-000.parquet cannot be read"):
            footers([file])


def test_a_flipped_bit_is_named_and_a_bad_transfer_is_not_one(
    people: tuple[Path, Remote], bucket: Bucket, tmp_path: Path
) -> None:
    path = tmp_path / "one.parquet"
    table = pa.table({"a": np.arange(5000.0), "b": np.arange(5000)})
    pq.write_table(table, path, write_page_checksum=True, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[content.index(np.float64(777).tobytes())] ^= 4
    path.write_bytes(content)
    bucket.put("one.parquet", path)
    with Reader(bucket.root / "one.parquet", "one.parquet") as reader:
        assert reader.read(0, ["b"]).table.num_rows == 5000
        with pytest.raises(DamageError, match=r"column 'a' of one\.parquet, row group 0 is damaged"):
            reader.read(0, ["b", "a"])


def test_an_object_that_changes_between_plan_and_read_is_an_error(
    people: tuple[Path, Remote], bucket: Bucket, tmp_path: Path
) -> None:
    config = made.config(people[0], tmp_path / "store", split={"method": "none"})
    config = config.model_copy(update={"data": config.data.model_copy(update={"path": str(people[1])})})
    file = ensure(config).parts["train"][0]
    file.reader().__exit__(None, None, None)
    other = made.mixed_files(tmp_path / "other", [300], seed=1) / "part-000.parquet"
    bucket.put("data/part-000.parquet", other)
    with pytest.raises(DataError, match="changed or went since the data were split"):
        file.reader()
    with pytest.raises(DataError, match="changed or went since the data were split"):
        file.check()
    (bucket.root / "data/part-000.parquet").unlink()
    with pytest.raises(DataError, match="changed or went since the data were split"):
        file.reader()


def test_an_object_that_changes_or_goes_while_it_is_open_is_an_error(
    people: tuple[Path, Remote], bucket: Bucket, tmp_path: Path
) -> None:
    same_layout = made.mixed_files(tmp_path / "other", [300], seed=1) / "part-000.parquet"
    shorter = made.mixed_files(tmp_path / "short", [7], seed=1) / "part-000.parquet"
    original = people[0] / "part-000.parquet"
    for change in (same_layout, shorter, None):
        bucket.put("data/part-000.parquet", original)
        with Reader(people[1] / "part-000.parquet") as reader:
            reader.read(0, ["id"])
            if change is None:
                (people[1] / "part-000.parquet").unlink()
            else:
                bucket.put("data/part-000.parquet", change)
            with pytest.raises(DataError, match="changed or went") as caught:
                reader.read(1, ["id"])
            assert not isinstance(caught.value, DamageError)


def test_a_config_that_a_store_does_not_give_is_the_stores_fault(bucket: Bucket, impatient: None) -> None:
    bucket.fail(100)
    with pytest.raises(StorageError, match="cannot be read"):
        config.load(f"{bucket.root}/job.toml")


# The whole job


def weights(run: Place) -> dict[str, Any]:
    """The model of a run."""
    return dict(load((run / "model.safetensors").read_bytes()))


@pytest.mark.slow
def test_a_job_in_a_store_is_the_job_on_a_disk_to_the_bit(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_job(tmp_path)
    expected = on_disk(retrain(config))
    bucket.put_folder("data", tmp_path / "data")
    changes = [f"data.path={bucket.root}/data", f"store={bucket.root}/runs"]
    remote = parse(config.model_dump(mode="json"), changes)
    for tier in ("ram", "disk", "none"):
        bucket.fail(2)  # whichever comes; they are asked for again
        run = retrain(parse(remote.model_dump(mode="json"), [f"train.cache={tier}"]))
        assert str(run).startswith(f"{bucket.root}/runs/small-")
        mine, theirs = weights(expected), weights(run)
        assert all(np.array_equal(mine[name], theirs[name]) for name in mine)
        assert (run / "metrics.json").read_bytes() == (expected / "metrics.json").read_bytes()
    assert not (run / "checkpoints").exists()
    assert artifact.open_run(str(run)).id == run.name
    assert bucket.counts()["failed"] == 6

    told = score(str(run), f"{bucket.root}/data", f"{bucket.root}/scored")
    here = score(expected, tmp_path / "data", tmp_path / "scored")
    assert (told["rows"], told["positive_decisions"]) == (here["rows"], here["positive_decisions"])
    again = score(str(run), f"{bucket.root}/data", f"{bucket.root}/scored")
    assert again["scored_before"] == 5
    for path in (tmp_path / "scored").glob("*.parquet"):
        reader = Reader(bucket.root / "scored" / path.name)
        mine_table = pq.read_table(path)
        rows = pa.concat_tables([part.table for part in reader.all(["id", "probability"])])
        assert rows.equals(mine_table.select(["id", "probability"]))


@pytest.mark.slow
def test_a_run_is_resumed_from_its_checkpoint_in_the_store(bucket: Bucket, tmp_path: Path) -> None:
    config = small_job(tmp_path)
    bucket.put_folder("data", tmp_path / "data")
    changes = [f"data.path={bucket.root}/data", f"store={bucket.root}/runs"]
    remote = parse(config.model_dump(mode="json"), changes)
    expected = weights(retrain(remote))
    from binclf.solvers import minibatch

    run = artifact.begin(remote)
    from binclf import train

    class Killed(BaseException):
        pass

    real, seen = minibatch._Run._keep, list[int]()

    def killed(self: Any, epoch: int, position: int) -> None:
        real(self, epoch, position)
        seen.append(epoch)
        raise Killed

    minibatch._Run._keep = killed  # type: ignore[method-assign]
    try:
        with pytest.raises(Killed):
            train.train(run)
    finally:
        minibatch._Run._keep = real  # type: ignore[method-assign]
    assert list((run / "checkpoints").glob("at-*.safetensors")) != []
    resumed = retrain(remote, resume=run)
    assert resumed == run
    assert all(np.array_equal(expected[name], weights(run)[name]) for name in expected)


def command(arguments: list[str]) -> tuple[int, str, str, float]:
    """Run `binclf`; its code, both outputs, and how long it took."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "binclf", *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    return done.returncode, done.stdout, done.stderr, time.monotonic() - began


@pytest.mark.slow
def test_commands_on_a_store_end_with_their_own_codes(bucket: Bucket, tmp_path: Path) -> None:
    config = small_job(tmp_path, train={"epochs": 2})
    bucket.put_folder("data", tmp_path / "data")
    path = tmp_path / "job.toml"
    path.write_text(as_toml(config))
    there = [f"data.path={bucket.root}/data", f"store={bucket.root}/runs"]
    for verb in ("check", "plan", "split"):
        code, _, words, _ = command([verb, str(path), *there])
        assert code == 0, words
    code, out, words, _ = command(["retrain", str(path), *there, "--ranks", "2", "--json"])
    assert code == 0, words
    run = json.loads(out)["run"]
    code, _, words, _ = command(["evaluate", run, f"{bucket.root}/data"])
    assert code == 0, words
    code, _, words, _ = command(["score", run, f"{bucket.root}/data/*.parquet", f"{bucket.root}/scored"])
    assert code == 0, words
    frame = ds.dataset(f"{bucket.root.key}/scored", filesystem=_filesystem(bucket)).to_table()
    assert frame.num_rows == 1031
    code, _, words, _ = command(["evaluate", run, f"{bucket.root}/nowhere"])
    assert (code, "does not exist" in words) == (10, True)
    bucket.fail(100_000, "part-2")
    code, _, words, _ = command(["split", str(path), *there, "split.seed=7", "data.on_bad_file=quarantine"])
    assert (code, "cannot be read" in words) == (13, True), words


def _filesystem(bucket: Bucket) -> Any:
    from binclf.storage.remote import filesystem

    return filesystem(bucket.root)


def test_moving_the_local_home_loses_nothing(people: tuple[Path, Remote], tmp_path: Path) -> None:
    files = find(people[1]).files
    first = footers(files)
    for path in (tmp_path / "home" / "footers").iterdir():
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)  # a damaged shortcut is none
    tail.forget()
    assert footers(files) == first
    shutil.rmtree(tmp_path / "home")
    tail.forget()
    assert footers(files) == first


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

"""Parquet from an object store: fetched once, faults survived or told as what they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from binclf import config
from binclf.errors import DamageError, DataError, StorageError
from binclf.parquet import Reader, find, footers, tail
from binclf.split import ensure
from binclf.storage import Remote, place
from tests import made
from tests.bucket import Bucket


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
    people: tuple[Path, Remote], bucket: Bucket, twice_at_most: None
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


def test_a_config_that_a_store_does_not_give_is_the_stores_fault(bucket: Bucket, twice_at_most: None) -> None:
    bucket.fail(100)
    with pytest.raises(StorageError, match="cannot be read"):
        config.load(f"{bucket.root}/job.toml")


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


def test_without_time_and_tag_nothing_is_taken_from_memory(
    people: tuple[Path, Remote], bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "_metadata", lambda file: {})
    files = find(people[1]).files
    footers(files)
    bucket.counts()
    footers(files)
    assert bucket.counts() == {"HEAD": 3, "GET": 3}

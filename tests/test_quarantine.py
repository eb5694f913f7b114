"""A bad file fails the run by name, or is left out, listed and counted: as if it had never been there."""

from __future__ import annotations

import errno
import gzip
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from binclf.config import Config
from binclf.errors import DamageError, DataError, StorageError
from binclf.parquet import Found, Reader, footer
from binclf.split import Split, ensure
from tests import made

SIZES = (300, 200, 250, 150)
METHODS: dict[str, dict[str, Any]] = {
    "random": {"split": {"method": "random"}},
    "hash": {"split": {"method": "hash", "key": ["id"]}},
    "time": {"split": {"method": "time"}, "data": {"time": "time"}},
    "none": {"split": {"method": "none"}},
}


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def flip_a_page(path: Path, column: str = "single") -> None:
    """One bit inside a page of the second row group; the footer stays whole."""
    table = pq.read_table(path)
    pq.write_table(table, path, row_group_size=100, write_page_checksum=True)
    with pq.ParquetFile(path) as file:
        chunk = file.metadata.row_group(1).column(table.column_names.index(column))
    content = bytearray(path.read_bytes())
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    content[start + chunk.total_compressed_size - 2] ^= 16
    path.write_bytes(bytes(content))


def flip_a_label(path: Path) -> None:
    flip_a_page(path, "label")


def flip_a_time(path: Path) -> None:
    flip_a_page(path, "time")


def drop_a_column(path: Path) -> None:
    pq.write_table(pq.read_table(path).drop_columns(["word"]), path)


def change_a_type(path: Path) -> None:
    table = pq.read_table(path)
    texts = table["number"].cast(pa.string())
    pq.write_table(table.set_column(0, "number", texts), path)


# what is done to a file, whether its rows can be counted, and words of the reason
DAMAGES: dict[str, tuple[Callable[[Path], None], bool, str]] = {
    "cut short": (cut_short, False, "is not a whole Parquet file"),
    "a page": (flip_a_page, True, r"column 'single' of part-002\.parquet, row group 1 is damaged"),
    "a label's page": (flip_a_label, True, r"column 'label' of part-002\.parquet, row group 1 is damaged"),
    "a time's page": (flip_a_time, True, r"column 'time' of part-002\.parquet, row group 1 is damaged"),
    "a column less": (drop_a_column, True, "lacks column 'word'"),
    "another type": (change_a_type, True, "column 'number' is"),
}


def config_for(method: str, data: Path, store: Path, **more: Any) -> Config:
    sections = {name: dict(section) for name, section in METHODS[method].items()}
    sections.setdefault("data", {}).update(more)
    return made.config(data, store, **sections)


def contents(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (store / "split" / "parts").glob("*.parquet")}


def rows_of(split: Split) -> dict[str, list[int]]:
    return {
        part: [row for file in files for row in pq.read_table(file.path)["id"].to_pylist()]
        for part, files in split.parts.items()
    }


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_bad_file_is_left_out_as_if_it_had_never_been_there(
    damage: str, method: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spoil, is_counted, words = DAMAGES[damage]
    made.mixed_files(tmp_path / "data", SIZES)
    shutil.copytree(tmp_path / "data", tmp_path / "without")
    (tmp_path / "without" / "part-002.parquet").unlink()
    spoil(tmp_path / "data" / "part-002.parquet")
    asked = config_for(method, tmp_path / "data", tmp_path / "store", on_bad_file="quarantine")
    with caplog.at_level(logging.WARNING):
        split = ensure(asked)
    plain = ensure(config_for(method, tmp_path / "without", tmp_path / "other"))
    assert rows_of(split) == rows_of(plain)
    assert contents(tmp_path / "store").keys() >= contents(tmp_path / "other").keys()
    files = {path.name for path in (tmp_path / "store").rglob("*") if path.is_file()}
    assert not any(name.endswith(".tmp") for name in files)
    receipt = split.receipt
    (entry,) = receipt["quarantined_files"]
    assert entry["file"] == "part-002.parquet"
    assert entry["rows"] == (SIZES[2] if is_counted else None)
    assert receipt["quarantined_rows"] == (SIZES[2] if is_counted else 0)
    assert receipt["rows"] == sum(SIZES) - SIZES[2]
    assert "QUARANTINED part-002.parquet" in caplog.text
    assert split.digest != plain.digest
    assert json.loads(json.dumps(split.as_json())) == json.loads(
        (tmp_path / "store" / "split" / f"{split.digest}.json").read_text()
    )
    if not (method == "none" and damage in ("a page", "a time's page")):  # read in training, not before
        with pytest.raises(DataError, match=words):
            ensure(config_for(method, tmp_path / "data", tmp_path / "strict"))


@pytest.mark.parametrize("method", METHODS)
def test_no_part_of_a_file_that_is_left_out_remains(method: str, tmp_path: Path) -> None:
    made.mixed_files(tmp_path / "data", SIZES)
    flip_a_page(tmp_path / "data" / "part-002.parquet")
    split = ensure(config_for(method, tmp_path / "data", tmp_path / "store", on_bad_file="quarantine"))
    known = {file.relative for files in split.parts.values() for file in files}
    assert known == {"part-000.parquet", "part-001.parquet", "part-003.parquet"}
    receipts = [json.loads(path.read_text()) for path in (tmp_path / "store/split/parts").glob("*.json")]
    assert "part-002.parquet" not in {receipt["relative"] for receipt in receipts}


def test_the_digest_is_that_of_what_is_read_and_of_what_is_left_out(tmp_path: Path) -> None:
    made.mixed_files(tmp_path / "data", SIZES)
    strict = ensure(made.config(tmp_path / "data", tmp_path / "store"))
    lenient = ensure(made.config(tmp_path / "data", tmp_path / "store", data={"on_bad_file": "quarantine"}))
    assert strict.digest == lenient.digest  # nothing is bad, so nothing differs
    assert lenient.receipt["quarantined_files"] == []


def test_it_is_decided_anew_when_the_file_is_whole_again(tmp_path: Path) -> None:
    made.mixed_files(tmp_path / "data", SIZES)
    path = tmp_path / "data" / "part-001.parquet"
    whole = path.read_bytes()
    config = made.config(tmp_path / "data", tmp_path / "store", data={"on_bad_file": "quarantine"})
    cut_short(path)
    assert ensure(config).receipt["rows"] == sum(SIZES) - SIZES[1]
    path.write_bytes(whole)
    assert ensure(config).receipt["rows"] == sum(SIZES)


def test_all_files_bad_is_an_error(tmp_path: Path) -> None:
    made.mixed_files(tmp_path / "data", (20, 20))
    for path in (tmp_path / "data").iterdir():
        cut_short(path)
    config = made.config(tmp_path / "data", tmp_path / "store", data={"on_bad_file": "quarantine"})
    with pytest.raises(DataError, match=r"all 2 files of .* are bad, none is left: part-000\.parquet: "):
        ensure(config)


def test_all_pages_bad_is_an_error_too(tmp_path: Path) -> None:
    made.mixed_files(tmp_path / "data", (200, 200))
    for path in (tmp_path / "data").iterdir():
        flip_a_page(path)
    config = made.config(tmp_path / "data", tmp_path / "store", data={"on_bad_file": "quarantine"})
    with pytest.raises(DataError, match="all 2 files of"):
        ensure(config)


@pytest.mark.parametrize("wrong", ["a null label", "a third label", "a negative weight"])
def test_what_is_wrong_with_values_is_no_damage(wrong: str, tmp_path: Path) -> None:
    made.mixed_files(tmp_path / "data", (100, 100))
    path = tmp_path / "data" / "part-001.parquet"
    table = pq.read_table(path)
    column = {"a null label": pa.nulls(100, pa.bool_())}.get(wrong, table["label"])
    table = table.set_column(table.column_names.index("label"), "label", column)
    if wrong == "a negative weight":
        table = table.set_column(table.column_names.index("w"), "w", pa.array([-1.0] * 100))
    if wrong == "a third label":
        for place in (0, 1):
            other = pq.read_table(tmp_path / "data" / f"part-00{place}.parquet")
            labels = pa.array([2 * place + i % 2 for i in range(100)])
            other = other.set_column(other.column_names.index("label"), "label", labels)
            made.write(tmp_path / "data" / f"part-00{place}.parquet", other)
    else:
        made.write(path, table)
    positive = "1" if wrong == "a third label" else ""
    data = {"on_bad_file": "quarantine", "weight": "w", "positive": positive}
    with pytest.raises(DataError, match=r"nulls|counts as yes|third value|negative"):
        ensure(made.config(tmp_path / "data", tmp_path / "store", data=data))


# What a file is that is no Parquet


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b"id,label\n1,0\n2,1\n",
            r"text or CSV: .* pandas\.read_csv\('a\.parquet'\)\.to_parquet\(",
        ),
        ("naïve;label\n".encode() * 200, r"text or CSV"),
        (b'{"a": 1,\n"b": 2}\n', r"text or CSV"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0), r"gzip"),
        (b"ARROW1\0\0" + bytes(99), r"Feather"),
        (b"PK\x03\x04" + bytes(99), r"zip archive or an Excel sheet"),
        (b"ORC" + bytes(99), r"ORC"),
        (b"PARE" + bytes(99), r"encrypted"),
        (b"SQLite format 3\0" + bytes(99), r"SQLite"),
    ],
)
def test_another_format_is_told_by_its_name(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    with pytest.raises(DamageError, match=rf"a\.parquet is no Parquet file but looks like .*{words}"):
        footer(Found("a.parquet", path))


@pytest.mark.parametrize("content", [b"", b"\0\1\2\3" * 40, b"PAR1" + b"text, text\n" * 20])
def test_what_looks_like_nothing_is_damaged_parquet(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    with pytest.raises(DamageError, match=r"a\.parquet is not a whole Parquet file \(.*\): write it again"):
        footer(Found("a.parquet", path))


def test_a_file_that_may_not_be_read_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so the refusal is made here; it is never quarantined."""
    made.mixed_files(tmp_path / "data", (50, 50))
    real = pa.OSFile

    def refuse(path: str) -> Any:
        if Path(path).name == "part-001.parquet":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(pa, "OSFile", refuse)
    with pytest.raises(StorageError, match=r"part-001\.parquet cannot be read: permission is denied"):
        Reader(tmp_path / "data" / "part-001.parquet", "part-001.parquet")
    config = made.config(tmp_path / "data", tmp_path / "store", data={"on_bad_file": "quarantine"})
    with pytest.raises(StorageError, match="permission is denied"):
        ensure(config)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.ESTALE, errno.ENOMEM])
def test_what_the_machine_fails_to_do_is_never_the_files_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    data = made.mixed_files(tmp_path / "data", [50, 60])
    config = made.config(data, tmp_path / "store", data={"on_bad_file": "quarantine"})

    def failing(*_: Any, **__: Any) -> None:
        raise OSError(number, "the machine is at fault")

    for where, name in ((pq, "ParquetFile"), (pq.ParquetFile, "read_row_group")):
        with monkeypatch.context() as patch:
            patch.setattr(where, name, failing)
            with pytest.raises(StorageError, match="the machine is at fault"):
                ensure(config)
    assert ensure(config).receipt["quarantined_files"] == []


def test_want_of_memory_is_never_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = made.mixed_files(tmp_path / "data", [50, 60])
    config = made.config(data, tmp_path / "store", data={"on_bad_file": "quarantine"})

    def failing(*_: Any, **__: Any) -> None:
        raise pa.ArrowMemoryError("malloc of size 1 failed")

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", failing)
    with pytest.raises(MemoryError):
        ensure(config)

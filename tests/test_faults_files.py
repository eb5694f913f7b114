"""Files with odd names, of odd sorts, in folders that cannot be read: each is taken, listed or refused."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import binclf
from binclf import commit
from binclf.errors import DataError, StorageError
from binclf.evaluate import evaluate
from binclf.parquet import Reader, find
from binclf.retrain import retrain
from binclf.score import score
from binclf.split import ensure
from tests import made
from tests.laws import examples
from tests.trained import on_disk

NEWTON = {"solver": "newton"}
ODD = [
    "plain", "a b", "Ärger é e\u0301", "new\nline", "tab\t", "#1", "50%", "what?", "[1]", "a*", "-rf",
    "dots..", "q'uote\"", "back\\slash", "{x}", "$HOME", "~", "\u202eeman", "x" * 200, "s3:", "=",
]  # fmt: skip


def test_files_of_any_name_are_read_split_scored_and_judged(tmp_path: Path) -> None:
    data = tmp_path / "data [1] ä"
    for number, name in enumerate(ODD):
        made.write(data / f"{name}.parquet", made.mixed(40, first=40 * number))
    run = on_disk(retrain(made.config(data, tmp_path / "the store", train=NEWTON)))
    told = score(run, data, tmp_path / "scored")
    assert (told["files"], told["rows"]) == (len(ODD), 40 * len(ODD))
    names = {path.name for path in (tmp_path / "scored").glob("*.parquet")}
    assert names == {f"{name}.parquet" for name in ODD}
    assert score(run, data, tmp_path / "scored")["scored_before"] == len(ODD)
    assert evaluate(run, data)["data"]["rows"] == 40 * len(ODD)
    ids = np.concatenate([pq.read_table(path)["id"] for path in (tmp_path / "scored").glob("*.parquet")])
    assert sorted(ids.tolist()) == list(range(40 * len(ODD)))


def test_a_name_as_long_as_can_be_is_taken_or_told(tmp_path: Path) -> None:
    long = "x" * (255 - len(".parquet"))
    made.write(tmp_path / "data" / f"{long}.parquet", made.mixed(300))
    config = made.config(tmp_path / "data", tmp_path / "store", train=NEWTON)
    assert ensure(config).receipt["rows"] == 300
    run = retrain(config)
    with pytest.raises(OSError, match="File name too long") as caught:
        score(run, tmp_path / "data", tmp_path / "scored")  # its receipt has five letters more
    told = commit.told(caught.value)
    assert isinstance(told, StorageError)
    assert "the name is longer than the disk takes: choose a shorter one" in str(told)
    assert not list((tmp_path / "scored").glob("*.parquet"))


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    made.write(tmp_path / "a.parquet", made.mixed(20))
    os.rename(tmp_path / "a.parquet", os.fsencode(tmp_path) + b"/\xff\xfe.parquet")
    with pytest.raises(DataError, match=r"the name of file '\\udcff\\udcfe\.parquet' is no UTF-8: rename it"):
        find(tmp_path)
    os.rename(os.fsencode(tmp_path) + b"/\xff\xfe.parquet", os.fsencode(tmp_path) + b"/\xff.csv")
    made.write(tmp_path / "b.parquet", made.mixed(20))
    assert [file.relative for file in find(tmp_path).files] == ["b.parquet"]


def odd_sorts(folder: Path) -> dict[str, str]:
    """What is in folders beside files, by name, and why it is passed over."""
    os.mkfifo(folder / "pipe.parquet")
    with socket.socket(socket.AF_UNIX) as made_one:
        here = os.getcwd()
        os.chdir(folder)  # a socket's address is short
        try:
            made_one.bind("socket.parquet")
        finally:
            os.chdir(here)
    (folder / "null.parquet").symlink_to("/dev/null")
    (folder / "loop.parquet").symlink_to(folder / "loop.parquet")
    (folder / "parent").symlink_to(folder.parent)
    reasons = {"pipe.parquet": "not a regular file", "socket.parquet": "not a regular file"}
    links = ("null.parquet", "loop.parquet", "parent")
    return reasons | dict.fromkeys(links, "a symbolic link to something other than a file")


def test_pipes_sockets_devices_and_loops_are_passed_over_and_never_opened(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "data"
    made.write(folder / "a.parquet", made.mixed(20))
    reasons = odd_sorts(folder)
    assert stat.S_ISFIFO((folder / "pipe.parquet").stat().st_mode)
    for pattern in (folder, folder / "*", folder / "**", folder / "**/*.parquet", f"{tmp_path}/d*/*.parquet"):
        listing = find(pattern)
        assert [file.relative.rpartition("/")[2] for file in listing.files] == ["a.parquet"]
        seen = {name.rpartition("/")[2]: reason for name, reason in listing.skipped}
        assert seen == {name: reasons[name] for name in seen}
        assert set(seen) >= {"pipe.parquet", "socket.parquet", "null.parquet"}
    for name in ("pipe.parquet", "socket.parquet", "loop.parquet"):
        with pytest.raises((DataError, OSError), match=r"does not exist|symbolic links"):
            find(folder / name)


@pytest.fixture
def unlisted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Folders of which one cannot be listed; root may list all, so that is made here."""
    for name in ("open", "shut", "shut/deep"):
        made.write(tmp_path / "data" / name / "a.parquet", made.mixed(20))
    refused: list[str] = []
    real = os.scandir

    def scandir(path: Any = ".") -> Any:
        if Path(path).name == "shut":
            refused.append(str(path))
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path)

    assert len(find(tmp_path / "data").files) == 3  # the control
    monkeypatch.setattr(os, "scandir", scandir)
    yield refused
    assert refused


@pytest.mark.parametrize("below", ["", "*", "**", "**/*.parquet", "*/*.parquet", "shut", "s*t/*", "shut/*/*"])
def test_a_folder_that_cannot_be_listed_is_never_left_out(
    below: str, tmp_path: Path, unlisted: list[str]
) -> None:
    words = r"shut cannot be listed \(Permission denied\), and its files would be left out without a word"
    with pytest.raises(StorageError, match=words):
        find(f"{tmp_path}/data/{below}".rstrip("/"))
    config = made.config(Path(f"{tmp_path}/data/{below}".rstrip("/")), tmp_path / "store")
    with pytest.raises(StorageError, match=words):
        ensure(config)


PARTS = ["a", "b", "a*", "*", "?", "[ab]", "[!a]", "**", "*.parquet", "c.parquet", "x.parquet", "nope"]


@examples(150)
@given(pattern=st.lists(st.sampled_from(PARTS), min_size=1, max_size=4))
def test_a_glob_finds_what_python_s_finds(pattern: list[str], tree: Path) -> None:
    text = "/".join(pattern)
    try:
        expected = walked(tree, tree.glob(text))
    except (ValueError, NotImplementedError):
        return
    try:
        found = {str(file.path.resolve()) for file in find(f"{tree}/{text}").files}
    except DataError:
        found = set()
    assert found == expected


def walked(tree: Path, matches: Iterator[Path]) -> set[str]:
    """The Parquet files that matches mean, folders with all below them."""
    found: set[str] = set()
    for match in matches:
        files = [p for p in match.rglob("*") if p.is_file()] if match.is_dir() else [match]
        found |= {str(path.resolve()) for path in files if path.suffix == ".parquet"}
    return found


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree") / "root"
    for name in ("c.parquet", "a/x.parquet", "a/b/c.parquet", "a/b/a/x.parquet", "b/ab/c.parquet", "a/n.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.slow
def test_a_column_of_a_dotted_name_is_not_the_field_of_a_nested_one(tmp_path: Path) -> None:
    """Of the two pyarrow gives both where one is asked for."""
    rows = made.mixed(300)
    flat = rows.append_column("a.b", pa.array(np.arange(300.0)))
    both = flat.append_column("a", pa.array([{"b": "text", "c": 1.0}] * 300))
    models = []
    for name, table in (("flat", flat), ("both", both)):
        made.write(tmp_path / name / "x.parquet", table)
        data = {"exclude": ["who", "time", "w", *(["a"] if name == "both" else [])]}
        config = made.config(tmp_path / name, tmp_path / f"store-{name}", data=data, train=NEWTON)
        models.append(binclf.load(retrain(config)))
    assert "a.b" in models[1].columns()
    assert np.array_equal(models[0].weight, models[1].weight)
    assert np.array_equal(models[0].predict_proba(both), models[1].predict_proba(both))


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "brotli", "lz4", "zstd"])
def test_every_codec_is_read_or_named(codec: str, version: str, tmp_path: Path) -> None:
    if codec != "none" and not pa.Codec.is_available(codec):
        pytest.skip(f"this pyarrow has no {codec}")
    table = made.mixed(230)
    path = made.write(
        tmp_path / "a.parquet", table, compression=codec, data_page_version=version, write_page_checksum=True
    )
    for coded in ((), table.column_names):
        with Reader(path, "a.parquet", coded) as reader:
            got = [rows.table for rows in reader.all(table.column_names)]
        for name in table.column_names:
            values = [value for part in got for value in part[name].to_pylist()]
            assert repr(values) == repr(table[name].to_pylist()), name  # NaN is as NaN

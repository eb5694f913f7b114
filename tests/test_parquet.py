"""Files: which are found, what their footers say, damage by name, and what is written."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf.errors import ConfigError, DataError
from binclf.parquet import (
    ColumnWriter,
    Reader,
    find,
    footers,
    group_rows,
    moment_text,
    parse_moment,
    parse_value,
    write_columns,
    write_frame,
)
from tests import made
from tests.laws import examples
from tests.rows import foot_of

# Which files


def tree(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names_of(path: Path | str) -> list[str]:
    return [file.relative for file in find(path).files]


def test_a_directory_is_read_recursively_in_the_order_of_relative_paths(tmp_path: Path) -> None:
    tree(tmp_path, "b.parquet", "a/z.parquet", "a/day=2/c.pq", "a.parquet", "B.parquet", "a-1.parquet")
    assert names_of(tmp_path) == sorted(
        ["b.parquet", "a/z.parquet", "a/day=2/c.pq", "a.parquet", "B.parquet", "a-1.parquet"]
    )
    assert all(file.path == tmp_path / file.relative for file in find(tmp_path).files)
    assert not find(tmp_path).is_single_file


def test_what_is_passed_over_is_listed_with_the_reason(tmp_path: Path) -> None:
    tree(
        tmp_path,
        "a.parquet",
        "_SUCCESS",
        ".hidden.parquet",
        "_meta/x.parquet",
        "x.parquet.tmp",
        "x.csv",
        "d.parquet/part.pq",
    )
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "dangling.parquet").symlink_to(tmp_path / "nowhere")
    (tmp_path / "z-link.parquet").symlink_to(tmp_path / "a.parquet")
    listing = find(tmp_path)
    assert [f.relative for f in listing.files] == ["a.parquet", "d.parquet/part.pq", "z-link.parquet"]
    reasons = dict(listing.skipped)
    assert set(reasons) == {
        "_SUCCESS",
        ".hidden.parquet",
        "_meta/x.parquet",
        "x.parquet.tmp",
        "x.csv",
        "loop",
        "dangling.parquet",
    }
    assert "begins with '.' or '_'" in reasons["_meta/x.parquet"]
    assert "does not end in .parquet or .pq" in reasons["x.parquet.tmp"]
    assert "symbolic link" in reasons["loop"]


def test_a_named_file_is_taken_whatever_its_name(tmp_path: Path) -> None:
    tree(tmp_path, "_odd[1].data")
    listing = find(tmp_path / "_odd[1].data")
    assert listing.is_single_file
    assert [f.relative for f in listing.files] == ["_odd[1].data"]


def test_globs_follow_the_same_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(
        tmp_path,
        "d/a-1.parquet",
        "d/a-2.parquet",
        "d/b-1.parquet",
        "d/e/a-3.parquet",
        "d/a-4.csv",
        "d/_a-5.parquet",
    )
    assert names_of(tmp_path / "d" / "a-*") == ["a-1.parquet", "a-2.parquet"]
    assert names_of(tmp_path / "*" / "a-?.parquet") == ["d/a-1.parquet", "d/a-2.parquet"]
    assert names_of(tmp_path / "d" / "**" / "*.parquet") == [
        "a-1.parquet",
        "a-2.parquet",
        "b-1.parquet",
        "e/a-3.parquet",
    ]
    monkeypatch.chdir(tmp_path)
    assert names_of("d/[ab]-1.parquet") == ["a-1.parquet", "b-1.parquet"]
    assert names_of("./d") == names_of(tmp_path / "d")


def test_nothing_found_is_an_error_that_says_what_was_seen(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere does not exist: name a Parquet file"):
        find(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"holds no Parquet files: files end in \.parquet or \.pq"):
        find(tmp_path)
    tree(tmp_path, "a.csv", "b.csv", "c.csv", "d.csv")
    hint = r"Convert them, such as by pandas\.read_csv\('a\.csv'\)\.to_parquet\('a\.parquet', index=False\)"
    with pytest.raises(DataError, match=hint):
        find(tmp_path)
    with pytest.raises(
        DataError, match=r"\(4 others are passed over: a\.csv \(it does not end in .*, \.\.\.\)"
    ):
        find(tmp_path)


# Kinds and settings as text


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("true", "boolean", True), ("FALSE", "boolean", False), ("1", "boolean", True), ("7", "integer", 7),
        ("7.0", "integer", 7), ("-3", "integer", -3), ("1e3", "integer", 1000),
        ("9007199254740993", "integer", 2**53 + 1),
        ("0.5", "number", 0.5), ("1", "number", 1.0), (" yes", "text", " yes"), ("1", "text", "1"),
    ],
)  # fmt: skip
def test_text_is_parsed_by_the_column_s_kind(text: str, kind: Any, value: object) -> None:
    parsed = parse_value(text, kind, "data.positive")
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("yes", "boolean"),
        ("2", "boolean"),
        ("1.5", "integer"),
        ("inf", "integer"),
        ("nan", "integer"),
        ("a", "number"),
    ],
)
def test_text_that_does_not_fit_is_refused(text: str, kind: Any) -> None:
    with pytest.raises(ConfigError, match=f"data.positive = '{text}' is no {kind} value"):
        parse_value(text, kind, "data.positive")


@examples(40)
@given(
    st.datetimes(datetime.datetime(1800, 1, 1), datetime.datetime(2200, 1, 1)),
    st.sampled_from(["", ", tz=UTC", ", tz=Europe/Berlin", ", tz=-03:30"]),
)
def test_moments_come_back_from_their_text(moment: datetime.datetime, zone: str) -> None:
    arrow_type = f"timestamp[us{zone}]"
    count = (moment - datetime.datetime(1970, 1, 1)) // datetime.timedelta(microseconds=1)
    assert parse_moment(moment_text(count, arrow_type), arrow_type, "k") == count
    assert parse_moment(moment_text(count, "int64"), "int64", "k") == count


@pytest.mark.parametrize("text", ["2024-07-01", "2024-07-01T05:00", "2024-01-15 23:59:59.5"])
@pytest.mark.parametrize("zone", ["", "UTC", "America/New_York", "Asia/Kolkata"])
def test_moments_are_pandas_s(text: str, zone: str) -> None:
    arrow_type = f"timestamp[us, tz={zone}]" if zone else "timestamp[us]"
    stamp = pd.Timestamp(text, tz=zone or None)
    assert parse_moment(text, arrow_type, "k") == stamp.value // 1000
    if zone and ":" in text:
        assert parse_moment(text + "+03:00", arrow_type, "k") == pd.Timestamp(text + "+03:00").value // 1000


def test_an_offset_behind_a_date_is_no_time_of_day() -> None:
    with pytest.raises(
        ConfigError, match=r"k = '2024-07-01\+03:00' does not fit .*'T' or a space and a time"
    ):
        parse_moment("2024-07-01+03:00", "timestamp[us]", "k")


# Footers and schemas


def test_a_footer_tells_rows_groups_and_columns(tmp_path: Path) -> None:
    path = made.write(tmp_path / "a.parquet", made.mixed(250))
    foot = foot_of(path)
    assert foot.groups == (100, 100, 50)
    assert foot.rows == 250
    assert foot.bytes == path.stat().st_size
    assert [c.kind for c in foot.columns] == [
        "number", "number", "integer", "integer", "boolean", "text", "text", "number", "integer",
        "moment", "integer", "boolean",
    ]  # fmt: skip
    assert foot.column("absent") is None


def test_footers_are_in_the_order_of_the_files(tmp_path: Path) -> None:
    made.mixed_files(tmp_path, [10, 20, 30, 40, 50])
    assert [foot.rows for foot in footers(find(tmp_path).files)] == [10, 20, 30, 40, 50]


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = made.write(tmp_path / "a.parquet", pa.table([pa.array([1]), pa.array([2])], names=["x", "x"]))
    with pytest.raises(DataError, match=r"a\.parquet has two columns named 'x': rename one"):
        foot_of(path)


@pytest.mark.parametrize("kept", [0, 3, 4, 100, -1, -8])
def test_a_file_cut_short_is_named(kept: int, tmp_path: Path) -> None:
    path = made.write(tmp_path / "a.parquet", made.mixed(50))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"a\.parquet is not a whole Parquet file \(.*\): write it again"):
        foot_of(path)


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.parquet is gone"):
        foot_of(tmp_path / "a.parquet")


# Damage


def test_rows_are_read_group_by_group_with_their_place(tmp_path: Path) -> None:
    table = made.mixed(250)
    with Reader(made.write(tmp_path / "a.parquet", table), "a.parquet") as reader:
        rows = [reader.read(group, ["id", "word"]) for group in range(3)]
    assert [r.place for r in rows] == [f"a.parquet, row group {g}" for g in range(3)]
    assert pa.concat_tables([r.table for r in rows])["id"].to_pylist() == list(range(250))
    assert [len(r) for r in rows] == [100, 100, 50]


def test_a_column_that_is_not_there_is_an_error_and_not_passed_over(tmp_path: Path) -> None:
    path = made.write(tmp_path / "a.parquet", made.mixed(30))
    with Reader(path) as reader, pytest.raises(DataError, match=r"row group 0 lacks column 'nowhere'"):
        reader.read(0, ["id", "nowhere"])


def test_a_file_without_row_groups_gives_no_rows_once(tmp_path: Path) -> None:
    with Reader(made.write(tmp_path / "a.parquet", made.mixed(0))) as reader:
        assert [len(rows) for rows in reader.all(["id", "word"])] == [0]


@pytest.mark.parametrize("name", ["number", "whole", "flag", "word", "carrier", "time"])
def test_a_damaged_page_is_named_by_file_row_group_and_column(name: str, tmp_path: Path) -> None:
    path = made.write(tmp_path / "a.parquet", made.mixed(2000), group_rows=1000, write_page_checksum=True)
    meta = pq.ParquetFile(path).metadata.row_group(1)
    chunk = next(meta.column(i) for i in range(meta.num_columns) if meta.column(i).path_in_schema == name)
    content = bytearray(path.read_bytes())
    first = chunk.dictionary_page_offset or chunk.data_page_offset
    content[first + chunk.total_compressed_size // 2] ^= 1
    path.write_bytes(bytes(content))
    with Reader(path, "a.parquet") as reader:
        assert len(reader.read(0, ["id", name])) == 1000
        assert len(reader.read(1, ["id"])) == 1000
        with pytest.raises(
            DataError, match=rf"column '{name}' of a\.parquet, row group 1 is damaged \(.*\): write the file"
        ):
            reader.read(1, ["id", name])


# Writing


def test_pages_carry_checksums_and_floats_no_dictionaries(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    frame = pd.DataFrame(
        {"x": np.ones(500), "y": np.ones(500, np.float32), "n": np.ones(500, int), "s": ["a"] * 500}
    )
    write_frame(path, frame, 200)
    meta = pq.ParquetFile(path).metadata
    assert [meta.row_group(i).num_rows for i in range(meta.num_row_groups)] == [200, 200, 100]
    for place in range(4):
        column = meta.row_group(0).column(place)
        is_float = column.path_in_schema in "xy"
        assert column.compression == ("UNCOMPRESSED" if is_float else "SNAPPY")
        assert column.has_dictionary_page != is_float
    content = bytearray(path.read_bytes())
    content[meta.row_group(1).column(0).data_page_offset + 500] ^= 1
    path.write_bytes(bytes(content))
    with (
        Reader(path, "a") as reader,
        pytest.raises(DataError, match=r"column 'x' of a, row group 1 is damaged .*CRC"),
    ):
        reader.read(1, ["x"])
    assert pq.read_table(path)["x"].to_numpy()[200:400].sum() != 200  # without checksums it goes unnoticed


def test_columns_written_are_read_back(tmp_path: Path) -> None:
    columns = {
        "a": np.arange(5),
        "b": ["x", None, "z", "", "ü"],
        "c": np.array([1.5, np.nan, 0, -0.0, 1e300]),
    }
    write_columns(tmp_path / "a.parquet", columns, 2)
    table = pq.read_table(tmp_path / "a.parquet")
    assert table["a"].to_pylist() == [0, 1, 2, 3, 4]
    assert table["b"].to_pylist() == columns["b"]
    assert table["c"].to_numpy().tobytes() == np.asarray(columns["c"]).tobytes()
    assert foot_of(tmp_path / "a.parquet").groups == (2, 2, 1)


def test_kept_columns_stand_beside_new_ones(tmp_path: Path) -> None:
    source = made.write(tmp_path / "a.parquet", made.mixed(250))
    writer = ColumnWriter(tmp_path / "b.parquet")
    with Reader(source) as reader:
        for group in range(3):
            rows = reader.read(group, ["id", "carrier", "word"])
            model = (np.zeros(len(rows), dtype=np.int32), ["m@1"])
            new = {"probability": np.full(len(rows), group / 4), "model": model}
            writer.append(rows, ["id", "carrier", "word"], new)
    writer.close()
    whole, got = pq.read_table(source), pq.read_table(tmp_path / "b.parquet")
    assert got.column_names == ["id", "carrier", "word", "probability", "model"]
    for name in ("id", "carrier", "word"):
        assert got[name].to_pylist() == whole[name].to_pylist()
    assert got["probability"].to_pylist() == [0.0] * 100 + [0.25] * 100 + [0.5] * 50
    assert set(got["model"].to_pylist()) == {"m@1"}
    assert pa.types.is_dictionary(got["model"].type)


def test_row_groups_decode_to_about_two_mebibytes() -> None:
    for columns in (8, 16, 29):
        assert group_rows(columns) * columns * 4 == pytest.approx(2 * 2**20, rel=0.01)
    assert group_rows(0) == group_rows(1) == 131072
    assert group_rows(10**6) == 16384


def test_no_handle_is_left_open(tmp_path: Path) -> None:
    path = made.write(tmp_path / "a.parquet", made.mixed(50))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        foot_of(path)
        with Reader(path) as reader:
            reader.read(0, ["id"])
    assert len(os.listdir("/proc/self/fd")) <= before + 1

"""Splits that are given or refused, and what is written of them."""

from __future__ import annotations

import logging
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from binclf.errors import ArtifactError, DataError
from binclf.parquet import Reader
from binclf.split import PART_NAMES, Split, ensure, perform, plan
from tests import made
from tests.splits import (
    config_for,
    plain,
    read,
    read_column,
)

# column and none


@pytest.mark.parametrize(
    ("wrong", "words"), [("Test", "holds Test:"), (None, "holds nulls:"), ("", "holds :")]
)
def test_a_wrong_part_is_named(wrong: str | None, words: str, tmp_path: Path) -> None:
    part: list[str | None] = ["train", "validation", "test", "train"] * 50
    part[120] = wrong
    path = made.write(tmp_path / "a.parquet", made.mixed(200).append_column("part", pa.array(part)))
    config = config_for("column", path, tmp_path / "store")
    with pytest.raises(
        DataError, match=rf"split\.column 'part' of a\.parquet, row group 1 {words} each row says train"
    ):
        ensure(config)


def test_the_data_s_own_parts_are_kept(flights: Path, tmp_path: Path) -> None:
    split = ensure(config_for("column", flights, tmp_path))
    for part in PART_NAMES:
        assert set(read_column(split, part, "part")) == {part}


def test_none_reads_in_place_and_copies_nothing(flights: Path, tmp_path: Path) -> None:
    split = ensure(config_for("none", flights, tmp_path))
    assert set(split.parts) == {"train"}
    assert [file.path for file in split.parts["train"]] == sorted(flights.resolve().iterdir())
    assert not list(tmp_path.rglob("*.parquet"))


def test_data_in_place_are_read_where_the_config_says_not_where_a_copy_was(tmp_path: Path) -> None:
    old, new, store = tmp_path / "old", tmp_path / "new", tmp_path / "store"
    made.mixed_files(old, [100])
    ensure(config_for("none", old, store))
    shutil.copytree(old, new)
    made.mixed_files(old, [100], seed=9)  # the old place has other rows now
    split = ensure(config_for("none", new, store))
    assert [file.path.parent for file in split.parts["train"]] == [new.resolve()]


# faults


def test_a_third_label_across_files_is_named_with_its_file(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for place, texts in enumerate((["yes", "no"], ["yes", "nope"])):
        table = made.mixed(100, first=100 * place).drop_columns(["label"])
        made.write(data / f"{place}.parquet", table.append_column("label", pa.array(texts * 50)))
    config = made.config(data, tmp_path / "store", data={"positive": "yes"})
    with pytest.raises(
        DataError, match=r"label 'label' of 1\.parquet holds 'nope', a third value beside no, yes"
    ):
        ensure(config)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), None])
def test_weights_that_are_none_are_refused_with_their_place(weight: float | None, tmp_path: Path) -> None:
    made.mixed_files(tmp_path / "data", [250, 250])
    table = pq.read_table(tmp_path / "data" / "part-001.parquet")
    weights: list[float | None] = [1.0] * 250
    weights[130] = weight
    made.write(
        tmp_path / "data" / "part-001.parquet",
        table.drop_columns(["w"]).append_column("w", pa.array(weights)),
    )
    config = made.config(tmp_path / "data", tmp_path / "store", data={"weight": "w"})
    words = r"weight column 'w' of part-001\.parquet, row group 1 holds 1 values .*the first in row 30"
    with pytest.raises(DataError, match=words):
        ensure(config)


def test_infinite_weights_are_refused(tmp_path: Path) -> None:
    table = made.mixed(50).drop_columns(["w"]).append_column("w", pa.array([math.inf] + [1.0] * 49))
    path = made.write(tmp_path / "a.parquet", table)
    with pytest.raises(DataError, match=r"column 'w' of a\.parquet, row group 0 holds 1 infinite values"):
        ensure(made.config(path, tmp_path / "store", data={"weight": "w"}))


def test_equal_files_are_counted_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made.mixed_files(tmp_path / "data", [200])
    for name in ("again", "and-again"):
        shutil.copy(tmp_path / "data" / "part-000.parquet", tmp_path / "data" / f"z-{name}.parquet")
    with caplog.at_level(logging.WARNING, "binclf"):
        split = ensure(made.config(tmp_path / "data", tmp_path / "store"))
    assert split.receipt["duplicate_files"] == ["z-again.parquet", "z-and-again.parquet"]
    assert "2 files have the same content as an earlier one" in caplog.text
    assert split.receipt["rows"] == 600


def test_files_passed_over_are_in_the_receipt(tmp_path: Path) -> None:
    made.mixed_files(tmp_path / "data", [200])
    for name in ("_SUCCESS", ".part.crc", "notes.txt", "part-1.parquet.tmp"):
        (tmp_path / "data" / name).write_text("x")
    split = ensure(made.config(tmp_path / "data", tmp_path / "store"))
    assert [name for name, _ in split.receipt["skipped_files"]] == [
        ".part.crc",
        "_SUCCESS",
        "notes.txt",
        "part-1.parquet.tmp",
    ]


def test_parts_without_rows_or_classes_are_refused(tmp_path: Path) -> None:
    few = made.mixed(400)
    path = made.write(tmp_path / "a.parquet", few.slice(0, 1))
    with pytest.raises(DataError, match=r"the train part is empty: 1 rows in 1 files are too few"):
        ensure(made.config(path, tmp_path / "store"))
    made.write(path, few.filter(pa.compute.field("label")))
    with pytest.raises(DataError, match=r"all \d+ training rows have a positive label \('label'\)"):
        ensure(made.config(path, tmp_path / "store"))
    made.write(path, few.filter(~pa.compute.field("label")))
    with pytest.raises(DataError, match=r"all \d+ training rows have no positive label \('label'\)"):
        ensure(made.config(path, tmp_path / "store"))
    weights = pa.array(np.where(few["label"].to_numpy(), 0.0, 1.0))
    made.write(path, few.drop_columns(["w"]).append_column("w", weights))
    with pytest.raises(DataError, match=r"the training rows of one class weigh nothing \('w'\)"):
        ensure(made.config(path, tmp_path / "store", data={"weight": "w"}))


def test_a_column_to_exclude_may_be_in_some_files_only(tmp_path: Path) -> None:
    made.mixed_files(tmp_path / "data", [200, 200])
    path = tmp_path / "data" / "part-001.parquet"
    made.write(path, pq.read_table(path).append_column("late_news", pa.array(["x"] * 200)))
    with pytest.raises(DataError, match=r"lacks column 'late_news'.*list the column in data\.exclude"):
        ensure(made.config(tmp_path / "data", tmp_path / "store"))
    exclude = ["who", "time", "w", "late_news"]
    split = ensure(made.config(tmp_path / "data", tmp_path / "store", data={"exclude": exclude}))
    assert split.receipt["rows"] == 400
    assert "late_news" not in {column.name for column in split.columns}


def test_a_column_that_no_file_has_is_named_with_a_suggestion(tmp_path: Path) -> None:
    path = made.write(tmp_path / "a.parquet", made.mixed(20))
    config = made.config(
        path, tmp_path / "s", data={"label": "lable", "weight": "ww"}, features={"log1p": ["numbr"]}
    )
    words = r"(?s)data\.label names .*'lable'.*you mean 'label'.*'ww'.*features\.log1p.*you mean 'number'"
    with pytest.raises(DataError, match=words):
        plan(config)


def test_a_lost_part_is_written_again(flights: Path, tmp_path: Path) -> None:
    config = config_for("random", flights, tmp_path)
    split = ensure(config)
    lost = split.parts["test"][0].path
    content = lost.read_bytes()
    lost.unlink()
    assert ensure(config) == split
    assert lost.read_bytes() == content


def test_a_task_depends_on_nothing_but_itself(flights: Path, tmp_path: Path) -> None:
    """Parts may be written in any order, by anyone, and twice."""
    todo = plan(config_for("random", flights, tmp_path))
    backwards = [perform(task, tmp_path / "other") for task in reversed(todo.tasks)]
    backwards.reverse()
    split = ensure(config_for("random", flights, tmp_path))
    assert [r["rows"] for r in backwards] == [310, 205, 1, 120]
    for part in PART_NAMES:
        for file in split.parts[part]:
            twin = tmp_path / "other" / "parts" / file.path.name
            assert twin.read_bytes() == file.path.read_bytes()


def test_what_changes_the_rows_changes_the_task(flights: Path, tmp_path: Path) -> None:
    base = made.config(flights, tmp_path)
    changes: list[dict[str, dict[str, Any]]] = [
        {"split": {"seed": 1}},
        {"split": {"test_fraction": 0.3}},
        {"split": {"validation_fraction": 0.2}},
        {"split": {"stratify": False}},
        {"data": {"on_null_label": "drop"}},
        {"data": {"positive": "false"}},
        {"data": {"weight": "w"}},
        {"data": {"group": "who"}},
    ]
    found = {plan(base).tasks[0].id} | {
        plan(made.config(flights, tmp_path, **c)).tasks[0].id for c in changes
    }
    assert len(found) == 9
    unmoved = made.config(flights, tmp_path / "x", features={"min_count": 3}, train={"epochs": 2})
    assert plan(unmoved).tasks[0].id == plan(base).tasks[0].id


@pytest.mark.parametrize("edit", [{"digest": None}, {"parts": {"train": [{"x": 1}]}}, {"label": {}}])
def test_an_edited_split_is_no_split(edit: dict[str, Any], flights: Path, tmp_path: Path) -> None:
    record = ensure(config_for("random", flights, tmp_path)).as_json()
    record |= edit
    if edit == {"digest": None}:
        del record["digest"]
    with pytest.raises(
        ArtifactError, match=r"split\.json is of another version or was edited .*: split again"
    ):
        Split.from_json(record)


# the written parts


def test_columns_without_nulls_are_written_as_required(flights: Path, tmp_path: Path) -> None:
    split = ensure(config_for("random", flights, tmp_path))
    for file in split.parts["train"][:2]:
        given_nulls = nulls(flights / file.relative)
        schema = pq.ParquetFile(file.path).schema
        for place in range(len(schema)):
            column = schema.column(place)
            assert (column.max_definition_level == 0) == (given_nulls[column.path] == 0), column.path


def nulls(path: Path) -> dict[str, int]:
    table = pq.read_table(path)
    return {name: table[name].null_count for name in table.column_names}


def test_a_flipped_bit_is_never_read_silently(flights: Path, tmp_path: Path) -> None:
    file = ensure(config_for("random", flights, tmp_path)).parts["train"][0]
    content = file.path.read_bytes()
    footer_bytes = int.from_bytes(content[-8:-4], "little") + 8
    whole = pq.read_table(file.path)
    draw = np.random.default_rng(5)
    noticed = 0
    for place in draw.integers(4, len(content) - footer_bytes, 60).tolist():
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(draw.integers(8))
        path = tmp_path / "damaged.parquet"
        path.write_bytes(bytes(damaged))
        try:
            with Reader(path, "damaged.parquet") as reader:
                tables = [
                    reader.read(group, whole.column_names).table
                    for group in range(reader.file.num_row_groups)
                ]
        except DataError as error:
            noticed += "damaged.parquet" in str(error)
        else:
            got = pa.concat_tables(tables)
            for name in whole.column_names:
                assert plain(got[name]) == plain(whole[name])
    assert noticed > 30


def test_a_damaged_input_fails_by_file_row_group_and_column(tmp_path: Path) -> None:
    path = made.write(tmp_path / "data" / "a.parquet", made.mixed(300), write_page_checksum=True)
    chunk = pq.ParquetFile(path).metadata.row_group(1).column(3)
    content = bytearray(path.read_bytes())
    content[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 4
    path.write_bytes(bytes(content))
    with pytest.raises(
        DataError, match=r"column 'small' of a\.parquet, row group 1 is damaged .*: write the file again"
    ):
        ensure(made.config(tmp_path / "data", tmp_path / "store"))
    assert not list((tmp_path / "store").rglob("*.parquet"))
    assert not list((tmp_path / "store").rglob("*.tmp"))


def test_any_sort_of_column_travels_through(tmp_path: Path) -> None:
    table = made.mixed(200)
    rows = range(200)
    odd: dict[str, Any] = {
        "list": pa.array([[i, None] if i % 3 else None for i in rows]),
        "struct": pa.array([{"a": i, "b": {"c": str(i)}} for i in rows]),
        "decimal": pa.array(list(rows)).cast(pa.decimal128(24, 2)),
        "binary": pa.array([bytes([i]) for i in rows]),
        "view": pa.array([str(i) if i % 2 else None for i in rows]).cast(pa.string_view()),
        "clock": pa.array(list(rows), pa.time64("us")),
        "half": pa.array(np.arange(200, dtype=np.float16)),
        "nothing": pa.nulls(200),
        "a.dot": pa.array(list(rows)),
    }
    for name, column in odd.items():
        table = table.append_column(name, column)
    path = made.write(tmp_path / "a.parquet", table)
    exclude = ["who", "time", "w", *odd]
    split = ensure(made.config(path, tmp_path / "store", data={"exclude": exclude}))
    for part in PART_NAMES:
        got = read(split, part)
        for name in odd:
            values = table[name].to_pylist()
            assert got[name].to_pylist() == [values[row] for row in got["id"].to_pylist()], name

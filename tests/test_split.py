"""Rows in = rows out, each row in one part for ever, and nothing written twice."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from binclf.errors import DataError
from binclf.split import PART_NAMES, Split, ensure
from tests import made
from tests.splits import METHODS, config_for, ids, part_of, plain, read, source, stamps


@pytest.mark.parametrize("method", METHODS)
def test_every_row_is_in_one_part_unaltered_and_in_order(method: str, flights: Path, tmp_path: Path) -> None:
    split = ensure(config_for(method, flights, tmp_path))
    parts = ids(split)
    whole = source(flights)
    assert sorted(row for rows in parts.values() for row in rows) == whole["id"].to_pylist()
    for part, rows in parts.items():
        assert rows == sorted(rows), "the order of the files and of their rows is kept"
        if rows:
            kept = whole.take(pa.array(rows)).combine_chunks()
            got = read(split, part)
            for name in whole.column_names:
                assert plain(got[name]) == plain(kept[name]), name
                assert got[name].type == kept[name].type


@pytest.mark.parametrize("method", METHODS)
def test_receipts_add_up_and_agree_with_the_rows(method: str, flights: Path, tmp_path: Path) -> None:
    config = config_for(method, flights, tmp_path)
    config = config.model_copy(update={"data": config.data.model_copy(update={"weight": "w", "exclude": ()})})
    split = ensure(config)
    assert split.receipt["rows"] == 636
    assert split.receipt["files"] == 4
    assert split.receipt["dropped_null_label"] == 0
    assert sum(split.receipt[part] for part in PART_NAMES) == 636
    for part, files in split.parts.items():
        for file in files:
            table = pq.read_table(file.path)
            label, weight = table["label"].to_numpy(), table["w"].to_numpy()
            assert file.rows == table.num_rows == sum(file.groups)
            assert file.positives == label.sum()
            assert file.weight == pytest.approx(weight.sum(), rel=1e-12)
            assert file.positive_weight == pytest.approx(weight[label].sum(), rel=1e-12)
            meta = pq.ParquetFile(file.path).metadata
            assert file.groups == tuple(meta.row_group(i).num_rows for i in range(meta.num_row_groups))
        table = read(split, part)
        assert split.rows(part) == table.num_rows == split.receipt[part]
        expected = np.average(table["label"].to_numpy(), weights=table["w"].to_numpy())
        assert split.base_rate(part) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_a_rerun_writes_nothing_and_says_the_same(method: str, flights: Path, tmp_path: Path) -> None:
    config = config_for(method, flights, tmp_path)
    first = ensure(config)
    before = stamps(tmp_path)
    assert ensure(config) == first
    assert stamps(tmp_path) == before


@pytest.mark.parametrize("method", METHODS)
def test_another_store_gets_the_same_bytes(method: str, flights: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    assert (
        ensure(config_for(method, flights, one)).digest == ensure(config_for(method, flights, other)).digest
    )
    names = [p.relative_to(one) for p in one.rglob("*.parquet")]
    assert names == [] if method == "none" else len(names) >= 3
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.parametrize("method", METHODS)
def test_the_listing_s_order_and_times_never_count(method: str, flights: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for place, path in enumerate(sorted(flights.iterdir(), reverse=True)):
        shutil.copy(path, copy / path.name)
        os.utime(copy / path.name, (1e9 - place, 1e9 - place))
    one = ensure(config_for(method, flights, tmp_path / "one"))
    other = ensure(config_for(method, copy, tmp_path / "other"))
    assert one.digest == other.digest
    assert ids(one) == ids(other)


@pytest.mark.parametrize("method", [m for m in METHODS if m != "time"])
def test_a_new_file_moves_no_row_and_only_its_own_parts_are_written(
    method: str, flights: Path, tmp_path: Path
) -> None:
    data, store = tmp_path / "data", tmp_path / "store"
    shutil.copytree(flights, data)
    config = config_for(method, data, store)
    before, stamped = part_of(ensure(config)), stamps(store)
    table = made.mixed(80, seed=3, first=10_000)
    made.write(data / "part-00-first.parquet", table.append_column("part", pa.array(["test"] * 80)))
    after, restamped = part_of(ensure(config)), stamps(store)
    assert {row: after[row] for row in before} == before
    assert len(after) == len(before) + 80
    assert {name: restamped[name] for name in stamped} == stamped
    new = [name for name in restamped if name not in stamped]
    assert len({name.split("/")[-1][:24] for name in new if "/parts/" in name}) == 1


@pytest.mark.parametrize("method", METHODS)
def test_a_split_survives_json(method: str, flights: Path, tmp_path: Path) -> None:
    split = ensure(config_for(method, flights, tmp_path))
    written = tmp_path / "split" / f"{split.digest}.json"
    assert Split.from_json(json.loads(written.read_text())) == split
    assert Split.from_json(json.loads(json.dumps(split.as_json()))) == split


@pytest.mark.parametrize("method", ["random", "column"])
def test_files_without_rows_are_fine(method: str, flights: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(flights, data)
    plain = ids(ensure(config_for(method, data, tmp_path / "plain")))
    empty = pq.read_table(flights / "part-0.parquet").slice(0, 0)
    made.write(data / "a-empty.parquet", empty)  # one row group of no rows
    with pq.ParquetWriter(data / "b-empty.parquet", empty.schema):
        pass  # no row group at all
    assert pq.ParquetFile(data / "b-empty.parquet").num_row_groups == 0
    split = ensure(config_for(method, data, tmp_path / "store"))
    assert ids(split) == plain
    assert split.receipt["files"] == 6


@pytest.mark.parametrize("method", ["hash", "time", "random by group", "none"])
def test_files_without_rows_are_fine_for_keys_and_times(method: str, flights: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(flights, data)
    plain = ids(ensure(config_for(method, data, tmp_path / "plain")))
    empty = pq.read_table(flights / "part-0.parquet").slice(0, 0)
    made.write(data / "z-empty.parquet", empty)
    with pq.ParquetWriter(data / "b-empty.parquet", empty.schema):
        pass
    assert ids(ensure(config_for(method, data, tmp_path / "store"))) == plain


@pytest.mark.parametrize("method", METHODS)
def test_null_labels_are_an_error_or_dropped_and_counted(method: str, flights: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(flights, data)
    table = pq.read_table(data / "part-1.parquet")
    hidden = np.arange(table.num_rows) % 10 == 3
    label = pa.array(table["label"].to_numpy(), mask=hidden)
    made.write(data / "part-1.parquet", table.set_column(table.column_names.index("label"), "label", label))
    config = config_for(method, data, tmp_path / "store")
    with pytest.raises(
        DataError, match=r"label 'label' of part-1\.parquet, row group 0 holds 10 nulls, the first in row 3"
    ):
        ensure(config)
    dropping = config.model_copy(update={"data": config.data.model_copy(update={"on_null_label": "drop"})})
    split = ensure(dropping)
    lost = set(table["id"].to_numpy()[hidden].tolist())
    assert split.receipt["dropped_null_label"] == hidden.sum()
    assert sum(split.receipt[part] for part in PART_NAMES) == split.receipt["rows"] - hidden.sum()
    if method == "none":  # read in place: the rows are still there, and not counted
        assert split.rows("train") == 636 - hidden.sum()
        assert sum(sum(file.groups) for file in split.parts["train"]) == split.rows("train")
    else:
        assert set(part_of(split)) == set(range(636)) - lost

"""Rows in = rows out, each row in one part for ever, and nothing written twice."""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from binclf import hashing
from binclf.config import Config
from binclf.errors import ArtifactError, ConfigError, DataError
from binclf.parquet import Reader
from binclf.split import PART_NAMES, Split, deal, ensure, perform, plan
from tests import made
from tests.laws import examples

Parts = dict[str, list[int]]
Stamp = dict[str, tuple[int, int, int]]


def read(split: Split, part: str) -> pa.Table:
    """All rows of a part, file by file; which columns are required differs by file."""
    return pa.concat_tables(
        [pq.read_table(file.path) for file in split.parts.get(part, ())], promote_options="default"
    )


def plain(column: pa.ChunkedArray) -> list[Any]:
    """Values that can be compared: each NaN as a text."""
    return ["NaN" if value != value else value for value in column.to_pylist()]


def ids(split: Split) -> Parts:
    """The ids of each part's rows, in the order in which they are stored."""
    return {part: read(split, part)["id"].to_pylist() if split.rows(part) else [] for part in PART_NAMES}


def part_of(split: Split) -> dict[int, str]:
    return {row: part for part, rows in ids(split).items() for row in rows}


def stamps(store: Path) -> Stamp:
    """Inode, time and size of all files of a store: equal if nothing was written."""
    found = {}
    for path in sorted(store.rglob("*")):
        if path.is_file():
            stat = path.stat()
            found[path.relative_to(store).as_posix()] = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
    return found


def source(path: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(p) for p in sorted(path.rglob("*.parquet"))])


METHODS: dict[str, dict[str, dict[str, Any]]] = {
    "random": {"split": {"method": "random"}},
    "random, not stratified": {"split": {"method": "random", "stratify": False}},
    "random by group": {"split": {"method": "random"}, "data": {"group": "who"}},
    "hash": {"split": {"method": "hash", "key": ["carrier", "small"], "validation_fraction": 0.2}},
    "time": {"split": {"method": "time"}, "data": {"time": "time"}},
    "column": {"split": {"method": "column", "column": "part"}},
    "none": {"split": {"method": "none"}},
}


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four files of several row groups, with a column `part`; no test writes here."""
    root = tmp_path_factory.mktemp("data") / "flights"
    first = 0
    for place, rows in enumerate((310, 205, 1, 120)):
        table = made.mixed(rows, seed=3, first=first)
        part = np.random.default_rng(place).choice(PART_NAMES, rows, p=[0.6, 0.2, 0.2]).tolist()
        made.write(root / f"part-{place}.parquet", table.append_column("part", pa.array(part)))
        first += rows
    return root


def config_for(method: str, data: Path, store: Path) -> Config:
    sections = {name: dict(section) for name, section in METHODS[method].items()}
    config = made.config(data, store, **sections)
    return config


# Laws of every method


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


# random


@examples(60)
@given(
    st.integers(40, 400),
    st.floats(0.05, 0.95),
    st.floats(0.02, 0.49),
    st.floats(0.0, 0.3),
    st.booleans(),
    st.integers(0, 2**64 - 1),
)
def test_one_file_has_scikit_learn_s_counts(
    rows: int, rate: float, test: float, validation: float, stratify: bool, key: int
) -> None:
    labels = (np.arange(rows) < max(5, min(rows - 5, round(rate * rows)))).astype(np.int8)
    assume(math.ceil(test * rows) >= 2)
    slots = deal.at_random(labels, key, fractions=(validation, test), is_alone=True, stratify=stratify)
    _, theirs = train_test_split(
        labels, test_size=test, random_state=0, stratify=labels if stratify else None
    )
    assert (slots == deal.TEST).sum() == len(theirs)
    assert abs((slots == deal.VALIDATION).sum() - validation * rows) < 2
    assert (slots >= 0).all()
    if stratify:
        assert abs(int(labels[slots == deal.TEST].sum()) - int(theirs.sum())) <= 1
        assert abs(labels[slots == deal.TEST].sum() - test * labels.sum()) < 2


def test_one_file_s_counts_are_exact_end_to_end(tmp_path: Path) -> None:
    path = made.write(tmp_path / "one.parquet", made.mixed(1003))
    split = ensure(made.config(path, tmp_path / "store"))
    label = pq.read_table(path)["label"].to_numpy()
    train, test = train_test_split(label, test_size=0.2, random_state=42, stratify=label)
    assert split.rows("test") == len(test) == 201
    assert split.rows("validation") == 101
    assert split.rows("train") == len(train) - 101
    assert abs(split.positives("test") - test.sum()) <= 1


def test_small_files_have_the_right_share_together() -> None:
    labels = np.array([1, 0, 0, 0, 0, 0, 0], dtype=np.int8)
    tests, validations = Counter[int](), Counter[int]()
    for file in range(4000):
        slots = deal.at_random(
            labels, hashing.key(1, str(file)), fractions=(0.1, 0.2), is_alone=False, stratify=True
        )
        tests.update(np.flatnonzero(slots == deal.TEST).tolist())
        validations.update(np.flatnonzero(slots == deal.VALIDATION).tolist())
        assert (slots == deal.TEST)[labels == 0].sum() in (1, 2)  # 0.2 * 6 rounded either way
    spread = 5 * math.sqrt(4000 * 0.25)
    for row in range(7):  # each row, not only the sum: no place in a file is favoured
        assert abs(tests[row] - 800) < spread
        assert abs(validations[row] - 400) < spread


@pytest.mark.parametrize("is_alone", [True, False])
def test_which_rows_are_drawn_is_even_and_by_seed(is_alone: bool) -> None:
    labels = (np.arange(200) % 4 == 0).astype(np.int8)
    drawn = np.array(
        [
            deal.at_random(labels, key, fractions=(0.1, 0.2), is_alone=is_alone, stratify=True) == deal.TEST
            for key in range(1000)
        ]
    )
    assert len(np.unique(drawn, axis=0)) == 1000
    assert np.abs(drawn.sum(axis=0) - 200).max() < 5 * math.sqrt(1000 * 0.16)


@pytest.mark.parametrize("split", [{"method": "random"}, {"method": "hash", "key": ["id"]}])
def test_a_seed_is_another_draw(split: dict[str, Any], flights: Path, tmp_path: Path) -> None:
    config = made.config(flights, tmp_path, split=split, data={"exclude": ["part", "time", "w", "who"]})
    reseeded = config.model_copy(update={"split": config.split.model_copy(update={"seed": 43})})
    one, other = part_of(ensure(config)), part_of(ensure(reseeded))
    moved = np.mean([one[row] != other[row] for row in one])
    assert 0.3 < moved < 0.6  # two independent draws of 70, 10 and 20 % differ in 46 %


def test_another_share_for_validation_moves_no_row_into_or_out_of_test(flights: Path, tmp_path: Path) -> None:
    for method in ("random", "hash", "random by group"):
        tests = []
        for share in (0.0, 0.05, 0.3):
            config = config_for(method, flights, tmp_path)
            changed = config.split.model_copy(update={"validation_fraction": share})
            tests.append(ids(ensure(config.model_copy(update={"split": changed})))["test"])
        assert tests[0] == tests[1] == tests[2]
        assert len(tests[0]) > 0


def test_stratified_parts_have_the_same_rate(tmp_path: Path) -> None:
    path = made.mixed_files(tmp_path / "data", [700, 600, 900], seed=1)
    split = ensure(made.config(path, tmp_path / "store"))
    rates = [split.positives(part) / split.rows(part) for part in PART_NAMES]
    assert max(rates) - min(rates) < 0.02  # at most two rows a file away


# hash and groups


def test_equal_keys_share_a_part_across_files_and_widths(tmp_path: Path) -> None:
    keys = np.tile(np.arange(-40, 80), 5)
    rows = len(keys)
    types = [pa.int8(), pa.int16(), pa.int32(), pa.int64()]
    for place, kind in enumerate(types):
        table = made.mixed(rows, first=place * rows).append_column("key", pa.array(keys).cast(kind))
        made.write(tmp_path / "data" / f"{place}.parquet", table)
    config = made.config(tmp_path / "data", tmp_path / "store", split={"method": "hash", "key": ["key"]})
    split = ensure(config)
    parts: dict[int, set[str]] = {}
    for part in PART_NAMES:
        for value in read_column(split, part, "key"):
            parts.setdefault(value, set()).add(part)
    assert len(parts) == 120
    assert all(len(found) == 1 for found in parts.values())


def read_column(split: Split, part: str, name: str) -> list[Any]:
    columns = [pq.read_table(file.path, columns=[name])[name].to_pylist() for file in split.parts[part]]
    return [value for column in columns for value in column]


def test_unsigned_keys_beyond_the_signed_are_keys_too(tmp_path: Path) -> None:
    table = made.mixed(400)
    key = pa.array([2**63 + i % 100 for i in range(400)], pa.uint64())
    made.write(tmp_path / "a.parquet", table.append_column("key", key))
    config = made.config(tmp_path / "a.parquet", tmp_path / "store", split={"method": "hash", "key": ["key"]})
    split = ensure(config)
    values = [set(read_column(split, part, "key")) for part in PART_NAMES]
    assert sum(len(v) for v in values) == 100 == len(set.union(*values))


def test_equal_texts_share_a_part_however_they_are_stored(tmp_path: Path) -> None:
    texts = [f"tail {i % 97}" if i % 13 else None for i in range(500)]
    plain = pa.array(texts, pa.string())
    stored = [plain, plain.dictionary_encode(), plain.cast(pa.large_string()), plain.cast(pa.string_view())]
    for place, key in enumerate(stored):
        table = made.mixed(500, first=500 * place).append_column("tail", key)
        made.write(tmp_path / "data" / f"{place}.parquet", table)
    config = made.config(tmp_path / "data", tmp_path / "store", split={"method": "hash", "key": ["tail"]})
    place_of: dict[str | None, set[str]] = {}
    split = ensure(config)
    for part in PART_NAMES:
        for text in read_column(split, part, "tail"):
            place_of.setdefault(text, set()).add(part)
    assert len(place_of) == 98  # null is a key of its own
    assert {len(parts) for parts in place_of.values()} == {1}


def test_hash_shares_are_as_asked() -> None:
    words = hashing.mix(np.arange(100_000, dtype=np.uint64))
    slots = deal.by_hash(words, np.zeros(100_000, dtype=np.int8), fractions=(0.1, 0.2))
    counts = np.bincount(slots, minlength=3)
    assert np.abs(counts - [70_000, 10_000, 20_000]).max() < 700


def test_the_order_of_the_key_columns_and_each_of_them_counts(tmp_path: Path) -> None:
    path = made.write(tmp_path / "a.parquet", made.mixed(1000))
    found = []
    for key in (["whole"], ["small"], ["whole", "small"], ["small", "whole"]):
        split = made.config(path, tmp_path / "store", split={"method": "hash", "key": key})
        found.append(tuple(ids(ensure(split))["test"]))
    assert len(set(found)) == 4


@pytest.mark.parametrize("split", [{"method": "random"}, {"method": "hash", "key": ["who"]}])
def test_groups_never_straddle(split: dict[str, Any], tmp_path: Path) -> None:
    path = made.mixed_files(tmp_path / "data", [300, 300, 300])
    found = ensure(made.config(path, tmp_path / "store", data={"group": "who"}, split=split))
    members = [set(read_column(found, part, "who")) for part in PART_NAMES]
    assert sum(map(len, members)) == len(set.union(*members)) == 60
    assert all(members)


def test_a_group_cannot_hold_under_a_cut_in_time(tmp_path: Path) -> None:
    data = {"group": "who", "time": "time"}
    with pytest.raises(ConfigError, match=r"data\.group cannot hold with split\.method = 'time'"):
        made.config(tmp_path, tmp_path / "store", data=data, split={"method": "time"})


def test_a_column_that_tears_groups_apart_is_refused_with_the_count(tmp_path: Path) -> None:
    who = np.repeat(np.arange(100), 4)
    part = np.where(who < 60, "train", np.where(who < 80, "validation", "test")).astype(object)
    table = made.mixed(400).drop_columns(["who"]).append_column("who", pa.array(who))
    sections: dict[str, dict[str, Any]] = {
        "data": {"group": "who"},
        "split": {"method": "column", "column": "part"},
    }
    config = made.config(tmp_path / "data", tmp_path / "store", **sections)
    made.write(tmp_path / "data" / "a.parquet", table.append_column("part", pa.array(part.tolist())))
    assert ensure(config).rows("test") == 80
    part[[0, 1, 399]] = ["test", "test", "train"]  # groups 0 and 99
    made.write(tmp_path / "data" / "a.parquet", table.append_column("part", pa.array(part.tolist())))
    words = (
        r"2 of 100 values of data\.group = 'who' have rows in more than one part of split\.column = 'part'"
    )
    with pytest.raises(DataError, match=words):
        ensure(config)


def test_a_float_is_no_key(tmp_path: Path) -> None:
    path = made.write(tmp_path / "a.parquet", made.mixed(100))
    config = made.config(path, tmp_path / "store", split={"method": "hash", "key": ["number"]})
    with pytest.raises(
        DataError, match=r"column 'number' of a\.parquet, row group 0 is double: a key is text"
    ):
        ensure(config)


# time


def time_config(path: Path, store: Path, **split: Any) -> Config:
    return made.config(path, store, data={"time": "time"}, split={"method": "time", **split})


def test_the_last_rows_are_test_and_those_before_validation(tmp_path: Path) -> None:
    path = made.mixed_files(tmp_path / "data", [100, 150, 250])
    split = ensure(time_config(path, tmp_path / "store"))
    assert ids(split) == {
        "train": list(range(350)),
        "validation": list(range(350, 400)),
        "test": list(range(400, 500)),
    }
    assert split.cuts == {"validation": "2024-01-01 17:50:00", "test": "2024-01-01 18:40:00"}


@examples(50)
@given(
    st.lists(st.integers(0, 30), min_size=5, max_size=60),
    st.floats(0.01, 0.49),
    st.floats(0.0, 0.4),
)
def test_rows_of_one_moment_stay_together(moments: list[int], test: float, validation: float) -> None:
    times = np.array(moments, dtype=np.int64)
    labels = np.zeros(len(times), dtype=np.int8)
    first_validation, first_test = deal.cut_points(times, (validation, test), test_from=None)
    cuts = [cut for cut in (first_validation, first_test) if cut is not None]
    slots = deal.by_time(times, labels, tuple(cuts))
    for moment in set(moments):
        assert len(set(slots[times == moment].tolist())) == 1
    late = slots == len(cuts)
    assert np.array_equal(late, times >= first_test)
    # at least the asked share, and no more than the ties at the cut make of it
    assert late.sum() >= math.ceil(test * len(times))
    assert (times > first_test).sum() < math.ceil(test * len(times))
    assert (np.diff(slots[np.argsort(times, kind="stable")]) >= 0).all()


def test_stated_cuts_hold_and_a_row_on_the_cut_is_after_it(tmp_path: Path) -> None:
    path = made.mixed_files(tmp_path / "data", [100, 150, 250])
    split = ensure(
        time_config(
            path, tmp_path / "store", validation_from="2024-01-01 17:00", test_from="2024-01-01T18:00:00"
        )
    )
    parts = ids(split)
    assert parts["validation"] == list(range(300, 360))
    assert parts["test"] == list(range(360, 500))


def test_a_moved_cut_rewrites_only_the_files_that_straddle_it(tmp_path: Path) -> None:
    path, store = made.mixed_files(tmp_path / "data", [100] * 5), tmp_path / "store"

    def at(minute: int) -> Config:
        moment = made.NOON + pd.Timedelta(minutes=minute)
        return time_config(path, store, test_from=str(moment), validation_fraction=0.0)

    one, other = plan(at(250)), plan(at(350))
    changed = [a.id != b.id for a, b in zip(one.tasks, other.tasks, strict=True)]
    assert changed == [False, False, True, True, False]
    assert [task.slots for task in one.tasks] == [("train",)] * 2 + [("train", "test")] + [("test",)] * 2
    ensure(at(250))
    before = stamps(store)
    split = ensure(at(350))
    after = stamps(store)
    assert {name: after[name] for name in before} == before
    assert ids(split)["test"] == list(range(350, 500))
    written = {name.split("/")[-1][:24] for name in after if name not in before and "/parts/" in name}
    assert written == {other.tasks[2].id, other.tasks[3].id}


def test_a_cut_at_a_file_s_first_row_splits_no_file(tmp_path: Path) -> None:
    path = made.mixed_files(tmp_path / "data", [100, 100])
    split = ensure(time_config(path, tmp_path / "s", test_from=str(made.NOON + pd.Timedelta(minutes=100))))
    assert ids(split)["test"] == list(range(100, 200))
    assert [
        len(task.slots)
        for task in plan(
            time_config(
                path,
                tmp_path / "s",
                test_from=str(made.NOON + pd.Timedelta(minutes=100)),
                validation_fraction=0.0,
            )
        ).tasks
    ] == [1, 1]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata", "+05:30"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_date_without_an_offset_is_meant_in_the_column_s_zone(zone: str, unit: str, tmp_path: Path) -> None:
    instants = pd.date_range("2024-06-30", periods=300, freq="15min", tz="UTC")
    table = made.mixed(300).drop_columns(["time"])
    time = pa.array(instants.tz_localize(None).to_numpy()).cast(pa.timestamp(unit))
    time = time.cast(pa.int64()).cast(pa.timestamp(unit, tz=zone))
    path = made.write(tmp_path / "a.parquet", table.append_column("time", time))
    split = ensure(time_config(path, tmp_path / "store", test_from="2024-07-01"))
    local = "Asia/Kolkata" if zone == "+05:30" else zone
    late = np.flatnonzero(instants >= pd.Timestamp("2024-07-01", tz=local)).tolist()
    assert 0 < len(late) < 300
    assert ids(split)["test"] == late
    explicit = time_config(
        path, tmp_path / "store", test_from=pd.Timestamp("2024-07-01", tz=local).isoformat()
    )
    assert ids(ensure(explicit))["test"] == late
    again = time_config(
        path, tmp_path / "store", test_from=split.cuts["test"], validation_from=split.cuts["validation"]
    )
    assert ensure(again).digest == split.digest, "recorded cuts read back as themselves"


def test_an_offset_does_not_fit_a_column_without_a_zone(tmp_path: Path) -> None:
    path = made.write(tmp_path / "a.parquet", made.mixed(100))
    with pytest.raises(
        ConfigError, match=r"split\.test_from = '2024-01-01T13:00:00Z' does not fit a time column"
    ):
        ensure(time_config(path, tmp_path / "store", test_from="2024-01-01T13:00:00Z"))


@pytest.mark.parametrize("kind", [pa.int64(), pa.int32(), pa.uint16(), pa.date32(), pa.date64()])
def test_integers_and_dates_are_times(kind: Any, tmp_path: Path) -> None:
    days = np.random.default_rng(0).permutation(np.repeat(np.arange(19_000, 19_050), 8))
    table = made.mixed(400).drop_columns(["time"])
    time = pa.array(days.astype(np.int32)).cast(pa.date32()) if pa.types.is_date(kind) else pa.array(days)
    path = made.write(tmp_path / "a.parquet", table.append_column("time", time.cast(kind)))
    cut = "2022-02-10" if pa.types.is_date(kind) else "19033"  # the same day
    split = ensure(time_config(path, tmp_path / "store", test_from=cut))
    assert ids(split)["test"] == np.flatnonzero(days >= 19_033).tolist()
    derived = ensure(time_config(path, tmp_path / "store"))
    assert derived.rows("test") == 80


@pytest.mark.parametrize(
    ("split", "error", "words"),
    [
        ({"test_from": "soon"}, ConfigError, r"split\.test_from = 'soon' does not fit a time column of type"),
        (
            {"test_from": "2024-01-01 13:00", "validation_from": "2024-01-01 14:00"},
            ConfigError,
            r"validation begins at 2024-01-01 14:00:00, after test at 2024-01-01 13:00:00",
        ),
        ({"test_from": "2030-01-01"}, DataError, "the test part is empty: 200 rows in 1 files are too few"),
        ({"test_from": "2020-01-01", "validation_fraction": 0.0}, DataError, "the train part is empty"),
    ],
)
def test_cuts_that_cannot_be_are_refused(
    split: dict[str, str], error: type[Exception], words: str, tmp_path: Path
) -> None:
    path = made.write(tmp_path / "a.parquet", made.mixed(200))
    with pytest.raises(error, match=words):
        ensure(time_config(path, tmp_path / "store", **split))


def test_null_times_and_times_that_are_none_are_refused(tmp_path: Path) -> None:
    table = made.mixed(200)
    time = table["time"].to_pylist()
    time[150] = None
    changed = table.drop_columns(["time"]).append_column("time", pa.array(time))
    path = made.write(tmp_path / "a.parquet", changed)
    with pytest.raises(
        DataError, match=r"time column 'time' of a\.parquet, row group 1 holds 1 nulls, the first in row 50"
    ):
        ensure(time_config(path, tmp_path / "store"))
    changed = table.drop_columns(["time"]).append_column("time", table["word"])
    made.write(path, changed)
    with pytest.raises(
        DataError, match=r"time column 'time' of a\.parquet, row group 0 is string: a timestamp"
    ):
        ensure(time_config(path, tmp_path / "store"))


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

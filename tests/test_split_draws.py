"""Random splits, keys and groups: counts as asked, and what belongs together stays together."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from binclf import hashing
from binclf.errors import ConfigError, DataError
from binclf.split import PART_NAMES, deal, ensure
from tests import made
from tests.laws import examples
from tests.splits import (
    config_for,
    ids,
    part_of,
    read_column,
)

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

"""Levels, buckets and what rows are encoded as."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from binclf.features import Block, Features
from binclf.features.block import text_key
from binclf.features.levels import LevelCounts
from binclf.features.records import FIRST_LEVEL, NULL, OTHER
from binclf.parquet import Texts
from tests import made
from tests.laws import examples
from tests.learnt import Data, data_of, lookup, table_of

# Categories


def levels_of(
    tmp_path: Path, texts: Sequence[str | None], group_rows: int = 30, **features: Any
) -> tuple[Data, Features]:
    data = data_of(tmp_path, table_of(word=pa.array(texts, pa.string())), group_rows, features=features)
    return data, data.learn()


def test_levels_are_sorted_and_rare_ones_share_a_place(tmp_path: Path) -> None:
    texts = ["b"] * 30 + ["a"] * 10 + ["ü"] * 11 + [""] * 12 + ["rare"] * 9 + ["rarer"] * 2 + [None] * 5
    order = np.random.default_rng(0).permutation(len(texts))
    data, features = levels_of(tmp_path, [texts[i] for i in order])
    (column,) = features.categorical
    assert column.levels == ("", "a", "b", "ü")
    assert column.level_rows == (12, 10, 30, 11)
    assert (column.rare_levels, column.rare_rows, column.missing, column.distinct) == (2, 11, 5, 6)
    assert not column.is_hashed
    assert features.table_size == 2 + 4
    ids = lookup(features, 0, ["a", "rare", "never seen", "ü", ""])
    assert ids.tolist() == [FIRST_LEVEL + 1, OTHER, OTHER, FIRST_LEVEL + 3, FIRST_LEVEL, NULL]
    _, encoded = data.encode(features)
    assert Counter(encoded[:, 0].tolist()) == {OTHER: 11, NULL: 5, 2: 12, 3: 10, 4: 30, 5: 11}


@pytest.mark.parametrize("min_count", [1, 2, 9, 10, 31])
def test_min_count_is_the_least_number_of_rows_of_a_level(min_count: int, tmp_path: Path) -> None:
    counts = {"a": 1, "b": 2, "c": 9, "d": 10, "e": 31}
    texts = [text for text, count in counts.items() for _ in range(count)]
    _, features = levels_of(tmp_path, list(texts), min_count=min_count)
    assert features.categorical[0].levels == tuple(t for t, count in counts.items() if count >= min_count)


@examples(25)
@given(
    st.lists(st.lists(st.sampled_from([None, *"abcdefgh"]), min_size=1, max_size=12), min_size=1, max_size=6)
)
def test_levels_are_counted_as_one_counts(groups: list[list[str | None]]) -> None:
    count = LevelCounts("word", limit=9, bits=6)
    for texts in groups:  # as row groups, of whose dictionary "never" has no row
        values = Texts.of([*dict.fromkeys(t for t in texts if t is not None), "never"])
        code = {text: i for i, text in enumerate(values)}
        codes = np.array([[-1 if t is None else code[t] for t in texts]], dtype=np.int32)
        labels = np.zeros(len(texts), dtype=np.int8)
        numbers = np.zeros((len(texts), 0), dtype=np.float32)
        none = np.zeros(0)
        hashes = values.hashes(text_key("word"))
        count.add(Block(numbers, none, none > 0, codes, (values,), (hashes,), labels, None), 0)
    expected = Counter(text for texts in groups for text in texts)
    assert count.missing == expected.pop(None, 0)
    assert count.rows == expected


def test_several_columns_lie_one_after_the_other(tmp_path: Path) -> None:
    table = table_of(
        a=["x", "y"] * 20,
        n=np.arange(40.0),
        b=["u", "v", "w", None] * 10,
        code=pa.array([7, -1] * 20),
        ok=[True, None] * 20,
    )
    data = data_of(tmp_path, table, 15, features={"categorical": ["code", "ok"]})
    features = data.learn()
    assert [c.name for c in features.categorical] == ["a", "b", "code", "ok"]
    assert [c.levels for c in features.categorical] == [("x", "y"), ("u", "v", "w"), ("-1", "7"), ("true",)]
    assert [c.offset for c in features.categorical] == [0, 4, 9, 13]
    assert features.table_size == 16
    _, ids = data.encode(features)
    assert ids.dtype == np.int32
    assert ids[0].tolist() == [2, 6, 12, 15]
    assert ids[3].tolist() == [3, 5, 11, 14]


def test_at_most_max_levels_are_kept_and_more_are_hashed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    texts: list[str | None] = [f"tail {i % 50}" for i in range(500)]
    for limit, is_hashed in ((50, False), (49, True)):
        _, features = levels_of(tmp_path, [*texts, None], max_levels=limit, hash_bits=10, min_count=1)
        assert features.categorical[0].is_hashed == is_hashed
        assert features.categorical[0].missing == 1
    assert "column 'word' has about 5" in caplog.text
    assert "hashed into 1,024 buckets" in caplog.text
    column = features.categorical[0]
    assert column.levels == ()
    ids = lookup(features, 0, [f"tail {i}" for i in range(50)])
    assert len(ids) == 51
    assert ((ids >= 0) & (ids < 1024)).all()
    assert column.buckets == len(np.unique(ids[:-1]))
    assert lookup(features, 0, ["tail 7"]).tolist() == [ids[7], ids[-1]], "null has a bucket of its own hash"
    assert lookup(features, 0, ["never seen"])[0] == lookup(features, 0, ["a", "never seen"])[1]


@pytest.mark.parametrize("truth", [300, 3000, 20_000])
def test_the_distinct_estimate_is_near_the_truth(truth: int, tmp_path: Path) -> None:
    texts: Sequence[str | None] = [f"customer-{i:07}" for i in range(truth)] * 2
    _, features = levels_of(tmp_path, texts, 5000, max_levels=100, hash_bits=15)
    column = features.categorical[0]
    assert column.is_hashed
    assert column.distinct == pytest.approx(truth, rel=0.03)
    assert column.buckets <= truth


def test_hashed_columns_share_buckets_but_not_hashes(tmp_path: Path) -> None:
    texts = [f"v{i}" for i in range(64)] * 3
    table = table_of(a=texts, b=texts, few=["x", "y"] * 96)
    features = data_of(
        tmp_path, table, 70, features={"max_levels": 10, "hash_bits": 12, "min_count": 1}
    ).learn()
    assert [c.is_hashed for c in features.categorical] == [True, True, False]
    assert features.hash_offset == FIRST_LEVEL + 2
    assert features.table_size == features.hash_offset + 2**12
    one, other = lookup(features, 0, texts[:64]), lookup(features, 1, texts[:64])
    assert (one != other).mean() > 0.9
    assert min(one.min(), other.min()) >= features.hash_offset


def test_a_dictionary_column_is_the_text_that_it_holds(tmp_path: Path) -> None:
    texts = np.random.default_rng(1).choice(["a", "b", "c"], 300).tolist()
    plain = pa.array([None if i % 17 == 0 else t for i, t in enumerate(texts)])
    found = []
    for column in (
        plain,
        plain.dictionary_encode(),
        plain.cast(pa.large_string()),
        plain.cast(pa.string_view()),
    ):
        data = data_of(tmp_path, table_of(word=column), 70)
        features = data.learn()
        found.append((features, data.encode(features)[1].tolist()))
    assert all(pair == found[0] for pair in found)


# Encoding


@pytest.mark.parametrize("impute", ["mean", "median", "zero"])
def test_encoding_is_that_of_a_scikit_learn_pipeline(impute: str, tmp_path: Path) -> None:
    table = made.mixed(901)  # odd
    exclude = ["who", "time", "id", "w"]
    data = data_of(
        tmp_path, table, 130, data={"exclude": exclude}, features={"impute": impute, "min_count": 1}
    )
    features = data.learn()
    x, ids = data.encode(features)
    numbers, words = ["number", "single", "whole", "small", "flag"], ["word", "carrier"]
    frame = table.to_pandas()
    frame[numbers] = frame[numbers].astype(float)
    frame[words] = frame[words].astype(object).where(frame[words].notna(), "<null>")
    how = {"strategy": "constant", "fill_value": 0.0} if impute == "zero" else {"strategy": impute}
    theirs = ColumnTransformer(
        [
            ("n", make_pipeline(SimpleImputer(**how)), numbers),
            ("c", OneHotEncoder(sparse_output=False), words),
        ]
    ).fit_transform(frame)
    # the scale is that of the values that are there, not of the filled ones
    scaler = StandardScaler().fit(frame[numbers])
    filled = (theirs[:, :5] - scaler.mean_) / scaler.scale_
    assert np.abs(x[:, :5] - filled).max() < (1e-4 if impute == "median" else 1e-5)
    holes = frame[numbers].isna()
    assert np.array_equal(x[:, 5:], holes.loc[:, holes.any()].to_numpy(float))
    one_hot = np.zeros((901, features.table_size))
    np.put_along_axis(one_hot, ids, 1.0, axis=1)
    used = one_hot[:, one_hot.any(axis=0)]
    assert sorted(map(tuple, used.T)) == sorted(map(tuple, theirs[:, 5:].T))
    assert x.shape[1] == features.width


def test_any_grouping_of_rows_encodes_the_same(tmp_path: Path) -> None:
    table, exclude = made.mixed(400), {"exclude": ["who", "time", "id", "w"]}
    features = data_of(tmp_path, table, 100, data=exclude).learn()
    encoded = [data_of(tmp_path, table, rows, data=exclude).encode(features) for rows in (1, 33, 400)]
    for x, ids in encoded:
        assert np.allclose(x, encoded[0][0], rtol=0, atol=1e-6)
        assert np.array_equal(ids, encoded[0][1])


def test_an_unseen_missing_value_is_filled_without_an_indicator(tmp_path: Path) -> None:
    whole = data_of(tmp_path, table_of(x=[1.0, 2.0, 3.0, 6.0]), 4)
    features = whole.learn()
    assert features.width == 1
    holed = data_of(tmp_path, table_of(x=[1.0, None, 3.0, 6.0]), 4)
    x, _ = holed.encode(features)
    assert x.shape == (4, 1)
    assert x[1, 0] == pytest.approx((features.numeric[0].fill - 3.0) / features.numeric[0].scale, abs=1e-6)

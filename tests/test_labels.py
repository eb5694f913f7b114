"""What counts as yes is stated or unambiguous, never inferred; weights are weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf.errors import ConfigError, DataError
from binclf.labels import LabelRule, read_weights, weight_quantum
from binclf.parquet import Column, Rows
from tests import made
from tests.laws import examples


def read(values: Sequence[Any], kind: Any = None, positive: str = "") -> list[int]:
    """The labels of a column of these values."""
    rows = Rows(pa.table({"label": pa.array(values, kind)}), "a.parquet, row group 7")
    config = made.config(Path("/d"), Path("/s"), data={"positive": positive})
    rule = LabelRule.of(config, rows.columns()[0])
    labels, seen = rule.read(rows)
    assert labels.dtype == np.int8
    assert len(labels) == len(values)
    assert {str(v) for v in seen} == {str(v) for v in values if v is not None and v == v}
    return labels.tolist()


@pytest.mark.parametrize(
    ("values", "kind", "positive"),
    [
        ([True, False, None, True], pa.bool_(), ""),
        ([True, False, None, True], pa.bool_(), "true"),
        ([False, True, None, False], pa.bool_(), "false"),
        ([True, False, None, True], pa.bool_(), "1"),
        ([1, 0, None, 1], pa.int8(), ""),
        ([1, 0, None, 1], pa.uint64(), ""),
        ([0, 1, None, 0], pa.int64(), "0"),
        ([1.0, 0.0, None, 1.0], pa.float32(), ""),
        ([1.0, 0.0, math.nan, 1.0], pa.float64(), ""),
        ([2, -1, None, 2], pa.int32(), "2"),
        ([2, -1, None, 2], pa.int32(), "2.0"),
        ([0.5, -1.0, math.nan, 0.5], pa.float64(), "0.5"),
        (["no", "yes", None, "no"], pa.string(), "no"),
        (["yes", "no", None, "yes"], pa.string(), "yes"),
        (["yes", "no", None, "yes"], pa.large_string(), "yes"),
        (["1", "0", None, "1"], pa.string(), "1"),
        (["ja", "nein", None, "ja"], pa.dictionary(pa.int8(), pa.string()), "ja"),
        (["ja", "nein", None, "ja"], pa.dictionary(pa.uint32(), pa.string()), "ja"),
        (["ja", "nein", None, "ja"], pa.string_view(), "ja"),
        ([2**53 + 1, 2**53, None, 2**53 + 1], pa.int64(), str(2**53 + 1)),
    ],
)
def test_positive_is_one_the_other_zero_and_nothing_minus_one(
    values: list[Any], kind: Any, positive: str
) -> None:
    assert read(values, kind, positive) == [1, 0, -1, 1]


@pytest.mark.parametrize("values", [[1, 2, 1], [0, 2], [-1, 1], [0.0, 0.5]])
def test_a_positive_is_never_inferred_from_an_order(values: list[Any]) -> None:
    with pytest.raises(
        DataError, match=r"label 'label' of a\.parquet, row group 7 holds .*: state which value"
    ):
        read(values)


def test_text_needs_a_stated_positive() -> None:
    with pytest.raises(ConfigError, match=r"data\.positive is empty and label 'label' is text"):
        read(["yes", "no"])


@pytest.mark.parametrize("values", [["yes", "no", "maybe"], ["no", "maybe"]])
def test_a_third_value_is_refused(values: list[str]) -> None:
    with pytest.raises(DataError, match=r"label 'label' of a\.parquet, row group 7 .*maybe, no"):
        read(values, positive="yes")


def test_a_mistyped_positive_is_told_as_that() -> None:
    with pytest.raises(DataError, match=r"2 values \(no, yes\).*data\.positive = 'Yes'"):
        read(["yes", "no"], positive="Yes")


@pytest.mark.parametrize(
    ("kind", "positive"), [(pa.bool_(), "yes"), (pa.int8(), "1.5"), (pa.int8(), "one"), (pa.float64(), "x")]
)
def test_a_positive_must_be_of_the_label_s_type(kind: Any, positive: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"data\.positive = '{positive}' is no \w+ value, and the column is one"
    ):
        read([], kind, positive)


@pytest.mark.parametrize("kind", ["moment", "other"])
def test_some_columns_are_no_labels(kind: Any) -> None:
    config = made.config(Path("/d"), Path("/s"))
    with pytest.raises(DataError, match=r"label column 'label' is date32: a boolean, a number or text"):
        LabelRule.of(config, Column("label", kind, "date32"))


@examples(40)
@given(st.lists(st.sampled_from([True, False, None])))
def test_values_of_one_class_or_none_are_read_too(values: list[bool | None]) -> None:
    expected = [-1 if value is None else int(value) for value in values]
    assert read(values, pa.bool_()) == expected
    texts = [None if value is None else {True: "y", False: "n"}[value] for value in values]
    assert read(texts, pa.string(), "y") == expected


def test_no_weight_column_weighs_each_row_one() -> None:
    assert read_weights(Rows(pa.table({"x": [1, 2]}), "a"), "").tolist() == [1.0, 1.0]


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32(), pa.int32(), pa.bool_(), pa.decimal128(24, 2)])
def test_weights_are_numbers_of_any_sort(kind: Any) -> None:
    rows = Rows(pa.table({"w": pa.array([1, 0, 1]).cast(kind)}), "a")
    assert read_weights(rows, "w").tolist() == [1.0, 0.0, 1.0]


@examples(60)
@given(st.floats(1e-12, 1e15), st.integers(0, 2**32))
def test_quanta_add_up_exactly(total: float, seed: int) -> None:
    parts = np.random.default_rng(seed).dirichlet(np.ones(50)) * total
    quantum = weight_quantum(float(parts.sum()))
    assert math.frexp(quantum)[0] == 0.5, "a power of two"
    whole = np.rint(parts * quantum)
    assert whole.sum() <= 2**52 + 50
    assert int(whole.sum()) == sum(int(w) for w in whole)
    assert np.abs(whole / quantum - parts).max() <= total * 2.0**-50


@pytest.mark.parametrize("weight", [5e-324, 1e-300, 9e-25, 1.1e24, 1e300, 1.7e308])
def test_weights_whose_sums_or_squares_are_no_floats_are_refused_by_row(weight: float) -> None:
    rows = Rows(pa.table({"w": [1.0, 0.0, weight, weight]}), "a.parquet, row group 7")
    with pytest.raises(DataError, match=r"'w' of a.parquet, row group 7 holds 2 values beyond .* in row 2"):
        read_weights(rows, "w")


def test_weights_up_to_the_bounds_are_taken() -> None:
    rows = Rows(pa.table({"w": [1e-24, 0.0, -0.0, 1e24]}), "a")
    assert read_weights(rows, "w").tolist() == [1e-24, 0.0, 0.0, 1e24]


def test_no_weight_at_all_has_a_quantum() -> None:
    assert weight_quantum(0.0) == 1.0

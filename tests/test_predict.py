"""NumPy gives the probabilities that torch trained, to the same bits alone, in a batch, in any order."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from binclf import artifact
from binclf.calibration import Calibration, Line, Steps
from binclf.errors import DataError
from binclf.loader import HeldRows, Source
from binclf.model import LogisticRegression
from binclf.parquet import Reader
from binclf.predict import Model, probability
from tests.laws import examples
from tests.trained import decoding, people, whole


def strangers(rows: int) -> pa.Table:
    """People with a level never seen and with every feature missing somewhere."""
    table = people(rows, seed=99)
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    columns["city"][3], columns["code"][4] = "Zürich", 77
    for place, name in enumerate(("age", "income", "visits", "member", "city", "code")):
        columns[name][10 + place] = None
    return pa.table({name: pa.array(columns[name], table.schema.field(name).type) for name in columns})


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_probabilities_are_those_of_the_model_that_was_trained(
    part: str, trained_run: Path, model: Model
) -> None:
    run = artifact.open_run(trained_run)
    split = run.split
    store = HeldRows(Source(split.parts[part], decoding(run.config, split)))
    store.attach(run.features)
    store.fill(range(len(store.source.group_rows)))
    rows = whole(store)
    module = LogisticRegression(run.features.width, run.features.table_size)
    module.load_state_dict({name: torch.from_numpy(np.array(run.weights[name])) for name in run.weights})
    with torch.no_grad():
        expected = torch.sigmoid(module(torch.from_numpy(rows.x), torch.from_numpy(rows.ids)))
    found: list[np.ndarray] = []
    for file in split.parts[part]:
        with Reader(file.path) as reader:
            tables = [reader.read(group, model.columns()).table for group in range(len(file.groups))]
        found += [model.predict_proba(table) for table in tables]
    np.testing.assert_allclose(np.concatenate(found), expected.numpy()[:, 0], rtol=0, atol=1e-6)


def by_hand(model: Model, run: artifact.Run, row: dict[str, object]) -> float:
    """One row's probability from the coefficients in original units."""
    z = run.record["intercept"]
    for name, entry in run.record["numeric"].items():
        value = row[name]
        if value is None:
            column = next(column for column in model.features.numeric if column.name == name)
            z += entry.get("missing", entry["per_unit"] * column.fill)
        else:
            number = float(value)  # type: ignore[arg-type]
            number = math.copysign(math.log1p(abs(number)), number) if entry["log1p"] else number
            z += entry["per_unit"] * number
    for name, entry in run.record["categorical"].items():
        value = row[name]
        z += entry["missing"] if value is None else entry["levels"].get(str(value), entry["other"])
    return 1 / (1 + math.exp(-z))


def test_probabilities_follow_from_the_coefficients_that_are_told(trained_run: Path, model: Model) -> None:
    table = strangers(40)
    run = artifact.open_run(trained_run)
    expected = [by_hand(model, run, row) for row in table.to_pylist()]
    np.testing.assert_allclose(model.predict_proba(table), expected, rtol=1e-9)


@examples(40)
@given(data=st.data())
def test_a_row_has_the_same_bits_alone_in_a_batch_and_in_any_order(model: Model, data: st.DataObject) -> None:
    table = strangers(64)
    whole = model.predict_proba(table)
    chosen = data.draw(st.lists(st.integers(0, 63), min_size=1, max_size=70))
    assert np.array_equal(model.predict_proba(table.take(chosen)), whole[chosen])


def test_each_row_alone_has_the_bits_of_the_batch_as_a_table_and_as_a_frame(model: Model) -> None:
    table = strangers(40)
    whole = model.predict_proba(table)
    alone = [model.predict_proba(table.slice(row, 1))[0] for row in range(40)]
    assert np.array_equal(alone, whole)
    frame = table.drop_columns("code").to_pandas()  # a code that is null makes pandas say float
    frame["code"] = pd.array(table.column("code").to_pylist(), dtype="Int32")
    assert np.array_equal(model.predict_proba(frame), whole)
    singles = [model.predict_proba(frame.iloc[[row]])[0] for row in range(40)]
    assert np.array_equal(singles, whole)


def test_a_frame_of_objects_that_are_all_missing_is_missing(model: Model) -> None:
    table = strangers(40).slice(14, 1)  # its city is null
    frame = table.to_pandas().astype({"city": object})
    frame["city"] = [None]
    assert np.array_equal(model.predict_proba(frame), model.predict_proba(table))


def test_types_of_the_same_kind_give_the_same_bits(model: Model) -> None:
    table = people(50, seed=3)
    expected = model.predict_proba(table)
    for name, other in (
        ("visits", pa.int16()), ("visits", pa.float64()), ("age", pa.decimal128(38, 20)),
        ("city", pa.large_string()), ("city", pa.dictionary(pa.int8(), pa.string())), ("code", pa.uint8()),
    ):  # fmt: skip
        place = table.column_names.index(name)
        column = table.column(name)
        column = (
            column.dictionary_encode() if pa.types.is_dictionary(other) else column.cast(other, safe=False)
        )
        found = model.predict_proba(table.set_column(place, name, column))
        if pa.types.is_decimal(other):
            np.testing.assert_allclose(found, expected, rtol=1e-12)
        else:
            assert np.array_equal(found, expected)


def test_columns_that_were_not_learnt_do_not_matter_whatever_they_hold(model: Model) -> None:
    table = people(20)
    expected = model.predict_proba(table)
    fewer = table.select(list(reversed(model.columns())))
    assert np.array_equal(model.predict_proba(fewer), expected)
    frame = fewer.to_pandas().assign(mixed=[1, "a"] * 10, nested=[{"a": 1}, [2]] * 10)
    assert np.array_equal(model.predict_proba(frame), expected)


def test_every_missing_renamed_and_retyped_column_is_named_at_once(model: Model) -> None:
    table = people(5).rename_columns(["id", "ages", "income", "visits", "member", "city", "code", "w", "b"])
    table = table.drop_columns("member")
    table = table.set_column(table.column_names.index("city"), "city", pa.array([1.5] * 5))
    with pytest.raises(DataError, match=r"the table lacks column 'age' \(it has 'ages'\)") as caught:
        model.predict_proba(table)
    assert "lacks column 'member'" in str(caught.value)
    assert "column 'city' of the table is double" in str(caught.value)
    assert f"{model.id} learnt text values: cast it, or retrain" in str(caught.value)


def test_infinities_are_refused_by_column(model: Model) -> None:
    table = people(5)
    broken = table.set_column(1, "age", pa.array([1.0, 2.0, math.inf, 3.0, 4.0]))
    with pytest.raises(DataError, match=r"column 'age' of the table holds 1 infinite values.* row 2"):
        model.predict_proba(broken)


def overflowing(model: Model, **weights: float) -> Model:
    """The model with some of its numeric weights so large that finite numbers leave the range of doubles."""
    names = [column.name for column in model.features.numeric]
    weight = model.weight.copy()
    for name, value in weights.items():
        weight[names.index(name)] = value
    return replace(model, weight=weight)


@pytest.mark.parametrize("mapped", [Line(), Line(2.0, 1.0), Steps((0.0,), (-1.0, 1.0))])
def test_log_odds_beyond_doubles_are_refused_by_column_and_row_whatever_the_calibration(
    model: Model, mapped: Calibration
) -> None:
    table = people(6)
    broken = table.set_column(1, "age", pa.array([1.0, 2.0, None, 1e300, 4.0, -1e300]))
    opposed = broken.set_column(2, "income", pa.array([1.0, 2.0, 3.0, 1e300, 4.0, 5.0], pa.float64()))
    both = replace(overflowing(model, age=1e20, income=-1e40), calibration=mapped)
    for judge in (both.predict_proba, both.predict, both.explain):
        with pytest.raises(DataError, match=r"column 'age' of the table adds inf .* row 3, first of 2 whose"):
            judge(opposed)
    assert np.isfinite(both.predict_proba(table)).all()
    one = replace(overflowing(model, age=1e20), calibration=mapped)
    with pytest.raises(DataError, match=r"column 'age' of the table adds -inf .* row 0, first of 1 whose"):
        one.predict_proba(broken.slice(5))


def test_finite_log_odds_whose_sum_over_rows_is_not_are_no_fault(model: Model) -> None:
    table = people(4).set_column(1, "age", pa.array([1e300, 1e300, 0.0, -1e300]))
    scale = next(column.scale for column in model.features.numeric if column.name == "age")
    great = overflowing(model, age=1.5e8 * scale)
    assert np.isfinite(great.sums(great.rows(table))).all()
    assert great.predict_proba(table).tolist()[:2] == [1.0, 1.0]
    assert great.predict_proba(table).tolist()[3] == 0.0


def test_what_is_no_frame_is_refused(model: Model) -> None:
    with pytest.raises(DataError, match="Give a pandas DataFrame or a pyarrow Table"):
        model.predict_proba([1, 2, 3])


def test_the_frame_is_left_as_it_was(model: Model) -> None:
    frame = people(30).to_pandas()
    before = frame.copy(deep=True)
    model.predict_proba(frame)
    pd.testing.assert_frame_equal(frame, before)


def test_no_rows_have_no_probabilities(model: Model) -> None:
    assert model.predict_proba(people(0)).shape == (0,)
    assert model.predict(people(0)).dtype == np.bool_


def test_a_row_is_decided_yes_from_the_threshold_on(model: Model) -> None:
    table = people(200)
    p = model.predict_proba(table)
    assert np.array_equal(model.predict(table), p >= 0.5)
    assert 0 < model.predict(table).sum() < 200


def test_probability_is_the_sigmoid_without_overflow() -> None:
    z = np.array([-1e308, -745.0, -1.0, 0.0, 2.0, 745.0, 1e308])
    expected = [0.0, math.exp(-745), 1 / (1 + math.e), 0.5, 1 / (1 + math.exp(-2)), 1.0, 1.0]
    assert probability(z).tolist() == pytest.approx(expected, rel=1e-15)
    z = np.random.default_rng(0).normal(scale=20, size=10_001)
    e = np.exp(-np.abs(z))
    assert np.array_equal(probability(z), np.where(z >= 0, 1.0, e) / (1.0 + e))


def test_a_frame_with_a_column_twice_is_refused(model: Model) -> None:
    frame = people(5).to_pandas()
    twice = pd.concat([frame, frame[["age"]]], axis=1)
    with pytest.raises(DataError, match="the frame cannot be read: Duplicate column names"):
        model.predict_proba(twice)

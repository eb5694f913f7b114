"""Contributions add up to the score to the bit, and say what each value was taken for."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from binclf.artifact import Run
from binclf.errors import DataError
from binclf.explain import Explanation
from binclf.predict import Model, of_run
from tests.exports import WORD, odd, train
from tests.trained import people


def summed(found: Explanation) -> np.ndarray:
    """Intercept and contributions, one after the other."""
    total = np.full(len(found), found.intercept)
    for one in found.contributions:
        total += one.log_odds
    return total


def test_intercept_and_contributions_in_their_order_are_the_logit_to_the_bit(
    model: Model, odd_run: Run
) -> None:
    for one, table in ((model, people(500, seed=8)), (of_run(odd_run), odd(500, seed=8))):
        found = one.explain(table)
        assert np.array_equal(summed(found), found.logits)
        assert np.array_equal(found.probabilities, one.predict_proba(table))
        assert [c.column for c in found.contributions] == [c.name for c in one.features.columns]


def test_a_row_as_json_adds_up_in_plain_floats(model: Model) -> None:
    rows = json.loads(json.dumps(model.explain(people(20, seed=4)).as_json(), allow_nan=False))
    assert len(rows) == 20
    for row in rows:
        total = row["intercept"]
        for entry in row["contributions"]:
            total += entry["log_odds"]
        assert total == row["logit"]
        assert row["probability"] == pytest.approx(1 / (1 + math.exp(-total)), rel=1e-15)


def test_a_number_is_measured_against_its_mean_and_a_level_against_weight_0(model: Model) -> None:
    row: dict[str, Any] = dict(people(1).to_pylist()[0])
    means = {column.name: column.mean for column in model.features.numeric}
    found = model.explain(row | {"age": means["age"], "income": math.expm1(means["income"])})
    by_name = {one.column: one.log_odds[0] for one in found.contributions}
    assert by_name["age"] == 0.0
    assert abs(by_name["income"]) < 1e-14
    city = next(column for column in model.features.categorical if column.name == "city")
    row["city"] = "Celle"
    (entry,) = [e for e in model.explain(row).as_json()[0]["contributions"] if e["column"] == "city"]
    weight = float(model.table[city.offset + 2 + city.levels.index("Celle")])
    assert entry == {"column": "city", "value": "Celle", "state": "level", "log_odds": weight}


def test_it_tells_what_is_missing_and_what_was_never_seen(model: Model) -> None:
    row = dict(people(1).to_pylist()[0]) | {
        "age": None,
        "member": float("nan"),
        "city": "Zürich",
        "code": None,
    }
    frame = model.explain(row).as_frame()
    assert frame["state"].tolist()[:1] == ["intercept"]
    assert frame["state"].tolist()[-2:] == ["logit", "probability"]
    own = frame["log_odds"].iloc[:-2]
    assert math.isclose(sum(own), frame["log_odds"].iloc[-2], rel_tol=1e-12)
    assert frame["value"].iloc[-1] == model.predict_proba(row)[0]
    frame = frame[frame["column"].notna()]
    told = dict(zip(frame["column"], frame["state"], strict=True))
    assert told == {
        "age": "missing", "income": "value", "visits": "value", "member": "missing",
        "city": "rare or unseen", "code": "missing",
    }  # fmt: skip
    assert list(frame.columns) == ["row", "column", "value", "state", "log_odds"]
    values = dict(zip(frame["column"], frame["value"], strict=True))
    assert values["city"] == "Zürich"
    assert values["age"] is None


def test_a_hashed_column_is_told_as_such(tmp_path: Path) -> None:
    table = pa.table({"word": ["a", "b", "c", None] * 50, "label": [True, False] * 100})
    model = of_run(train(tmp_path, table, max_levels=2, hash_bits=8))
    (one,) = model.explain(table.slice(0, 4)).contributions
    assert one.states == ("hashed", "hashed", "hashed", "missing")


def test_a_dict_a_batch_a_table_and_a_frame_are_explained_alike(odd_run: Run) -> None:
    model, table = of_run(odd_run), odd(30, seed=6)
    whole = model.explain(table)
    assert np.array_equal(model.explain(table.to_pandas(types_mapper=pd.ArrowDtype)).logits, whole.logits)
    assert np.array_equal(model.explain(table.to_batches()[0]).logits, whole.logits)
    for place, row in enumerate(table.to_pylist()):
        assert model.explain(row).logits[0] == whole.logits[place]
        assert model.predict_proba(row)[0] == whole.probabilities[place]


def test_no_rows_are_explained_by_nothing(model: Model) -> None:
    found = model.explain(people(0))
    assert (len(found), found.as_json(), len(found.as_frame())) == (0, [], 0)


def test_a_row_that_cannot_be_read_is_refused_by_name(model: Model) -> None:
    row = dict(people(1).to_pylist()[0])
    for change, words in (
        ({"age": "3"}, "column 'age' of the row is string, and .* learnt number values"),
        ({"age": True}, "column 'age' of the row is bool, and .* learnt number values"),
        ({"age": 2**70}, "'age' of the row is int: .* Give one value"),
        ({"city": object()}, "'city' of the row is object: .* Give one value"),
        ({"city": ["a", "b"]}, "column 'city' of the row is list"),
    ):
        with pytest.raises(DataError, match=words):
            model.explain(row | change)
    with pytest.raises(DataError, match="the row lacks column 'income'"):
        model.explain({"age": 3.0})
    with pytest.raises(DataError, match="one row may be a dict"):
        model.explain(people(3).to_pandas().iloc[0])


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
def test_frames_of_every_backend_in_any_order_with_columns_beside_have_the_same_scores(
    backend: Any, odd_run: Run
) -> None:
    model, table = of_run(odd_run), odd(100, seed=9)
    expected = model.predict_proba(table)
    frame = table.to_pandas().convert_dtypes(dtype_backend=backend)
    frame = frame[list(reversed(frame.columns))].assign(beside=[{"a": 1}, "b"] * 50)
    assert np.array_equal(model.predict_proba(frame), expected)
    assert np.array_equal(model.predict_proba(frame.astype({WORD: "category"})), expected)
    assert model.predict_proba(frame.iloc[:0]).shape == (0,)
    assert np.array_equal(model.predict(frame.iloc[::-1])[::-1], expected >= model.threshold)


def test_a_model_is_shown_in_a_line(model: Model) -> None:
    assert repr(model) == f"Model(id={model.id!r}, bias={model.bias!r}, threshold={model.threshold!r})"

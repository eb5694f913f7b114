"""Statistics of numbers are those of pandas, to the digits that are promised."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from binclf.errors import DataError
from binclf.features import statistics
from tests import made
from tests.laws import examples
from tests.learnt import check_against_pandas, data_of, table_of, weighted_medians


@pytest.mark.parametrize("weight", ["", "w"])
@pytest.mark.parametrize("log1p", [[], ["number", "whole"]])
def test_statistics_are_those_of_pandas(weight: str, log1p: list[str], tmp_path: Path) -> None:
    table = made.mixed(930)
    exclude = ["who", "time", "id"] + ([] if weight else ["w"])
    data = data_of(tmp_path, table, data={"weight": weight, "exclude": exclude}, features={"log1p": log1p})
    features = data.learn()
    assert [c.name for c in features.numeric] == ["number", "single", "whole", "small", "flag"]
    weights = table["w"].to_numpy() if weight else np.ones(930)
    for column in features.numeric:
        values = np.array([np.nan if v is None else float(v) for v in table[column.name].to_pylist()])
        check_against_pandas(column, values, weights)


@examples(40)
@example(values=[None, 0.0, 8.8e-43], group_rows=1, seed=0)
@example(values=[1.0, 0.0, 1.1754944e-38], group_rows=1, seed=0)
@given(
    values=st.lists(
        st.one_of(st.none(), st.floats(-1e6, 1e6, width=32), st.sampled_from([0.0, 1.0])),
        min_size=3,
        max_size=60,
    ),
    group_rows=st.integers(1, 20),
    seed=st.integers(0, 2**32),
)
def test_statistics_of_any_numbers_are_those_of_pandas(
    tmp_path_factory: pytest.TempPathFactory, values: list[float | None], group_rows: int, seed: int
) -> None:
    weights = np.random.default_rng(seed).integers(0, 4, len(values)).astype(float)
    present = np.array([v is not None for v in values])
    if not (weights[present] > 0).any():
        return
    table = table_of(x=pa.array(values, pa.float64()), w=weights)
    data = data_of(tmp_path_factory.mktemp("any"), table, group_rows, data={"weight": "w"})
    column = data.learn().numeric[0]
    numbers = np.array([np.nan if v is None else v for v in values])
    mean = np.average(numbers[present], weights=weights[present])
    spread = np.ptp(numbers[present])
    assert column.mean == pytest.approx(mean, abs=1e-7 * spread + 1e-7 * abs(mean))
    deviation = math.sqrt(np.average((numbers[present] - mean) ** 2, weights=weights[present]))
    if deviation <= statistics.LEAST:  # float32 could not hold one over it
        assert column.deviation == 0
    else:
        assert column.deviation == pytest.approx(deviation, abs=1e-6 * spread + 1e-7 * abs(mean))
    low, high = weighted_medians(numbers[present], weights[present])
    slack = column.deviation / 32768 + 1e-6 * spread + 1e-7 * abs(mean)
    if column.missing:
        assert low - slack <= column.fill <= high + slack


def test_weight_two_is_the_row_twice(tmp_path: Path) -> None:
    table = made.mixed(400)
    twice = np.arange(400) % 3 == 0
    doubled = table.take(pa.array(np.sort(np.concatenate([np.arange(400), np.flatnonzero(twice)]))))
    weighted = table.drop_columns(["w"]).append_column("w", pa.array(np.where(twice, 2.0, 1.0)))
    exclude = ["who", "time", "id"]
    one = data_of(tmp_path / "one", weighted, data={"weight": "w", "exclude": exclude}).learn()
    other = data_of(tmp_path / "other", doubled, data={"exclude": [*exclude, "w"]}).learn()
    for a, b in zip(one.numeric, other.numeric, strict=True):
        exact = 1e-8 if a.name == "number" else 1e-12  # the others fit float32, so no centre is taken
        assert a.mean == pytest.approx(b.mean, rel=exact)
        assert a.deviation == pytest.approx(b.deviation, rel=exact)
        assert a.fill == pytest.approx(b.fill, abs=b.deviation / 32768)


def test_rows_of_no_weight_teach_no_mean(tmp_path: Path) -> None:
    table = table_of(x=[1.0, 2.0, 1000.0, 3.0, None, 1000.0], w=[1.0, 1.0, 0.0, 1.0, 1.0, 0.0])
    column = data_of(tmp_path, table, 2, data={"weight": "w"}).learn().numeric[0]
    assert column.mean == pytest.approx(2.0, rel=1e-12)
    assert column.deviation == pytest.approx(math.sqrt(2 / 3), rel=1e-12)
    assert column.fill == pytest.approx(2.0, abs=column.deviation / 32768)
    assert (column.low, column.high) == (1.0, 1000.0)


@pytest.mark.parametrize("seed", range(4))
def test_the_median_of_skewed_numbers_is_near(seed: int, tmp_path: Path) -> None:
    draw = np.random.default_rng(seed)
    values = draw.pareto(2.5, 5001) * 10.0 ** draw.integers(-8, 9)
    weights = draw.gamma(1.0, 10.0 ** draw.integers(-6, 7), 5001)
    table = table_of(x=pa.array(values, mask=draw.random(5001) < 0.1), w=weights)
    column = data_of(tmp_path, table, 700, data={"weight": "w"}).learn().numeric[0]
    present = table["x"].is_valid().to_numpy()
    low, high = weighted_medians(values[present], weights[present])
    slack = column.deviation / 32768 + 1e-7 * abs(high)
    assert low - slack <= column.fill <= high + slack


def test_impute_and_standardise_are_as_set(tmp_path: Path) -> None:
    table = table_of(x=[1.0, None, 2.0, 9.0, 4.0, 5.0])
    fills = {"mean": 4.2, "median": 4.0, "zero": 0.0}
    for impute, fill in fills.items():
        column = data_of(tmp_path, table, 4, features={"impute": impute}).learn().numeric[0]
        assert column.fill == pytest.approx(fill, abs=1e-4)
        assert column.centre == pytest.approx(4.2, rel=1e-12)
        assert column.scale == column.deviation == pytest.approx(np.std([1, 2, 9, 4, 5]), rel=1e-12)
    plain = data_of(tmp_path, table, 4, features={"standardise": False}).learn().numeric[0]
    assert (plain.centre, plain.scale) == (0.0, 1.0)
    assert plain.mean == pytest.approx(4.2, rel=1e-12)


def test_constant_and_empty_columns_are_told_and_do_no_harm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = table_of(
        same=[0.1] * 50,
        gone=pa.nulls(50, pa.float64()),
        nan=[math.nan] * 50,
        some=pa.array([7.7 if i % 5 else None for i in range(50)]),
        tiny=[1e-42 * (i % 2) for i in range(50)],
    )
    data = data_of(tmp_path, table, 20)
    with caplog.at_level(logging.WARNING, "binclf"):
        features = data.learn()
    same, gone, nan, some, tiny = features.numeric
    assert (tiny.deviation, tiny.scale) == (0.0, 1.0)  # float32 holds no number over it
    assert (same.deviation, same.scale, same.missing) == (0.0, 1.0, 0)
    assert same.mean == pytest.approx(0.1, rel=1e-12)
    assert gone.missing == nan.missing == 50
    assert (gone.mean, gone.fill, gone.low, gone.high, gone.scale) == (0.0, 0.0, 0.0, 0.0, 1.0)
    assert some.fill == pytest.approx(7.7, rel=1e-12)
    assert some.deviation == 0.0
    assert "column 'same' is constant in train" in caplog.text
    assert "column 'some' is constant in train" in caplog.text
    assert "column 'gone' is missing in every training row" in caplog.text
    x, _ = data.encode(features)
    assert np.isfinite(x).all()
    assert np.abs(x[:, :5]).max() < 1e-6
    assert x[:, 5:].sum(axis=0).tolist() == [50, 50, 10]


def test_longitudes_keep_their_digits(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    longitude = -93.27 + draw.normal(0, 0.02, 1000)
    longitude[:3] = [0.0, 151.2, -170.1]  # mistakes must not cost the others digits
    table = table_of(longitude=longitude)
    data = data_of(tmp_path, table, 300)
    features = data.learn()
    check_against_pandas(features.numeric[0], longitude, np.ones(1000))
    x, _ = data.encode(features)
    back = x[:, 0] * features.numeric[0].scale + features.numeric[0].centre
    assert np.abs(back - longitude)[3:].max() < 2e-7 * features.numeric[0].scale
    residual = np.concatenate([b.residuals[:, 0].astype(np.float64) + b.centre[0] for b in data.blocks])
    assert np.abs(residual - longitude)[3:].max() < 1e-8


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamps_are_seconds_and_keep_them(unit: str, tmp_path: Path) -> None:
    seconds = np.arange(500) * 3.0 + 1_700_000_000
    when = pa.array((seconds * 10 ** {"s": 0, "ms": 3, "us": 6, "ns": 9}[unit]).astype(np.int64))
    when = pa.compute.if_else(pa.array(np.arange(500) % 50 == 7), None, when).cast(
        pa.timestamp(unit, tz="UTC")
    )
    data = data_of(tmp_path, table_of(when=when), 200, features={"numeric": ["when"]})
    column = data.learn().numeric[0]
    kept = np.arange(500) % 50 != 7
    assert column.kind == "moment"
    assert column.missing == 10
    assert column.mean == pytest.approx(seconds[kept].mean(), abs=1e-3)
    assert column.deviation == pytest.approx(seconds[kept].std(), rel=1e-6)
    assert column.fill == pytest.approx(np.median(seconds[kept]), abs=3 + column.deviation / 32768)
    values = np.concatenate([b.residuals[:, 0].astype(np.float64) + b.centre[0] for b in data.blocks])
    assert np.array_equal(values[kept], seconds[kept])


def test_whole_numbers_are_exact(tmp_path: Path) -> None:
    numbers = np.array([0, 1, -1, 2**24, 2**24 - 1, -(2**20)])
    data = data_of(tmp_path, table_of(n=numbers, big=numbers + 2**40), 3)
    for place, exact in enumerate((numbers, numbers + 2**40)):
        got = np.concatenate(
            [b.residuals[:, place].astype(np.float64) + b.centre[place] for b in data.blocks]
        )
        assert np.abs(got - exact).max() <= (0 if place == 0 else 2)


def test_what_float32_cannot_hold_is_refused_by_name(tmp_path: Path) -> None:
    words = r"column 'x' of .*made\.parquet, row group 1 spreads beyond what float32 holds"
    with pytest.raises(DataError, match=words):
        data_of(tmp_path, table_of(x=[1.0, 2.0, 3.0, 1e200]), 2)
    words = r"column 'x' of .*row group 0 holds 1 infinite values, the first in row 1"
    with pytest.raises(DataError, match=words):
        data_of(tmp_path, table_of(x=[1.0, -math.inf, 3.0, 4.0]), 4)


def test_dropped_labels_teach_nothing(tmp_path: Path) -> None:
    hidden = np.arange(200) % 4 == 1
    table = made.mixed(200).drop_columns(["number"])  # the others need no centre, which all rows decide
    label = pa.array(table["label"].to_numpy(), mask=hidden)
    with_holes = table.drop_columns(["label"]).append_column("label", label)
    exclude = {"exclude": ["who", "time", "id", "w"]}
    dropping = data_of(tmp_path / "a", with_holes, 200, data={**exclude, "on_null_label": "drop"}).learn()
    without = data_of(tmp_path / "b", table.filter(pa.array(~hidden)), 200, data=exclude).learn()
    assert dropping == without
    assert dropping.rows == 150

"""What is learnt from train is what pandas would say, the same bits whoever looked at which row group."""

from __future__ import annotations

import json
import logging
import math
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from binclf.config import Config
from binclf.errors import ArtifactError, ConfigError, DataError
from binclf.features import (
    Block,
    Decoding,
    Encoder,
    Features,
    Lookup,
    Roles,
    decode,
    learn,
    roles,
    statistics,
    tell,
)
from binclf.features.block import text_key
from binclf.features.levels import LevelCounts
from binclf.features.records import FIRST_LEVEL, NULL, OTHER, NumericColumn
from binclf.labels import LabelRule
from binclf.parquet import Reader, Texts, footer
from binclf.parquet.files import Found
from tests import made

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


class Together:
    """W ranks as threads of this process: what each hands in is added up when all have handed in."""

    def __init__(self, ranks: int) -> None:
        self.ranks = ranks
        self.barrier = threading.Barrier(ranks, timeout=30)
        self.slots: list[Any] = [None] * ranks

    def everyone(self, rank: int, value: Any) -> list[Any]:
        """What all ranks handed in, in their order."""
        self.slots[rank] = value
        self.barrier.wait()
        seen = list(self.slots)
        self.barrier.wait()
        return seen

    def run(self, body: Callable[[int, Rank], Any]) -> list[Any]:
        """Every rank's result, in their order."""
        results: list[Any] = [None] * self.ranks
        errors: list[BaseException] = []

        def work(rank: int) -> None:
            try:
                results[rank] = body(rank, Rank(self, rank))
            except BaseException as error:
                errors.append(error)
                self.barrier.abort()

        threads = [threading.Thread(target=work, args=(rank,)) for rank in range(self.ranks)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        if errors:
            raise errors[0]
        return results


class Rank:
    """One rank's side of `Together`: the `Exchange` that learning asks for."""

    def __init__(self, together: Together, rank: int) -> None:
        self.together, self.rank = together, rank

    def meet(self) -> None:
        """As `Exchange`."""

    def sum_floats(self, values: F64) -> F64:
        """As `Exchange`."""
        return np.sum(self.together.everyone(self.rank, values), axis=0)

    def sum_integers(self, values: I64) -> I64:
        """As `Exchange`."""
        return np.sum(self.together.everyone(self.rank, values), axis=0)

    def gather(self, content: bytes) -> list[bytes]:
        """As `Exchange`."""
        return self.together.everyone(self.rank, content)


class Data:
    """A Parquet file with its config, and what is learnt from it."""

    def __init__(self, path: Path, table: pa.Table, group_rows: int = 100, **sections: Any) -> None:
        made.write(path, table, group_rows=group_rows)
        self.config: Config = made.config(path, path.parent / "store", **sections)
        foot = footer(Found(path.name, path))
        self.groups = len(foot.groups)
        self.roles: Roles = roles(self.config, foot.columns)
        label = foot.column(self.config.data.label)
        assert label is not None
        self.label = LabelRule.of(self.config, label)
        with Reader(path) as reader:
            self.blocks: list[Block] = [self._decode(reader, group) for group in range(self.groups)]

    def _decode(self, reader: Reader, group: int) -> Block:
        data, log1p = self.config.data, tuple(self.config.features.log1p)
        how = Decoding(self.roles, self.label, data.weight, log1p)
        return decode(reader, group, how, moments=True)

    def learn(self, owned: Sequence[Sequence[int]] | None = None) -> Features:
        """By one rank, or by as many as there are lists of row groups; all must learn the same."""
        hands = owned if owned is not None else [range(self.groups)]
        weights = [np.ones(len(b)) if b.weights is None else b.weights for b in self.blocks]
        weight = float(sum(each.sum() for each in weights))

        def body(rank: int, exchange: Rank) -> Features:
            def blocks() -> list[tuple[int, Block]]:
                return [(group, self.blocks[group]) for group in hands[rank]]

            return learn(self.config, self.roles, blocks, self.groups, weight, exchange)

        results = Together(len(hands)).run(body)
        assert all(result == results[0] for result in results)
        found: Features = results[0]
        tell(found)
        return found

    def encode(self, features: Features) -> tuple[F64, I64]:
        """X and ids of all rows."""
        every = [Encoder(features).encode(block) for block in self.blocks]
        return np.concatenate([e.x for e in every]).astype(np.float64), np.concatenate([e.ids for e in every])


def lookup(features: Features, place: int, values: Sequence[str]) -> npt.NDArray[np.int32]:
    """Places of values in the weight vector, null's last."""
    return Lookup(features, place).ids_of_texts(Texts.of(values))


def table_of(**columns: Any) -> pa.Table:
    rows = len(next(iter(columns.values())))
    return pa.table({**columns, "label": pa.array([i % 2 == 0 for i in range(rows)])})


def data_of(tmp_path: Path, table: pa.Table, group_rows: int = 100, **sections: Any) -> Data:
    """Data whose columns are all features but the label (and what the sections say)."""
    sections.setdefault("data", {})
    sections["data"] = {"ids": [], "exclude": [], **sections["data"]}
    return Data(tmp_path / "made.parquet", table, group_rows, **sections)


def numeric(features: Features, name: str) -> NumericColumn:
    return next(column for column in features.numeric if column.name == name)


def weighted_medians(values: F64, weights: F64) -> tuple[float, float]:
    """The least and the greatest value that halve the weight: any between them is a median."""
    order = np.argsort(values, kind="stable")
    values, cumulated = values[order], np.cumsum(weights[order])
    half = cumulated[-1] / 2
    near = 1e-9 * cumulated[-1]
    low = values[np.searchsorted(cumulated, half - near)]
    high = values[min(np.searchsorted(cumulated, half + near, side="right"), len(values) - 1)]
    return float(low), float(high)


def check_against_pandas(column: NumericColumn, values: F64, weights: F64) -> None:
    """A column's statistics by pandas' and NumPy's own means; `values` in original units."""
    series = pd.Series(values)
    assert column.missing == series.isna().sum()
    present = series.notna().to_numpy()
    values, weights = values[present], weights[present]
    assert column.low == pytest.approx(values.min(), rel=1e-6)
    assert column.high == pytest.approx(values.max(), rel=1e-6)
    if column.is_log1p:
        values = np.sign(values) * np.log1p(np.abs(values))
    mean = np.average(values, weights=weights)
    deviation = math.sqrt(np.average((values - mean) ** 2, weights=weights))
    spread = np.abs(values - values[0]).max()
    assert column.mean == pytest.approx(mean, abs=1e-7 * spread + 1e-15)
    assert column.deviation == pytest.approx(deviation, rel=1e-6)
    if column.missing:
        low, high = weighted_medians(values, weights)
        slack = column.deviation / 32768 + 1e-7 * spread
        assert low - slack <= column.fill <= high + slack


# Any ranks


PARTITIONS: list[list[list[int]]] = [
    [[6, 0, 3, 1, 5, 2, 4]],
    [[0, 2, 4, 6], [1, 3, 5]],
    [[], [0, 1, 2, 3, 4, 5, 6]],
    [[6], [5, 4], [3, 2, 1, 0]],
    [[0, 1, 2, 3, 4, 5, 6], [], []],
]


@pytest.mark.parametrize("hands", PARTITIONS)
@pytest.mark.parametrize(
    "features",
    [
        {},
        {"impute": "mean", "log1p": ["whole"]},
        {"max_levels": 3, "hash_bits": 8},
        {"impute": "zero", "standardise": False, "missing_indicator": False, "min_count": 40},
    ],
)
def test_any_ranks_learn_the_same_bits(
    features: dict[str, Any], hands: list[list[int]], tmp_path: Path
) -> None:
    exclude = ["who", "time", "id"]
    sections: dict[str, Any] = {"features": features, "data": {"weight": "w", "exclude": exclude}}
    data = data_of(tmp_path, made.mixed(650), **sections)
    assert data.groups == 7
    alone, together = data.learn(), data.learn(hands)
    assert json.dumps(together.as_json()) == json.dumps(alone.as_json())
    assert alone.rows == 650


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=7, max_size=7))
def test_any_deal_of_row_groups_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, owners: list[int]
) -> None:
    data = _shared(tmp_path_factory)
    hands = [[group for group, owner in enumerate(owners) if owner == rank] for rank in range(4)]
    assert json.dumps(data.learn(hands).as_json()) == json.dumps(data.learn().as_json())


_SHARED: list[Data] = []


def _shared(factory: pytest.TempPathFactory) -> Data:
    if not _SHARED:
        exclude = ["who", "time", "id"]
        sections: dict[str, Any] = {
            "data": {"weight": "w", "exclude": exclude},
            "features": {"max_levels": 3},
        }
        _SHARED.append(data_of(factory.mktemp("shared"), made.mixed(650, seed=8), **sections))
    return _SHARED[0]


# Numbers


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


@settings(max_examples=40, deadline=None)
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


@settings(max_examples=25, deadline=None)
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


# Roles


def test_undecidable_columns_are_all_listed(tmp_path: Path) -> None:
    table = table_of(
        when=made.mixed(4)["time"], list=[[1]] * 4, bytes=[b"x"] * 4, x=[1.0] * 4, void=pa.nulls(4)
    )
    listed = r"'when' \(timestamp\[us\]\), 'list' \(list<.*>\), 'bytes' \(binary\), 'void' \(null\)"
    words = f"columns {listed} are neither numbers nor categories"
    with pytest.raises(DataError, match=words):
        data_of(tmp_path, table)


def test_types_decide_and_declarations_win(tmp_path: Path) -> None:
    features = {"numeric": ["time"], "categorical": ["small", "flag"]}
    data = data_of(
        tmp_path, made.mixed(50), data={"ids": ["id"], "exclude": ["w"], "group": "who"}, features=features
    )
    assert [c.name for c in data.roles.numeric] == ["number", "single", "whole", "time"]
    assert [c.name for c in data.roles.categorical] == ["small", "flag", "word", "carrier"]


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ({"numeric": ["word"]}, "features.numeric names column 'word', which is string: boolean, integer"),
        ({"categorical": ["number"]}, "features.categorical names column 'number', which is double"),
        ({"log1p": ["word"]}, "features.log1p names column 'word', which is no numeric feature"),
    ],
)
def test_declarations_must_fit(features: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        data_of(tmp_path, made.mixed(10), data={"exclude": ["time"]}, features=features)


def test_no_feature_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column is left to be a feature"):
        data_of(tmp_path, table_of(x=[1.0, 2.0]), data={"exclude": ["x"]})


# Records


def test_features_survive_json(tmp_path: Path) -> None:
    data = data_of(
        tmp_path,
        made.mixed(300),
        data={"exclude": ["who", "time", "id"], "weight": "w"},
        features={"max_levels": 3},
    )
    features = data.learn()
    text = json.dumps(features.as_json(), allow_nan=False)
    again = Features.from_json(json.loads(text))
    assert again == features
    assert json.dumps(again.as_json()) == text


def test_edited_features_are_refused(tmp_path: Path) -> None:
    record = data_of(tmp_path, table_of(x=[1.0, 2.0], c=["a", "b"])).learn().as_json()
    edits: list[dict[str, Any]] = [{"numeric": [{"name": "x"}]}, {"categorical": None}, {"numeric": [3]}]
    for edit in edits:
        with pytest.raises(
            ArtifactError, match=r"features\.json is of another version or was edited .*again"
        ):
            Features.from_json(record | edit)
    del record["rows"]
    with pytest.raises(ArtifactError, match=r"KeyError\('rows'\)"):
        Features.from_json(record)


def test_the_encoder_takes_its_constants_from_the_record_alone(tmp_path: Path) -> None:
    data = data_of(tmp_path, table_of(x=[1.0, None, 3.0, 6.0]), 4)
    features = data.learn()
    column = replace(features.numeric[0], centre=1.0, scale=2.0, fill=5.0)
    x, _ = data.encode(replace(features, numeric=(column,)))
    assert x.tolist() == [[0.0, 0.0], [2.0, 1.0], [1.0, 0.0], [2.5, 0.0]]

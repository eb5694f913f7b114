"""What the tests of features share: ranks as threads, data to learn from, and pandas as the oracle."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest

from binclf.config import Config
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
    tell,
)
from binclf.features.records import NumericColumn
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

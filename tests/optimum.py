"""Problems whose optimum is looked for, what is known of it by the definition, and stores over their rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from binclf.config import Config, Train, parse
from binclf.features import Features
from binclf.loader import HeldRows, Source, StreamedRows
from binclf.solvers import cuts, newton
from binclf.solvers.blocks import Sums
from binclf.solvers.exact import ExactSum
from binclf.solvers.problem import Problem, Solution
from binclf.split import ensure
from binclf.train import learn_features
from binclf.world import World
from tests.trained import Alone, decoding, people, stores, whole, write

ALONE: Any = Alone()
PEOPLE: dict[str, Any] = {"categorical": ["code"], "log1p": ["income"]}


@pytest.fixture
def many_blocks() -> Iterator[None]:
    """Small sets have one block otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuts, "LEAST_ROWS", 64)
        patch.setattr(cuts, "ROWS_A_WEIGHT", 0)
        yield


def problem_of(store: Any, features: Features, rows: Any, **train: Any) -> Problem:
    """A problem over a store whose rows are known."""
    y, w = rows.y[:, 0].astype(float), rows.w[:, 0].astype(float)
    return Problem(
        train=store,
        validation=None,
        features=features,
        weight=float(w.sum()),
        base_rate=float((w * y).sum() / w.sum()),
        settings=Train(**{"solver": "newton", "device": "cpu", **train}),
    )


def problem_on(world: World, config: Config) -> Problem:
    """The problem of a whole config as a rank has it, with its rows in memory."""
    split = ensure(config)
    how = decoding(config, split)
    store = HeldRows(Source(split.parts["train"], how))
    features = learn_features(world, config, how, split, store)
    store.attach(features)
    store.fill(range(len(store.source.group_rows)))
    return Problem(store, None, features, split.weight("train"), split.base_rate("train"), config.train)


def made(
    folder: Path, table: pa.Table, groups: list[int] | None = None, **features: Any
) -> tuple[HeldRows, Features]:
    """A filled store of all rows of a table with the columns `bought` and `w`."""
    path = write(folder / "data.parquet", table, groups)
    exclude = ["id"] if "id" in table.column_names else []
    data = {"path": str(path), "label": "bought", "weight": "w", "exclude": exclude}
    config = {"name": "made", "store": str(folder / "store"), "data": data, "features": features}
    _, learnt, found = stores(parse({**config, "split": {"method": "none"}}))
    return found["train"], learnt


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[HeldRows, Features, Any]:
    store, features = made(
        tmp_path_factory.mktemp("newton"), people(3000, 1), [700, 0, 1, 1300, 999], **PEOPLE
    )
    return store, features, whole(store)


def design_of(features: Features, rows: Any) -> np.ndarray:
    """Numbers, one-hot columns and ones: float64 [N, p]."""
    hot = np.zeros((len(rows.x), features.table_size))
    for own in rows.ids.T:
        np.add.at(hot, (np.arange(len(hot)), own), 1)
    return np.hstack([rows.x.astype(float), hot, np.ones((len(hot), 1))])


def point_of(solution: Solution) -> np.ndarray:
    return np.concatenate([solution.weights[n] for n in ("weight", "table", "bias") if n in solution.weights])


def sums_at(point: np.ndarray, design: np.ndarray, rows: Any) -> Sums:
    """By the definition."""
    y, w = rows.y[:, 0].astype(float), rows.w[:, 0].astype(float)
    z = design @ point
    p = 1 / (1 + np.exp(-z))
    loss = float((w * (np.logaddexp(0, z) - y * z)).sum())
    return Sums(float(w.sum()), loss, design.T @ (w * (p - y)), (design.T * (w * p * (1 - p))) @ design)


def streamed(store: HeldRows, features: Features) -> StreamedRows:
    """The same rows, decoded in each pass."""
    other = StreamedRows(store.source)
    other.attach(features)
    return other


def digest(solution: Solution) -> str:
    return hashlib.sha256(point_of(solution).tobytes()).hexdigest()


def simple(columns: dict[str, Any], y: Any, w: Any = None) -> pa.Table:
    weights = np.ones(len(y)) if w is None else w
    return pa.table(
        {**columns, "bought": pa.array(np.asarray(y, dtype=bool)), "w": pa.array(weights, pa.float64())}
    )


def fitted(folder: Path, table: pa.Table, **train: Any) -> tuple[Solution, Any]:
    store, features = made(folder, table)
    rows = whole(store)
    return newton.fit(problem_of(store, features, rows, **train), ALONE), rows


class Floats(ExactSum):
    """The negative control: a float all-reduce."""

    def add(self, values: np.ndarray, share: float, part: int = 0) -> None:
        """As they come."""
        self.sum = getattr(self, "sum", 0.0) + values

    def total(self, world: World) -> np.ndarray:
        """In the order of gloo."""
        return world.sum_floats(np.zeros(len(self.bounds)) + getattr(self, "sum", 0.0))

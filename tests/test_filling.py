"""Epochs that begin before their rows are there: each row is waited for, by whichever rank asks for it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from binclf.config import Config
from binclf.features import Features
from binclf.loader import HeldRows, Order, Source, StreamedRows
from binclf.loader.steps import Loader, StepDataset
from binclf.loader.stream import StreamReader
from tests.plans import oracle
from tests.trained import Whole, decoding, people, settings, stores, whole, write

Learnt = tuple[Source, Features, Whole]


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Learnt:
    """Forty row groups, more than are encoded at once; two columns lack a value in one of them alone."""
    folder = tmp_path_factory.mktemp("filling")
    groups = [7, 0, 12, 1] * 10
    rows = sum(groups)
    lacks_early, lacks_late = (np.arange(rows) == place for place in (9, rows - 3))
    numbers = np.arange(rows) / rows
    table = people(rows, 1).append_column("early", pa.array(numbers, mask=lacks_early))
    table = table.append_column("late", pa.array(numbers, mask=lacks_late))
    write(folder / "data" / "a.parquet", table, groups)
    config: Config = settings(folder / "data", folder / "store", split={"method": "none", "seed": 42})
    split, features, made = stores(config)
    return Source(split.parts["train"], decoding(config, split)), features, whole(made["train"])


@pytest.mark.parametrize("is_decoded", [False, True])
@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("window", [3, 2**20])
def test_rows_that_are_held_are_waited_for_whichever_rank_asks(
    window: int, ranks: int, is_decoded: bool, learnt: Learnt
) -> None:
    source, features, rows = learnt
    order = Order(seed=5, lanes=6, window_rows=window, shuffle=True, batch_rows=16)
    listed = np.array(oracle(order.plan(source.group_rows, 0)))
    for rank in range(ranks):
        store = HeldRows(source)  # as on a machine of its own, or in a process of a DataLoader
        if is_decoded:
            list(store.blocks(range(rank, len(source.group_rows), ranks)))  # what this rank learnt from
        store.attach(features)
        dataset = StepDataset(store, order, rank, ranks)
        dataset.steps_at_once = 1
        own = listed[np.arange(len(listed)) % order.lanes % ranks == rank]
        batches = list(Loader(dataset).epoch(0))
        assert np.array_equal(np.concatenate([batch.x.numpy() for batch in batches]), rows.x[own])
        assert np.array_equal(np.concatenate([batch.ids.numpy() for batch in batches]), rows.ids[own])


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_reader_that_streams_may_be_asked_for_fewer_rows_than_it_has_lanes(
    shuffle: bool, learnt: Learnt
) -> None:
    source, features, rows = learnt
    plan = Order(seed=5, lanes=24, window_rows=3, shuffle=shuffle, batch_rows=1).plan(source.group_rows, 0)
    listed = np.array(oracle(plan))
    store = StreamedRows(source)
    store.attach(features)
    for first in (0, 77):
        reader = StreamReader(store, plan, 0, 1)
        for position in range(first, first + 40, 5):
            encoded, found = reader.read(position, position + 5)
            assert np.array_equal(found, listed[position : position + 5])
            assert np.array_equal(encoded.x, rows.x[found])
        reader.close()

"""Batches are fancy indexing by the plan, whoever reads them, ahead of time or not."""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from binclf.loader import Batch, Loader, Order, RamStore, StepDataset
from binclf.loader.prefetch import prefetched
from tests.test_epoch import oracle
from tests.trained import loaded, people, settings, stores, write

ORDERS = {
    "shuffled": Order(seed=3, lanes=8, window_rows=5, shuffle=True, batch_rows=37),
    "one window": Order(seed=4, lanes=7, window_rows=2**30, shuffle=True, batch_rows=1000),
    "as it is": Order(seed=0, lanes=3, window_rows=16, shuffle=False, batch_rows=64),
    "few rows": Order(seed=0, lanes=48, window_rows=1, shuffle=True, batch_rows=2),
}


def store_of(folder: Path) -> RamStore:
    """A fresh store over two files with empty and uneven row groups, read in place."""
    if not (folder / "data").exists():
        write(folder / "data" / "a.parquet", people(180, 1), [1, 0, 100, 79])
        write(folder / "data" / "b.parquet", people(71, 2), [71, 0])
    config = settings(folder / "data", folder / "store", split={"method": "none", "seed": 42})
    learnt = stores(config)[2]["train"]
    assert learnt.features is not None
    store = RamStore(learnt.files, learnt.roles, learnt.label, learnt.weight)  # nothing decoded yet
    store.attach(learnt.features)
    return store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("loader")


def assert_is_planned(
    batches: list[list[Batch]], whole: RamStore, order: Order, epoch: int, ranks: int
) -> None:
    """Every batch of every rank equals the rows that the oracle's list has at its positions."""
    rows = np.array(oracle(order.plan(whole.group_rows, epoch)), dtype=np.int64)
    steps = -(-len(rows) // order.batch_rows)
    for rank, own in enumerate(batches):
        assert len(own) == steps
        for step, batch in enumerate(own):
            first = step * order.batch_rows
            places = np.arange(first, min(first + order.batch_rows, len(rows)))
            chosen = rows[places[places % order.lanes % ranks == rank]]
            assert len(batch) == len(chosen)
            assert batch.step_rows == len(places)
            for name, dtype in (("x", torch.float32), ("ids", torch.int32), ("y", None), ("w", None)):
                tensor = getattr(batch, name)
                assert tensor.dtype == (dtype or torch.float32)
                assert np.array_equal(tensor.numpy(), getattr(whole, name)[chosen])


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("name", ORDERS)
def test_batches_of_the_prefetch_thread_are_the_planned_rows(folder: Path, name: str, ranks: int) -> None:
    order, whole = ORDERS[name], loaded(store_of(folder))
    loaders = [
        Loader(StepDataset(store_of(folder), order, rank, ranks), workers=0, pin_memory=False)
        for rank in range(ranks)
    ]
    for epoch in (0, 1, 0):
        assert_is_planned([list(loader.epoch(epoch)) for loader in loaders], whole, order, epoch, ranks)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_batches_of_worker_processes_are_the_planned_rows(folder: Path, workers: int) -> None:
    order, whole = ORDERS["shuffled"], loaded(store_of(folder))
    loaders = [
        Loader(StepDataset(store_of(folder), order, rank, 2), workers=workers, pin_memory=False)
        for rank in range(2)
    ]
    for epoch in (0, 1):
        assert_is_planned([list(loader.epoch(epoch)) for loader in loaders], whole, order, epoch, 2)


def test_steps_may_be_asked_for_in_any_order(folder: Path) -> None:
    order, whole = ORDERS["shuffled"], loaded(store_of(folder))
    dataset = StepDataset(store_of(folder), order, 0, 1)
    steps = range(order.plan(whole.group_rows, 0).steps(order.batch_rows))
    backwards = {step: dataset[1, step] for step in reversed(steps)}
    assert dataset[0, 0].checksum != dataset[1, 0].checksum
    assert_is_planned([[backwards[step] for step in steps]], whole, order, 1, 1)


def test_a_rank_without_rows_in_a_step_has_an_empty_batch_of_the_right_shape(folder: Path) -> None:
    dataset = StepDataset(store_of(folder), Order(0, 48, 4, shuffle=True, batch_rows=1), 47, 48)
    batch = dataset[0, 0]
    assert (len(batch), batch.step_rows, batch.checksum) == (0, 1, 0)
    assert batch.x.shape == (0, dataset.store.x.shape[1])
    assert batch.ids.shape == (0, dataset.store.ids.shape[1])
    assert batch.y.shape == batch.w.shape == (0, 1)


def test_only_row_groups_that_are_needed_are_decoded(folder: Path) -> None:
    store = store_of(folder)
    dataset = StepDataset(store, Order(0, 1, 10, shuffle=False, batch_rows=10), 0, 1)
    (folder / "data" / "b.parquet").rename(folder / "hidden")
    try:
        assert len(dataset[0, 0]) == 10
    finally:
        (folder / "hidden").rename(folder / "data" / "b.parquet")


def test_numbers_and_codes_are_what_the_file_says(folder: Path) -> None:
    store = loaded(store_of(folder))
    table = people(180, 1).to_pandas()
    features = store.features
    assert features is not None
    assert np.array_equal(store.y[:180, 0], table["bought"].to_numpy().astype(np.float32))
    assert np.array_equal(store.w[:180, 0], table["w"].to_numpy().astype(np.float32))
    place = [column.name for column in features.numeric].index("visits")
    column = features.numeric[place]
    restored = store.x[:180, place] * column.scale + column.centre
    np.testing.assert_allclose(restored, table["visits"].to_numpy(), rtol=0, atol=1e-4)
    age = features.numeric[[column.name for column in features.numeric].index("age")]
    assert np.array_equal(store.x[:180, age.indicator] == 1, table["age"].isna().to_numpy())


def test_a_dataset_is_sent_to_a_process_without_its_rows(folder: Path) -> None:
    dataset = StepDataset(store_of(folder), ORDERS["shuffled"], 0, 1)
    loaded(dataset.store)
    sent = pickle.dumps(dataset)
    assert len(sent) < 8_000
    again: StepDataset = pickle.loads(sent)
    for name in ("x", "ids", "y", "w"):
        assert torch.equal(getattr(again[1, 2], name), getattr(dataset[1, 2], name))


def test_items_come_in_order() -> None:
    assert list(prefetched(range(100))) == list(range(100))
    assert list(prefetched([])) == []
    assert list(prefetched([None, 0, False])) == [None, 0, False]


def test_an_exception_is_raised_at_its_place_in_the_consumer() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("row group 7 is damaged")

    seen: list[int] = []
    with pytest.raises(ValueError, match="row group 7 is damaged"):
        seen.extend(prefetched(items()))
    assert seen == [1, 2]


def test_a_consumer_that_stops_early_leaves_no_thread() -> None:
    before = threading.active_count()
    stream = prefetched(iter(range(10**9)))
    assert next(iter(stream)) == 0
    stream.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_stays_at_most_depth_ahead() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            yield number

    stream = prefetched(items(), depth=2)
    next(stream)
    time.sleep(0.3)
    assert 2 <= len(made) <= 5  # one consumed, two ready, one in hand
    stream.close()  # type: ignore[attr-defined]


def test_a_damaged_row_group_is_raised_where_the_batch_is_awaited(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    path = tmp_path / "data" / "b.parquet"
    chunk = pq.ParquetFile(path).metadata.row_group(0).column(2)
    content, before = bytearray(path.read_bytes()), path.stat()
    content[chunk.data_page_offset + chunk.total_compressed_size // 4] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a failing disk would leave it
    loader = Loader(StepDataset(store, ORDERS["as it is"], 0, 1), workers=0, pin_memory=False)
    with pytest.raises(ValueError, match=r"column 'income' of b\.parquet, row group 0 is damaged"):
        list(loader.epoch(0))

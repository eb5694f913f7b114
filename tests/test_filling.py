"""Epochs that begin before their rows are there: each row is waited for, by whichever rank asks for it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf.config import Config
from binclf.features import Features
from binclf.loader import HeldRows, Order, Source, StreamedRows
from binclf.loader.filling import Filling
from binclf.loader.steps import Loader, StepDataset
from binclf.loader.stream import StreamReader
from binclf.world import doing
from tests.laws import examples
from tests.plans import oracle
from tests.ranks import wait_until
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


@given(
    st.lists(st.integers(0, 50), max_size=30).map(sorted),
    st.integers(1, 4),
    st.lists(st.integers(0, 60), min_size=1, max_size=4),
)
@examples(60)
def test_whoever_waits_finds_what_is_needed_done_and_each_item_once(
    needs: list[int], threads: int, positions: list[int]
) -> None:
    begun, done = list[int](), list[int]()

    def work(item: int) -> None:
        begun.append(item)
        done.append(item)

    filling = Filling(work, np.array(needs, dtype=np.int64), threads)

    def wait(position: int) -> bool:
        filling.until(position)
        return set(done) >= {item for item, need in enumerate(needs) if need < position}

    filling.allow(len(needs))
    with ThreadPoolExecutor(len(positions)) as callers:
        assert all(callers.map(wait, positions))
    filling.until(100)
    assert sorted(begun) == sorted(done) == list(range(len(needs)))
    filling.close()


def test_no_more_items_are_handed_to_threads_than_there_are_threads() -> None:
    begun, go = list[int](), threading.Semaphore(0)

    def work(item: int) -> None:
        begun.append(item)
        go.acquire()

    filling = Filling(work, np.zeros(10**5, dtype=np.int64), 2)
    filling.allow(10**5)
    assert filling._pool._work_queue.qsize() <= 2
    go.release(50)
    wait_until(lambda: len(begun) == 52, 30, "each thread that ends an item begins the next")
    assert filling._pool._work_queue.qsize() == 0
    assert sorted(begun) == list(range(52))
    with filling._changed:
        filling._is_over = True
    go.release(2)
    filling.close()
    assert len(begun) == 52
    with pytest.raises(AssertionError, match="item 52 is needed, and the work was closed"):
        filling.until(1)


def test_a_failure_is_raised_to_all_who_need_the_item_and_ends_the_work() -> None:
    begun = list[int]()

    def work(item: int) -> None:
        begun.append(item)
        if item in (7, 8):
            raise OSError(f"item {item}")

    filling = Filling(work, np.arange(1000), 2)
    filling.allow(1000)
    filling.until(7)
    with ThreadPoolExecutor(3) as callers:
        for waiting in [callers.submit(filling.until, position) for position in (8, 9, 1000)]:
            with pytest.raises(OSError, match="item 7"):
                waiting.result()
    filling.until(7)
    assert len(begun) <= 10


def test_any_number_of_callers_get_their_rows_and_each_row_group_is_encoded_once(
    learnt: Learnt, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, features, rows = learnt
    decoded = Counter[int]()
    real = Source.decode

    def counted(self: Source, group: int, **how: Any) -> Any:
        decoded[group] += 1
        return real(self, group, **how)

    monkeypatch.setattr(Source, "decode", counted)
    plans = [Order(seed, 6, 3, shuffle=True, batch_rows=16).plan(source.group_rows, 0) for seed in (1, 2)]

    def by_number(store: HeldRows) -> None:
        chosen = np.arange(0, source.rows, 3)
        assert np.array_equal(store.gather(chosen).x, rows.x[chosen])

    def by_group(store: HeldRows) -> None:
        for group in range(len(source.group_rows)):
            assert np.array_equal(store.encoded(group).x, rows.x[source.span(group)])

    def by_epoch(store: HeldRows) -> None:
        for plan in plans:
            reader = store.reader(plan, 0, 1)
            for position in range(0, plan.rows - 5, 5):
                found, numbers = reader.read(position, position + 5)
                assert np.array_equal(found.x, rows.x[numbers])

    asked: list[Callable[[HeldRows], None]] = [by_number, by_group, by_epoch]
    for trial in range(6):
        store = HeldRows(source)
        list(store.blocks(range(0, len(source.group_rows), 2)))  # what this rank learnt from
        store.attach(features)
        decoded.clear()
        with ThreadPoolExecutor(6) as callers:
            for call in [callers.submit(asked[(trial + i) % 3], store) for i in range(6)]:
                call.result()
        assert decoded == Counter(range(1, len(source.group_rows), 2))


def test_each_row_group_that_is_decoded_is_seen_by_the_others(learnt: Learnt) -> None:
    source, features, _ = learnt
    groups, store = len(source.group_rows), HeldRows(source)
    before = doing.now().moves
    list(store.blocks(range(groups)))
    assert doing.now().moves >= before + groups
    streamed = StreamedRows(source)
    streamed.attach(features)
    before = doing.now().moves
    streamed.encoded(3)
    assert doing.now().moves > before

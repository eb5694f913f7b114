"""Batches are fancy indexing by the plan, in every tier, to the bit, whoever reads them and when."""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from binclf.config import Config
from binclf.features import Features
from binclf.loader import BlockCache, HeldRows, Order, Source, StreamedRows, pages, stream
from binclf.loader.pages import Pages
from binclf.loader.prefetch import prefetched
from binclf.loader.readers import KEPT, Readers
from binclf.loader.steps import Batch, Loader, StepDataset
from binclf.loader.stream import StreamReader
from binclf.split import ensure
from tests.laws import examples
from tests.plans import oracle
from tests.ranks import wait_until
from tests.trained import Whole, decoding, on_disk, people, settings, stores, whole, write

ORDERS = {
    "lanes and windows": Order(seed=3, lanes=8, window_rows=5, shuffle=True, batch_rows=37),
    "all at once": Order(seed=4, lanes=7, window_rows=2**30, shuffle=True, batch_rows=1000),
    "as it is": Order(seed=0, lanes=3, window_rows=16, shuffle=False, batch_rows=64),
    "tiny windows": Order(seed=0, lanes=48, window_rows=1, shuffle=True, batch_rows=2),
    "windows larger than groups": Order(seed=9, lanes=2, window_rows=90, shuffle=True, batch_rows=50),
}
TIERS = ("ram", "disk", "none")


def odd(rows: int, seed: int) -> pa.Table:
    """People beside columns that are hard to keep: far from 0, beyond 2^24, NaN, dictionaries, no label."""
    random = np.random.default_rng(seed)
    table = people(rows, seed)
    towns = pa.array(random.choice(["Ävila", "", "Bonn"], rows).tolist(), mask=random.random(rows) < 0.1)
    extra = {
        "longitude": pa.array(-93.27 + random.normal(0, 0.02, rows)),
        "clock": pa.array(1_700_000_000 + random.integers(0, 10**6, rows)),
        "wide": pa.array(random.integers(-(2**40), 2**40, rows), mask=random.random(rows) < 0.1),
        "holes": pa.array(np.where(random.random(rows) < 0.2, np.nan, random.normal(size=rows))),
        "single": pa.array(random.normal(size=rows).astype(np.float32)),
        "town": towns.dictionary_encode(),
    }
    for name, column in extra.items():
        table = table.append_column(name, column)
    label = pa.array(table["bought"].to_pylist(), pa.bool_(), mask=random.random(rows) < 0.05)
    return table.set_column(table.schema.get_field_index("bought"), "bought", label)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Two files with empty and uneven row groups, read in place, rows without a label dropped."""
    folder = tmp_path_factory.mktemp("loader")
    write(folder / "data" / "a.parquet", odd(180, 1), [1, 0, 100, 79])
    write(folder / "data" / "b.parquet", odd(71, 2), [71, 0])
    base = settings(folder / "data", folder / "store", split={"method": "none", "seed": 42})
    return base.model_copy(update={"data": base.data.model_copy(update={"on_null_label": "drop"})})


@pytest.fixture(scope="module")
def learnt(config: Config) -> tuple[Source, Features, Whole]:
    split, features, made = stores(config)
    return Source(split.parts["train"], decoding(config, split)), features, whole(made["train"])


def store_of(tier: str, learnt: tuple[Source, Features, Whole], folder: Path) -> HeldRows | StreamedRows:
    """A fresh store of a tier."""
    source, features, _ = learnt
    if tier == "ram":
        held = HeldRows(source)
        held.attach(features)
        held.fill(range(len(source.group_rows)))
        return held
    streamed = StreamedRows(source, BlockCache(folder, 2**40) if tier == "disk" else None)
    streamed.attach(features)
    return streamed


def assert_is_planned(batches: list[list[Batch]], rows: Whole, plan: Any, order: Order, ranks: int) -> None:
    """Every batch of every rank equals the rows that the oracle's list has at its positions, to the bit."""
    listed = np.array(oracle(plan), dtype=np.int64)
    steps = -(-len(listed) // order.batch_rows)
    for rank, own in enumerate(batches):
        assert len(own) == steps
        for step, batch in enumerate(own):
            first = step * order.batch_rows
            places = np.arange(first, min(first + order.batch_rows, len(listed)))
            chosen = listed[places[places % order.lanes % ranks == rank]]
            assert (len(batch), batch.step_rows) == (len(chosen), len(places))
            for name, dtype in (("x", torch.float32), ("ids", torch.int32), ("y", None), ("w", None)):
                tensor = getattr(batch, name)
                assert tensor.dtype == (dtype or torch.float32)
                assert np.array_equal(tensor.numpy(), getattr(rows, name)[chosen])


@pytest.mark.parametrize(
    "ranks", [pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow), 3]
)
@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("tier", TIERS)
def test_batches_of_every_tier_are_the_planned_rows(
    tier: str, name: str, ranks: int, learnt: tuple[Source, Features, Whole], tmp_path: Path
) -> None:
    order = ORDERS[name]
    for run in range(2 if tier == "disk" else 1):  # cold, then warm from an earlier run
        made = [store_of(tier, learnt, tmp_path) for _ in range(ranks)]
        loaders = [Loader(StepDataset(store, order, rank, ranks)) for rank, store in enumerate(made)]
        for epoch in (0, 1, 0):
            batches = [list(loader.epoch(epoch)) for loader in loaders]
            assert_is_planned(batches, learnt[2], order.plan(learnt[0].group_rows, epoch), order, ranks)
        assert run == 0 or list(tmp_path.rglob("*.block"))


def test_rows_are_what_the_files_say(learnt: tuple[Source, Features, Whole], config: Config) -> None:
    source, features, rows = learnt
    tables = [pq.read_table(path).to_pandas() for path in sorted(Path(config.data.path).iterdir())]
    table = [frame[frame["bought"].notna()] for frame in tables]
    labels = np.concatenate([frame["bought"].to_numpy().astype(np.float32) for frame in table])
    assert np.array_equal(rows.y[:, 0], labels)
    assert np.array_equal(rows.w[:, 0], np.concatenate([f["w"].to_numpy().astype(np.float32) for f in table]))
    for place, column in enumerate(features.numeric):
        values = np.concatenate([frame[column.name].astype(float).to_numpy() for frame in table])
        if column.is_log1p:
            values = np.sign(values) * np.log1p(np.abs(values))
        expected = (np.where(np.isnan(values), column.fill, values) - column.centre) / column.scale
        np.testing.assert_allclose(rows.x[:, place], expected, rtol=3e-7, atol=3e-6)
        if column.indicator >= 0:
            assert np.array_equal(rows.x[:, column.indicator] == 1, np.isnan(values))
    assert {c.name for c in features.numeric} >= {"longitude", "clock", "wide", "holes", "single"}
    assert source.rows == len(labels)


@pytest.mark.slow
@pytest.mark.parametrize("tier", ["ram", "none"])
@pytest.mark.parametrize("workers", [1, 2])
def test_batches_of_worker_processes_are_the_planned_rows(
    workers: int, tier: str, learnt: tuple[Source, Features, Whole], tmp_path: Path
) -> None:
    order = ORDERS["lanes and windows"]
    loaders = [
        Loader(StepDataset(store_of(tier, learnt, tmp_path), order, rank, 2), workers=workers)
        for rank in range(2)
    ]
    for epoch in (0, 1):
        batches = [list(loader.epoch(epoch)) for loader in loaders]
        assert_is_planned(batches, learnt[2], order.plan(learnt[0].group_rows, epoch), order, 2)


@pytest.mark.parametrize("tier", TIERS)
def test_an_epoch_goes_on_from_any_position_with_other_steps(
    tier: str, learnt: tuple[Source, Features, Whole], tmp_path: Path
) -> None:
    order = ORDERS["lanes and windows"]
    listed = np.array(oracle(order.plan(learnt[0].group_rows, 1)))
    for position, batch_rows in ((0, 11), (1, 300), (74, 37), (200, 1), (len(listed) - 1, 5)):
        dataset = StepDataset(store_of(tier, learnt, tmp_path), replace(order, batch_rows=batch_rows), 0, 1)
        batches = list(Loader(dataset).epoch(1, position))
        assert np.array_equal(np.concatenate([b.x.numpy() for b in batches]), learnt[2].x[listed[position:]])
        assert {len(batch) for batch in batches[:-1]} <= {batch_rows}


@pytest.mark.parametrize("tier", TIERS)
def test_steps_may_be_asked_for_in_any_order(
    tier: str, learnt: tuple[Source, Features, Whole], tmp_path: Path
) -> None:
    order = ORDERS["lanes and windows"]
    dataset = StepDataset(store_of(tier, learnt, tmp_path), order, 0, 1)
    plan = order.plan(learnt[0].group_rows, 1)
    firsts = range(0, plan.rows, order.batch_rows)
    backwards = {first: dataset[1, first, min(first + 37, plan.rows)] for first in reversed(firsts)}
    assert dataset[0, 0, 37].checksum != dataset[1, 0, 37].checksum
    assert_is_planned([[backwards[first] for first in firsts]], learnt[2], plan, order, 1)


def test_a_rank_without_rows_in_a_step_has_an_empty_batch_of_the_right_shape(
    learnt: tuple[Source, Features, Whole], tmp_path: Path
) -> None:
    for tier in TIERS:
        order = Order(0, 48, 1, shuffle=True, batch_rows=1)
        batch = StepDataset(store_of(tier, learnt, tmp_path), order, 47, 48)[0, 0, 1]
        assert (len(batch), batch.step_rows, batch.checksum) == (0, 1, 0)
        assert batch.x.shape == (0, learnt[2].x.shape[1])
        assert batch.ids.shape == (0, learnt[2].ids.shape[1])
        assert batch.y.shape == batch.w.shape == (0, 1)


def test_a_batch_that_is_kept_is_not_written_over(learnt: tuple[Source, Features, Whole]) -> None:
    order = ORDERS["lanes and windows"]
    dataset = StepDataset(store_of("ram", learnt, Path()), order, 0, 1)
    dataset.steps_at_once = 1
    kept = list(Loader(dataset).epoch(0))
    assert_is_planned([kept], learnt[2], order.plan(learnt[0].group_rows, 0), order, 1)


@pytest.mark.parametrize("tier", TIERS)
def test_a_dataset_is_sent_to_a_process_without_its_rows(
    tier: str, learnt: tuple[Source, Features, Whole], tmp_path: Path
) -> None:
    dataset = StepDataset(store_of(tier, learnt, tmp_path), ORDERS["lanes and windows"], 0, 1)
    sent = pickle.dumps(dataset)
    assert len(sent) < 12_000
    again: StepDataset = pickle.loads(sent)
    for name in ("x", "ids", "y", "w"):
        assert torch.equal(getattr(again[1, 74, 111], name), getattr(dataset[1, 74, 111], name))


@examples(40)
@given(st.integers(1, 6), st.integers(1, 40), st.integers(1, 3), st.integers(0, 5), st.integers(0, 10**6))
def test_a_streaming_reader_asks_for_no_more_memory_than_was_foreseen(
    learnt: tuple[Source, Features, Whole], lanes: int, window: int, ranks: int, epoch: int, seed: int
) -> None:
    ranks = min(ranks, lanes)
    plan = Order(seed, lanes, window, shuffle=True, batch_rows=1).plan(learnt[0].group_rows, epoch)
    if plan.is_small:
        return
    listed = np.array(oracle(plan))
    with pytest.MonkeyPatch.context() as patch:  # pages of few rows, as a large set has many
        for module in (pages, stream):
            patch.setattr(module, "PAGE", 7)
        patch.setattr(pages, "STRIDE", 3)
        patch.setattr(Pages, "capacity", Pages.most)  # nothing beyond what must be there
        for rank in range(ranks):
            store = store_of("none", learnt, Path())
            assert isinstance(store, StreamedRows)
            reader = StreamReader(store, plan, rank, ranks)
            begin = seed % plan.rows
            foreseen = [Pages.of(plan, rank, ranks, position).most for position in (0, begin)]
            for first in range(begin, plan.rows, 17):
                end = min(first + 17, plan.rows)
                encoded, rows = reader.read(first, end)  # which fails where a page is missing
                places = np.arange(first, end)
                chosen = listed[places[places % lanes % ranks == rank]]
                assert np.array_equal(rows, chosen)
                assert np.array_equal(encoded.x, learnt[2].x[chosen])
                assert len(reader._arena.bytes) == 7 * max(foreseen)
            reader.close()


def test_items_come_in_order() -> None:
    for depth in (1, 3, 1000):
        assert list(prefetched(range(100), depth)) == list(range(100))
    assert list(prefetched([])) == []
    assert list(prefetched([None, 0, False, []])) == [None, 0, False, []]


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_an_exception_is_raised_at_its_place_in_the_consumer(depth: int) -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        yield 3
        raise ValueError("row group 7 is damaged")

    seen: list[int] = []
    with pytest.raises(ValueError, match="row group 7 is damaged"):
        seen.extend(prefetched(items(), depth))
    assert seen == [1, 2, 3]


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

    stream = prefetched(items(), 2)
    next(stream)
    wait_until(lambda: len(made) >= 4, 60, "one is consumed, two are ready, one is in hand")
    time.sleep(0.1)
    assert len(made) <= 5
    stream.close()  # type: ignore[attr-defined]


def test_a_damaged_row_group_is_raised_where_the_batch_is_awaited(tmp_path: Path) -> None:
    write(tmp_path / "data" / "a.parquet", people(180, 1), [100, 80])
    write(tmp_path / "data" / "b.parquet", people(71, 2), [71])
    config = settings(tmp_path / "data", tmp_path / "store", split={"method": "none", "seed": 42})
    split, features, _ = stores(config)
    source = Source(split.parts["train"], decoding(config, split))
    path = tmp_path / "data" / "b.parquet"
    chunk = pq.ParquetFile(path).metadata.row_group(0).column(2)
    content, before = bytearray(path.read_bytes()), path.stat()
    content[chunk.data_page_offset + chunk.total_compressed_size // 4] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a failing disk would leave it
    store = StreamedRows(source)
    store.attach(features)
    loader = Loader(StepDataset(store, ORDERS["as it is"], 0, 1))
    with pytest.raises(ValueError, match=r"column 'income' of b\.parquet, row group 0 is damaged"):
        list(loader.epoch(0))


def test_a_file_that_is_kept_open_is_opened_again_once_it_changed(tmp_path: Path) -> None:
    write(tmp_path / "data" / "a.parquet", people(180, 1), [100, 80])
    config = settings(tmp_path / "data", tmp_path / "store", split={"seed": 42})
    split = ensure(config)
    source = Source(split.parts["train"], decoding(config, split))
    first = source.decode(0)
    assert source.decode(0).residuals.tobytes() == first.residuals.tobytes()
    path = on_disk(source.files[0].path)
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(ValueError, match="changed or went since the data were split"):
        source.decode(0)
    path.write_bytes(content)  # another file of the same bytes
    assert source.decode(0).residuals.tobytes() == first.residuals.tobytes()
    path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])  # in place, in the footer
    with pytest.raises(ValueError, match=r"footer|not a whole Parquet file"):
        source.decode(0)


def test_no_more_files_are_kept_open_than_were_foreseen(config: Config) -> None:
    split = ensure(config)
    files = split.parts["train"]
    readers = Readers()
    with ExitStack() as stack:
        for _ in range(KEPT + 3):
            stack.enter_context(readers.open(files[0], ()))
    assert len(readers._idle) == KEPT
    assert len(pickle.loads(pickle.dumps(readers))._idle) == 0

"""From Parquet to the step, each figure beside what it is to be measured against, in one run.

    OMP_NUM_THREADS=1 python -m benchmarks.data_path [--rows 11000000] [--categories 2000000] [--folder DIR]

Prints rows a second and ratios. Nothing is a test: run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq  # noqa: TID251 - what we are measured against
import torch
from torch.utils.data import DataLoader, TensorDataset

from benchmarks import made
from binclf.config import Config
from binclf.features import Decoding, Features, learn, roles
from binclf.loader import BlockCache, HeldRows, Order, Source, StreamedRows
from binclf.loader.steps import Batch, Loader, StepDataset
from binclf.model import LogisticRegression, log_loss_sum
from binclf.split import Split, ensure
from binclf.world import World, join

BATCH = 8192
TUTORIAL_ROWS = 100_000
PAIRS = 5


def main() -> None:
    """Run all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=11_000_000)
    parser.add_argument("--categories", type=int, default=2_000_000)
    parser.add_argument("--folder", type=Path, help="where to make the data; kept. Default: a temporary one")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as temporary, join("cpu") as world:
        folder = options.folder or Path(temporary)
        dense = made.config("higgs", _made(folder / "higgs", made.higgs, options.rows), folder / "store")
        numbers(world, dense)
        texts = _made(folder / "criteo", made.criteo, options.categories)
        categories(world, made.config("criteo", texts, folder / "store", features={"hash_bits": 20}))


def numbers(world: World, config: Config) -> None:
    """28 float32 columns."""
    split = ensure(config)
    source = Source(split.parts["train"], _decoding(config, split))
    rows = source.rows
    tell(f"{rows:,} rows of {len(source.how.roles.numeric)} float32 columns, {len(source.place)} row groups")
    tell("decode floor, 1 thread: read_row_group, checksums verified", rows / floor(source, 1))
    warm(HeldRows.bytes_of(source))
    began = time.perf_counter()
    held = HeldRows(source)
    features = learnt(world, config, split, held)
    held.attach(features)
    first = time.perf_counter() - began + drain(loader(held), 0)
    floors, epochs = [floor(source, 2)], []
    tell("first epoch, decoding and learning included, ram", rows / first, floors[0] / first, "of the floor")
    for _ in range(PAIRS):  # in turns: the machine's speed changes
        epochs.append(first_epoch(source, features))
        floors.append(floor(source, 2))
    ratios = [
        (before + after) / 2 / own for before, after, own in zip(floors, floors[1:], epochs, strict=False)
    ]
    tell("decode floor, 2 threads", rows / statistics.median(floors))
    tell("first epoch, decoding included, ram", rows / statistics.median(epochs),
         statistics.median(ratios), f"of the floor ({min(ratios):.2f} to {max(ratios):.2f})")  # fmt: skip
    cached(held, rows)
    steps(world, held, rows)
    with tempfile.TemporaryDirectory(dir=config.store) as cache:
        tiers(source, features, Path(cache), statistics.median(floors))


def first_epoch(source: Source, features: Features) -> float:
    """Seconds of decoding all rows into memory, and one epoch of batches."""
    warm(HeldRows.bytes_of(source))
    began = time.perf_counter()
    held = HeldRows(source)
    held.attach(features)
    return time.perf_counter() - began + drain(loader(held), 0)


def cached(store: HeldRows, rows: int) -> None:
    """The loader alone, and what others do."""
    ours = loader(store)
    cpu = time.process_time()
    seconds = drain(ours, 1)
    cpu = time.process_time() - cpu
    tell("cached epoch, ram, loader alone", rows / seconds)
    tell("cached epoch, ram, loader alone, per second of one core", rows / cpu)
    tutorial = tutorial_rows(store)
    tell("TensorDataset + DataLoader(batch_size=256, shuffle=True)", tutorial)
    tell("  ours over that", None, rows / seconds / tutorial, "x")
    for workers in (1, 2):
        streamed = StreamedRows(store.source)
        streamed.attach(store.encoder.features)  # type: ignore[union-attr]
        processes = Loader(StepDataset(streamed, order(), 0, 1), workers=workers)
        few = list(zip(range(40), processes.epoch(1), strict=False))
        began = time.perf_counter()
        count = sum(len(batch) for _, batch in zip(range(60), processes.epoch(1), strict=False))
        del few
        tell(f"{workers} DataLoader processes, streaming", count / (time.perf_counter() - began))


def steps(world: World, store: HeldRows, rows: int) -> None:
    """Loader and DDP step together, against the same step without a loader."""
    step = Step(world, store.encoder.features)  # type: ignore[union-attr]
    batch = next(iter(loader(store).epoch(2)))
    for _ in range(50):
        step(batch)
    count = 300
    alone = timed(lambda: again(step, batch, count)) / count
    places = np.random.default_rng(0).integers(0, rows, (count, BATCH))
    gather = timed(lambda: [store.gather(places[i]) for i in range(count)]) / count
    began = time.perf_counter()
    for batch in loader(store).epoch(2):
        step(batch)
    seconds = time.perf_counter() - began
    tell(f"loader and DDP step, cached, batch {BATCH}", rows / seconds)
    tell("  the same step on one preloaded batch, and a bare gather", BATCH / (alone + gather))
    tell("  ours over that", None, rows / seconds / (BATCH / (alone + gather)), "x")
    tell("  step alone, ms", alone * 1e3)
    tell("  over TensorDataset + DataLoader", None, rows / seconds / tutorial_rows(store), "x")


def tiers(source: Source, features: Features, cache: Path, floor_seconds: float) -> None:
    """Streaming, and the disk cache cold and warm."""
    rows = source.rows
    streamed = StreamedRows(source)
    streamed.attach(features)
    seconds = drain(loader(streamed), 0)
    tell("epoch, streamed: decoded as it comes", rows / seconds, floor_seconds / seconds, "of the floor")
    disk = StreamedRows(source, BlockCache(cache, 2**40))
    disk.attach(features)
    tell("first epoch, disk cache: decoded and written as it comes", rows / drain(loader(disk), 0))
    tell("second epoch, disk cache", rows / drain(loader(disk), 1))
    again = StreamedRows(source, BlockCache(cache, 2**40))
    again.attach(features)
    tell("first epoch of another run, disk cache", rows / drain(loader(again), 0))


def categories(world: World, config: Config) -> None:
    """13 integer and 26 text columns."""
    split = ensure(config)
    source = Source(split.parts["train"], _decoding(config, split))
    rows = source.rows
    tell(f"{rows:,} rows of 13 integers with nulls and 26 texts")
    plain, firsts = [], []
    for _ in range(PAIRS):  # in turns: the machine's speed changes
        plain.append(timed(lambda: [pq.read_table(file.path) for file in source.files], repeats=1))
        warm(HeldRows.bytes_of(source))
        began = time.perf_counter()
        held = HeldRows(source)
        features = learnt(world, config, split, held)
        held.attach(features)
        firsts.append(time.perf_counter() - began + drain(loader(held), 0))
    ratios = [own / first for own, first in zip(plain, firsts, strict=True)]
    tell("plain pq.read_table of the same files", rows / statistics.median(plain))
    tell("first epoch, hashing and learning included", rows / statistics.median(firsts),
         statistics.median(ratios), f"of plain reading ({min(ratios):.2f} to {max(ratios):.2f})")  # fmt: skip
    tell("cached epoch, loader alone", rows / drain(loader(held), 1))
    step = Step(world, features)
    for batch_rows in (8192, 16384, 32768):
        batches = loader(held, batch_rows)
        began = time.perf_counter()
        for batch in batches.epoch(1):
            step(batch)
        seconds = time.perf_counter() - began
        weights = features.table_size
        tell(f"loader and DDP step, cached, {weights:,} weights, batch {batch_rows}", rows / seconds)


class Step:
    """The solver's step, without its bookkeeping."""

    def __init__(self, world: World, features: Features) -> None:
        """A model under DDP, and Adam."""
        self.model = LogisticRegression(features.width, features.table_size)
        self.parallel = world.parallel(self.model)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3, fused=True)

    def __call__(self, batch: Batch) -> None:
        """One step."""
        loss = log_loss_sum(self.parallel(batch.x, batch.ids), batch.y, batch.w) / batch.step_rows
        self.optimizer.zero_grad(set_to_none=False)
        torch.autograd.backward(loss)
        self.optimizer.step()


def again(step: Step, batch: Batch, count: int) -> None:
    """One step so many times."""
    for _ in range(count):
        step(batch)


def floor(source: Source, threads: int) -> float:
    """Seconds of pyarrow for the same columns of the same row groups, checksums verified."""

    def read(file: Any) -> None:  # noqa: ANN401
        reader = pq.ParquetFile(file.path, page_checksum_verification=True)
        for group in range(len(file.groups)):
            reader.read_row_group(group, columns=source.how.columns, use_threads=False)

    def run() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(read, source.files))

    return timed(run)


def tutorial_rows(store: HeldRows) -> float:
    """Rows a second of the usual way."""
    rows = store.gather(np.arange(TUTORIAL_ROWS))
    data = TensorDataset(torch.from_numpy(rows.x.copy()), torch.from_numpy(rows.y.astype(np.float32)))
    usual = DataLoader(data, batch_size=256, shuffle=True)
    return TUTORIAL_ROWS / timed(lambda: [len(y) for _, y in usual])


def learnt(world: World, config: Config, split: Split, store: HeldRows) -> Features:
    """Column statistics of all row groups."""
    groups = range(len(store.source.place))
    blocks = partial(store.blocks, groups)
    return learn(config, store.source.how.roles, blocks, len(groups), split.weight("train"), world)


def warm(size: int) -> None:
    """Touch memory and free it: a virtual machine's host may take seconds to give what it has taken back."""
    np.empty(size, dtype=np.uint8).fill(1)


def order(batch_rows: int = BATCH) -> Order:
    """The default order."""
    return Order(seed=42, lanes=32, window_rows=16384, shuffle=True, batch_rows=batch_rows)


def loader(store: Any, batch_rows: int = BATCH) -> Loader:  # noqa: ANN401 - any store
    """The default loader."""
    return Loader(StepDataset(store, order(batch_rows), 0, 1))


def drain(batches: Loader, epoch: int) -> float:
    """Seconds of an epoch whose batches nobody uses."""
    began = time.perf_counter()
    for _ in batches.epoch(epoch):
        pass
    return time.perf_counter() - began


def timed(call: Callable[[], object], repeats: int = 2) -> float:
    """Seconds of the faster of some runs."""

    def seconds() -> Iterator[float]:
        for _ in range(repeats):
            began = time.perf_counter()
            call()
            yield time.perf_counter() - began

    return min(seconds())


def tell(what: str, rate: float | None = None, ratio: float | None = None, unit: str = "") -> None:
    """One line."""
    rates = "" if rate is None else f"{rate:14,.1f}" if rate < 1000 else f"{rate:14,.0f}"
    ratios = "" if ratio is None else f"{ratio:8.2f} {unit}"
    sys.stdout.write(f"{what:<75}{rates}{ratios}\n")
    sys.stdout.flush()


def _made(folder: Path, make: Callable[[Path, int], Path], rows: int) -> Path:
    return folder if folder.exists() else make(folder, rows)


def _decoding(config: Config, split: Split) -> Decoding:
    return Decoding(roles(config, split.columns), split.label, config.data.weight)


if __name__ == "__main__":
    main()

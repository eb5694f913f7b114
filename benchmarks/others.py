"""How others hand rows of the same Parquet to a training loop, beside our loader, in one run.

    OMP_NUM_THREADS=1 python -m benchmarks.others [--rows 200000]

Batches of 1,024 rows of 28 float32 columns. litData is measured where it is installed (pip install litdata);
petastorm's package does not install beside a current pyarrow, so its way of handing out rows (a dictionary
for each, then `default_collate`) stands for it.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq  # noqa: TID251 - what we are measured against
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset, default_collate

from benchmarks import made
from benchmarks.data_path import tell
from binclf.features import Decoding, learn, roles
from binclf.loader import HeldRows, Order, Source
from binclf.loader.steps import Loader, StepDataset
from binclf.split import ensure
from binclf.world import World, join

BATCH = 1024
SECONDS = 5.0  # that each is given at most


class Frame(Dataset[dict[str, float]]):
    """A row by `df.iloc[i]`, as beginners do."""

    def __init__(self, frame: pd.DataFrame) -> None:
        """A frame."""
        self.frame = frame

    def __len__(self) -> int:
        """Rows."""
        return len(self.frame)

    def __getitem__(self, place: int) -> dict[str, float]:
        """One row."""
        return dict(self.frame.iloc[place])


def main() -> None:
    """Print rows a second of each, and ours over it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    rows = parser.parse_args().rows
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder, join("cpu") as world:
        data = made.higgs(Path(folder) / "data", rows, files=4)
        ours = rate(lambda: our_batches(world, data, Path(folder) / "store"))
        tell("ours, decoding and learning included, then cached", ours)
        for name, batches in usual(data).items():
            found = rate(batches)
            tell(name, found, ours / found, "x as fast are ours")


def our_batches(world: World, data: Path, store: Path) -> Iterator[int]:
    """Two epochs, from Parquet."""
    config = made.config("others", data, store, split={"method": "none"})
    split = ensure(config)
    how = Decoding(roles(config, split.columns), split.label, "")
    held = HeldRows(Source(split.parts["train"], how))
    groups = range(len(held.source.place))
    held.attach(
        learn(config, how.roles, lambda: held.blocks(groups), len(groups), split.weight("train"), world)
    )
    batches = Loader(StepDataset(held, Order(42, 32, 16384, shuffle=True, batch_rows=BATCH), 0, 1))
    for epoch in range(2):
        yield from (len(batch) for batch in batches.epoch(epoch))


def usual(data: Path) -> dict[str, Callable[[], Iterator[int]]]:
    """The usual ways, by name."""

    def tensors() -> Iterator[int]:
        frame = pd.read_parquet(data)
        x = torch.from_numpy(frame.drop(columns="label").to_numpy(np.float32))
        dataset = TensorDataset(x, torch.from_numpy(frame["label"].to_numpy(np.float32)))
        yield from (len(y) for _, y in DataLoader(dataset, BATCH, shuffle=True))

    def row_dictionaries() -> Iterator[int]:
        for path in sorted(data.glob("*.parquet")):
            for batch in pq.ParquetFile(path).iter_batches(BATCH):
                yield len(default_collate(batch.to_pylist())["label"])

    def frames() -> Iterator[int]:
        for batch in DataLoader(Frame(pd.read_parquet(data)), BATCH, shuffle=True):
            yield len(batch["label"])

    found = {
        "TensorDataset + DataLoader": tensors,
        "a dictionary a row + default_collate (as petastorm)": row_dictionaries,
        "df.iloc[i] + DataLoader": frames,
    }
    try:
        importlib.import_module("litdata")
    except ImportError as error:
        sys.stdout.write(f"litData: not measured ({error})\n")
        return found
    return {**found, "litData ParquetLoader": lambda: litdata(data)}


def litdata(data: Path) -> Iterator[int]:
    """The same files by litData, in this process."""
    lit: Any = importlib.import_module("litdata")
    loader: Any = importlib.import_module("litdata.streaming.item_loader")
    lit.index_parquet_dataset(str(data), num_workers=1)
    dataset = lit.StreamingDataset(str(data), item_loader=loader.ParquetLoader(), shuffle=True)
    for batch in lit.StreamingDataLoader(dataset, batch_size=BATCH, num_workers=0):
        yield len(batch["label"] if isinstance(batch, dict) else batch[0])


def rate(batches: Callable[[], Iterator[int]]) -> float:
    """Rows a second, until the end or for some seconds; opening included."""
    began, rows = time.perf_counter(), 0
    for count in batches():
        rows += count
        if time.perf_counter() - began > SECONDS:
            break
    return rows / (time.perf_counter() - began)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()

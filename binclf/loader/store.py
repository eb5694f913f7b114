"""What a store of rows is, and the order in which ranks take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from binclf.epoch import EpochPlan
from binclf.features import Encoded
from binclf.loader.source import Source

I64 = npt.NDArray[np.int64]

CHUNK_BYTES = 4 * 2**20  # read at once: many small batches, or a large one
MOST_CHUNK_ROWS = 65536
DEPTH = 1  # chunks that the prefetch thread is ahead


class Reader(Protocol):
    """Rows in the order of an epoch."""

    def read(self, first: int, end: int) -> tuple[Encoded, I64]:
        """This rank's rows of the positions [first, end), and their canonical numbers."""


class Store(Protocol):
    """The rows of a part, however they are kept."""

    source: Source

    @property
    def row_bytes(self) -> int:
        """Bytes of a row as the model takes it."""

    def reader(self, plan: EpochPlan, rank: int, ranks: int) -> Reader:
        """One rank's rows in the order of an epoch."""

    def encoded(self, group: int) -> Encoded:
        """One row group, in canonical order."""

    def kept(self, group: int) -> Encoded:
        """The same without a copy, not to be changed: of x perhaps the numbers alone, NaN where missing."""


@dataclass(frozen=True, slots=True)
class Order:
    """The settings of the order and the steps: what every rank must agree on."""

    seed: int
    lanes: int
    window_rows: int
    shuffle: bool
    batch_rows: int

    def plan(self, group_rows: tuple[int, ...], epoch: int) -> EpochPlan:
        """The plan of one epoch."""
        return EpochPlan(group_rows, self.seed, epoch, self.lanes, self.window_rows, shuffle=self.shuffle)

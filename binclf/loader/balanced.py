"""A store whose rows weigh by their class too: what solvers see where `train.class_weight` is balanced."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from binclf.epoch import EpochPlan
from binclf.features import Encoded
from binclf.loader.store import Reader, Store

I64 = npt.NDArray[np.int64]


class Balanced:
    """Rows of a store, their weights times a factor that makes both classes weigh half.

    The factors are scikit-learn's, W / (2 W of the class), so that all rows weigh W as before; in float32,
    as weights are held.
    """

    def __init__(self, store: Store, weight: float, base_rate: float) -> None:
        """A store, the weight of its rows, and the share of it that is positive."""
        self.store, self.source = store, store.source
        shares = np.array([1 - base_rate, base_rate])
        self.factors = (0.5 / shares).astype(np.float32)
        weights = weight * shares * self.factors.astype(np.float64)
        self.weight, self.base_rate = float(weights.sum()), float(weights[1] / weights.sum())

    @property
    def product(self) -> float:
        """Of the classes' factors."""
        return float(self.factors.astype(np.float64).prod())

    @property
    def row_bytes(self) -> int:
        """Bytes of a row as the model takes it."""
        return self.store.row_bytes

    def reader(self, plan: EpochPlan, rank: int, ranks: int) -> BalancedReader:
        """The rank's rows in the order of an epoch."""
        return BalancedReader(self, self.store.reader(plan, rank, ranks))

    def encoded(self, group: int) -> Encoded:
        """One row group."""
        return self.weighed(self.store.encoded(group))

    def kept(self, group: int) -> Encoded:
        """The same, its rows as the store keeps them."""
        return self.weighed(self.store.kept(group))

    def weighed(self, rows: Encoded) -> Encoded:
        """Rows with their weights here."""
        factors = self.factors[rows.y]
        return replace(rows, w=factors if rows.w is None else rows.w * factors)


class BalancedReader:
    """Rows in the order of an epoch."""

    def __init__(self, store: Balanced, rows: Reader) -> None:
        """A store, and a reader of the one beneath it."""
        self.store, self.rows = store, rows

    def read(self, first: int, end: int) -> tuple[Encoded, I64]:
        """The rank's rows of the positions [first, end), and their canonical numbers."""
        encoded, numbers = self.rows.read(first, end)
        return self.store.weighed(encoded), numbers

"""Loss, gradient and Hessian over all rows of train, the same bits for any number of ranks.

Rows are taken by blocks, runs of row groups that follow from the row counts alone. A block is added up by
one thread in the order of its rows, blocks as integers (`ExactSum`): who worked out which leaves no trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binclf import kernels
from binclf.features import Encoder, Features
from binclf.loader import Store
from binclf.loader.source import ahead, threads
from binclf.solvers.exact import ExactSum
from binclf.world import World

F64 = npt.NDArray[np.float64]

LEAST_ROWS = 16384  # of a block
ROWS_A_WEIGHT = 64  # and for each weight: a Hessian is turned to integers once a block


@dataclass(frozen=True, slots=True)
class Sums:
    """Over all rows, at one point; of p weights: those of x, of the table, and the intercept last."""

    weight: float  # of the rows
    loss: float  # w (log(1 + exp(z)) - y z)
    gradient: F64  # [p]
    hessian: F64  # [p, p]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a row's logit is made of: at most so many times each of p weights."""

    magnitudes: F64  # [p], the largest that each is multiplied with in any row of train
    table: slice  # the places of the table, of which a row has one for each
    categories: int  # categorical column

    @classmethod
    def of(cls, features: Features) -> Terms:
        """From what was learnt of the columns."""
        x = np.ones(features.width)
        for place, column in enumerate(features.numeric):
            ends = [column.low, column.high]
            if column.is_log1p:
                ends = [float(np.sign(end) * np.log1p(abs(end))) for end in ends]
            furthest = max(abs(end - column.centre) for end in [*ends, column.fill])
            # the centre is subtracted as float32 holds it
            x[place] = (furthest + abs(column.centre) * 2.0**-23) / column.scale
        # levels are one to a column; in a bucket, a row's columns may come together
        times = max(sum(column.is_hashed for column in features.categorical), 1)
        table = np.full(features.table_size, float(times))
        magnitudes = np.concatenate([x * (1 + 1e-4) + 1e-30, table, [1.0]])
        places = slice(features.width, features.width + features.table_size)
        return cls(magnitudes, places, len(features.categorical))


def blocks_of(group_rows: Sequence[int], least: int) -> list[range]:
    """Row groups by runs of at least so many rows, but for the last; empty ones are left out."""
    blocks: list[range] = []
    first, rows = 0, 0
    for group, more in enumerate(group_rows):
        rows += more
        if rows >= least:
            blocks.append(range(first, group + 1))
            first, rows = group + 1, 0
    if rows:
        blocks.append(range(first, len(group_rows)))
    return blocks


class Reducer:
    """Sums over the rows of one store, which all ranks ask for alike."""

    def __init__(self, store: Store, features: Features, weight: float, world: World) -> None:
        """A store with features attached; the weight of its rows."""
        self.store, self.features, self.weight, self.world = store, features, weight, world
        self.size = features.width + features.table_size + 1
        self.terms = Terms.of(features)
        self.blocks = blocks_of(store.source.group_rows, max(LEAST_ROWS, ROWS_A_WEIGHT * self.size))
        self._upper = np.triu_indices(self.size)
        self._blanks = Encoder(features).blanks

    def at(self, point: F64, blocks: Sequence[range] | None = None) -> Sums:
        """All sums at a point, float64 [p]; of some blocks only, if they are named.

        Raises:
            OverflowError: the weights are so large that the loss has no bound.
        """
        chosen = self.blocks if blocks is None else blocks
        total = ExactSum(self._bounds(point), max(len(chosen), 1))
        own, rows = chosen[self.world.rank :: self.world.size], 0
        for count, values in ahead(lambda block: self._block(block, point), own, threads()):
            total.add(values, values[0] / self.weight if self.weight else 0.0)
            rows += count
        self._check(int(self.world.sum_integers(np.array([rows]))[0]), chosen)
        found = total.total(self.world)
        hessian = np.zeros((self.size, self.size))
        hessian[self._upper] = found[2 + self.size :]
        hessian += np.triu(hessian, 1).T
        return Sums(float(found[0]), float(found[1]), found[2 : 2 + self.size], hessian)

    def _check(self, rows: int, blocks: Sequence[range]) -> None:
        expected = sum(self.store.source.group_rows[group] for block in blocks for group in block)
        if rows != expected:
            raise AssertionError(f"a pass saw {rows} rows of {expected}: rows were lost or repeated")

    def _bounds(self, point: F64) -> F64:
        """Of weight, loss, gradient and Hessian: |slope| <= w and 0 <= bend <= w / 4."""
        most = self.terms.magnitudes
        furthest = np.log(2) + float(np.abs(point) @ most)
        curved = np.outer(most, most)[self._upper] / 4
        return self.weight * np.concatenate([[1.0, furthest], most, curved])

    def _block(self, groups: Sequence[int], point: F64) -> tuple[int, F64]:
        """Rows of a block; and its weight, loss, gradient and upper triangle of the Hessian, end to end."""
        width, size = self.features.width, self.features.table_size
        found = kernels.Curvature(np.append(point[:width], point[-1]), point[width:-1], self._blanks)
        weight, count = 0.0, 0
        for group in groups:
            rows = self.store.kept(group)
            found.add(rows.x, rows.ids, rows.y, rows.w)
            weight += len(rows) if rows.w is None else float(rows.w.sum(dtype=np.float64))
            count += len(rows)
        return count, np.concatenate([[weight, found.loss], self._flat(found, width, size)])

    def _flat(self, found: kernels.Curvature, width: int, size: int) -> F64:
        """Gradient and upper triangle of the Hessian, with the intercept last."""
        if not size:
            return np.concatenate([found.gradient, found.hessian[self._upper]])
        hessian = np.empty((self.size, self.size))
        hessian[:width, :width] = found.hessian[:width, :width]
        hessian[:width, -1] = found.hessian[:width, width]
        hessian[-1, -1] = found.hessian[width, width]
        hessian[:width, width:-1] = found.mixed[:, :width].T
        hessian[width:-1, -1] = found.mixed[:, width]
        hessian[width:-1, width:-1] = found.pairs
        gradient = np.concatenate([found.gradient[:width], found.table_gradient, found.gradient[width:]])
        return np.concatenate([gradient, hessian[self._upper]])

"""Loss and gradient over all rows of train, for millions of weights; the same bits for any number of ranks.

Sums of numbers are taken block by block, as in `blocks`. Those of the table would be as many as its places
for each block; so each row's slope is rounded to a whole number of units, and added to an array of int64
that each thread has. Integers add up exactly in any order: who had which row leaves no trace.

The unit is u = 2^(e - 62), with t W < 2^e, W the weight of all rows and t how often a row may have one
place. A row's slope is at most its weight, so a sum's magnitude is at most t (W / u + N / 2), below 2^63
for all N that there can be. Each of the n rows of a place is off by u / 2 at most, so a mean gradient by t
n 2^-62, and as roundings average out by t sqrt(n) 2^-63 as a rule: of 10^10 rows, 1e-14.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from queue import SimpleQueue

import numpy as np
import numpy.typing as npt

from binclf import kernels
from binclf.features import Encoder, Features
from binclf.loader.source import ahead, threads
from binclf.solvers.blocks import Rows, furthest, times_of
from binclf.solvers.cuts import blocks_of, least_rows
from binclf.solvers.exact import LEAST, SLACK, ExactSum
from binclf.world import World

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

BITS = 62  # of a sum of the table
TABLE_BYTES = 2**30  # of all threads' tables: where they are large, fewer threads have one
TOTALS = 4  # weight, loss, |slope| and bend, which a block's sums begin with


@dataclass(frozen=True, slots=True)
class Totals:
    """Over all rows, at one point."""

    weight: float  # of the rows
    loss: float  # w (log(1 + exp(z)) - y z)
    size: float  # w |p - y|
    bend: float  # w p (1 - p)


@dataclass(frozen=True, slots=True)
class First:
    """What is known once, where all rows have the same probability."""

    diagonal: F64  # [p], of the Hessian; of columns in one bucket, as if they were never there together
    one_sided: npt.NDArray[np.bool_]  # [V], places whose rows, as far as they weigh anything, have one class


@dataclass(frozen=True, slots=True)
class _Sums:
    """Over all rows: of numbers the totals, gradient and squares end to end; of places, in units."""

    numbers: F64  # [TOTALS + F + 1, and F + 1 of a first look]
    slopes: I64  # [V]
    sizes: I64  # [V]; empty but for a first look


def workers(size: int) -> int:
    """Threads that add up rows, of a table of so many places."""
    return max(1, min(threads(), TABLE_BYTES // (8 * max(size, 1))))


class Slopes:
    """Sums over the rows of one store, which all ranks ask for alike."""

    def __init__(self, store: Rows, features: Features, weight: float, world: World) -> None:
        """A store with features attached; the weight of its rows."""
        self.store, self.features, self.weight, self.world = store, features, weight, world
        self.size = features.width + features.table_size + 1
        self.most = np.append(furthest(features), 1.0)  # [F + 1], of the intercept too
        self.blocks = blocks_of(store.source.group_rows, least_rows(0))
        self._blanks = Encoder(features).blanks
        largest = math.frexp(times_of(features) * weight * SLACK)[1]
        self._unit = math.ldexp(1.0, max(largest, LEAST) - BITS)
        self._tables: list[I64] = []  # kept from pass to pass

    @property
    def longest(self) -> float:
        """A bound of a row's length, sqrt(sum of squares), without the intercept."""
        hashed = sum(column.is_hashed for column in self.features.categorical)
        levelled = len(self.features.categorical) - hashed
        return math.sqrt(float((self.most[:-1] ** 2).sum()) + levelled + hashed**2)

    def reach(self, point: F64) -> float:
        """The most that a logit can be at a point, float64 [p]."""
        width, columns = self.features.width, len(self.features.categorical)
        table = max(float(point[width:-1].max(initial=0)), -float(point[width:-1].min(initial=0)))
        return float((np.abs(point[:width]) * self.most[:-1]).sum()) + abs(float(point[-1])) + columns * table

    def at(self, point: F64) -> tuple[Totals, F64]:
        """Totals and gradient at a point, both float64 [p]: weights of x, of the table, the intercept last.

        Raises:
            OverflowError: the weights are so large that the loss has no bound.
        """
        return self._split(self._sums(point, is_first=False))

    def first(self, point: F64) -> tuple[Totals, F64, First]:
        """The same where the intercept alone says a base rate, and what is known there."""
        found, rate = self._sums(point, is_first=True), 1 / (1 + math.exp(-point[-1]))
        squares, width = found.numbers[TOTALS + len(self.most) :], self.features.width
        # rows of the negative class have a slope of w p, those of the positive of -w (1 - p)
        larger = np.abs(found.slopes)  # by so much than the other class's
        both = found.sizes - larger
        diagonal = np.empty(self.size)
        diagonal[:width], diagonal[-1] = squares[:-1], squares[-1]
        diagonal[width:-1] = both * (self._unit / 2)
        diagonal[width:-1] += larger * np.where(found.slopes > 0, 1 - rate, rate) * self._unit
        return *self._split(found), First(diagonal, (both == 0) & (larger > 0))

    def _split(self, found: _Sums) -> tuple[Totals, F64]:
        width, numbers = self.features.width, found.numbers[TOTALS : TOTALS + len(self.most)]
        gradient = np.empty(self.size)
        gradient[:width], gradient[-1] = numbers[:-1], numbers[-1]
        np.multiply(found.slopes, self._unit, out=gradient[width:-1])
        return Totals(*found.numbers[:TOTALS].tolist()), gradient

    def _sums(self, point: F64, *, is_first: bool) -> _Sums:
        """Over all ranks, which must all ask; of a first look sizes and squares too."""
        width = self.features.width
        slopes, table = np.append(point[:width], point[-1]), point[width:-1]
        most = [self.most, *([self.most**2 / 4] if is_first else [])]
        bounds = self.weight * np.concatenate([[1.0, np.log(2) + self.reach(point), 1.0, 1.0], *most])
        total, seen = ExactSum(bounds, max(len(self.blocks), 1)), 0
        places, free = self._places(is_first=is_first), SimpleQueue[kernels.Places]()
        for each in places:
            free.put(each)

        def of(block: range) -> tuple[int, F64]:
            own = free.get()  # there are as many as threads
            try:
                return self._of(block, kernels.Slopes(slopes, table, self._blanks, own))
            finally:
                free.put(own)

        for count, values in ahead(of, self.blocks[self.world.rank :: self.world.size], len(places)):
            total.add(values, values[0] / self.weight if self.weight else 0.0)
            seen += count
        self._check(seen)
        sizes = [each.sizes for each in places if each.sizes is not None]
        return _Sums(
            total.total(self.world),
            self._joined([each.slopes for each in places]),
            self._joined(sizes) if is_first else np.zeros(0, dtype=np.int64),
        )

    def _of(self, block: range, found: kernels.Slopes) -> tuple[int, F64]:
        """Rows of a block, added up by one thread: how many; and their weight and sums, end to end."""
        count, weight = 0, 0.0
        for rows in map(self.store.kept, block):
            found.add(rows.x, rows.ids, rows.y, rows.w)
            weight += len(rows) if rows.w is None else float(rows.w.sum(dtype=np.float64))
            count += len(rows)
        squares = [] if found.places.sizes is None else [found.squares]
        return count, np.concatenate([[weight], found.totals, found.gradient, *squares])

    def _places(self, *, is_first: bool) -> list[kernels.Places]:
        """Zeros for each thread."""
        size = self.features.table_size
        self._tables = self._tables or [np.empty(size, dtype=np.int64) for _ in range(workers(size))]
        for table in self._tables:
            table.fill(0)
        sizes = [np.zeros(size, dtype=np.int64) if is_first else None for _ in self._tables]
        return [kernels.Places(self._unit, *own) for own in zip(self._tables, sizes, strict=True)]

    def _joined(self, tables: list[I64]) -> I64:
        """The sum of all threads' and ranks' tables; the first of them is changed."""
        for other in tables[1:]:
            tables[0] += other
        return self.world.sum_integers(tables[0])

    def _check(self, seen: int) -> None:
        """Whether all ranks together saw each row once; they must all ask."""
        self.world.meet()
        rows, expected = int(self.world.sum_integers(np.array([seen]))[0]), self.store.source.rows
        if rows != expected:
            raise AssertionError(f"a pass saw {rows} rows of {expected}: rows were lost or repeated")

"""Loss, gradient and Hessian over all rows of train, the same bits for any number of ranks.

Rows are taken by blocks, runs of row groups that follow from the row counts alone. A block is added up by
one thread in the order of its rows, blocks as integers (`ExactSum`): who worked out which leaves no trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from binclf import kernels
from binclf.features import Encoded, Encoder, Features
from binclf.loader.source import Source, ahead, threads
from binclf.solvers.bundles import Bundle
from binclf.solvers.cuts import blocks_of, least_rows, within
from binclf.solvers.exact import ExactSum
from binclf.world import World, doing

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sums:
    """Over all rows, at one point; of p weights: those of x, of the table, and the intercept last."""

    weight: float  # of the rows
    loss: float  # w (log(1 + exp(z)) - y z)
    gradient: F64  # [p]
    hessian: F64  # [p, p]
    own: ExactSum | None = None  # what this rank added up, bundle by bundle, where they are kept apart


@dataclass(frozen=True, slots=True)
class Terms:
    """What a row's logit is made of: at most so many times each of p weights."""

    magnitudes: F64  # [p], the largest that each is multiplied with in any row of train
    table: slice  # the places of the table, of which a row has one for each
    categories: int  # categorical column

    @classmethod
    def of(cls, features: Features) -> Terms:
        """From what was learnt of the columns."""
        table = np.full(features.table_size, float(times_of(features)))
        magnitudes = np.concatenate([furthest(features), table, [1.0]])
        places = slice(features.width, features.width + features.table_size)
        return cls(magnitudes, places, len(features.categorical))


def furthest(features: Features) -> F64:
    """The largest magnitude of each column of x in any row of train, float64 [F]."""
    x = np.ones(features.width)
    for place, column in enumerate(features.numeric):
        ends = [column.low, column.high]
        if column.is_log1p:
            ends = [float(np.sign(end) * np.log1p(abs(end))) for end in ends]
        most = max(abs(end - column.centre) for end in [*ends, column.fill])
        # the centre is subtracted as float32 holds it
        x[place] = (most + abs(column.centre) * 2.0**-23) / column.scale
    return x * (1 + 1e-4) + 1e-30


def times_of(features: Features) -> int:
    """How often a row may have one place: levels are one to a column; in a bucket, columns may meet."""
    return max(sum(column.is_hashed for column in features.categorical), 1)


class Summation:
    """Sums at a point, block by block, whoever has which block."""

    def __init__(
        self,
        features: Features,
        point: F64,
        weight: float,
        most: F64,
        blocks: int,
        *,
        parts: int = 0,
        squared: bool = False,
    ) -> None:
        """Nothing added yet.

        Args:
            features: that rows are encoded with.
            point: float64 [p].
            weight: of all rows.
            most: times that a row's logit has each weight, float64 [p].
            blocks: how many there are, over all ranks.
            parts: how many sums are kept apart; 0: none are.
            squared: whether the rows' squared slopes take the place of their bends in the Hessian.

        Raises:
            OverflowError: the point is so far away that the loss has no bound.
        """
        self.features, self.point, self.weight, self.squared = features, point, weight, squared
        self.rows = 0  # that were added
        self._upper = np.triu_indices(len(point))
        self._blanks = Encoder(features).blanks
        self._total = ExactSum(self._bounds(most), max(blocks, 1), max(parts, 1))
        self._is_kept = parts > 0

    def of(self, pieces: Iterable[Encoded]) -> tuple[int, F64]:
        """Rows of a block, given in pieces of multiples of 64 rows but for the last of each row group.

        Returns how many; and their weight, loss, gradient and upper triangle of the Hessian, end to end.
        """
        found = curvature_at(self.features, self.point, self._blanks, squared=self.squared)
        weight, count = 0.0, 0
        for rows in pieces:
            found.add(rows.x, rows.ids, rows.y, rows.w)
            doing.step()
            weight += len(rows) if rows.w is None else float(rows.w.sum(dtype=np.float64))
            count += len(rows)
        return count, np.concatenate([[weight, found.loss], flat(self.features, found)])

    def add(self, count: int, values: F64, part: int = 0) -> None:
        """Add what `of` gave, to one of the parts; by one thread at a time.

        Raises:
            OverflowError: a value is beyond what `most` allows, or is none.
        """
        self._total.add(values, values[0] / self.weight if self.weight else 0.0, part)
        self.rows += count

    def total(self, world: World, expected: int) -> Sums:
        """Over all ranks, the same bits on all of them; they must all ask, and have seen so many rows."""
        world.meet()
        rows = int(world.sum_integers(np.array([self.rows]))[0])
        if rows != expected:
            raise AssertionError(f"a pass saw {rows} rows of {expected}: rows were lost or repeated")
        found, size = self._total.total(world), len(self.point)
        hessian = square(size, found[2 + size :])
        own = self._total if self._is_kept else None
        return Sums(float(found[0]), float(found[1]), found[2 : 2 + size], hessian, own)

    def _bounds(self, most: F64) -> F64:
        """Of weight, loss, gradient and Hessian: |slope| <= w, 0 <= bend <= w / 4.

        Squared slopes are at most w^2, of a block at most the product of its weight and that of all rows.
        """
        furthest = np.log(2) + float(np.abs(self.point) @ most)
        curved = np.outer(most, most)[self._upper] * (self.weight if self.squared else 0.25)
        return self.weight * np.concatenate([[1.0, furthest], most, curved])


def curvature_at(
    features: Features, point: F64, blanks: kernels.Blanks, *, squared: bool = False
) -> kernels.Curvature:
    """Sums over no rows yet, at a point, float64 [p]."""
    width = features.width
    return kernels.Curvature(np.append(point[:width], point[-1]), point[width:-1], blanks, squared=squared)


def flat(features: Features, found: kernels.Curvature) -> F64:
    """Gradient and upper triangle of the Hessian end to end, with the intercept last."""
    width, size = features.width, features.width + features.table_size + 1
    upper = np.triu_indices(size)
    if not features.table_size:
        return np.concatenate([found.gradient, found.hessian[upper]])
    hessian = np.empty((size, size))
    hessian[:width, :width] = found.hessian[:width, :width]
    hessian[:width, -1] = found.hessian[:width, width]
    hessian[-1, -1] = found.hessian[width, width]
    hessian[:width, width:-1] = found.mixed[:, :width].T
    hessian[width:-1, -1] = found.mixed[:, width]
    hessian[width:-1, width:-1] = found.pairs
    gradient = np.concatenate([found.gradient[:width], found.table_gradient, found.gradient[width:]])
    return np.concatenate([gradient, hessian[upper]])


def square(size: int, triangle: F64) -> F64:
    """The symmetric matrix [p, p] of an upper triangle, row after row."""
    whole = np.zeros((size, size))
    whole[np.triu_indices(size)] = triangle
    whole += np.triu(whole, 1).T
    return whole


class Rows(Protocol):
    """What is asked of a store."""

    source: Source

    def kept(self, group: int) -> Encoded:
        """The rows of a row group; of x perhaps the numbers alone, NaN where missing."""


class Reducer:
    """Sums over the rows of one store, which all ranks ask for alike."""

    def __init__(
        self,
        store: Rows,
        features: Features,
        weight: float,
        world: World,
        bundles: Sequence[Bundle] = (),
    ) -> None:
        """A store with features attached; the weight of its rows; files whose sums are kept apart, if any."""
        self.store, self.features, self.weight, self.world = store, features, weight, world
        self.size = features.width + features.table_size + 1
        self.terms = Terms.of(features)
        rows, least = store.source.group_rows, least_rows(self.size)
        self._parts = {
            block: part for part, bundle in enumerate(bundles) for block in within(bundle.groups, rows, least)
        }
        self.blocks = list(self._parts) if bundles else blocks_of(rows, least)
        self._bundles = len(bundles)

    def at(self, point: F64, blocks: Sequence[range] | None = None, *, squared: bool = False) -> Sums:
        """All sums at a point, float64 [p]; of some blocks only, if they are named.

        If `squared`, the rows' scores' own products, slope^2 u u', take the place of the Hessian.

        Raises:
            OverflowError: the weights are so large that the loss has no bound.
        """
        doing.stage("a pass over the rows of train")
        chosen, kept = self.blocks if blocks is None else blocks, self.store.kept
        most = self.terms.magnitudes
        parts = self._bundles if chosen == self.blocks and not squared else 0
        found = Summation(self.features, point, self.weight, most, len(chosen), parts=parts, squared=squared)
        own = chosen[self.world.rank :: self.world.size]
        made = ahead(lambda block: found.of(map(kept, block)), own, threads())
        for block, (count, values) in zip(own, made, strict=True):
            found.add(count, values, self._parts[block] if parts else 0)
        rows = self.store.source.group_rows
        return found.total(self.world, sum(rows[group] for block in chosen for group in block))

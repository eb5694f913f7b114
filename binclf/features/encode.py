"""Decoded blocks to what the model takes, by what was learnt.

x = (r - d) / scale with r the block's float32 residual and d = centre - block's centre: elementwise and in
float32, so that any grouping of rows, in any tier, has the same bits; and as exact as float32 holds, for
r - d is exact where the two are near each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binclf.features.block import Block
from binclf.features.lookup import Lookup
from binclf.features.records import Features

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]

FOLD = 2048  # numbers of a row of folded rows


@dataclass(frozen=True, slots=True)
class Encoded:
    """n rows as the model takes them."""

    x: F32  # [n, F]
    ids: I32  # [n, C]
    y: npt.NDArray[np.int8]  # [n] 0 or 1
    w: F32 | None  # [n]; None: all 1

    def __len__(self) -> int:
        """Rows."""
        return len(self.y)

    def take(self, places: I64) -> Encoded:
        """Rows by their places, copied."""
        w = None if self.w is None else self.w.take(places)
        return Encoded(self.x.take(places, axis=0), self.ids.take(places, axis=0), self.y.take(places), w)

    def between(self, low: int, high: int) -> Encoded:
        """Rows [low, high), a view."""
        w = None if self.w is None else self.w[low:high]
        return Encoded(self.x[low:high], self.ids[low:high], self.y[low:high], w)

    def put(self, rows: slice, source: Encoded) -> None:
        """Write other rows over these."""
        self.x[rows], self.ids[rows], self.y[rows] = source.x, source.ids, source.y
        if self.w is not None:
            self.w[rows] = source.w

    @classmethod
    def joined(cls, pieces: Sequence[Encoded]) -> Encoded:
        """Pieces end to end, copied unless it is only one."""
        if len(pieces) == 1:
            return pieces[0]
        weights = [piece.w for piece in pieces if piece.w is not None]
        return cls(
            np.concatenate([piece.x for piece in pieces]),
            np.concatenate([piece.ids for piece in pieces]),
            np.concatenate([piece.y for piece in pieces]),
            np.concatenate(weights) if weights else None,
        )


class Encoder:
    """Applies `Features` to blocks."""

    def __init__(self, features: Features) -> None:
        """Take the learnt constants as arrays, each [numeric columns]."""
        self.features = features
        columns = features.numeric
        self.centre = np.array([c.centre for c in columns], dtype=np.float64)
        scale = np.array([c.scale for c in columns], dtype=np.float64)
        self.inverse = (1.0 / scale).astype(np.float32)
        fill = np.array([c.fill for c in columns], dtype=np.float64)
        self.fill = ((fill - self.centre) / scale).astype(np.float32)
        self.indicator = [c.indicator for c in columns]
        self.lookups = [Lookup(features, place) for place in range(len(features.categorical))]

    @property
    def row_bytes(self) -> int:
        """Bytes of an encoded row: numbers, ids, label."""
        return 4 * (self.features.width + len(self.lookups)) + 4

    def standardise(self, residuals: F32, centre: F64, out: F32) -> None:
        """Standardised numbers float32 [n, columns]; NaN stays NaN. `out` may be `residuals`; contiguous."""
        if not out.flags.c_contiguous:
            raise AssertionError("what is not contiguous would be copied, and the result lost")
        _sweep(np.subtract, residuals, (self.centre - centre).astype(np.float32), out)
        _sweep(np.multiply, out, self.inverse, out)

    def complete(self, numbers: F32, lacking: I64) -> F32:
        """Fill what is missing and append the missing indicators: float32 [n, F].

        Args:
            numbers: standardised, float32 [n, columns]; changed in place.
            lacking: the columns in which a value may be missing.
        """
        x, count = numbers, numbers.shape[1]
        if len(lacking):  # all columns at once: one after the other, each would cost a pass over the rows
            missing = np.isnan(numbers)
            holes = np.flatnonzero(missing)
            np.put(numbers, holes, self.fill[holes % count])
        if self.features.width > count:
            x = np.zeros((len(numbers), self.features.width), dtype=np.float32)
            x[:, :count] = numbers
        for column in lacking.tolist():
            if self.indicator[column] >= 0:
                x[:, self.indicator[column]] = missing[:, column]
        return x

    def tables(self, block: Block) -> list[I32]:
        """Of each categorical column the ids of the block's own codes; the last is null's."""
        return [lookup.ids(hashes) for lookup, hashes in zip(self.lookups, block.hashes, strict=True)]

    def encode(
        self, block: Block, low: int = 0, high: int | None = None, *, numbers: F32 | None = None
    ) -> Encoded:
        """Rows [low, high) of a block; `numbers` float32 [high - low, columns] is where to work, if given."""
        rows = slice(low, len(block) if high is None else high)
        residuals = block.residuals[rows]
        if numbers is None:
            numbers = np.empty(residuals.shape, dtype=np.float32)
        self.standardise(residuals, block.centre, numbers)
        ids = np.empty((len(residuals), len(self.lookups)), dtype=np.int32)
        for place, table in enumerate(self.tables(block)):
            ids[:, place] = table.take(block.codes[place, rows], mode="wrap")
        weights = None if block.weights is None else block.weights[rows].astype(np.float32)
        x = self.complete(numbers, np.flatnonzero(block.missing))
        return Encoded(x, ids, block.labels[rows], weights)


def _sweep(operation: np.ufunc, table: F32, by: F32, out: F32) -> None:
    """`operation(table, by, out=out)` for contiguous [n, F] and `by` [F]; `out` may be `table`.

    Where rows lie end to end, 73 rows of 28 columns are one row of 2,044: the same elementwise results, three
    times as fast, for NumPy's loop over 28 numbers costs more than the numbers do.
    """
    many = max(1, FOLD // max(1, len(by)))
    whole = len(table) - len(table) % many
    shape = whole // many, many * len(by)
    operation(table[:whole].reshape(shape), np.tile(by, many), out=out[:whole].reshape(shape))
    operation(table[whole:], by, out=out[whole:])

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

from binclf import kernels
from binclf.features.block import Block
from binclf.features.lookup import Lookup
from binclf.features.numbers import Standard
from binclf.features.records import Features

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]


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
        centre = np.array([c.centre for c in columns], dtype=np.float64)
        scale = np.array([c.scale for c in columns], dtype=np.float64)
        self.standard = Standard(centre, (1.0 / scale).astype(np.float32))
        fill = np.array([c.fill for c in columns], dtype=np.float64)
        self.fill = ((fill - centre) / scale).astype(np.float32)
        self.indicator = np.array([c.indicator for c in columns], dtype=np.int64)
        self.lookups = [Lookup(features, place) for place in range(len(features.categorical))]

    @property
    def blanks(self) -> kernels.Blanks:
        """What stands for missing numbers."""
        fill = np.zeros(self.features.width, dtype=np.float32)
        indicator = np.full(self.features.width, -1, dtype=np.int64)
        fill[: len(self.fill)], indicator[: len(self.fill)] = self.fill, self.indicator
        return kernels.Blanks(fill, indicator)

    @property
    def row_bytes(self) -> int:
        """Bytes of an encoded row: numbers, ids, label."""
        return 4 * (self.features.width + len(self.lookups)) + 4

    def standardise(self, residuals: F32, centre: F64, out: F32) -> None:
        """Standardised numbers float32 [n, columns]; NaN stays NaN. `out` may be `residuals`."""
        kernels.standardise(residuals, *self.standard.of(slice(None), centre), out)

    def complete(self, x: F32, lacking: I64) -> None:
        """Fill what is missing and set the missing indicators.

        Args:
            x: float32 [n, F], standardised numbers in its first columns; changed in place.
            lacking: the columns in which a value may be missing.
        """
        columns = len(self.fill)
        if len(lacking) or x.shape[1] > columns:
            kernels.complete(x, columns, lacking, self.fill, self.indicator)

    def tables(self, block: Block) -> list[I32]:
        """Of each categorical column the ids of the block's own codes; the last is null's."""
        return [lookup.ids(hashes) for lookup, hashes in zip(self.lookups, block.hashes, strict=True)]

    def encode(self, block: Block, low: int = 0, high: int | None = None, *, x: F32 | None = None) -> Encoded:
        """Rows [low, high) of a block; `x` float32 [high - low, F] is where to put the numbers, if given."""
        rows = slice(low, len(block) if high is None else high)
        residuals = block.residuals[rows]
        if x is None:
            x = np.empty((len(residuals), self.features.width), dtype=np.float32)
        self.standardise(residuals, block.centre, x[:, : len(self.fill)])
        self.complete(x, np.flatnonzero(block.missing))
        ids = np.empty((len(residuals), len(self.lookups)), dtype=np.int32)
        kernels.encode(np.ascontiguousarray(block.codes[:, rows]), self.tables(block), ids)
        weights = None if block.weights is None else block.weights[rows].astype(np.float32)
        return Encoded(x, ids, block.labels[rows], weights)

"""Decoded blocks to what the model takes, by what was learnt."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from binclf.features.block import Block
from binclf.features.records import Features
from binclf.features.statistics import transformed

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]


class Encoder:
    """Applies `Features` to blocks: an elementwise function, so that any grouping of rows gives the same."""

    def __init__(self, features: Features) -> None:
        """Take the learnt constants as arrays, each [numeric columns]."""
        self.features = features
        columns = features.numeric
        self.is_log1p = np.array([c.is_log1p for c in columns], dtype=np.bool_)
        self.centre = np.array([c.centre for c in columns])
        self.scale = np.array([c.scale for c in columns])
        self.fill = np.array([c.fill for c in columns])
        self.flagged = np.flatnonzero([c.indicator >= 0 for c in columns])

    def encode(self, block: Block) -> tuple[F32, I32]:
        """X float32 [n, F]: standardised numbers, then missing indicators; ids int32 [n, C]."""
        numbers = len(self.features.numeric)
        x = np.empty((len(block), self.features.width), dtype=np.float32)
        values = transformed(block, self.is_log1p)
        missing = np.isnan(values)
        np.copyto(values, self.fill, where=missing)
        x[:, :numbers] = (values - self.centre) / self.scale
        x[:, numbers:] = missing[:, self.flagged]
        ids = np.empty(block.codes.shape, dtype=np.int32)
        for place in range(len(self.features.categorical)):
            ids[:, place] = self.features.ids(place, block.values[place])[block.codes[:, place]]
        return x, ids

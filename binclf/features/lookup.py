"""A categorical column's values to places in the weight vector, by their 64-bit hashes and all at once.

A value is known by its hash: among a million levels two share one with a chance of 3e-8, and a value never
seen falls on one of a thousand levels with a chance of 5e-17.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from binclf import hashing
from binclf.features.block import text_key
from binclf.features.records import FIRST_LEVEL, NULL, OTHER, Features
from binclf.parquet import Texts

I32 = npt.NDArray[np.int32]


class Lookup:
    """Places of one categorical column's values."""

    def __init__(self, features: Features, place: int) -> None:
        """The column at `place` of `features.categorical`."""
        column = features.categorical[place]
        self.key = text_key(column.name)
        self.is_hashed, self.offset = column.is_hashed, np.int32(column.offset)
        self.mask, self.hash_offset = np.uint64(2**features.hash_bits - 1), np.int32(features.hash_offset)
        self.null = np.int32(int(hashing.mix(np.uint64(self.key))) & int(self.mask))  # bucket, where hashed
        hashes = Texts.of(column.levels).hashes(self.key)
        order = np.argsort(hashes, kind="stable")
        self.known = hashes[order]
        self.ids_of_known = (order + FIRST_LEVEL).astype(np.int32)

    def ids(self, hashes: hashing.U64) -> I32:
        """Places of values by their hashes uint64 [n], and of null: int32 [n + 1].

        The last entry is null's, so that a code of -1 finds it.
        """
        if self.is_hashed:
            buckets = np.empty(len(hashes) + 1, dtype=np.int32)
            np.bitwise_and(hashes, self.mask, out=buckets[:-1], casting="unsafe")
            buckets[-1] = self.null
            buckets += self.hash_offset
            return buckets
        found = np.full(len(hashes) + 1, OTHER, dtype=np.int32)
        if len(self.known):
            places = np.minimum(np.searchsorted(self.known, hashes), len(self.known) - 1)
            found[:-1] = np.where(self.known[places] == hashes, self.ids_of_known[places], OTHER)
        found[-1] = NULL
        return found + self.offset

    def ids_of_texts(self, texts: Texts) -> I32:
        """`ids` of texts."""
        return self.ids(texts.hashes(self.key))

"""Counting the levels of a categorical column; above a limit, only which hash buckets are filled.

Counts are integers and buckets are bits, so that merging is exact in any order: the same for any number of
ranks. Values are counted by their hashes, a block's all at once; a text becomes a Python object only while
its column has few enough levels to name them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf import hashing, kernels
from binclf.features.block import Block, text_key
from binclf.parquet import Texts

I64 = npt.NDArray[np.int64]


class LevelCounts:
    """Rows per level of one column, until there are more levels than `limit`."""

    def __init__(self, name: str, limit: int, bits: int) -> None:
        """Nothing counted yet; a column with more than `limit` values is counted by its 2^bits buckets."""
        self.name, self.limit, self.bits = name, limit, bits
        self.missing = 0
        self.hashes = np.zeros(0, dtype=np.uint64)  # sorted
        self.counts = np.zeros(0, dtype=np.int64)  # of each hash
        self.text_of: dict[int, str] = {}  # by hash
        self.filled: npt.NDArray[np.bool_] | None = None  # bool [2^bits]; None: still counting levels

    @property
    def rows(self) -> dict[str, int]:
        """Rows per level; empty once the column is hashed."""
        pairs = zip(self.hashes.tolist(), self.counts.tolist(), strict=True)
        return {self.text_of[key]: count for key, count in pairs}

    def add(self, block: Block, place: int) -> None:
        """Count one block's column."""
        texts, hashes = block.texts[place], block.hashes[place]
        counts = block.counts[place] if block.counts else kernels.tally(block.codes[place], len(texts))
        self.missing += int(counts[0])
        counts = counts[1:]
        if self.filled is not None:
            kernels.mark(hashes, counts, self.filled)
        elif counts.all():
            self._merge(hashes, counts, texts)
        else:  # a filter or the writer has left values without rows
            present = np.flatnonzero(counts)
            self._merge(hashes[present], counts[present], texts, present)

    def merge(self, record: Mapping[str, Any]) -> None:
        """Add what another rank counted (its `as_json`)."""
        self.missing += record["missing"]
        if record["filled"]:
            packed = np.frombuffer(bytes.fromhex(record["filled"]), dtype=np.uint8)
            filled = self._filled()
            filled |= np.unpackbits(packed, count=2**self.bits).view(np.bool_)
        else:
            texts = Texts.of(record["rows"])
            counts = np.array(list(record["rows"].values()), dtype=np.int64)
            self._merge(texts.hashes(text_key(self.name)), counts, texts)

    def as_json(self) -> dict[str, Any]:
        """What was counted, for another rank."""
        filled = "" if self.filled is None else np.packbits(self.filled).tobytes().hex()
        return {"missing": self.missing, "rows": self.rows, "filled": filled}

    @property
    def distinct(self) -> int:
        """Distinct values; of a hashed column an estimate (linear counting, Whang et al. 1990)."""
        if self.filled is None:
            return len(self.hashes)
        size, used = len(self.filled), int(self.filled.sum())
        return round(-size * math.log1p(-min(used, size - 1) / size))

    def _merge(self, hashes: hashing.U64, counts: I64, texts: Texts, places: I64 | None = None) -> None:
        """Add counts by hash; text `places[i]` of `texts` is the one of hash i, text i without places."""
        if self.filled is None:
            if self._add_known(hashes, counts):
                return
            both = np.concatenate([self.hashes, hashes])
            distinct, place = np.unique(both, return_inverse=True)
            if len(distinct) <= self.limit:
                known = np.isin(hashes, self.hashes)
                for i in np.flatnonzero(~known).tolist():
                    self.text_of[int(hashes[i])] = texts[i if places is None else int(places[i])]
                totals = np.zeros(len(distinct), dtype=np.int64)
                np.add.at(totals, place, np.concatenate([self.counts, counts]))
                self.hashes, self.counts = distinct, totals
                return
        kernels.mark(hashes, counts, self._filled())

    def _add_known(self, hashes: hashing.U64, counts: I64) -> bool:
        """Add counts of levels that all were seen before, as after some row groups they mostly are."""
        if not len(self.hashes):
            return False
        places = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        if not np.array_equal(self.hashes[places], hashes):
            return False
        np.add.at(self.counts, places, counts)
        return True

    def _filled(self) -> npt.NDArray[np.bool_]:
        """From now on by buckets."""
        if self.filled is None:
            self.filled = np.zeros(2**self.bits, dtype=np.bool_)
            kernels.mark(self.hashes, self.counts, self.filled)
            self.hashes, self.counts = self.hashes[:0], self.counts[:0]
            self.text_of.clear()
        return self.filled

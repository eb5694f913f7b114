"""Counting the levels of a categorical column; above a limit, only which hash buckets are filled.

Counts are integers and buckets are bits, so that merging is exact in any order: the same for any number of
ranks.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf import hashing
from binclf.features.block import Block
from binclf.parquet.columns import hash_texts


class LevelCounts:
    """Rows per level of one column, until there are more levels than `limit`."""

    def __init__(self, name: str, limit: int, bits: int) -> None:
        """Nothing counted yet; a column with more than `limit` values is counted by its 2^bits buckets."""
        self.name, self.limit, self.bits = name, limit, bits
        self.missing = 0
        self.rows: Counter[str] = Counter()
        self.filled: npt.NDArray[np.bool_] | None = None  # bool [2^bits]; None: still counting levels

    def add(self, block: Block, place: int) -> None:
        """Count one block's column."""
        codes, values = block.codes[:, place], block.values[place]
        counts = np.bincount(codes + 1, minlength=len(values) + 1)
        self.missing += int(counts[0])
        present = np.flatnonzero(counts[1:])
        self._merge({values[i]: int(counts[i + 1]) for i in present})

    def merge(self, record: Mapping[str, Any]) -> None:
        """Add what another rank counted (its `as_json`)."""
        self.missing += record["missing"]
        if record["filled"]:
            packed = np.frombuffer(bytes.fromhex(record["filled"]), dtype=np.uint8)
            self._fill(np.unpackbits(packed, count=2**self.bits).astype(bool))
        else:
            self._merge(record["rows"])

    def as_json(self) -> dict[str, Any]:
        """What was counted, for another rank."""
        filled = "" if self.filled is None else np.packbits(self.filled).tobytes().hex()
        return {"missing": self.missing, "rows": dict(self.rows), "filled": filled}

    @property
    def distinct(self) -> int:
        """Distinct values; of a hashed column an estimate (linear counting, Whang et al. 1990)."""
        if self.filled is None:
            return len(self.rows)
        size, used = len(self.filled), int(self.filled.sum())
        return round(-size * math.log1p(-min(used, size - 1) / size))

    def _merge(self, rows: Mapping[str, int]) -> None:
        if self.filled is not None:
            self._fill(self._buckets(list(rows)))
            return
        for value, count in rows.items():
            self.rows[value] += count
        if len(self.rows) > self.limit:
            values = list(self.rows)
            self.rows.clear()
            self._fill(self._buckets(values))

    def _fill(self, filled: npt.NDArray[np.bool_]) -> None:
        if self.filled is None:
            self.filled = self._buckets(list(self.rows))
            self.rows.clear()
        self.filled |= filled

    def _buckets(self, values: list[str]) -> npt.NDArray[np.bool_]:
        filled = np.zeros(2**self.bits, dtype=np.bool_)
        mask = np.uint64(2**self.bits - 1)
        hashed = hash_texts(values, hashing.key("bucket", self.name))
        filled[(hashed & mask).astype(np.int64)] = True
        return filled

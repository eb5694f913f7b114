"""Every metric again for each value of some columns, so that a bad slice cannot hide in a good mean.

A column with more than 200 values is no slice: it is told as such, whatever order its values came in.
"""

from __future__ import annotations

import json
import threading
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.hashing import U64
from binclf.metrics.summary import metrics
from binclf.metrics.tally import Tally
from binclf.parquet import Texts

F64 = npt.NDArray[np.float64]

MOST_LEVELS = 200
BINS = 2**12  # of a slice's histogram
LEFT_OUT = (
    "gains",
    "gains_bound",
    "ks",
    "ks_bound",
    "ks_threshold",
    "pr_auc_bound",
    "brier_within",
)  # what the whole has and a slice has not

Levels = dict[str | None, Tally]  # None: rows where the column is null


class Slices:
    """A tally for each value of each column."""

    def __init__(self, columns: Sequence[str], empty: Tally) -> None:
        """Nothing yet; each value gets a tally like the empty one."""
        self._empty = empty
        self._lock = threading.Lock()
        self._levels: dict[str, Levels | None] = {name: {} for name in columns}  # None: too many values

    def empty(self) -> Slices:
        """The same of no rows."""
        return Slices(list(self._levels), self._empty)

    def add(
        self,
        column: str,
        values: tuple[npt.NDArray[np.int32], Texts],
        scored: tuple[F64, npt.NDArray[np.int8], F64],
        groups: U64 | None = None,
    ) -> None:
        """Add the rows of one row group; threads may add at once.

        Args:
            column: one of the columns.
            values: codes int32 [n] into its values as text, -1 for null.
            scored: logits, labels and weights, as `Tally.add` takes them.
            groups: hashes of groups, likewise.
        """
        codes, texts = values
        if self._levels[column] is None or not len(codes):
            return
        order = np.argsort(codes, kind="stable")
        present, begins = np.unique(codes[order], return_index=True)
        for code, rows in zip(present.tolist(), np.split(order, begins[1:]), strict=True):
            tally = self._tally(column, None if code < 0 else texts[code])
            if tally is None:
                return
            logits, labels, weights = scored
            tally.add(logits[rows], labels[rows], weights[rows], None if groups is None else groups[rows])

    def merge(self, other: Slices) -> None:
        """Add another's rows."""
        for column, levels in other._levels.items():
            if levels is None:
                self._levels[column] = None
            for level, theirs in (levels or {}).items():
                tally = self._tally(column, level)
                if tally is not None:
                    tally.merge(theirs)

    def told(self) -> dict[str, list[dict[str, Any]] | None]:
        """For each column its values' metrics, most rows first; None where it has too many values."""
        found: dict[str, list[dict[str, Any]] | None] = {}
        for column, levels in self._levels.items():
            rows = [
                {"level": level}
                | {name: value for name, value in metrics(tally).items() if name not in LEFT_OUT}
                for level, tally in (levels or {}).items()
            ]
            rows.sort(key=lambda row: (-row["rows"], row["level"] is None, row["level"]))
            found[column] = None if levels is None else rows
        return found

    def pack(self) -> bytes:
        """For another rank."""
        packed = {
            column: None
            if levels is None
            else [[level, b64encode(tally.pack()).decode()] for level, tally in levels.items()]
            for column, levels in self._levels.items()
        }
        return json.dumps(packed).encode()

    def merge_packed(self, content: bytes) -> None:
        """Add what another rank packed."""
        for column, levels in json.loads(content).items():
            if levels is None:
                self._levels[column] = None
            for level, packed in levels or ():
                tally = self._tally(column, level)
                if tally is not None:
                    tally.merge_packed(b64decode(packed))

    def _tally(self, column: str, level: str | None) -> Tally | None:
        """The tally of a value; None once the column has too many."""
        with self._lock:
            levels = self._levels[column]
            if levels is None:
                return None
            if level not in levels:
                if len(levels) == MOST_LEVELS:
                    self._levels[column] = None
                    return None
                levels[level] = self._empty.empty()
            return levels[level]

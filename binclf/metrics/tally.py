"""What is added up of rows that were scored: over row groups, threads and ranks, in bounded memory.

A tally keeps a few sums of floats, each row group's rounded once and those added up without rounding; and
integers, the confusion and the histogram of scores. So metrics have the same bits whoever added up what.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load, save

from binclf.hashing import U64
from binclf.metrics.clusters import SUMMED, Clusters
from binclf.metrics.histogram import SQUARE_UNIT, Histogram
from binclf.metrics.reliability import WIDE_BINS, log_losses, probability
from binclf.metrics.scores import MOST_BINS, Scores
from binclf.metrics.unrounded import Unrounded

F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
I64 = npt.NDArray[np.int64]

# sums over rows of weight w, label y, probability p, loss l and d = p - y; those of w^2 are for intervals
SUMS = (
    "w", "w y", "w p", "w l", "w d2", "w2 y", "w2 (1-y)", "w2 l y", "w2 l (1-y)", "w2 l2 y", "w2 l2 (1-y)",
    "w2 d", "w2 d2", "w2 d4",
)  # fmt: skip
WIDTH = len(SUMS) + 3 * WIDE_BINS


class Tally:
    """What has been added up of some rows, such as a part's or a slice's."""

    def __init__(
        self,
        threshold: float,
        quantum: float,
        most: int = MOST_BINS,
        edges: F64 | None = None,
        clusters: Clusters | None = None,
    ) -> None:
        """Nothing yet.

        Args:
            threshold: probability from which a row is decided yes.
            quantum: a power of two that turns weights into integers; 0: all rows weigh 1.
            most: distinct scores that have a bin each.
            edges: of the cells that scores are joined in if there are more; None: they never are.
            clusters: what is to be added up by blocks; None: rows are independent.
        """
        self.threshold, self.quantum, self.most, self.edges = threshold, quantum or 1.0, most, edges
        self.clusters = clusters
        self.is_weighted = quantum != 0
        self.rows = 0
        self.confusion = np.zeros((2, 2), dtype=np.int64)  # [label, decision] in units of 1 / quantum
        self._sums = Unrounded(WIDTH)
        self._scores = Scores(4 if self.is_weighted else 2, most, edges)
        self._lock = threading.Lock()

    def empty(self) -> Tally:
        """The same of no rows."""
        clusters = self.clusters.empty() if self.clusters else None
        quantum = self.quantum if self.is_weighted else 0.0
        return Tally(self.threshold, quantum, self.most, self.edges, clusters)

    def add(self, logits: F64, labels: I8, weights: F64, groups: U64 | None = None) -> None:
        """Add rows: logits float64 [n], labels int8 [n] of 0 and 1, weights float64 [n], hashes of groups.

        Threads may add to one tally: what takes time is done before it is touched.
        """
        p = probability(logits)
        parts = _parts(logits, p, labels, weights)
        units = np.rint(weights * self.quantum).astype(np.int64)
        decided = p >= self.threshold
        confusion = [
            [units[(labels == label) & (decided == decision)].sum() for decision in (False, True)]
            for label in (0, 1)
        ]
        sided = self._sided(units, labels, weights)
        histogram, sums = self._scores.sorted(logits, sided), _sums(parts, p)
        blocks = None
        if self.clusters is not None:
            if groups is None:
                raise AssertionError("rows without their groups")
            blocks = self.clusters.counted(logits, sided, groups)
        with self._lock:
            self.rows += len(logits)
            self._sums.add(sums)
            self.confusion += np.array(confusion, dtype=np.int64)
            self._scores.push(histogram)
            if self.clusters is not None and blocks is not None:
                self.clusters.add(*blocks, np.stack([parts[SUMS.index(name)] for name in SUMMED]))

    def _sided(self, units: I64, labels: I8, weights: F64) -> I64:
        """Units of each row by class; where there are weights, of its square too: int64 [n, 2 or 4].

        What rounding takes from a row's square the next rows get: of 10^9 rows each may be less than a unit.
        """
        sided = [np.where(labels == label, units, 0) for label in (1, 0)]
        if self.is_weighted:
            squares = (weights * self.quantum) ** 2 / SQUARE_UNIT
            sided += [
                np.diff(np.rint(np.cumsum(np.where(labels == label, squares, 0.0))), prepend=0.0)
                for label in (1, 0)
            ]
        return np.stack(sided, axis=1).astype(np.int64)

    def merge(self, other: Tally) -> None:
        """Add another tally, of other row groups; the order does not matter."""
        self.rows += other.rows
        self.confusion += other.confusion
        self._sums.merge(other._sums)
        self._scores.merge(other._scores)
        if self.clusters is not None and other.clusters is not None:
            self.clusters.merge(other.clusters)

    def histogram(self) -> Histogram:
        """The scores of all rows so far."""
        return self._scores.histogram()

    def total(self) -> tuple[dict[str, float], F64]:
        """The sums by their names; and weight, w p and w y of the bins of equal width, float64 [3, 15]."""
        total = self._sums.total()
        return dict(zip(SUMS, total[: len(SUMS)].tolist(), strict=True)), total[len(SUMS) :].reshape(3, -1)

    def pack(self) -> bytes:
        """For another rank."""
        cells, rest = self._scores.parts()
        return save(
            {
                "confusion": self.confusion,
                "rows": np.array([self.rows], dtype=np.int64),
                "cells": np.stack([cells.scores, cells.highest]),
                "cells.units": cells.units,
                "scores": rest.scores,
                "units": rest.units,
                **self._sums.pack(),
                **(self.clusters.pack() if self.clusters else {}),
            }
        )

    def merge_packed(self, content: bytes) -> None:
        """Add what another rank packed."""
        arrays = load(content)
        self.rows += int(arrays["rows"][0])
        self.confusion += arrays["confusion"]
        self._sums.merge_packed(arrays)
        self._scores.add_parts(
            Histogram(arrays["cells"][0], arrays["cells"][1], arrays["cells.units"]),
            Histogram(arrays["scores"], arrays["scores"], arrays["units"]),
        )
        if self.clusters is not None:
            self.clusters.merge_packed(arrays)


def _parts(logits: F64, p: F64, labels: I8, weights: F64) -> Sequence[F64]:
    """What each row adds to SUMS, float64 [n] each."""
    losses = log_losses(logits, labels)
    away, squares, yes = p - labels, weights**2, labels.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        return (
            weights, weights * yes, weights * p, weights * losses, weights * away**2, squares * yes,
            squares * (1 - yes), squares * losses * yes, squares * losses * (1 - yes),
            squares * losses**2 * yes, squares * losses**2 * (1 - yes),
            squares * away, squares * away**2, squares * away**4,
        )  # fmt: skip


def _sums(parts: Sequence[F64], p: F64) -> F64:
    """The sums of some rows, float64 [WIDTH]; what is beyond any float is infinite or not a number."""
    bins = np.minimum((p * WIDE_BINS).astype(np.int64), WIDE_BINS - 1)
    with np.errstate(over="ignore", invalid="ignore"):
        wide = [np.bincount(bins, weights=of, minlength=WIDE_BINS) for of in (parts[0], parts[2], parts[1])]
        return np.concatenate([[part.sum() for part in parts], *wide])

"""Sums by blocks of clusters, for intervals where rows come in groups: in memory independent of the groups.

Rows of one group are not independent; groups are. A keyed hash deals whole groups to blocks, and blocks are
what varies (the method of random groups, Wolter 2007, ch. 2): the variance of a sum is unbiased whatever the
number of blocks, and with B of them known to a share of sqrt(2 / B). Where there are fewer groups than blocks
most have one for themselves.

For areas the rows of each block are counted by class in cells of the score. The mean placement of a cell's
rows is known from all scores; what differs within a cell is left out, which for some hundred cells of equal
rank is a hundred-thousandth of the variance.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from binclf.hashing import U64
from binclf.metrics import delong
from binclf.metrics.histogram import Histogram
from binclf.metrics.unrounded import Unrounded

F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
I64 = npt.NDArray[np.int64]

BLOCKS = 512
SUMMED = ("w", "w y", "w p", "w l", "w d2")  # of the sums of a tally
WIDEST = 0.01  # of ROC-AUC that cells may leave open for its interval to be told


class Clusters:
    """What is added up of some rows, by blocks."""

    def __init__(self, blocks: int, edges: F64 | None) -> None:
        """Nothing yet; `edges` are of the cells, float64 [E]; None: areas are not asked for."""
        self.blocks, self.edges = blocks, edges
        self._sums = Unrounded(blocks * len(SUMMED))
        cells = 0 if edges is None else len(edges) + 1
        self._ranked = np.zeros((blocks, cells, 2), dtype=np.int64)  # units of positives and of negatives

    def empty(self) -> Clusters:
        """The same of no rows."""
        return Clusters(self.blocks, self.edges)

    def counted(self, logits: F64, units: I64, groups: U64) -> tuple[I64, I64]:
        """The block of each row, int64 [n]; and the units of each class by block and cell."""
        own = (groups % np.uint64(self.blocks)).astype(np.int64)
        counts = np.zeros_like(self._ranked)
        if self.edges is not None:
            place = np.searchsorted(self.edges, logits, side="right")
            np.add.at(counts, (own, place), units[:, :2])
        return own, counts

    def add(self, own: I64, counts: I64, sums: F64) -> None:
        """Add rows: what `counted` gave, and the parts of SUMMED of each row, float64 [5, n]."""
        self._sums.add(np.concatenate([np.bincount(own, part, self.blocks) for part in sums]))
        self._ranked += counts

    def merge(self, other: Clusters) -> None:
        """Add another's rows."""
        self._sums.merge(other._sums)
        self._ranked += other._ranked

    def pack(self) -> dict[str, npt.NDArray[np.generic]]:
        """For another rank."""
        return {f"clusters.{name}": array for name, array in self._sums.pack().items()} | {
            "clusters.ranked": self._ranked
        }

    def merge_packed(self, arrays: dict[str, npt.NDArray[np.generic]]) -> None:
        """Add what another rank packed."""
        own = {n.removeprefix("clusters."): a for n, a in arrays.items() if n.startswith("clusters.")}
        self._ranked += own.pop("ranked").astype(np.int64)
        self._sums.merge_packed(own)

    def total(self) -> dict[str, F64]:
        """The sums of each block by their names, float64 [blocks]."""
        sums = self._sums.total().reshape(len(SUMMED), self.blocks)
        return dict(zip(SUMMED, sums, strict=True))

    def of_area(self, histogram: Histogram, area: float) -> tuple[float, float]:
        """Variance of ROC-AUC and the units it rests on: none where the cells are too few to tell.

        Args:
            histogram: the scores of the same rows.
            area: their ROC-AUC.
        """
        if self.edges is None:
            return 0.0, 0.0
        size, weights = self._ranked.shape[1], np.array(histogram.totals)
        bins, coarse, moved = np.zeros(size), np.zeros((size, 2)), np.zeros((size, 2))
        for stretch in histogram.stretches():
            place = np.searchsorted(self.edges, stretch.bins.scores, side="right")
            bins += np.bincount(place, minlength=size)
            sides = zip((stretch.positive, stretch.negative), delong.placements_of(stretch), strict=True)
            for side, (own, placed) in enumerate(sides):
                coarse[:, side] += np.bincount(place, own, size)
                moved[:, side] += np.bincount(place, own * (placed - area), size)
        if (coarse[bins > 1] / weights).prod(axis=1).sum() / 2 > WIDEST:
            return 0.0, 0.0
        mean = np.divide(moved, coarse, out=np.zeros_like(moved), where=coarse > 0)
        influence = ((self._ranked * mean).sum(axis=1) / weights).sum(axis=1)
        return delong.of_clusters(influence, self._ranked.sum(axis=1).astype(np.float64))

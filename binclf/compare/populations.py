"""Sums over populations, as both models see their rows: all rows, or the levels of a slice column.

Where rows come in clusters, sums of each cluster are kept beside, for it is they that vary independently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from binclf import hashing
from binclf.metrics import log_losses

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

_PENDING = 2**21  # cluster sums that wait to be joined

ROWS, WEIGHT, POSITIVE, LOSS, DIFFERENCE = range(5)  # columns of `Populations.sums`

Clusters: TypeAlias = tuple[I64, hashing.U64, F64]  # level, cluster, and its sums of w, w d and w y [n, 3]
_NO_CLUSTERS: Clusters = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint64), np.zeros((0, 3)))


@dataclass(frozen=True, slots=True)
class Pairs:
    """N rows as both models see them."""

    numbers: I64  # of each row in the whole pass, by which a sample is drawn
    champion: F64  # logits
    challenger: F64
    labels: npt.NDArray[np.int8]  # in {0, 1}
    weights: F64
    clusters: hashing.U64 | None  # which rows belong together; None: each is one
    slices: Mapping[str, tuple[npt.NDArray[np.int32], Sequence[str | None]]]  # codes [N], levels

    @property
    def losses(self) -> tuple[F64, F64]:
        """Log-loss of each row under champion and challenger."""
        return log_losses(self.champion, self.labels), log_losses(self.challenger, self.labels)


class Populations:
    """Sums of each level of a column."""

    def __init__(self, *, is_clustered: bool) -> None:
        self.place_of: dict[str | None, int] = {}  # None: rows where the column is null
        self.is_clustered = is_clustered
        self.sums = np.zeros((0, 5))  # rows, weight, positive weight, w champion's loss, w d
        self.squares = np.zeros(
            (0, 4)
        )  # w^2, w^2 d, w^2 d^2, w^2 y of rows; where rows are clustered, unused
        self._clusters: list[Clusters] = []
        self._waiting, self._most = 0, _PENDING

    def add(self, pairs: Pairs, codes: npt.NDArray[np.int32], levels: Sequence[str | None]) -> None:
        """Add rows, each with the code of its level."""
        champion, challenger = pairs.losses
        w, d, size = pairs.weights, challenger - champion, len(levels)
        columns = (None, w, w * pairs.labels, w * champion, w * d)
        sums = _by_level(codes, columns, size)
        found = np.flatnonzero(sums[:, ROWS])
        squares, clusters = np.zeros((size, 4)), _NO_CLUSTERS
        if pairs.clusters is None:
            per_row = (w**2, w**2 * d, (w * d) ** 2, w**2 * pairs.labels)
            squares = _by_level(codes, per_row, size)
        else:
            clusters = _joined(
                codes.astype(np.int64), pairs.clusters, np.stack([w, w * d, w * pairs.labels], axis=1)
            )
        names = [levels[int(place)] for place in found]
        compact = np.zeros(size, dtype=np.int64)
        compact[found] = np.arange(len(found))
        self._put(names, sums[found], squares[found], (compact[clusters[0]], *clusters[1:]))

    def merge(self, other: Populations) -> None:
        """Add what comes after."""
        self._put(list(other.place_of), other.sums, other.squares, other._joined_clusters())

    def moments(self) -> F64:
        """Of each level, as `inference.mean_difference` takes them: float64 [L, 5]."""
        head = self.sums[:, [WEIGHT, DIFFERENCE]]
        if not self.is_clustered:
            return np.concatenate([head, self.squares[:, :3]], axis=1)
        level, _, sums = self._joined_clusters()
        w, wd, _ = sums.T
        per_cluster = (w**2, w * wd, wd**2)
        return np.concatenate([head, _by_level(level, per_cluster, len(head))], axis=1)

    def units(self) -> F64:
        """Of each level, how many rows or clusters of equal weight the rarer class tells as much as: [L]."""
        weight = np.stack([self.sums[:, POSITIVE], self.sums[:, WEIGHT] - self.sums[:, POSITIVE]], axis=1)
        if self.is_clustered:
            level, _, sums = self._joined_clusters()
            per_cluster = (sums[:, 2] ** 2, (sums[:, 0] - sums[:, 2]) ** 2)
            squares = _by_level(level, per_cluster, len(weight))
        else:
            squares = np.stack([self.squares[:, 3], self.squares[:, 0] - self.squares[:, 3]], axis=1)
        units = np.divide(weight**2, squares, out=np.zeros_like(weight), where=(weight > 0) & (squares > 0))
        return np.asarray(units.min(axis=1))

    def _put(self, names: Sequence[str | None], sums: F64, squares: F64, clusters: Clusters) -> None:
        places = np.array(
            [self.place_of.setdefault(name, len(self.place_of)) for name in names], dtype=np.int64
        )
        grown = len(self.place_of) - len(self.sums)
        self.sums = np.concatenate([self.sums, np.zeros((grown, 5))])
        self.squares = np.concatenate([self.squares, np.zeros((grown, 4))])
        self.sums[places] += sums
        self.squares[places] += squares
        if len(clusters[0]):
            self._clusters.append((places[clusters[0]], *clusters[1:]))
            self._waiting += len(clusters[0])
            if self._waiting > self._most:
                self._most = max(_PENDING, 2 * len(self._joined_clusters()[0]))

    def _joined_clusters(self) -> Clusters:
        if not self._clusters:
            return _NO_CLUSTERS
        self._clusters = [_joined(*(np.concatenate(arrays) for arrays in zip(*self._clusters, strict=True)))]
        self._waiting = len(self._clusters[0][0])
        return self._clusters[0]


def _by_level(codes: npt.NDArray[np.signedinteger], columns: Sequence[F64 | None], size: int) -> F64:
    """Sums of each column over the rows of each level, float64 [L, columns]; None counts them."""
    if size == 1:  # eight times as fast
        return np.array(
            [[len(codes) if column is None else column.sum() for column in columns]], dtype=np.float64
        )
    return np.stack([np.bincount(codes, column, size).astype(np.float64) for column in columns], axis=1)


def _joined(level: I64, cluster: hashing.U64, sums: F64) -> Clusters:
    """One entry for each level and cluster, sorted; equal ones are added up in their order."""
    if not len(level):
        return level, cluster, sums
    order = np.lexsort((cluster, level))
    level, cluster, sums = level[order], cluster[order], sums[order]
    is_first = np.ones(len(level), dtype=bool)
    is_first[1:] = (level[1:] != level[:-1]) | (cluster[1:] != cluster[:-1])
    place = np.cumsum(is_first) - 1
    added = np.stack([np.bincount(place, column) for column in sums.T], axis=1).astype(np.float64)
    return level[is_first], cluster[is_first], added

"""What one pass over rows adds up for two models: sums that merge in the order of the rows.

Of each population (all rows, or a level of a slice) a few float64 sums; where rows come in clusters, sums of
each cluster. For the ranks the rows' own logits, up to 2^21 rows; of more a sample by a keyed hash of their
numbers, from which the areas under the curve are then told. Threads hand their row groups' tallies in
canonical order, so that the sums have the same bits whatever the number of threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from binclf import hashing
from binclf.metrics import MOST_LEVELS, probability

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

MOST_RANKED = 2**21  # rows whose logits are kept
_PENDING = 2**21  # cluster sums that wait to be joined

_SAMPLE = hashing.key("compare")

ROWS, WEIGHT, POSITIVE, LOSS, DIFFERENCE = range(5)  # columns of `Populations.sums`

Clusters: TypeAlias = tuple[I64, hashing.U64, F64]  # level, cluster, and its sums of w and w d [n, 2]
_NO_CLUSTERS: Clusters = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint64), np.zeros((0, 2)))


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
        return _losses(self.champion, self.labels), _losses(self.challenger, self.labels)


class Populations:
    """Sums of each level of a column."""

    def __init__(self, *, is_clustered: bool) -> None:
        self.place_of: dict[str | None, int] = {}  # None: rows where the column is null
        self.is_clustered = is_clustered
        self.sums = np.zeros((0, 5))  # rows, weight, positive weight, w champion's loss, w d
        self.squares = np.zeros((0, 3))  # w^2, w^2 d, w^2 d^2 of rows; where rows are clustered, unused
        self._clusters: list[Clusters] = []
        self._waiting, self._most = 0, _PENDING

    def add(self, pairs: Pairs, codes: npt.NDArray[np.int32], levels: Sequence[str | None]) -> None:
        """Add rows, each with the code of its level."""
        champion, challenger = pairs.losses
        w, d, size = pairs.weights, challenger - champion, len(levels)
        columns = (None, w, w * pairs.labels, w * champion, w * d)
        sums = _by_level(codes, columns, size)
        found = np.flatnonzero(sums[:, ROWS])
        squares, clusters = np.zeros((size, 3)), _NO_CLUSTERS
        if pairs.clusters is None:
            per_row = (w**2, w**2 * d, (w * d) ** 2)
            squares = _by_level(codes, per_row, size)
        else:
            clusters = _joined(codes.astype(np.int64), pairs.clusters, np.stack([w, w * d], axis=1))
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
            return np.concatenate([head, self.squares], axis=1)
        level, _, sums = self._joined_clusters()
        w, wd = sums.T
        per_cluster = (w**2, w * wd, wd**2)
        return np.concatenate([head, _by_level(level, per_cluster, len(head))], axis=1)

    def _put(self, names: Sequence[str | None], sums: F64, squares: F64, clusters: Clusters) -> None:
        places = np.array(
            [self.place_of.setdefault(name, len(self.place_of)) for name in names], dtype=np.int64
        )
        grown = len(self.place_of) - len(self.sums)
        self.sums = np.concatenate([self.sums, np.zeros((grown, 5))])
        self.squares = np.concatenate([self.squares, np.zeros((grown, 3))])
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


@dataclass(frozen=True, slots=True)
class Ranked:
    """Rows whose logits are kept, for the areas under the curve."""

    priority: hashing.U64
    scores: F64  # [n, 2]
    labels: npt.NDArray[np.int8]
    weights: F64
    clusters: hashing.U64  # empty where there are none

    def of(self, which: npt.NDArray[np.bool_]) -> Ranked:
        """Some of the rows."""
        clusters = self.clusters[which] if len(self.clusters) else self.clusters
        return Ranked(
            self.priority[which], self.scores[which], self.labels[which], self.weights[which], clusters
        )


class Tally:
    """What is added up of one pass."""

    def __init__(
        self, thresholds: tuple[float, float], slices: Sequence[str] = (), *, is_clustered: bool
    ) -> None:
        """Nothing yet; `thresholds` are champion's and challenger's."""
        self.thresholds = thresholds
        self.is_clustered = is_clustered
        self.all = Populations(is_clustered=is_clustered)
        self.slices: dict[str, Populations | None] = {  # None: too many levels
            name: Populations(is_clustered=is_clustered) for name in slices
        }
        self.flips = np.zeros((2, 3))  # to no, to yes: rows, weight, weight of those flipped rightly
        self.identical = True  # whether the two models told every row the same
        self.kept_share = 1.0  # of the rows, in `ranked`
        self._ranked: list[Ranked] = []
        self._ranked_rows = 0

    def add(self, pairs: Pairs) -> None:
        """Add one row group."""
        self.all.add(pairs, np.zeros(len(pairs.labels), dtype=np.int32), ("",))
        for name, (codes, levels) in pairs.slices.items():
            mine = self.slices[name]
            if mine is not None:
                mine.add(pairs, codes, levels)
            if mine is None or len(mine.place_of) > MOST_LEVELS:
                self.slices[name] = None
        self.identical = self.identical and bool((pairs.champion == pairs.challenger).all())
        self._flip(pairs)
        heavy = pairs.weights > 0
        ranked = Ranked(
            hashing.mix(hashing.mix(pairs.numbers) ^ np.uint64(_SAMPLE)),
            np.stack([pairs.champion, pairs.challenger], axis=1),
            pairs.labels,
            pairs.weights,
            np.zeros(0, dtype=np.uint64) if pairs.clusters is None else pairs.clusters,
        )
        self._keep([ranked.of(heavy)])

    def merge(self, other: Tally) -> None:
        """Add what comes after: row groups are merged in canonical order."""
        self.all.merge(other.all)
        for name, theirs in other.slices.items():
            mine = self.slices[name]
            if mine is not None and theirs is not None:
                mine.merge(theirs)
            if mine is None or theirs is None or len(mine.place_of) > MOST_LEVELS:
                self.slices[name] = None
        self.flips += other.flips
        self.identical = self.identical and other.identical
        self.kept_share = min(self.kept_share, other.kept_share)
        self._keep(other._ranked)

    def ranked(self) -> Ranked:
        """The rows that are kept, in order."""
        fields = ("priority", "scores", "labels", "weights", "clusters")
        if not self._ranked:
            empty = np.zeros(0, dtype=np.uint64)
            return Ranked(empty, np.zeros((0, 2)), np.zeros(0, dtype=np.int8), np.zeros(0), empty)
        return Ranked(*(np.concatenate([getattr(r, field) for r in self._ranked]) for field in fields))

    def _flip(self, pairs: Pairs) -> None:
        was = probability(pairs.champion) >= self.thresholds[0]
        now = probability(pairs.challenger) >= self.thresholds[1]
        for place, flipped in enumerate((was & ~now, ~was & now)):
            rightly = flipped & (pairs.labels == place)
            self.flips[place] += (
                np.count_nonzero(flipped), pairs.weights[flipped].sum(), pairs.weights[rightly].sum(),
            )  # fmt: skip

    def _keep(self, added: Sequence[Ranked]) -> None:
        """Keep a row if its hash is below a bound that is halved until few enough are left."""
        added = [self._below(r) for r in added] if self.kept_share < 1 else added
        self._ranked += added
        self._ranked_rows += sum(len(r.labels) for r in added)
        while self._ranked_rows > MOST_RANKED:
            self.kept_share /= 2
            self._ranked = [self._below(r) for r in self._ranked]
            self._ranked_rows = sum(len(r.labels) for r in self._ranked)

    def _below(self, ranked: Ranked) -> Ranked:
        return ranked.of(ranked.priority < np.uint64(int(self.kept_share * 2**64)))


def _losses(logits: F64, labels: npt.NDArray[np.int8]) -> F64:
    return np.asarray(np.maximum(logits, 0.0) - logits * labels + np.log1p(np.exp(-np.abs(logits))))


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

"""What one pass over rows adds up for two models: sums that merge in the order of the rows.

Of each population a few float64 sums. For the ranks the rows' own logits, up to 2^21 rows; of more a sample
by a keyed hash of their numbers, from which the areas under the curve are then told. Threads hand their row
groups' tallies in canonical order, so that the sums have the same bits whatever the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binclf import hashing
from binclf.compare.populations import Pairs, Populations
from binclf.metrics import MOST_LEVELS, probability

F64 = npt.NDArray[np.float64]

MOST_RANKED = 2**21  # rows whose logits are kept
_SAMPLE = hashing.key("compare")


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

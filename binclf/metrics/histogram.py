"""The weight of each class by score, in integers: what all that follows from ranks is worked out from.

Of a bin the least and the greatest score are kept: where they are one, nothing was joined (`scores`).

Millions of bins take as many tens of MB. So what follows from them is worked out over one stretch of
neighbours after another, and histograms are added up stretch by stretch: beside the bins little is held.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

STRETCH = 2**16  # bins that are looked at together
SPARSE = 2**8  # each so-many-th score is looked at to tell where stretches of several histograms end
MANY = 2**10  # histograms that are added up side by side
SQUARE_UNIT = 2.0**42  # units^2 in a unit of squares: a sum of 2^51 squared is then 2^60


@dataclass(frozen=True, slots=True)
class Histogram:
    """Weight by score, scores ascending."""

    scores: F64  # [B]: the least of each bin
    highest: F64  # [B]: the greatest
    units: (
        I64  # [B, K]: weight of positives and of negatives; where K = 4 also squared weights, in SQUARE_UNIT
    )

    @classmethod
    def empty(cls, classes: int) -> Histogram:
        """Of no rows."""
        return cls(np.empty(0), np.empty(0), np.empty((0, classes), dtype=np.int64))

    @property
    def arrays(self) -> tuple[F64, F64, I64]:
        """All that there is of each bin."""
        return self.scores, self.highest, self.units

    @property
    def squares(self) -> F64:
        """Squared weights of the positive and the negative rows of each bin, float64 [B, 2], in units^2."""
        weighted = self.units.shape[1] == 4
        return np.asarray(self.units[:, 2:] * SQUARE_UNIT if weighted else self.units, dtype=np.float64)

    @property
    def totals(self) -> tuple[float, float]:
        """Weight of all positives and of all negatives, in units."""
        positive, negative = self.units[:, :2].sum(axis=0).tolist()
        return float(positive), float(negative)

    @property
    def has_both(self) -> bool:
        """Whether both classes have weight."""
        return min(self.totals) > 0

    @property
    def joined(self) -> npt.NDArray[np.bool_]:
        """Whether a bin has more than one score, bool [B]."""
        return self.highest > self.scores

    def middles(self) -> F64:
        """A score for each bin, for what needs one."""
        return np.where(self.joined, self.scores / 2 + self.highest / 2, self.scores)

    def of(self, which: slice | I64) -> Histogram:
        """Some of the bins."""
        return Histogram(self.scores[which], self.highest[which], self.units[which])

    def alone(self) -> Histogram:
        """A copy of bins that were not joined, which holds nothing else in memory."""
        scores = self.scores.copy()
        return Histogram(scores, scores, self.units.copy())

    def stretches(self) -> Iterator[Stretch]:
        """All bins, some neighbours at a time, ascending."""
        total, below = self.totals, (0.0, 0.0)
        for first in range(0, len(self.scores), STRETCH):
            bins = self.of(slice(first, first + STRETCH))
            positive, negative = np.ascontiguousarray(bins.units[:, :2].T, dtype=np.float64)
            yield Stretch(bins, first, positive, negative, below, total)
            below = below[0] + float(positive.sum()), below[1] + float(negative.sum())


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some neighbouring bins and what lies around them, in units: floats, exact since all are below 2^53."""

    bins: Histogram
    first: int  # place of the first bin among all
    positive: F64  # [b]: weight of the positive rows of each
    negative: F64
    below: tuple[float, float]  # weight of positives and of negatives below the first
    total: tuple[float, float]  # of all bins

    @property
    def within(self) -> slice:
        """Where these bins are among all."""
        return slice(self.first, self.first + len(self.positive))

    @property
    def tp(self) -> F64:
        """Of positives in each bin and above: what is decided yes from there on, float64 [b]."""
        return self.total[0] - self.below[0] - (np.cumsum(self.positive) - self.positive)

    @property
    def fp(self) -> F64:
        """Of negatives, likewise."""
        return self.total[1] - self.below[1] - (np.cumsum(self.negative) - self.negative)


def together(histograms: list[Histogram]) -> Histogram:
    """One of several without joined bins; the list is used up, so that none is held longer than needed."""
    if len(histograms) == 1:
        return histograms[0]
    count, classes = sum(len(h.scores) for h in histograms), histograms[0].units.shape[1]
    if count <= 2 * STRETCH:
        return _merged(histograms)
    _make_few(histograms)
    scores, units, filled = np.empty(count), np.empty((count, classes), dtype=np.int64), 0
    for some in _side_by_side(histograms):
        merged = _merged(some)
        place = slice(filled, filled + len(merged.scores))
        scores[place], units[place] = merged.scores, merged.units
        filled = place.stop
    histograms.clear()
    scores.resize(filled, refcheck=False)  # gives back what equal scores did not need
    units.resize((filled, classes), refcheck=False)
    return Histogram(scores, scores, units)


def _make_few(histograms: list[Histogram]) -> None:
    """Neighbours made one where there are very many, as of small row groups."""
    at_once = -(-len(histograms) // MANY)
    if at_once > 1:
        for place in range(-(-len(histograms) // at_once)):
            few = slice(place, place + at_once)
            histograms[few] = [_merged(histograms[few])]


def _side_by_side(histograms: Sequence[Histogram]) -> Iterator[list[Histogram]]:
    """The bins of each between the same scores, ascending: about a stretch of them at a time."""
    looked_at = np.sort(np.concatenate([h.scores[::SPARSE] for h in histograms]))
    apart = STRETCH // SPARSE
    ends = looked_at[apart::apart]
    places = [np.concatenate([[0], h.scores.searchsorted(ends), [len(h.scores)]]) for h in histograms]
    for number in range(len(ends) + 1):
        yield [h.of(slice(at[number], at[number + 1])) for h, at in zip(histograms, places, strict=True)]


def _merged(histograms: Sequence[Histogram]) -> Histogram:
    joint = np.concatenate([h.scores for h in histograms])
    order = np.argsort(joint, kind="stable")  # runs that are in order are merged, not sorted
    units = np.concatenate([h.units for h in histograms])
    return summed(joint.take(order), units.take(order, axis=0))


def summed(scores: F64, units: I64) -> Histogram:
    """Bins of equal scores made one; scores ascending."""
    if not len(scores):
        return Histogram(scores, scores, units)
    begins = np.flatnonzero(np.concatenate([[True], scores[1:] != scores[:-1]]))
    if len(begins) < len(scores):  # else `reduceat` would copy each
        scores, units = scores[begins], np.add.reduceat(units, begins, axis=0)
    return Histogram(scores, scores, units)

"""The scores of any number of rows in bounded memory: the weight of each class by score, in integers.

Integers add up exactly in any order. As long as there are no more than `most` distinct scores each has a bin
of its own, and everything that follows from ranks (ROC-AUC, PR-AUC, KS, gains) is exact. Beyond that scores
are rounded down to multiples of a power of two, the least that leaves `most` bins: which one that is depends
on the rows and not on the order they come in, for joining bins never makes more of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

MOST_BINS = 2**21  # 50 MB; ranks of 10^7 normal scores are then known to 7e-7 of ROC-AUC
SQUARE_UNIT = 2.0**42  # units^2 in a unit of squares: a sum of 2^51 squared is then 2^60
FINEST = 2.0**-40  # of joined bins


@dataclass(frozen=True, slots=True)
class Histogram:
    """Weight by score, scores ascending."""

    scores: F64  # [B]; of joined bins the lower edge
    units: (
        I64  # [B, K]: weight of positives and of negatives; where K = 4 also squared weights, in SQUARE_UNIT
    )
    grain: float  # width of joined bins; 0: each distinct score has its own

    @property
    def positive(self) -> I64:
        """Weight of the positive rows of each bin, in units."""
        return self.units[:, 0]

    @property
    def negative(self) -> I64:
        """Weight of the negative rows of each bin, in units."""
        return self.units[:, 1]

    @property
    def squares(self) -> F64:
        """Squared weights of the positive and the negative rows of each bin, float64 [B, 2], in units^2."""
        weighted = self.units.shape[1] == 4
        return np.asarray(self.units[:, 2:] * SQUARE_UNIT if weighted else self.units, dtype=np.float64)

    @property
    def has_both(self) -> bool:
        """Whether both classes have weight."""
        return bool(self.positive.any() and self.negative.any())

    def middles(self) -> F64:
        """A score for each bin, for what needs one."""
        return self.scores + self.grain / 2


class Scores:
    """Histograms that add up."""

    def __init__(self, classes: int, most: int = MOST_BINS) -> None:
        """Nothing yet: K columns of units, at most so many bins."""
        self.most = most
        self.pending = [Histogram(np.empty(0), np.empty((0, classes), dtype=np.int64), 0.0)]

    def sorted(self, scores: F64, units: I64) -> Histogram:
        """Rows, for `push`: scores float64 [n], finite; units int64 [n, K]."""
        grain = self.pending[0].grain
        scores = _rounded(scores, grain) if grain else scores
        scores = scores + 0.0  # -0.0 and 0.0 are one score
        return _ordered(scores, units, grain, np.argsort(scores))

    def merge(self, other: Scores) -> None:
        """Add another's rows."""
        for histogram in other.pending:
            self.push(histogram)

    def histogram(self) -> Histogram:
        """All rows so far."""
        self._join()
        return self.pending[0]

    def push(self, histogram: Histogram) -> None:
        """Add the rows of a histogram that is as coarse as these or finer."""
        self.pending.append(histogram)
        if sum(len(h.scores) for h in self.pending) > 2 * self.most:
            self._join()

    def _join(self) -> None:
        joined = _together(self.pending)
        while len(joined.scores) > self.most:
            joined = _coarser(joined, max(FINEST, 2 * joined.grain))
        self.pending = [joined]


def _together(histograms: Sequence[Histogram]) -> Histogram:
    grain = max(h.grain for h in histograms)
    scores = [h.scores if h.grain == grain else _rounded(h.scores, grain) for h in histograms]
    together = np.concatenate(scores)
    order = np.argsort(together, kind="stable")  # runs that are in order are merged, not sorted
    return _ordered(together, np.concatenate([h.units for h in histograms]), grain, order)


def _coarser(histogram: Histogram, grain: float) -> Histogram:
    return _summed(_rounded(histogram.scores, grain), histogram.units, grain)


def _rounded(scores: F64, grain: float) -> F64:
    """Down to a multiple of `grain`, a power of two; floats beyond 2^52 grains are one already."""
    return np.where(np.abs(scores) < 2.0**52 * grain, np.floor(scores / grain) * grain, scores)


def _ordered(scores: F64, units: I64, grain: float, order: I64) -> Histogram:
    """Ties may be in any order: their units are added up."""
    return _summed(scores.take(order), units.take(order, axis=0), grain)


def _summed(scores: F64, units: I64, grain: float) -> Histogram:
    """Bins of equal scores made one."""
    if not len(scores):
        return Histogram(scores, units, grain)
    begins = np.flatnonzero(np.concatenate([[True], scores[1:] != scores[:-1]]))
    if len(begins) == len(scores):  # and `reduceat` would copy each
        return Histogram(scores, units, grain)
    return Histogram(scores[begins], np.add.reduceat(units, begins, axis=0), grain)

"""The scores of any number of rows in bounded memory: the weight of each class by score, in integers.

Integers add up exactly in any order. As long as there are no more than `most` distinct scores each has a bin
of its own, and everything that follows from ranks (ROC-AUC, PR-AUC, KS, gains) is exact. Beyond that scores
are joined in cells whose edges were laid before the rows came (`edges`), but for the uppermost, where average
precision leaves no room: they keep a bin each. What comes out depends on the rows alone, not on their order
nor on who counted them: whether there are more than `most` distinct scores, and which of them are uppermost,
is so, and a score among the uppermost of all rows is among those of each part of them.

Of a cell the least and the greatest score are kept: where they are one, nothing was joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

MOST_BINS = 2**21  # 100 MB
SQUARE_UNIT = 2.0**42  # units^2 in a unit of squares: a sum of 2^51 squared is then 2^60
TOP_SHARE = 16  # one of so many bins is for an uppermost score


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

    @property
    def joined(self) -> npt.NDArray[np.bool_]:
        """Whether a bin has more than one score, bool [B]."""
        return self.highest > self.scores

    def middles(self) -> F64:
        """A score for each bin, for what needs one."""
        return np.where(self.joined, self.scores / 2 + self.highest / 2, self.scores)

    def of(self, which: slice) -> Histogram:
        """Some neighbouring bins."""
        return Histogram(self.scores[which], self.highest[which], self.units[which])


class Scores:
    """Histograms that add up."""

    def __init__(self, classes: int, most: int = MOST_BINS, edges: F64 | None = None) -> None:
        """Nothing yet.

        Args:
            classes: K columns of units.
            most: distinct scores that have a bin each.
            edges: of the cells if there are more, ascending float64 [E]; None: then too each has a bin.
        """
        self._classes, self._most, self._edges = classes, most, edges
        self._top = max(most // TOP_SHARE, 1)  # uppermost scores that are never joined
        self._floor = -np.inf  # what is below goes to a cell
        self._cells: _Cells | None = None
        self._pending = [Histogram.empty(classes)]
        self._room = most + most // 4  # bins pending before they are joined

    @property
    def is_joined(self) -> bool:
        """Whether there were more distinct scores than bins."""
        return self._cells is not None

    def sorted(self, scores: F64, units: I64) -> Histogram:
        """Rows, for `push`: scores float64 [n], finite; units int64 [n, K]."""
        scores = scores + 0.0  # -0.0 and 0.0 are one score
        order = np.argsort(scores)
        return _summed(scores.take(order), units.take(order, axis=0))

    def merge(self, other: Scores) -> None:
        """Add another's rows, whose cells have the same edges."""
        if other._cells is not None:
            self._spill()
            self._put(other._cells.histogram())
        for histogram in other._pending:
            self.push(histogram)

    def histogram(self) -> Histogram:
        """All rows so far."""
        self._join()
        if self._cells is None:
            return self._pending[0]
        return _after(self._cells.histogram(), self._pending[0])

    def parts(self) -> tuple[Histogram, Histogram]:
        """What is in cells (empty as long as each score has a bin), and the rest."""
        self._join()
        cells = Histogram.empty(self._classes) if self._cells is None else self._cells.histogram()
        return cells, self._pending[0]

    def add_parts(self, cells: Histogram, rest: Histogram) -> None:
        """Add another's `parts`."""
        if len(cells.scores):
            self._spill()
            self._put(cells)
        self.push(rest)

    def push(self, histogram: Histogram) -> None:
        """Add a histogram without joined bins."""
        if self._cells is not None:
            below = int(np.searchsorted(histogram.scores, self._floor))
            self._put(histogram.of(slice(below)))
            histogram = histogram.of(slice(below, None))
        if len(histogram.scores):
            self._pending.append(histogram)
        if sum(len(h.scores) for h in self._pending) > self._room:
            self._join()

    def _join(self) -> None:
        joined = _together(self._pending)
        self._pending = [joined]
        if self._edges is None:
            self._room = max(self._room, 2 * len(joined.scores))
        elif len(joined.scores) > self._most:
            self._spill()
        if self._cells is not None:
            self._trim()

    def _spill(self) -> None:
        """From now on in cells."""
        if self._cells is None:
            if self._edges is None:
                raise AssertionError("cells without edges")
            self._cells, self._room = _Cells(self._edges, self._classes), 2 * self._top
            self._pending = [_together(self._pending)]
            self._trim()

    def _trim(self) -> None:
        """Leave the uppermost scores, of the one histogram that is pending."""
        (joined,) = self._pending
        extra = len(joined.scores) - self._top
        if extra >= 0:
            self._put(joined.of(slice(extra)))
            self._pending = [joined.of(slice(extra, None))]
            self._floor = float(joined.scores[extra])

    def _put(self, histogram: Histogram) -> None:
        if self._cells is None:
            raise AssertionError("no cells")
        self._cells.add(histogram)


class _Cells:
    """Bins between edges that do not move."""

    def __init__(self, edges: F64, classes: int) -> None:
        self._edges = edges
        self._units = np.zeros((len(edges) + 1, classes), dtype=np.int64)
        self._low = np.full(len(edges) + 1, np.inf)
        self._high = np.full(len(edges) + 1, -np.inf)

    def add(self, histogram: Histogram) -> None:
        """Add bins, each of which lies within one cell."""
        if not len(histogram.scores):
            return
        place = np.searchsorted(self._edges, histogram.scores, side="right")
        begins = np.flatnonzero(np.concatenate([[True], place[1:] != place[:-1]]))
        ends = np.append(begins[1:], len(place)) - 1
        at = place[begins]
        self._units[at] += np.add.reduceat(histogram.units, begins, axis=0)
        self._low[at] = np.minimum(self._low[at], histogram.scores[begins])
        self._high[at] = np.maximum(self._high[at], histogram.highest[ends])

    def histogram(self) -> Histogram:
        """The cells that have rows."""
        held = np.flatnonzero(self._low <= self._high)
        return Histogram(self._low[held], self._high[held], self._units[held])


def _after(one: Histogram, other: Histogram) -> Histogram:
    return Histogram(
        np.concatenate([one.scores, other.scores]),
        np.concatenate([one.highest, other.highest]),
        np.concatenate([one.units, other.units]),
    )


def _together(histograms: Sequence[Histogram]) -> Histogram:
    """One of several without joined bins."""
    if len(histograms) == 1:
        return histograms[0]
    together = np.concatenate([h.scores for h in histograms])
    order = np.argsort(together, kind="stable")  # runs that are in order are merged, not sorted
    units = np.concatenate([h.units for h in histograms])
    return _summed(together.take(order), units.take(order, axis=0))


def _summed(scores: F64, units: I64) -> Histogram:
    """Bins of equal scores made one."""
    if not len(scores):
        return Histogram(scores, scores, units)
    begins = np.flatnonzero(np.concatenate([[True], scores[1:] != scores[:-1]]))
    if len(begins) < len(scores):  # else `reduceat` would copy each
        scores, units = scores[begins], np.add.reduceat(units, begins, axis=0)
    return Histogram(scores, scores, units)

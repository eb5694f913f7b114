"""The scores of any number of rows in bounded memory.

Integers add up exactly in any order. As long as there are no more than `most` distinct scores each has a bin
of its own, and everything that follows from ranks (ROC-AUC, PR-AUC, KS, gains) is exact. Beyond that scores
are joined in cells whose edges were laid before the rows came (`edges`), but for the uppermost, where average
precision leaves no room: they keep a bin each. What comes out depends on the rows alone, not on their order
nor on who counted them: whether there are more than `most` distinct scores, and which of them are uppermost,
is so, and a score among the uppermost of all rows is among those of each part of them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from binclf.metrics.histogram import STRETCH, Histogram, summed, together

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

MOST_BINS = 2**21
TOP_SHARE = 16  # one of so many bins is for an uppermost score
PENDING = 1.25  # of `most`: bins that wait before they are made one


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
        self._told: Histogram | None = None  # all rows so far, where they were asked for
        self._room = int(PENDING * most)  # bins pending before they are joined

    def sorted(self, scores: F64, units: I64) -> Histogram:
        """Rows, for `push`: scores float64 [n], finite; units int64 [n, K]."""
        scores = scores + 0.0  # -0.0 and 0.0 are one score
        order = np.argsort(scores)
        return summed(scores.take(order), units.take(order, axis=0))

    def merge(self, other: Scores) -> None:
        """Add another's rows, whose cells have the same edges."""
        if other._cells is not None:
            self._spill()
            self._put(other.parts()[0])
        for histogram in other._pending:
            self.push(histogram)

    def histogram(self) -> Histogram:
        """All rows so far."""
        if self._told is None:
            self._join()
            (rest,) = self._pending
            self._told = rest if self._cells is None else self._cells.closed(rest)
        return self._told

    def parts(self) -> tuple[Histogram, Histogram]:
        """What is in cells (empty as long as each score has a bin), and the rest."""
        whole = self.histogram()
        (rest,) = self._pending
        return whole.of(slice(len(whole.scores) - len(rest.scores) if self._cells is not None else 0)), rest

    def add_parts(self, cells: Histogram, rest: Histogram) -> None:
        """Add another's `parts`."""
        if len(cells.scores):
            self._spill()
            self._put(cells)
        self.push(rest)

    def push(self, histogram: Histogram) -> None:
        """Add a histogram without joined bins."""
        self._told = None
        if self._cells is not None:
            below = int(np.searchsorted(histogram.scores, self._floor))
            self._put(histogram.of(slice(below)))
            histogram = histogram.of(slice(below, None)).alone()
        if len(histogram.scores):
            self._pending.append(histogram)
        if sum(len(h.scores) for h in self._pending) > self._room:
            self._join()

    def _join(self) -> None:
        pending, self._pending = self._pending, []
        joined = together(pending)
        self._pending = [joined]
        if self._edges is None:
            self._room = max(self._room, 2 * len(joined.scores))
        elif len(joined.scores) > self._most:
            self._spill()
        if self._cells is not None:
            self._trim()

    def _spill(self) -> None:
        """From now on in cells."""
        self._told = None
        if self._cells is None:
            if self._edges is None:
                raise AssertionError("cells without edges")
            self._cells, self._room = _Cells(self._edges, self._classes), 2 * self._top
            pending, self._pending = self._pending, []
            self._pending = [together(pending)]
            self._trim()

    def _trim(self) -> None:
        """Leave the uppermost scores, of the one histogram that is pending."""
        (joined,) = self._pending
        extra = len(joined.scores) - self._top
        if extra >= 0:
            self._put(joined.of(slice(extra)))
            self._pending = [joined.of(slice(extra, None)).alone()]
            self._floor = float(joined.scores[extra])

    def _put(self, histogram: Histogram) -> None:
        if self._cells is None:
            raise AssertionError("no cells")
        self._cells.add(histogram)


class _Cells:
    """Bins between edges that do not move; what was added may be closed until there is more to add."""

    def __init__(self, edges: F64, classes: int) -> None:
        self._edges, self._classes = edges, classes
        self._open: tuple[F64, F64, I64] | None = None  # least and greatest score of each cell, and units
        self._closed = Histogram.empty(classes)  # cells that have rows, where none are open

    def add(self, histogram: Histogram) -> None:
        """Add bins, each of which lies within one cell."""
        if self._open is None:
            count, closed = len(self._edges) + 1, self._closed
            units = np.zeros((count, self._classes), dtype=np.int64)
            self._open = np.full(count, np.inf), np.full(count, -np.inf), units
            self._closed = Histogram.empty(self._classes)
            self._add(closed)
        self._add(histogram)

    def _add(self, histogram: Histogram) -> None:
        if self._open is None:
            raise AssertionError("the cells are closed")
        low, high, units = self._open
        for first in range(0, len(histogram.scores), STRETCH):
            bins = histogram.of(slice(first, first + STRETCH))
            place = np.searchsorted(self._edges, bins.scores, side="right")
            begins = np.flatnonzero(np.concatenate([[True], place[1:] != place[:-1]]))
            ends = np.append(begins[1:], len(place)) - 1
            at = place[begins]
            units[at] += np.add.reduceat(bins.units, begins, axis=0)
            low[at] = np.minimum(low[at], bins.scores[begins])
            high[at] = np.maximum(high[at], bins.highest[ends])

    def closed(self, rest: Histogram) -> Histogram:
        """The cells that have rows, and after them bins that lie above; the cells themselves let go."""
        own = self._open or self._closed.arrays
        count = int(np.count_nonzero(own[0] <= own[1]))
        total = count + len(rest.scores)
        whole = Histogram(np.empty(total), np.empty(total), np.empty((total, self._classes), dtype=np.int64))
        filled = 0
        for first in range(0, len(own[0]), STRETCH):
            some = [each[first : first + STRETCH] for each in own]
            held = some[0] <= some[1]
            place = slice(filled, filled + int(np.count_nonzero(held)))
            for into, each in zip(whole.arrays, some, strict=True):
                into[place] = each[held]
            filled = place.stop
        for into, after in zip(whole.arrays, rest.arrays, strict=True):
            into[count:] = after
        self._open, self._closed = None, whole.of(slice(count))
        return whole

"""The order of one epoch as one rank needs it: its rows, position by position."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from binclf import kernels
from binclf.epoch import EpochPlan

I64 = npt.NDArray[np.int64]


def places(
    plan: EpochPlan, first: int, end: int, rank: int, ranks: int
) -> Iterator[tuple[int, int, int, slice]]:
    """For each of the rank's lanes: lane, its offsets in the positions [first, end), and where they stand.

    The places are among the rank's own rows of these positions, in order.
    """
    lanes = np.arange(rank, plan.lanes, ranks)
    lows, highs = (-((lanes - position) // plan.lanes) for position in (first, end))
    own, before = len(lanes), plan.count(first, rank, ranks)
    starts = np.arange(own) + own * lows - before
    for lane, low, high, start in np.stack([lanes, lows, highs, starts], axis=1).tolist():
        if low < high:
            yield lane, low, high, slice(start, start + own * (high - low - 1) + 1, own)


APART = 24  # numbers between lanes: at a power of two, all would fall into one set of the cache's lines


class RowOrder:
    """Canonical row numbers by position; windows are kept while they are in use."""

    def __init__(self, plan: EpochPlan, rank: int, ranks: int) -> None:
        """Nothing is worked out yet."""
        self.plan, self.rank, self.ranks = plan, rank, ranks
        self._lanes = np.arange(rank, plan.lanes, ranks)
        widest = max((plan.lane_rows(lane) for lane in plan.lanes_of(rank, ranks)), default=0)
        widest = widest if plan.is_small else min(plan.window_rows, widest)
        self._windows = np.empty((len(self._lanes), widest + APART), dtype=np.int64)  # of each lane, its rows
        self._first, self._end = np.zeros((2, len(self._lanes)), dtype=np.int64)  # and their offsets in it

    def rows(self, first: int, end: int) -> I64:
        """The rank's rows of the positions [first, end), int64 [n]."""
        plan, own = self.plan, len(self._lanes)
        if end > plan.rows:
            raise AssertionError(f"positions up to {end} of {plan.rows}")
        done, count = (plan.count(position, self.rank, self.ranks) for position in (first, end))
        rows = np.empty(count - done, dtype=np.int64)
        at = 0
        while at < len(rows):
            offsets = -((self._lanes - first) // plan.lanes)  # of the next row of each lane
            for place in np.flatnonzero((offsets < self._first) | (offsets >= self._end)).tolist():
                self._open(place, int(offsets[place]))
            # up to the first position for which a lane needs another window
            stop = min(end, int((self._end * plan.lanes + self._lanes).min()))
            more = plan.count(stop, self.rank, self.ranks) - done - at
            kernels.deal(self._windows, offsets - self._first, (done + at) % own, rows[at : at + more])
            at, first = at + more, stop
        return rows

    def _open(self, place: int, offset: int) -> None:
        """Bring in the window of a lane that holds an offset; past its end, none is needed any more."""
        lane = int(self._lanes[place])
        if offset >= self.plan.lane_rows(lane):
            self._first[place], self._end[place] = offset, np.iinfo(np.int64).max // self.plan.lanes - 1
            return
        window = self.plan.window(lane, offset)
        self._windows[place, : len(window.rows)] = window.rows
        self._first[place], self._end[place] = window.first, window.end

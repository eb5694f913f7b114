"""The order of one epoch as one rank needs it: its rows, position by position."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from binclf import kernels
from binclf.epoch import EpochPlan, Runs

I64 = npt.NDArray[np.int64]


APART = 24  # numbers between lanes: at a power of two, all would fall into one set of the cache's lines


class RowOrder:
    """Row numbers by position; windows are kept while they are in use."""

    def __init__(self, plan: EpochPlan, rank: int, ranks: int, runs: Runs | None = None) -> None:
        """Nothing is worked out yet; `runs`, as of `EpochPlan.put_window`, numbers a window's rows."""
        self.plan, self.rank, self.ranks, self.runs = plan, rank, ranks, runs
        self._lanes = plan.lanes_of(rank, ranks)
        widest = max((plan.lane_rows(lane) for lane in self._lanes), default=0)
        widest = widest if plan.is_small else min(plan.window_rows, widest)
        self._windows = np.empty((len(self._lanes), widest + APART), dtype=np.int64)  # of each lane, its rows
        self._at, self._ends = np.zeros((2, len(self._lanes)), dtype=np.int64)  # what is left of each
        self._next = [0] * len(self._lanes)  # of each lane, the offset at which its next window is entered
        self._position = -1

    def rows(self, first: int, end: int) -> I64:
        """The rank's rows of the positions [first, end), int64 [n]."""
        if end > self.plan.rows:
            raise AssertionError(f"positions up to {end} of {self.plan.rows}")
        if first != self._position:
            self._seek(first)
        self._position = end
        done, count = (self.plan.count(position, self.rank, self.ranks) for position in (first, end))
        rows = np.empty(count - done, dtype=np.int64)
        while done < count:
            place = done % len(self._lanes)  # of the lane that is next
            dealt = kernels.deal(self._windows, self._at, self._ends, place, rows[len(rows) - count + done :])
            done += dealt
            if done < count:
                self._open(done % len(self._lanes))
        return rows

    def _seek(self, position: int) -> None:
        """Go to where each lane's next row is: its window is brought in once that row is asked for.

        Not before: `runs` may not have the rows of windows beyond what was asked for.
        """
        for place, lane in enumerate(self._lanes):
            self._at[place] = self._ends[place] = 0
            self._next[place] = -((lane - position) // self.plan.lanes)

    def _open(self, place: int) -> None:
        """Bring in the window that has a lane's next row."""
        offset = self._next[place]
        first, count = self.plan.put_window(self._lanes[place], offset, self._windows[place], self.runs)
        self._at[place], self._ends[place] = offset - first, count
        self._next[place] = first + count

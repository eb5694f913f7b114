"""The order of one epoch as one rank needs it: its rows, position by position."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from binclf import kernels
from binclf.epoch import EpochPlan

I64 = npt.NDArray[np.int64]


APART = 24  # numbers between lanes: at a power of two, all would fall into one set of the cache's lines

Put = Callable[[int, int, I64], tuple[int, int]]  # as `EpochPlan.put_window`: lane, offset, memory


class RowOrder:
    """Row numbers by position; windows are kept while they are in use."""

    def __init__(self, plan: EpochPlan, rank: int, ranks: int, put: Put | None = None) -> None:
        """Nothing is worked out yet.

        Args:
            plan: the epoch's.
            rank: which.
            ranks: of so many.
            put: writes the numbers of the window of a lane that holds an offset; None: the canonical ones.
        """
        self.plan, self.rank, self.ranks, self.put = plan, rank, ranks, put or plan.put_window
        self._lanes = plan.lanes_of(rank, ranks)
        widest = max((plan.lane_rows(lane) for lane in self._lanes), default=0)
        widest = widest if plan.is_small else min(plan.window_rows, widest)
        self._windows = np.empty((len(self._lanes), widest + APART), dtype=np.int64)  # of each lane, its rows
        self._at, self._ends = np.zeros((2, len(self._lanes)), dtype=np.int64)  # what is left of each
        self._next = [0] * len(self._lanes)  # the offset in its lane that comes when that is over
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
        """Go to where each lane's next row is; windows open when it is their turn."""
        self._at[:] = self._ends[:] = 0
        self._next = [-((lane - position) // self.plan.lanes) for lane in self._lanes]

    def _open(self, place: int) -> None:
        """Bring in the window that has a lane's next row."""
        first, count = self.put(self._lanes[place], self._next[place], self._windows[place])
        self._at[place], self._ends[place] = self._next[place] - first, count
        self._next[place] = first + count

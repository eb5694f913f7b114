"""The order of one epoch as one rank needs it: its rows, position by position."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from binclf.epoch import EpochPlan, Window

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


class RowOrder:
    """Canonical row numbers by position; windows are kept while they are in use."""

    def __init__(self, plan: EpochPlan, rank: int, ranks: int) -> None:
        """Nothing is worked out yet."""
        self.plan, self.rank, self.ranks = plan, rank, ranks
        self._windows: dict[int, Window] = {}

    def rows(self, first: int, end: int) -> I64:
        """The rank's rows of the positions [first, end), int64 [n]."""
        plan = self.plan
        count = plan.count(end, self.rank, self.ranks) - plan.count(first, self.rank, self.ranks)
        rows = np.empty(count, dtype=np.int64)
        for lane, low, high, where in places(plan, first, end, self.rank, self.ranks):
            window = self._windows.get(lane)
            if window is not None and window.first <= low and high <= window.end:
                rows[where] = window.rows[low - window.first : high - window.first]
            else:
                rows[where] = self._over_windows(lane, low, high)
        return rows

    def _over_windows(self, lane: int, low: int, high: int) -> I64:
        """A lane's rows [low, high), opening the windows that they are in."""
        pieces: list[I64] = []
        while low < high:
            window = self._windows.get(lane)
            if window is None or not window.first <= low < window.end:
                window = self._windows[lane] = self.plan.window(lane, low)
            stop = min(high, window.end)
            pieces.append(window.rows[low - window.first : stop - window.first])
            low = stop
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

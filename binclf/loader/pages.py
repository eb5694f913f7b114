"""What a streaming rank holds when: a pure function of the order of an epoch.

A window is laid out in its shuffled order when it opens, which it does before anybody asks for a row behind
the position at which it begins. Until then its rows lie as they were decoded, since a row group is decoded
as a whole; from then on they lie in the order in which they are asked for, and go as they are consumed. So a
lane holds the rest of its last row group, and of its window what is not consumed: about half of each.

Both kinds of rows are held in pages of PAGE rows. Windows open one after the other, by the positions at which
they begin, also those that are in progress where an epoch is taken up; consumption is reckoned in strides of
STRIDE rows a lane, so what is held does not depend on how many rows are asked for at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from binclf.epoch import EpochPlan, Visits

I64 = npt.NDArray[np.int64]

PAGE = 512  # rows that are given back together
STRIDE = 512  # rows of each lane that are asked for together, at most
AHEAD = 1.05  # pages that a reader has, over those that it needs


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of a rank's lanes that are not over at a position, as they open; int64 [K]."""

    lane: I64
    low: I64  # the first offset in the lane
    left: I64  # the first offset that is laid out: pages before it are consumed
    high: I64  # the end offset
    begin: I64  # the position of the first row
    after: I64  # the position behind the last row

    @classmethod
    def of(cls, plan: EpochPlan, rank: int, ranks: int, position: int) -> Windows:
        """Of a rank, from a position on."""
        lanes = np.array(plan.lanes_of(rank, ranks), dtype=np.int64)
        rows = np.array([plan.lane_rows(lane) for lane in lanes.tolist()], dtype=np.int64)
        heads = plan.head_rows(lanes)
        counts = np.where(rows > heads, 1 + -(-(rows - heads) // plan.window_rows), np.minimum(rows, 1))
        own = np.repeat(np.arange(len(lanes)), counts)
        number = np.arange(len(own)) - (np.cumsum(counts) - counts)[own]
        lane, head = lanes[own], heads[own]
        low = np.where(number == 0, 0, head + (number - 1) * plan.window_rows)
        high = np.minimum(head + number * plan.window_rows, rows[own])
        consumed = -((lane - position) // plan.lanes)  # offsets of the lane
        left = low + np.maximum(consumed - low, 0) // PAGE * PAGE
        begin, after = low * plan.lanes + lane, (high - 1) * plan.lanes + lane + 1
        kept = np.flatnonzero(after > position)
        kept = kept[np.argsort(begin[kept])]
        return cls(*(array[kept] for array in (lane, low, left, high, begin, after)))

    def number(self, begin: I64) -> I64:
        """Which windows begin at these positions."""
        return np.searchsorted(self.begin, begin)


@dataclass(frozen=True)
class Pages:
    """What one rank holds from a position of an epoch on.

    P pages of rows as they are decoded, those of a visit one after the other; Q pages of rows in order, those
    of a window one after the other.
    """

    plan: EpochPlan
    position: int
    windows: Windows
    visits: Visits  # V, what is wanted of them
    starts: I64  # [V + 1] the first page of each visit
    visit: I64  # [P] which visit's
    offset: I64  # [P] of the first row in its lane
    rows: I64  # [P]
    last: I64  # [P] the window that has the last of its rows
    laid: I64  # [K + 1] the first page in order of each window
    consumed: I64  # [Q] the position behind the last of its rows

    @classmethod
    def of(cls, plan: EpochPlan, rank: int, ranks: int, position: int = 0) -> Pages:
        """Of a rank; of a set that is not small."""
        windows = Windows.of(plan, rank, ranks, position)
        visits = _wanted(plan, plan.visits(rank, ranks), windows)
        starts = _starts(-(-visits.rows // PAGE))
        visit = np.repeat(np.arange(len(visits.rows)), np.diff(starts))
        before = (np.arange(len(visit)) - starts[visit]) * PAGE  # rows of the visit before the page
        rows = np.minimum(visits.rows[visit] - before, PAGE)
        offset = visits.offset[visit] + before
        begin, _ = plan.window_positions(visits.lane[visit], offset + rows - 1)
        laid = _starts(-(-(windows.high - windows.left) // PAGE))
        own = np.repeat(np.arange(len(windows.lane)), np.diff(laid))
        end = np.minimum(windows.left[own] + (np.arange(len(own)) - laid[own] + 1) * PAGE, windows.high[own])
        consumed = (end - 1) * plan.lanes + windows.lane[own] + 1
        last = windows.number(begin)
        return cls(plan, position, windows, visits, starts, visit, offset, rows, last, laid, consumed)

    @property
    def stride(self) -> int:
        """Positions that are asked for together."""
        return self.plan.lanes * STRIDE

    @cached_property
    def first(self) -> I64:
        """The window that each visit's rows are needed for first, int64 [V]."""
        return self.windows.number(self.visits.need)

    @cached_property
    def in_order(self) -> I64:
        """Pages in order that are held when a window is laid out, its own included, at most; int64 [K]."""
        gone = np.sort((self.consumed - 1) // self.stride)
        now = np.maximum(self.windows.begin, self.position) // self.stride
        return self.laid[1:] - np.searchsorted(gone, now)

    @cached_property
    def over(self) -> I64:
        """Pages as decoded that are given back before a window is laid out, int64 [K]."""
        return np.searchsorted(np.sort(self.last), np.arange(len(self.windows.lane)))

    @cached_property
    def most(self) -> int:
        """The most pages that must be held at once."""
        visits = np.searchsorted(self.first, np.arange(len(self.windows.lane)), side="right")
        return int((self.starts[visits] - self.over + self.in_order).max(initial=0))

    @property
    def capacity(self) -> int:
        """The pages that a reader has: all, or a few more than it must have.

        In a small set, whose lanes are hardly longer than their windows, as many as in a large one: of each
        lane half a window and half a row group, one window that opens, and what the sum of so many parts of
        row groups exceeds its mean by now and then (two standard deviations of uniform ones).
        """
        plan, lanes = self.plan, len(np.unique(self.visits.lane))
        group = max(plan.group_rows, default=0)
        mean = lanes * (plan.window_rows + group + PAGE) / 2 + plan.window_rows
        usual = int(mean + 2 * group * (lanes / 12) ** 0.5) // PAGE
        return max(self.most, min(int(AHEAD * max(self.most, usual)) + 1, len(self.rows)))

    def may_fill(self, visit: int, opened: int, pages: int) -> bool:
        """Whether a visit that comes early leaves enough of so many pages for the windows before its own.

        Args:
            visit: which; those before it are there, or on their way.
            opened: windows that are laid out.
            pages: that there are.
        """
        between = slice(opened, int(self.first[visit]))
        room = pages + self.over[between] - self.in_order[between]
        return bool((room >= self.starts[visit + 1]).all())

    @cached_property
    def by_lane(self) -> tuple[I64, I64]:
        """All pages as decoded, by lane and offset; and where in them each lane begins, int64 [L + 1]."""
        lane = self.visits.lane[self.visit]
        order = np.lexsort((self.offset, lane))
        return order, np.searchsorted(lane[order], np.arange(self.plan.lanes + 1))

    def between(self, lane: int, low: int, high: int) -> I64:
        """The pages as decoded that hold the rows [low, high) of a lane, in order."""
        order, begins = self.by_lane
        own = order[begins[lane] : begins[lane + 1]]
        offsets = self.offset[own]
        first, last = np.searchsorted(offsets, low, side="right") - 1, np.searchsorted(offsets, high)
        return own[first:last]


def _wanted(plan: EpochPlan, visits: Visits, windows: Windows) -> Visits:
    """What windows want of visits, in the order in which they want it."""
    low = np.array([plan.lane_rows(lane) for lane in range(plan.lanes)], dtype=np.int64)
    np.minimum.at(low, windows.lane, windows.low)  # of each lane, the first row that is wanted
    cut = np.maximum(low[visits.lane] - visits.offset, 0)
    kept = np.flatnonzero(cut < visits.rows)
    cut, lane, offset = cut[kept], visits.lane[kept], visits.offset[kept] + cut[kept]
    need, _ = plan.window_positions(lane, offset)
    found = (lane, offset, visits.group[kept], visits.low[kept] + cut, visits.rows[kept] - cut, need)
    by_need = np.argsort(need, kind="stable")
    return Visits(*(array[by_need] for array in found))


def _starts(counts: I64) -> I64:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

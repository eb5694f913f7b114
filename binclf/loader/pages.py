"""Which rows a streaming rank holds when: a pure function of the order of an epoch.

A lane's rows are held in pages of PAGE rows, from the moment at which a window asks for the first row of
their row group until the window that has the last of the page's rows is over. All is reckoned in strides of
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


@dataclass(frozen=True)
class Pages:
    """The pages of one rank in one epoch; P of them, those of a visit one after the other."""

    plan: EpochPlan
    visits: Visits
    starts: I64  # [V + 1] the first page of each visit
    visit: I64  # [P] which visit's
    offset: I64  # [P] of the first row in its lane
    rows: I64  # [P]
    after: I64  # [P] the position from which on nobody asks for its rows

    @classmethod
    def of(cls, plan: EpochPlan, rank: int, ranks: int) -> Pages:
        """Of a rank."""
        visits = plan.visits(rank, ranks)
        starts = np.concatenate([[0], np.cumsum(-(-visits.rows // PAGE))]).astype(np.int64)
        visit = np.repeat(np.arange(len(visits.rows)), np.diff(starts))
        before = (np.arange(len(visit)) - starts[visit]) * PAGE  # rows of the visit before the page
        rows = np.minimum(visits.rows[visit] - before, PAGE)
        offset = visits.offset[visit] + before
        _, after = plan.window_positions(visits.lane[visit], offset + rows - 1)
        return cls(plan, visits, starts, visit, offset, rows, after)

    @property
    def stride(self) -> int:
        """Positions that are asked for together."""
        return self.plan.lanes * STRIDE

    @cached_property
    def most(self) -> int:
        """The most pages that must be held at once."""
        first = self.visits.need[self.visit] // self.stride
        last = (self.after - 1) // self.stride
        change = np.zeros(self.plan.rows // self.stride + 2, dtype=np.int64)
        np.add.at(change, first, 1)
        np.add.at(change, last + 1, -1)
        return int(np.cumsum(change).max(initial=0))

    @property
    def capacity(self) -> int:
        """The pages that a reader has: all, or a few more than it must have.

        In a small set, whose lanes are hardly longer than their windows, as many as in a large one.
        """
        plan = self.plan
        lanes = len(np.unique(self.visits.lane))
        usual = lanes * (plan.window_rows + max(plan.group_rows, default=0) // 2) // PAGE
        return min(int(AHEAD * max(self.most, usual)) + 1, len(self.rows))

    @cached_property
    def by_lane(self) -> tuple[I64, I64]:
        """All pages, each lane's in its order; and where in them each lane begins, int64 [L + 1]."""
        lane = self.visits.lane[self.visit]
        order = np.lexsort((self.offset, lane))
        return order, np.searchsorted(lane[order], np.arange(self.plan.lanes + 1))

    def between(self, lane: int, low: int, high: int) -> I64:
        """The pages that hold the rows [low, high) of a lane, in order."""
        order, begins = self.by_lane
        own = order[begins[lane] : begins[lane + 1]]
        offsets = self.offset[own]
        first, last = np.searchsorted(offsets, low, side="right") - 1, np.searchsorted(offsets, high)
        return own[first:last]

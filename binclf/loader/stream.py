"""Rows in the order of an epoch, decoded a little before they are needed, in memory of fixed size."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from binclf.epoch import EpochPlan
from binclf.features import Encoded, Encoder
from binclf.loader.filling import Filling
from binclf.loader.order import RowOrder
from binclf.loader.pages import PAGE, Pages
from binclf.loader.records import Gatherer, Missing, Records
from binclf.loader.source import fillers

I64 = npt.NDArray[np.int64]


class Rows(Protocol):
    """Where the rows come from."""

    @property
    def attached(self) -> Encoder:
        """What they are encoded with."""

    def arena(self, rows: int) -> Records:
        """Memory for so many rows, kept from one epoch to the next."""

    def put(self, group: int) -> tuple[Records, Missing]:
        """One row group, encoded, in memory that is used again once nobody holds it."""


class StreamReader:
    """One rank's rows; positions must come in order to be decoded only once.

    Rows lie in pages of an arena. Threads decode row groups in the order in which windows need them, as far
    as there are pages: those that must be there always fit, and some more, so that a reader rarely waits.
    """

    def __init__(self, store: Rows, plan: EpochPlan, rank: int, ranks: int) -> None:
        """Nothing is decoded yet."""
        self.store, self.plan, self.rank, self.ranks = store, plan, rank, ranks
        self.pages = Pages.of(plan, rank, ranks)
        self._by_end = np.argsort(self.pages.after, kind="stable")
        self._arena = store.arena(self.pages.capacity * PAGE)
        self._gatherer = Gatherer()
        self._missing: Missing = np.zeros(self._arena.layout.columns, dtype=np.bool_)
        self._lock = threading.Lock()
        self._position = -1
        self._filling: Filling[Missing] | None = None

    def read(self, first: int, end: int) -> tuple[Encoded, I64]:
        """The rank's rows of the positions [first, end), and their canonical numbers."""
        if first != self._position:
            self._seek(first)
        self._position = end
        before = self.plan.count(first, self.rank, self.ranks)
        rows = np.empty(self.plan.count(end, self.rank, self.ranks) - before, dtype=np.int64)
        out = self._gatherer.room(len(rows), self._arena, self.store.attached)
        for low, high in self._strides(first, end):
            own = slice(*(self.plan.count(p, self.rank, self.ranks) - before for p in (low, high)))
            self._await(high)
            rows[own] = self._numbers.rows(low, high)
            self._arena.gather(self._places.rows(low, high), out.between(own.start, own.stop))
            self._give_back(high)
        self.store.attached.complete(out.x, np.flatnonzero(self._missing))
        return out, rows

    def close(self) -> None:
        """Decode nothing more, and let go of the arena."""
        self._stop()
        self._arena = self.store.arena(0)

    def _stop(self) -> None:
        if self._filling is not None:
            self._filling.close()
            self._filling = None
        self._position = -1

    def _strides(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        while first < end:
            high = min((first // self.pages.stride + 1) * self.pages.stride, end)
            yield first, high
            first = high

    def _seek(self, position: int) -> None:
        """Begin anew: with the pages that are needed from this position on."""
        self._stop()
        pages = self.pages
        self._given = int(np.searchsorted(pages.after[self._by_end], position, side="right"))
        self._is_wanted = pages.after > position
        before = np.concatenate([[0], np.cumsum(self._is_wanted)])
        wanted = np.diff(before[pages.starts])  # pages of each visit
        self._todo = np.flatnonzero(wanted)  # visits
        self._taken = np.cumsum(wanted[self._todo])  # pages, with each of these
        self._free = list(range(pages.capacity - 1, -1, -1))  # in the arena; the lowest come first
        self._back = 0  # pages that were given back
        self._where = np.full(len(pages.rows), -1, dtype=np.int64)  # [P], the page's place in the arena
        self._numbers = RowOrder(self.plan, self.rank, self.ranks)
        self._places = RowOrder(self.plan, self.rank, self.ranks, self._runs)
        self._filling = Filling(self._bring, pages.visits.need[self._todo], fillers())
        self._go_on()

    def _await(self, position: int) -> None:
        """Until all rows that are needed before this position are there."""
        assert self._filling is not None
        for missing in self._filling.until(position):
            self._missing |= missing

    def _give_back(self, position: int) -> None:
        """The pages that are not needed from this position on."""
        end = int(np.searchsorted(self.pages.after[self._by_end], position, side="right"))
        places = self._where[self._by_end[self._given : end]].tolist()
        self._given = end
        with self._lock:
            self._free += places
        self._back += len(places)
        self._go_on()

    def _go_on(self) -> None:
        """Decode as far as there are pages."""
        assert self._filling is not None
        room = self.pages.capacity + self._back
        self._filling.allow(int(np.searchsorted(self._taken, room, side="right")))

    def _bring(self, item: int) -> Missing:
        """Decode one visit's row group, and copy what is wanted of it to pages."""
        pages, visit = self.pages, int(self._todo[item])
        decoded, missing = self.store.put(int(pages.visits.group[visit]))
        first, end = pages.starts[visit : visit + 2].tolist()
        low = int(pages.visits.low[visit])
        for page in range(first, end):
            if self._is_wanted[page]:
                with self._lock:
                    place = self._free.pop()
                begin, rows = low + (page - first) * PAGE, int(pages.rows[page])
                self._arena.bytes[place * PAGE : place * PAGE + rows] = decoded.bytes[begin : begin + rows]
                self._where[page] = place
        return missing

    def _runs(self, lane: int, low: int, high: int) -> tuple[I64, I64]:
        """Where a lane's rows [low, high) are in the arena."""
        own = self.pages.between(lane, low, high)
        offsets = self.pages.offset[own]
        cut = np.maximum(offsets, low)
        ends = np.minimum(offsets + self.pages.rows[own], high)
        return self._where[own] * PAGE + cut - offsets, ends - cut

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

    Rows lie in pages of an arena: first as threads decode them, in the order in which windows need them and
    as far as there are pages; then in the order of their window, from where batches are gathered. Pages for
    what must be there are always free, and some more, so that a reader rarely waits.
    """

    def __init__(self, store: Rows, plan: EpochPlan, rank: int, ranks: int) -> None:
        """Nothing is decoded yet."""
        self.store, self.plan, self.rank, self.ranks = store, plan, rank, ranks
        self.pages = Pages.of(plan, rank, ranks)
        self._capacity = self.pages.capacity
        self._arena = store.arena(self._capacity * PAGE)
        self._gatherer = Gatherer()
        self._missing: Missing = np.zeros(self._arena.layout.columns, dtype=np.bool_)
        self._lock = threading.Lock()
        self._position = -1
        self._filling: Filling | None = None

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
            self._open(high)
            rows[own] = self._numbers.rows(low, high)
            self._arena.gather(self._places.rows(low, high), out.between(own.start, own.stop))
            self._consume(high)
        self.store.attached.complete(out.x, np.flatnonzero(self._missing))
        return out, rows

    def close(self) -> None:
        """Decode nothing more, and let go of the arena."""
        self._stop()
        self._let_go()

    def _stop(self) -> None:
        if self._filling is not None:
            self._filling.close()
            self._filling = None
        self._position = -1

    def _let_go(self) -> None:
        """Hold no arena: the store has it for the next reader, and drops it where that wants a larger one."""
        self._arena = Records(self._arena.layout, 0)

    def _strides(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        while first < end:
            high = min((first // self.pages.stride + 1) * self.pages.stride, end)
            yield first, high
            first = high

    def _seek(self, position: int) -> None:
        """Begin anew: with what is needed from this position on."""
        self._stop()
        self.pages = pages = Pages.of(self.plan, self.rank, self.ranks, position)
        if pages.most > self._capacity:
            self._capacity = pages.most
            self._let_go()  # before a larger one is made
            self._arena = self.store.arena(self._capacity * PAGE)
        self._free = list(range(self._capacity - 1, -1, -1))  # in the arena; the lowest come first
        self._where = np.full(len(pages.rows), -1, dtype=np.int64)  # [P], the page's place in the arena
        self._laid = np.full(len(pages.consumed), -1, dtype=np.int64)  # [Q], the same of rows in order
        self._by_last = np.argsort(pages.last, kind="stable")  # as pages are given back
        self._by_end = np.argsort(pages.consumed, kind="stable")
        self._begun = self._opened = 0  # visits, windows
        self._back = self._eaten = 0  # pages that were given back: as decoded, and in order
        self._numbers = RowOrder(self.plan, self.rank, self.ranks)
        self._places = RowOrder(self.plan, self.rank, self.ranks, self._put_window)
        self._filling = Filling(self._bring, pages.visits.need, fillers())
        self._go_on()

    def _open(self, position: int) -> None:
        """Lay out the windows that begin before a position."""
        end = int(np.searchsorted(self.pages.windows.begin, position))
        while self._opened < end:
            self._lay_out(self._opened)
            self._opened += 1
            self._go_on()

    def _lay_out(self, window: int) -> None:
        """Put a window's rows in order, and give back the pages that nobody else needs."""
        assert self._filling is not None
        windows, pages = self.pages.windows, self.pages
        self._filling.until(int(windows.begin[window]) + 1)
        low, left, high = (int(array[window]) for array in (windows.low, windows.left, windows.high))
        rows = np.empty(high - low, dtype=np.int64)
        self.plan.put_window(int(windows.lane[window]), low, rows, self._runs)
        own = slice(*pages.laid[window : window + 2].tolist())
        with self._lock:
            self._laid[own] = [self._free.pop() for _ in range(own.stop - own.start)]
        for place, first in zip(self._laid[own].tolist(), range(left - low, high - low, PAGE), strict=True):
            self._arena.lay_out(rows[first : first + PAGE], place * PAGE)
        back = int(np.searchsorted(pages.last[self._by_last], window, side="right"))
        self._give_back(self._where[self._by_last[self._back : back]])
        self._back = back

    def _consume(self, position: int) -> None:
        """Give back the rows in order before a position."""
        eaten = int(np.searchsorted(self.pages.consumed[self._by_end], position, side="right"))
        self._give_back(self._laid[self._by_end[self._eaten : eaten]])
        self._eaten = eaten
        self._go_on()

    def _give_back(self, places: I64) -> None:
        with self._lock:
            self._free += places.tolist()

    def _go_on(self) -> None:
        """Decode as far as there are pages, and enough of them for the windows that open before."""
        assert self._filling is not None
        pages = self.pages
        room = self._capacity + self._back + self._eaten - int(pages.laid[self._opened])
        end = int(np.searchsorted(pages.starts, room, side="right")) - 1
        while self._begun < end and pages.may_fill(self._begun, self._opened, self._capacity):
            self._begun += 1
        self._filling.allow(self._begun)

    def _bring(self, visit: int) -> None:
        """Decode one visit's row group, and copy what is wanted of it to pages."""
        pages = self.pages
        decoded, missing = self.store.put(int(pages.visits.group[visit]))
        with self._lock:
            self._missing |= missing
        low = int(pages.visits.low[visit])
        for page in range(*pages.starts[visit : visit + 2].tolist()):
            with self._lock:
                place = self._free.pop()
            rows = int(pages.rows[page])
            self._arena.bytes[place * PAGE : place * PAGE + rows] = decoded.bytes[low : low + rows]
            self._where[page] = place
            low += rows

    def _runs(self, lane: int, low: int, high: int) -> tuple[I64, I64]:
        """Where a lane's rows [low, high) are in the arena, as they were decoded."""
        own = self.pages.between(lane, low, high)
        offsets = self.pages.offset[own]
        cut = np.maximum(offsets, low)
        ends = np.minimum(offsets + self.pages.rows[own], high)
        return self._where[own] * PAGE + cut - offsets, ends - cut

    def _put_window(self, lane: int, offset: int, out: I64) -> tuple[int, int]:
        """Write where the rows of the window of a lane that holds an offset are in the arena, in order."""
        _, low, high = self.plan.window_bounds(lane, offset)
        window = int(np.searchsorted(self.pages.windows.begin, low * self.plan.lanes + lane))
        skipped = int(self.pages.windows.left[window]) - low
        places = self._laid[slice(*self.pages.laid[window : window + 2].tolist())]
        numbers = places[:, np.newaxis] * PAGE + np.arange(PAGE)
        out[skipped : high - low] = numbers.reshape(-1)[: high - low - skipped]
        return low, high - low

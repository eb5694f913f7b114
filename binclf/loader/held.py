"""All rows in memory: decoded once, encoded in place, shared by the ranks of a machine."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.epoch import EpochPlan
from binclf.features import Block, Encoded, Encoder, Features
from binclf.loader.filling import Filling
from binclf.loader.order import RowOrder
from binclf.loader.records import Gatherer, Missing, Records, layout_of
from binclf.loader.source import Look, Source, ahead, decoded, threads

I64 = npt.NDArray[np.int64]

AT_ONCE = 8  # row groups


class HeldRows:
    """The rows of one part in arrays, in canonical order.

    Where ranks share the arrays, each fills in some row groups, and all of them must have done so before any
    of them gathers. Once features are attached any number of threads may ask for rows.
    """

    def __init__(self, source: Source, shared: npt.NDArray[np.uint8] | None = None) -> None:
        """Take the memory, `bytes_of` the source; nothing is read yet."""
        self.source, self.is_shared = source, shared is not None
        self.records = Records(layout_of(source), source.rows, shared)
        # residuals, then standardised numbers; codes, then ids: each is written where what it is made of was
        self.numbers, self.ids = self.records.numbers, self.records.ids
        self.w, self.y = self.records.w, self.records.y
        self.lacking = np.zeros(self.numbers.shape[1], dtype=np.bool_)  # columns in which a value is missing
        self._raw: dict[int, Block] = {}  # decoded, not yet encoded
        self._filled: set[int] = set()  # encoded
        self._underway: set[int] = set()  # being encoded, each by one thread
        self._turn = threading.Condition()  # held to change one of these two, or `lacking`
        self._gatherer = Gatherer()
        self._all: Filling | None = None  # of all rows, for whoever wants any of them
        self.encoder: Encoder | None = None

    @staticmethod
    def bytes_of(source: Source) -> int:
        """Bytes of all rows."""
        return Records.bytes_of(layout_of(source), source.rows)

    def blocks(self, groups: Iterable[int], look: Look | None = None) -> Iterator[tuple[int, Block]]:
        """These row groups, decoded with their moments, looked at, and kept until they are encoded."""
        return decoded(groups, self._block, look)

    def early(self, groups: Iterable[int]) -> Iterator[tuple[int, Block]]:
        """The same before each rank has its own row groups: not kept where another may keep them."""
        if self.is_shared:
            return decoded(groups, partial(self.source.decode, moments=True))
        return self.blocks(groups)

    def attach(self, features: Features) -> None:
        """From now on rows are encoded with these features, in place: a row group when it is asked for.

        What other ranks will look at is encoded now.
        """
        self.encoder = Encoder(features)
        for block in self._raw.values():
            self.lacking |= block.missing
        if self.is_shared:
            self._each(list(self._raw))

    def fill(self, groups: Iterable[int]) -> None:
        """Decode and encode these row groups too, but for those that were."""
        self._each([group for group in groups if group not in self._filled and group not in self._raw])

    def share(self, missing: Missing) -> None:
        """All ranks that share the memory have filled in their row groups; which columns lack values."""
        with self._turn:
            self._filled.update(range(len(self.source.group_rows)))
            self.lacking = missing

    @property
    def row_bytes(self) -> int:
        """Bytes of a row as the model takes it."""
        return self._of().row_bytes

    def reader(self, plan: EpochPlan, rank: int, ranks: int) -> HeldReader:
        """The rank's rows in the order of an epoch, which may begin before all rows are encoded."""
        filling: Filling | None = None
        if not self._is_whole:
            visits = plan.visits(rank, ranks)
            groups, places = np.unique(visits.group, return_index=True)
            needs = np.full(len(self.source.group_rows), plan.rows)
            needs[groups] = visits.need[places]
            filling = self._begin(needs)
        return HeldReader(self, RowOrder(plan, rank, ranks), filling)

    def gather(self, rows: I64) -> Encoded:
        """Any rows, by their canonical numbers."""
        if not self._is_whole:
            with self._turn:
                self._all = self._all or self._begin(np.zeros(len(self.source.group_rows), dtype=np.int64))
            self._all.until(1)
        return self.taken(rows)

    def taken(self, rows: I64) -> Encoded:
        """Rows that were encoded, by their canonical numbers."""
        return self._gatherer.take(self.records, rows, self._of(), self.lacking)

    def encoded(self, group: int) -> Encoded:
        """One row group; decoded now, if this rank has not done so before."""
        kept, encoder = self.kept(group), self._of()
        x = np.empty((len(kept), encoder.features.width), dtype=np.float32)
        x[:, : self.numbers.shape[1]] = kept.x
        encoder.complete(x, np.flatnonzero(self.lacking))
        return Encoded(x, kept.ids.copy(), kept.y.copy(), None if kept.w is None else kept.w.copy())

    def kept(self, group: int) -> Encoded:
        """One row group as it lies in memory: its numbers alone, NaN where one is missing."""
        self._ready(group)
        rows = self.source.span(group)
        w = None if self.w is None else self.w[rows]
        return Encoded(self.numbers[rows], self.ids[rows], self.y[rows], w)

    def __getstate__(self) -> dict[str, Any]:
        """What a DataLoader process is sent: where the rows are, not the rows."""
        return {"source": self.source, "features": self._of().features}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["source"])  # type: ignore[misc]
        self.attach(state["features"])  # it decodes all rows for itself, once they are asked for

    def _of(self) -> Encoder:
        if self.encoder is None:
            raise AssertionError("attach features first")
        return self.encoder

    def _block(self, group: int) -> Block:
        """A row group with its moments, its rows written here but not yet encoded."""
        if group in self._raw:
            return self._raw[group]
        block = self.source.decode(group, out=self.records.target(self.source.span(group)), moments=True)
        self._raw[group] = replace(block, texts=(), counts=())
        return block

    @property
    def _is_whole(self) -> bool:
        """Whether every row group is encoded, as in all epochs but the first."""
        return len(self._filled) == len(self.source.group_rows)

    def _begin(self, needs: I64) -> Filling:
        """Decode and encode what was not, by the positions of an epoch that need each row group."""
        order = np.argsort(needs, kind="stable")
        todo = [group for group in order.tolist() if group not in self._filled]

        def some(item: int) -> None:
            self._complete(todo[item * AT_ONCE : (item + 1) * AT_ONCE])

        filling = Filling(some, needs[todo[::AT_ONCE]], threads())
        filling.allow(-(-len(todo) // AT_ONCE))
        return filling

    def _each(self, groups: Sequence[int]) -> None:
        """Decode and encode by threads."""
        cut = [groups[first : first + AT_ONCE] for first in range(0, len(groups), AT_ONCE)]
        for _ in ahead(self._complete, cut, threads()):
            pass

    def _complete(self, groups: Sequence[int]) -> None:
        """Some row groups by one thread: to hand over each would take as long as a third of it."""
        for group in groups:
            self._ready(group)

    def _ready(self, group: int) -> None:
        """Encode a row group, if no other thread has or does: then until it is."""
        with self._turn:
            self._turn.wait_for(lambda: group not in self._underway)
            if group in self._filled:
                return
            self._underway.add(group)
        try:
            missing = self._encode(group) if group in self._raw else self._fill(group)
            with self._turn:
                self.lacking |= missing
                self._filled.add(group)
        finally:
            with self._turn:
                self._underway.remove(group)
                self._turn.notify_all()

    def _encode(self, group: int) -> Missing:
        """Where the row group lies, decoded."""
        block, rows = self._raw.pop(group), self.source.span(group)
        self._of().standardise(block.residuals, block.centre, block.residuals)
        return self.records.finish(rows, block, self._of())

    def _fill(self, group: int) -> Missing:
        """Decode and encode at once."""
        return self.records.fill(self.source.span(group), self.source, group, self._of())


class HeldReader:
    """Rows in the order of an epoch, by gathering."""

    def __init__(self, store: HeldRows, order: RowOrder, filling: Filling | None) -> None:
        """A store, an order, and what is still being encoded in that order."""
        self.store, self.order, self.filling = store, order, filling

    def read(self, first: int, end: int) -> tuple[Encoded, I64]:
        """The rank's rows of the positions [first, end), and their canonical numbers."""
        rows = self.order.rows(first, end)
        if self.filling is not None:
            self.filling.until(end)
        return self.store.taken(rows), rows

"""All rows in memory: decoded once, encoded in place, shared by the ranks of a machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf import kernels
from binclf.epoch import EpochPlan
from binclf.features import Block, Encoded, Encoder, Features, Standard
from binclf.loader.order import RowOrder
from binclf.loader.records import Layout, Records
from binclf.loader.source import Look, Source, ahead, decoded, threads
from binclf.parquet import Buffers

I64 = npt.NDArray[np.int64]
Missing = npt.NDArray[np.bool_]

AT_ONCE = 8  # row groups


def layout_of(source: Source) -> Layout:
    """How its rows are kept."""
    roles = source.how.roles
    return Layout(len(roles.numeric), len(roles.categorical), bool(source.how.weight))


class HeldRows:
    """The rows of one part in arrays, in canonical order.

    Where ranks share the arrays, each fills in some row groups, and all of them must have done so before any
    of them gathers.
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
        self._buffers, self._id_buffers = Buffers(), Buffers()
        self.encoder: Encoder | None = None
        self._is_copy = False

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
            self._encode_all()

    def fill(self, groups: Iterable[int]) -> None:
        """Decode and encode these row groups too, but for those that were."""
        self._each(self._fill, [group for group in groups if not self._is_decoded(group)])

    def share(self, missing: Missing) -> None:
        """All ranks that share the memory have filled in their row groups; which columns lack values."""
        self._filled.update(range(len(self.source.group_rows)))
        self.lacking = missing

    @property
    def row_bytes(self) -> int:
        """Bytes of a row as the model takes it."""
        return self._of().row_bytes

    def reader(self, plan: EpochPlan, rank: int, ranks: int) -> HeldReader:
        """The rank's rows in the order of an epoch."""
        return HeldReader(self, RowOrder(plan, rank, ranks))

    def gather(self, rows: I64) -> Encoded:
        """Rows by their canonical numbers."""
        if self._raw:
            self._encode_all()
        if self._is_copy:
            self.fill(range(len(self.source.group_rows)))
            self._is_copy = False
        encoder = self._of()
        x = self._buffers.take(len(rows), encoder.features.width)
        ids = self._id_buffers.take(len(rows), self.ids.shape[1]).view(np.int32)
        y = np.empty(len(rows), dtype=np.int8)
        w = None if self.w is None else np.empty(len(rows), dtype=np.float32)
        out = Encoded(x, ids, y, w)
        self.records.gather(rows, out)
        encoder.complete(x, np.flatnonzero(self.lacking))
        return out

    def encoded(self, group: int) -> Encoded:
        """One row group; decoded now, if this rank has not done so before."""
        kept, encoder = self.kept(group), self._of()
        x = np.empty((len(kept), encoder.features.width), dtype=np.float32)
        x[:, : self.numbers.shape[1]] = kept.x
        encoder.complete(x, np.flatnonzero(self.lacking))
        return Encoded(x, kept.ids.copy(), kept.y.copy(), None if kept.w is None else kept.w.copy())

    def kept(self, group: int) -> Encoded:
        """One row group as it lies in memory: its numbers alone, NaN where one is missing."""
        if group in self._raw:
            self._encode(group)
        elif group not in self._filled:
            self.lacking |= self._fill(group)
        rows = self.source.span(group)
        w = None if self.w is None else self.w[rows]
        return Encoded(self.numbers[rows], self.ids[rows], self.y[rows], w)

    def __getstate__(self) -> dict[str, Any]:
        """What a DataLoader process is sent: where the rows are, not the rows."""
        return {"source": self.source, "features": self._of().features}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["source"])  # type: ignore[misc]
        self.attach(state["features"])
        self._is_copy = True  # it decodes all rows for itself, once they are asked for

    def _of(self) -> Encoder:
        if self.encoder is None:
            raise AssertionError("attach features first")
        return self.encoder

    def _block(self, group: int) -> Block:
        """A row group with its moments, its rows written here but not yet encoded."""
        if group in self._raw:
            return self._raw[group]
        block = self._decoded(group, moments=True)
        self._raw[group] = replace(block, texts=(), counts=())
        return block

    def _is_decoded(self, group: int) -> bool:
        return group in self._filled or group in self._raw

    def _encode_all(self) -> None:
        """What is decoded and not yet encoded."""
        self._each(self._encode, list(self._raw))

    def _each(self, work: Callable[[int], Missing], groups: Sequence[int]) -> None:
        """By threads, each having some groups at once: handing over one takes as long as a third of it."""

        def some(first: int) -> list[Missing]:
            return [work(group) for group in groups[first : first + AT_ONCE]]

        for missing in ahead(some, range(0, len(groups), AT_ONCE), threads()):
            self.lacking |= np.logical_or.reduce(missing)

    def _encode(self, group: int) -> Missing:
        block = self._raw.pop(group)
        self._of().standardise(block.residuals, block.centre, block.residuals)
        return self._finish(group, block)

    def _fill(self, group: int) -> Missing:
        """Decode and encode at once."""
        return self._finish(group, self._decoded(group, standard=self._of().standard))

    def _decoded(self, group: int, *, moments: bool = False, standard: Standard | None = None) -> Block:
        rows = self.source.span(group)
        out = self.records.target(rows)
        block = self.source.decode(group, out=out, moments=moments, standard=standard)
        if self.w is not None:
            self.w[rows] = block.weights
        return block

    def _finish(self, group: int, block: Block) -> Missing:
        """Turn codes into ids; returns in which columns a value is missing."""
        rows = self.source.span(group)
        kernels.encode(block.codes, self._of().tables(block), self.ids[rows])
        self._filled.add(group)
        return block.missing


class HeldReader:
    """Rows in the order of an epoch, by gathering."""

    def __init__(self, store: HeldRows, order: RowOrder) -> None:
        """A store and an order."""
        self.store, self.order = store, order

    def read(self, first: int, end: int) -> tuple[Encoded, I64]:
        """The rank's rows of the positions [first, end), and their canonical numbers."""
        rows = self.order.rows(first, end)
        return self.store.gather(rows), rows

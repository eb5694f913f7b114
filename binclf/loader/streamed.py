"""Rows decoded (or fetched from the disk cache) as they come in an epoch, in bounded memory.

Row groups are decoded once an epoch, and once more where they reach over the end of a lane.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.epoch import EpochPlan
from binclf.features import Block, Encoded, Encoder, Features, Target
from binclf.loader.cache import BlockCache
from binclf.loader.order import RowOrder
from binclf.loader.records import Missing, Records, layout_of
from binclf.loader.source import Look, Source, decoded
from binclf.loader.stream import StreamReader
from binclf.parquet import Buffers

I64 = npt.NDArray[np.int64]


class StreamedRows:
    """The rows of one part, decoded whenever they are needed; from the disk cache if there is one."""

    def __init__(self, source: Source, cache: BlockCache | None = None, work: Buffers | None = None) -> None:
        """Nothing is read yet. Parts that are read in turns share `work`: else each would keep its own."""
        self.source, self.cache = source, cache
        self.encoder: Encoder | None = None
        self.work = work or Buffers()
        self._layout = layout_of(source)
        self._arena = Records(self._layout, 0)
        self._reader: StreamReader | None = None

    def blocks(self, groups: Iterable[int], look: Look | None = None) -> Iterator[tuple[int, Block]]:
        """These row groups, decoded with their moments and looked at."""
        return decoded(groups, partial(self._block, moments=True), look)

    def early(self, groups: Iterable[int]) -> Iterator[tuple[int, Block]]:
        """The same before each rank has its own row groups."""
        return self.blocks(groups)

    def attach(self, features: Features) -> None:
        """From now on rows are encoded with these features."""
        self.encoder = Encoder(features)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row as the model takes it."""
        return self.attached.row_bytes

    def reader(self, plan: EpochPlan, rank: int, ranks: int) -> StreamReader | WholeReader:
        """The rank's rows in the order of an epoch."""
        if plan.is_small:
            return WholeReader(self, RowOrder(plan, rank, ranks))
        if self._reader is not None:
            self._reader.close()
        self._reader = StreamReader(self, plan, rank, ranks)
        return self._reader

    @cached_property
    def whole(self) -> Encoded:
        """All rows, of a set that is so small that they are shuffled as a whole."""
        return Encoded.joined([self.encoded(group) for group in range(len(self.source.group_rows))])

    def encoded(self, group: int) -> Encoded:
        """One row group."""
        encoder, block = self.attached, self._block(group, moments=False)
        return encoder.encode(block, x=self.work.take(len(block), encoder.features.width))

    def kept(self, group: int) -> Encoded:
        """One row group, encoded now: nothing is kept."""
        return self.encoded(group)

    def arena(self, rows: int) -> Records:
        """Memory for so many rows, kept from one epoch to the next: one reader at a time has it."""
        if len(self._arena.bytes) < rows:
            self._arena = Records(self._layout, 0)  # given back before more is taken
            self._arena = Records(self._layout, rows)
        return self._arena

    def put(self, group: int) -> tuple[Records, Missing]:
        """One row group, encoded, in memory that is used again once nobody holds it."""
        rows = self.source.group_rows[group]
        size = -(-Records.bytes_of(self._layout, rows) // 4)
        records = Records(self._layout, rows, self.work.take(1, size)[0].view(np.uint8))
        everything = slice(0, rows)
        if self.cache is None:
            return records, records.fill(everything, self.source, group, self.attached)
        return records, records.put(everything, self.cache.block(self.source, group), self.attached)

    @property
    def attached(self) -> Encoder:
        """The encoder of the features that were attached."""
        if self.encoder is None:
            raise AssertionError("attach features first")
        return self.encoder

    def __getstate__(self) -> dict[str, Any]:
        """What a DataLoader process is sent: where the rows are, not those that are held."""
        return {"source": self.source, "cache": self.cache, "features": self.attached.features}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["source"], state["cache"])  # type: ignore[misc]
        self.attach(state["features"])

    def _block(self, group: int, *, moments: bool) -> Block:
        if self.cache is None:
            rows, roles = self.source.group_rows[group], self.source.how.roles
            codes = np.empty((len(roles.categorical), rows), dtype=np.int32)
            out = Target(self.work.take(rows, len(roles.numeric)), codes)
            return self.source.decode(group, out=out, moments=moments)
        return self.cache.block(self.source, group)


class WholeReader:
    """Rows of a small set in the order of an epoch."""

    def __init__(self, store: StreamedRows, order: RowOrder) -> None:
        """A store and an order."""
        self.store, self.order = store, order

    def read(self, first: int, end: int) -> tuple[Encoded, I64]:
        """The rank's rows of the positions [first, end), and their canonical numbers."""
        rows = self.order.rows(first, end)
        return self.store.whole.take(rows), rows

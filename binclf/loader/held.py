"""All rows in memory: decoded once, encoded in place, shared by the ranks of a machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf import kernels
from binclf.epoch import EpochPlan
from binclf.features import Block, Encoded, Encoder, Features, Standard
from binclf.loader.order import RowOrder
from binclf.loader.source import Source, ahead, threads
from binclf.parquet import Buffers

I64 = npt.NDArray[np.int64]

MANY = 16384  # rows that are worth more than one thread to gather


class HeldRows:
    """The rows of one part in arrays, in canonical order.

    Where ranks share the arrays, each fills in some row groups, and all of them must have done so before any
    of them gathers.
    """

    def __init__(self, source: Source, shared: npt.NDArray[np.uint8] | None = None) -> None:
        """Take the memory, `bytes_of` the source; nothing is read yet."""
        self.source, self.is_shared = source, shared is not None
        how, rows = source.how, source.rows
        columns, categories = len(how.roles.numeric), len(how.roles.categorical)
        size = self.bytes_of(source)
        memory = np.empty(size, dtype=np.uint8) if shared is None else shared[:size]
        weight = 4 * rows if how.weight else 0
        parts = np.split(memory, np.cumsum([4 * rows * columns, 4 * rows * categories, weight]))
        self.numbers = parts[0].view(np.float32).reshape(rows, columns)  # residuals, then standardised
        self.ids = parts[1].view(np.int32).reshape(rows, categories)  # codes by column, then ids by row
        self.w = parts[2].view(np.float32) if weight else None
        self.y = parts[3].view(np.int8)
        self.lacking = np.zeros(columns, dtype=np.bool_)  # columns in which a value is missing
        self._raw: dict[int, Block] = {}  # decoded, not yet encoded
        self._filled: set[int] = set()  # encoded
        self._buffers, self._id_buffers = Buffers(), Buffers()
        self.encoder: Encoder | None = None
        self._is_copy = False
        self._threads = threads()
        self._pool: ThreadPoolExecutor | None = None

    @staticmethod
    def bytes_of(source: Source) -> int:
        """Bytes of all rows."""
        roles = source.how.roles
        row = 4 * (len(roles.numeric) + len(roles.categorical)) + (4 if source.how.weight else 0) + 1
        return source.rows * row

    def blocks(self, groups: Iterable[int]) -> Iterator[tuple[int, Block]]:
        """These row groups, decoded with their moments and kept until they are encoded."""
        todo = list(groups)
        yield from zip(todo, ahead(self._block, todo, threads()), strict=True)

    def attach(self, features: Features) -> None:
        """Encode in place what this rank has decoded, by these features."""
        self.encoder = Encoder(features)
        for missing in ahead(self._encode, list(self._raw), threads()):
            self.lacking |= missing

    def fill(self, groups: Iterable[int]) -> None:
        """Decode and encode these row groups too, but for those that were."""
        todo = [group for group in groups if group not in self._filled]
        for missing in ahead(self._fill, todo, threads()):
            self.lacking |= missing

    @property
    def row_bytes(self) -> int:
        """Bytes of a row as the model takes it."""
        return self._of().row_bytes

    def reader(self, plan: EpochPlan, rank: int, ranks: int) -> HeldReader:
        """The rank's rows in the order of an epoch."""
        return HeldReader(self, RowOrder(plan, rank, ranks))

    def gather(self, rows: I64) -> Encoded:
        """Rows by their canonical numbers."""
        if self._is_copy:
            self.fill(range(len(self.source.group_rows)))
            self._is_copy = False
        encoder = self._of()
        x = self._buffers.take(len(rows), encoder.features.width)
        ids = self._id_buffers.take(len(rows), self.ids.shape[1]).view(np.int32)
        lacking = np.flatnonzero(self.lacking)

        def part(low: int, high: int) -> None:
            kernels.gather(self.numbers, rows[low:high], x[low:high])
            encoder.complete(x[low:high], lacking)
            if self.ids.size:
                kernels.gather(self.ids, rows[low:high], ids[low:high])

        count = self._threads if len(rows) >= MANY else 1
        if count == 1:
            part(0, len(rows))
        else:  # memory answers two threads nearly twice as fast as one
            cuts = [len(rows) * i // count for i in range(count + 1)]
            self._pool = self._pool or ThreadPoolExecutor(count, thread_name_prefix="gather")
            list(self._pool.map(part, cuts, cuts[1:]))
        w = None if self.w is None else self.w.take(rows)
        return Encoded(x, ids, self.y.take(rows), w)

    def encoded(self, group: int) -> Encoded:
        """One row group; decoded now, if this rank has not done so before."""
        if group not in self._filled:
            self.lacking |= self._fill(group)
        rows = self.source.span(group)
        encoder = self._of()
        x = np.empty((rows.stop - rows.start, encoder.features.width), dtype=np.float32)
        x[:, : self.numbers.shape[1]] = self.numbers[rows]
        encoder.complete(x, np.flatnonzero(self.lacking))
        return Encoded(x, self.ids[rows], self.y[rows], None if self.w is None else self.w[rows])

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
        self._raw[group] = replace(block, texts=())
        return block

    def _encode(self, group: int) -> npt.NDArray[np.bool_]:
        block = self._raw.pop(group)
        self._of().standardise(block.residuals, block.centre, block.residuals)
        return self._finish(group, block)

    def _fill(self, group: int) -> npt.NDArray[np.bool_]:
        """Decode and encode at once."""
        return self._finish(group, self._decoded(group, standard=self._of().standard))

    def _decoded(self, group: int, *, moments: bool = False, standard: Standard | None = None) -> Block:
        rows = self.source.span(group)
        codes = self.ids[rows].reshape(self.ids.shape[1], rows.stop - rows.start)  # the same memory
        block = self.source.decode(group, out=(self.numbers[rows], codes), moments=moments, standard=standard)
        self.y[rows] = block.labels
        if self.w is not None:
            self.w[rows] = block.weights
        return block

    def _finish(self, group: int, block: Block) -> npt.NDArray[np.bool_]:
        """Turn codes into ids; returns in which columns a value is missing."""
        rows = self.source.span(group)
        codes = block.codes.copy()  # their memory is where the ids go
        kernels.encode(codes, self._of().tables(block), self.ids[rows])
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

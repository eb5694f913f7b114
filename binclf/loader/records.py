"""Rows of fixed size, one after the other in memory: numbers, ids, weight and label of a row lie together.

A batch takes rows from anywhere, and what it waits for is memory, a line of 64 bytes at a time; so a row's
fields share lines, and a row begins with one where that costs little.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf import kernels
from binclf.features import Block, Encoded, Encoder, Target
from binclf.kernels import STEP, Field
from binclf.loader.source import Source
from binclf.parquet import Buffers

Missing = npt.NDArray[np.bool_]  # [F], columns in which a value is missing
U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]

LINE = 64  # bytes that memory gives at once
MOST_PADDING = 0.25  # of a row, to begin with a line


def layout_of(source: Source) -> Layout:
    """How the rows of a part are kept."""
    roles = source.how.roles
    return Layout(len(roles.numeric), len(roles.categorical), bool(source.how.weight))


@dataclass(frozen=True, slots=True)
class Layout:
    """Which bytes of a record are what; of F columns and C categories."""

    columns: int
    categories: int
    is_weighted: bool

    @property
    def numbers(self) -> slice:
        """float32 [F]."""
        return slice(0, 4 * self.columns)

    @property
    def ids(self) -> slice:
        """int32 [C]."""
        return slice(self.numbers.stop, self.numbers.stop + 4 * self.categories)

    @property
    def weight(self) -> slice:
        """float32, or nothing."""
        return slice(self.ids.stop, self.ids.stop + 4 * self.is_weighted)

    @property
    def label(self) -> int:
        """int8."""
        end: int = self.weight.stop
        return end

    @property
    def size(self) -> int:
        """Bytes of a record, those between it and the next one included."""
        least: int = self.label + 1
        lines = -(-least // LINE) * LINE
        return lines if lines <= (1 + MOST_PADDING) * least else -(-least // STEP) * STEP


class Records:
    """N rows."""

    def __init__(self, layout: Layout, rows: int, memory: U8 | None = None) -> None:
        """In memory of `bytes_of`, or in new memory; what is in it is not looked at."""
        if memory is None:
            memory = np.empty(self.bytes_of(layout, rows), dtype=np.uint8)
        begin = -memory.__array_interface__["data"][0] % LINE
        self.layout = layout
        self.bytes = memory[begin : begin + rows * layout.size].reshape(rows, layout.size)
        self.numbers = self.bytes[:, layout.numbers].view(np.float32)  # [N, F]
        self.ids = self.bytes[:, layout.ids].view(np.int32)  # [N, C]
        self.w = self.bytes[:, layout.weight].view(np.float32)[:, 0] if layout.is_weighted else None  # [N]
        self.y = self.bytes[:, layout.label].view(np.int8)  # [N]

    @staticmethod
    def bytes_of(layout: Layout, rows: int) -> int:
        """What they take."""
        return rows * layout.size + LINE

    def target(self, rows: slice) -> Target:
        """Where rows are decoded to."""
        return Target(self.numbers[rows], self.ids[rows].T, self.bytes[rows], self.layout.label)

    def gather(self, rows: I64, out: Encoded) -> None:
        """Copy rows by their numbers.

        Args:
            rows: int64 [n].
            out: n rows of memory; numbers go to the first F columns of its x.

        Raises:
            IndexError: a row number below 0, or N or more.
        """
        places = [(self.layout.numbers, out.x), (self.layout.ids, out.ids)]
        if out.w is not None:
            places.append((self.layout.weight, out.w))
        fields = [Field(at.start, at.stop - at.start, array) for at, array in places if at.stop > at.start]
        kernels.gather(self.bytes, rows, [*fields, Field(self.layout.label, 1, out.y)])

    def lay_out(self, rows: I64, first: int) -> None:
        """Copy rows by their numbers, int64 [n], to the n rows from `first` on, which are none of them."""
        out = self.bytes[first : first + len(rows)]
        kernels.gather(self.bytes, rows, [Field(0, self.layout.size, out)])

    def fill(self, rows: slice, source: Source, group: int, encoder: Encoder) -> Missing:
        """Decode a row group to these rows, encoded."""
        block = source.decode(group, out=self.target(rows), standard=encoder.standard)
        return self.finish(rows, block, encoder)

    def put(self, rows: slice, block: Block, encoder: Encoder) -> Missing:
        """Encode a block, which lies elsewhere, to these rows."""
        encoder.standardise(block.residuals, block.centre, self.numbers[rows])
        self.y[rows] = block.labels
        return self.finish(rows, block, encoder)

    def finish(self, rows: slice, block: Block, encoder: Encoder) -> Missing:
        """Write a block's ids and weights, after its numbers."""
        if self.w is not None:
            self.w[rows] = block.weights
        kernels.encode(block.codes, encoder.tables(block), self.ids[rows])
        return block.missing


class Gatherer:
    """Takes rows out of records as the model takes them, into memory that is used again."""

    def __init__(self) -> None:
        """No memory yet."""
        self._numbers, self._ids = Buffers(), Buffers()

    def room(self, rows: int, records: Records, encoder: Encoder) -> Encoded:
        """Memory for so many rows."""
        return Encoded(
            self._numbers.take(rows, encoder.features.width),
            self._ids.take(rows, records.layout.categories).view(np.int32),
            np.empty(rows, dtype=np.int8),
            np.empty(rows, dtype=np.float32) if records.layout.is_weighted else None,
        )

    def take(self, records: Records, rows: I64, encoder: Encoder, missing: Missing) -> Encoded:
        """Rows by their numbers; `missing`: the columns in which a value of theirs may be missing."""
        out = self.room(len(rows), records, encoder)
        records.gather(rows, out)
        encoder.complete(out.x, np.flatnonzero(missing))
        return out

    def __getstate__(self) -> dict[str, Any]:
        """Another process begins with none."""
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]

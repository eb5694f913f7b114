"""What a footer says of one row group, as far as it is needed to read pages without pyarrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from binclf import kernels
from binclf.kernels.chunks import BYTES, CODEC, DATA, DICTIONARY, PATH

I64 = npt.NDArray[np.int64]

INT32, INT64, FLOAT, DOUBLE, BYTE_ARRAY = 1, 2, 4, 5, 6  # types, as parquet.thrift numbers them
UNCOMPRESSED, SNAPPY = 0, 1  # and codecs
MOST_BYTES, MOST_ROWS = 2**30, 2**26  # of a chunk, as it says of itself: beyond, pyarrow may try


class Placed(Protocol):
    """Where a column is in a file."""

    @property
    def place(self) -> int:
        """Its number among the columns of a row group."""


P = TypeVar("P", bound=Placed)


@dataclass(frozen=True)
class RowGroup:
    """N rows of all columns of a file."""

    rows: int  # N
    chunks: I64  # [columns, FIELDS of kernels.chunks]
    record: bytes  # that says so

    @classmethod
    def of_record(cls, record: bytes) -> RowGroup | None:
        """From the bytes in the footer; None: they do not say where its columns are in this file."""
        found = kernels.chunks(record)
        return None if found is None else cls(*found, record)

    @cached_property
    def begins(self) -> I64:
        """Where each column's pages begin in the file, int64 [columns]."""
        data, dictionary = self.chunks[:, DATA], self.chunks[:, DICTIONARY]
        return np.where((dictionary > 0) & (dictionary < data), dictionary, data)

    def name(self, place: int) -> str:
        """A column's name, with those that it is nested in before it."""
        texts = kernels.texts_at(self.record, int(self.chunks[place, PATH]))
        names = [text.decode(errors="replace") for text in texts or ()]
        return ".".join(names) or f"number {place + 1}"

    def chosen(self, places: Mapping[str, P], names: Sequence[str]) -> list[tuple[str, P, int, list[int]]]:
        """Those of the names that have a place, as they lie in the file.

        Returns:
            Name, place, where the column's pages begin, and its FIELDS.
        """
        wanted = sorted((places[name].place, name) for name in names if name in places)
        own = [place for place, _ in wanted]
        begins, chunks = self.begins[own].tolist(), self.chunks[own].tolist()
        return [
            (name, places[name], begin, chunk)
            for (_, name), begin, chunk in zip(wanted, begins, chunks, strict=True)
        ]


def packing(chunk: Sequence[int]) -> bool | None:
    """Whether snappy packed a column's pages; None where nobody but pyarrow need look at them.

    Args:
        chunk: its FIELDS.
    """
    if not 0 < chunk[BYTES] <= MOST_BYTES or chunk[CODEC] not in (SNAPPY, UNCOMPRESSED):
        return None
    return chunk[CODEC] == SNAPPY

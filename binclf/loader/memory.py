"""How much memory a tier takes, before it is taken.

Predicted from the plan of the epochs themselves, not from a rule of thumb: which rows a reader holds at each
moment follows from row counts, lanes and windows. What a decoder needs beside its result, and what an
allocator keeps, are the measured constants below.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from binclf.epoch import EpochPlan
from binclf.loader.pages import PAGE, Pages
from binclf.loader.records import Layout, Records
from binclf.loader.source import fillers
from binclf.loader.store import CHUNK_BYTES, DEPTH, MOST_CHUNK_ROWS

DECODING = 3.0  # bytes that decoding a row group takes at its height, per byte of what comes out
FIXED = 72 * 2**20  # code of libraries that is loaded when first used, plans, and what allocators keep
LIBRARIES = 32 * 2**20  # of that, what only reads and scores
OPTIMISER = 10  # copies of the weights: gradient, two moments, average, best, checkpoint ...
MATRICES, MATRICES_A_THREAD = 16, 4  # of float64: exact sums, factors, inverses; and those of a block
PAGES = 2_000_000  # that are looked at, at most, before epochs are left out


class Grouped(Protocol):
    """Rows in row groups: a `Source`, or one that is only foreseen."""

    @property
    def group_rows(self) -> tuple[int, ...]:
        """Rows of each row group."""

    @property
    def rows(self) -> int:
        """N."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a row takes."""

    numbers: int  # columns as they are decoded
    width: int  # F: with missing indicators
    categories: int  # C
    is_weighted: bool
    table: int = 0  # V
    is_curved: bool = False  # whether a solver has their second derivatives
    weight_bytes: int = 4 * OPTIMISER  # that a solver keeps for each weight

    @property
    def row(self) -> int:
        """Bytes of a row as the model takes it, with its label, weight and number."""
        return 4 * self.width + 4 * self.categories + 1 + 4 * self.is_weighted + 8

    @property
    def layout(self) -> Layout:
        """How a row is held."""
        return Layout(self.numbers, self.categories, self.is_weighted)

    @property
    def decoded(self) -> int:
        """Bytes of a row as it is decoded."""
        return 4 * self.numbers + 16 * self.categories + 9


@dataclass(frozen=True, slots=True)
class Need:
    """Predicted peak of one rank, in bytes beside Python's and torch's own."""

    rows: int  # the rows that are held
    chunks: int  # batches on their way
    decoding: int
    weights: int  # and what the optimiser keeps beside them
    fixed: int = FIXED

    @property
    def total(self) -> int:
        """All together."""
        return self.rows + self.chunks + self.decoding + self.weights + self.fixed

    def told(self) -> str:
        """In words."""
        return (
            f"{shown(self.rows)} for rows, {shown(self.chunks)} for batches, {shown(self.decoding)} for "
            f"decoding, {shown(self.weights + self.fixed)} for weights and the rest"
        )


def streaming(
    shape: Shape,
    sources: Iterable[Grouped],
    plans: Iterable[EpochPlan],
    rank: int,
    ranks: int,
    batch_rows: int,
) -> Need:
    """Of a rank that streams, or reads the disk cache.

    Args:
        shape: of a row.
        sources: train and validation.
        plans: of the epochs of train.
        rank: which.
        ranks: of so many.
        batch_rows: B.
    """
    most, looked_at = 0, 0
    for plan in plans:
        pages = Pages.of(plan, rank, ranks)
        most = max(most, pages.capacity)
        looked_at += len(pages.rows)
        if looked_at > PAGES:
            most += most // 20  # epochs that are not looked at differ a little
            break
    largest = max((rows for source in sources for rows in source.group_rows), default=0)
    decoded = Records.bytes_of(shape.layout, largest) * (fillers() + 1)
    return Need(
        rows=Records.bytes_of(shape.layout, most * PAGE) + decoded,
        chunks=_chunks(shape, batch_rows, ranks),
        decoding=_decoding(shape, largest, fillers()),
        weights=_weights(shape, 2),
    )


def holding(
    shape: Shape, sources: Iterable[Grouped], batch_rows: int, ranks: int, threads: int, workers: int = 0
) -> Need:
    """Of a rank that holds all rows, or sees those that its machine's ranks hold together.

    DataLoader processes hold train's rows each for itself.
    """
    sources = tuple(sources)
    largest = max((rows for source in sources for rows in source.group_rows), default=0)
    return Need(
        rows=(1 + workers) * sum(Records.bytes_of(shape.layout, source.rows) for source in sources),
        chunks=_chunks(shape, batch_rows, ranks),
        decoding=_decoding(shape, largest, threads + 1),
        weights=_weights(shape, threads),
    )


def scoring(shape: Shape, rows: int, threads: int) -> int:
    """Bytes of threads that each decode a row group of so many rows, not to hold it; libraries included."""
    return _decoding(shape, rows, threads) + LIBRARIES


def shown(size: float) -> str:
    """Bytes for people.

    >>> shown(268435456), shown(999)
    ('256 MiB', '1 KiB')
    """
    for unit, count in (("GiB", 2**30), ("MiB", 2**20)):
        if size >= count:
            return f"{size / count:.3g} {unit}"
    return f"{-(-int(size) // 1024)} KiB"


def _chunks(shape: Shape, batch_rows: int, ranks: int) -> int:
    rows = max(min(CHUNK_BYTES // max(shape.row, 1), MOST_CHUNK_ROWS), -(-batch_rows // ranks))
    return (DEPTH + 3) * rows * (shape.row + 4 * shape.width * (shape.width > shape.numbers))


def _decoding(shape: Shape, rows: int, at_once: int) -> int:
    return int(DECODING * rows * shape.decoded * at_once)


def _weights(shape: Shape, threads: int) -> int:
    """Vectors of all weights; and matrices of them, where there are second derivatives."""
    count = shape.width + shape.table + 1
    matrices = (MATRICES + MATRICES_A_THREAD * threads) * count * count if shape.is_curved else 0
    return shape.weight_bytes * count + 8 * matrices

"""Who reads what in which order: a pure function of row counts, seed and epoch.

Row groups are permuted by a keyed hash and laid end to end into a stream of N rows, the rows of each shuffled
(in chunks of w rows); the stream is cut into L lanes of equal length (within 1), each lane into windows of w
rows that are shuffled once more, across the row groups that meet in them. Position p of the epoch is lane p
mod L, offset p div L. Step t is the positions [tB, (t+1)B); rank r of W owns the lanes l = r (mod W). So
each row comes once, all ranks take equal steps, the rows of a step do not depend on W, and the whole state
is (epoch, position): another W or B may go on from there.

The rows within a row group are shuffled since lanes alone would not mix a small set: six points in 32 lanes
are one row a lane, and every epoch would be the same.

DistributedSampler pads, litData drops, WebDataset hangs where the counts do not divide; here nothing needs
to. (N rows, G row groups, L lanes, W ranks, B rows of a step.)
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from binclf import hashing
from binclf.errors import ConfigError

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Slab:
    """The positions [first, end) of an epoch, all in the same window of their lanes, for one rank."""

    first: int
    end: int
    rows: I64  # canonical row numbers of this rank's positions, in order
    groups: I64  # numbers of the row groups that these rows are in


@dataclass(frozen=True)
class EpochPlan:
    """The order of one epoch."""

    group_rows: tuple[int, ...]  # rows of each row group in canonical order
    seed: int
    epoch: int
    lanes: int
    window_rows: int
    shuffle: bool
    _order: I64 = field(init=False, repr=False, compare=False)  # row groups as the stream has them
    _stream: I64 = field(init=False, repr=False, compare=False)  # where each begins in the stream
    _canonical: I64 = field(init=False, repr=False, compare=False)  # and in canonical order

    def __post_init__(self) -> None:
        """Lay out the stream."""
        sizes = np.asarray(self.group_rows, dtype=np.int64)
        order = np.arange(len(sizes))
        if self.shuffle:
            order = hashing.permutation(hashing.key(self.seed, self.epoch, "groups"), len(sizes))
        starts = np.concatenate([[0], np.cumsum(sizes)])[:-1]
        object.__setattr__(self, "_order", order)
        object.__setattr__(self, "_stream", np.concatenate([[0], np.cumsum(sizes[order])]))
        object.__setattr__(self, "_canonical", starts[order])

    @property
    def rows(self) -> int:
        """N."""
        return int(self._stream[-1])

    def steps(self, batch_rows: int) -> int:
        """Steps of the epoch: ceil(N / B), the same for all ranks."""
        return -(-self.rows // batch_rows)

    def slab_of(self, position: int, rank: int, ranks: int) -> Slab:
        """The slab that holds a position."""
        span = self.lanes * self.window_rows
        window = position // span
        own = range(rank, self.lanes, ranks)
        cache: dict[tuple[int, int], I64] = {}  # of row groups that several lanes share
        windows = [self._window(lane, window, cache) for lane in own]
        height = max((len(rows) for rows, _ in windows), default=0)
        table = np.zeros((height, len(own)), dtype=np.int64)
        for place, (rows, _) in enumerate(windows):
            table[: len(rows), place] = rows
        end = min((window + 1) * span, self.rows)
        count = self.count(end, rank, ranks) - self.count(window * span, rank, ranks)
        groups = np.unique(np.concatenate([np.zeros(0, np.int64), *(g for _, g in windows)]))
        # a lane one row shorter than others lacks only its last offset, and shorter lanes come last:
        # what is missing is the tail of the table
        return Slab(window * span, end, table.reshape(-1)[:count], groups)

    def count(self, position: int, rank: int, ranks: int) -> int:
        """How many of the positions before this one are the rank's."""
        whole, lane = divmod(position, self.lanes)
        own = len(range(rank, self.lanes, ranks))
        return whole * own + len(range(rank, lane, ranks))

    def owners(self, ranks: int) -> I64:
        """For each row group the rank whose lanes reach it first: ranks look at the groups they own."""
        size, longer = divmod(self.rows, self.lanes)
        edge = longer * (size + 1)
        begins = self._stream[:-1]
        lanes = np.where(begins < edge, begins // (size + 1), longer + (begins - edge) // max(size, 1))
        owners = np.empty(len(begins), dtype=np.int64)
        owners[self._order] = np.minimum(lanes, self.lanes - 1) % ranks
        return owners

    def _lane_start(self, lane: int) -> int:
        size, longer = divmod(self.rows, self.lanes)
        return lane * size + min(lane, longer)

    def _window(self, lane: int, window: int, cache: dict[tuple[int, int], I64]) -> tuple[I64, I64]:
        """Canonical row numbers of one window of a lane, shuffled; and the row groups they are in."""
        begin = self._lane_start(lane) + window * self.window_rows
        end = min(begin + self.window_rows, self._lane_start(lane + 1))
        if end <= begin:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        first = int(np.searchsorted(self._stream, begin, side="right")) - 1
        last = int(np.searchsorted(self._stream, end, side="left"))
        rows = np.concatenate([self._piece(place, begin, end, cache) for place in range(first, last)])
        if self.shuffle:
            key = hashing.key(self.seed, self.epoch, lane, window)
            rows = rows[hashing.permutation(key, len(rows))]
        return rows, self._order[first:last]

    def _piece(self, place: int, begin: int, end: int, cache: dict[tuple[int, int], I64]) -> I64:
        """Canonical row numbers of the stream's [begin, end) as far as one row group has them."""
        start, size = int(self._stream[place]), int(self._stream[place + 1] - self._stream[place])
        origin = int(self._canonical[place])
        low, high = max(begin - start, 0), min(end - start, size)
        if not self.shuffle:
            return np.arange(origin + low, origin + high)
        chunks = [
            self._chunk(place, number, size, cache)
            for number in range(low // self.window_rows, -(-high // self.window_rows))
        ]
        first = low // self.window_rows * self.window_rows
        return np.concatenate([np.zeros(0, np.int64), *chunks])[low - first : high - first] + origin

    def _chunk(self, place: int, number: int, size: int, cache: dict[tuple[int, int], I64]) -> I64:
        """Rows of a row group, shuffled in chunks of w: a huge one is not shuffled whole for each window."""
        if (place, number) not in cache:
            first = number * self.window_rows
            key = hashing.key(self.seed, self.epoch, "rows", int(self._order[place]), number)
            count = min(self.window_rows, size - first)
            cache[place, number] = first + hashing.permutation(key, count)
        return cache[place, number]


def check_ranks(ranks: int, lanes: int) -> None:
    """Raise ConfigError if there are more ranks than lanes: some would own nothing."""
    if ranks > lanes:
        raise ConfigError(
            f"{ranks} ranks cannot share {lanes} lanes: set train.lanes to {ranks} or more, "
            "or start fewer ranks."
        )


def checksum(rows: I64) -> int:
    """An order-independent sum over row numbers, mod 2^64: a lost, repeated or swapped row changes it."""
    with np.errstate(over="ignore"):
        return int(hashing.mix(rows.astype(np.uint64)).sum(dtype=np.uint64))


def checksum_of_all(rows: int) -> int:
    """`checksum` of 0..rows-1."""
    chunk = 1 << 20
    parts = (checksum(np.arange(i, min(i + chunk, rows))) for i in range(0, rows, chunk))
    return sum(parts) % 2**64

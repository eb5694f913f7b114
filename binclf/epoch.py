"""Who reads what in which order: a pure function of row counts, seed and epoch.

Row groups are permuted by a keyed hash and laid end to end into a stream of N rows; the stream is cut into L
lanes of equal length (within 1), each lane into windows of w rows that are shuffled. Position p of the epoch
is lane p mod L, offset p div L. A step is the positions [p, p + B); rank r of W owns the lanes l = r (mod W).
So each row comes once, all ranks take equal steps, the rows of a step do not depend on W, and the whole state
is (epoch, position): another W or B may go on from there.

A set of no more than L w rows is shuffled as a whole, since lanes alone would not mix it: six points in 32
lanes are one row a lane, and every epoch would be the same. In larger sets the windows of a lane begin a
share (l + 1) / L later than the lane does, so that the lanes do not all need new row groups at once: a reader
that streams has even work, and holds half a window a lane instead of a whole one.

DistributedSampler pads, litData drops, WebDataset hangs where the counts do not divide; here nothing needs
to. (N rows, G row groups, L lanes, W ranks, B rows of a step.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt

from binclf import hashing, kernels
from binclf.errors import ConfigError

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]

Runs = Callable[[int, int, int], tuple[I64, I64]]  # of a lane's rows [low, high)

_STRIDE = 0x9E3779B97F4A7C15  # odd
_FLIPPED = 0xD1B54A32D192ED03


@dataclass(frozen=True, slots=True)
class Visits:
    """Stretches of row groups, each within a lane, in the order in which windows ask for them; int64 [V]."""

    lane: I64
    offset: I64  # of the first row in its lane
    group: I64
    low: I64  # the first row, in its row group
    rows: I64
    need: I64  # the position at which the first window that has some of the rows begins


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

    @property
    def is_small(self) -> bool:
        """Whether the rows are so few that they are shuffled as a whole."""
        return self.shuffle and self.rows <= self.lanes * self.window_rows

    def steps(self, batch_rows: int, position: int = 0) -> int:
        """Steps from a position to the end: ceil((N - p) / B), the same for all ranks."""
        return -(-(self.rows - position) // batch_rows)

    def lanes_of(self, rank: int, ranks: int) -> range:
        """The lanes that a rank owns."""
        return range(rank, self.lanes, ranks)

    def lane_rows(self, lane: int) -> int:
        """Rows of a lane."""
        return self._lane_start(lane + 1) - self._lane_start(lane)

    def count(self, position: int, rank: int, ranks: int) -> int:
        """How many of the positions before this one are the rank's."""
        whole, lane = divmod(position, self.lanes)
        return whole * len(self.lanes_of(rank, ranks)) + len(range(rank, lane, ranks))

    def put_window(self, lane: int, offset: int, out: I64, runs: Runs | None = None) -> tuple[int, int]:
        """Write the rows of the window of a lane that holds an offset.

        Args:
            lane: which.
            offset: in the lane.
            out: row numbers, int64 [rows of the window, or more].
            runs: of a lane's rows [low, high) the numbers, as the first of each run and the runs' lengths,
                end to end; None: the canonical ones.

        Returns:
            The window's first offset, and how many rows it has.
        """
        if self.is_small:
            if runs is not None:
                raise AssertionError("the rows of a small set are numbered in canonical order only")
            rows = self._shuffled[lane :: self.lanes]
            out[: len(rows)] = rows
            return 0, len(rows)
        number, low, high = self.window_bounds(lane, offset)
        begins, lengths = (runs or self._runs)(lane, low, high)
        order, shift = self._shuffle(lane, number, high - low)
        kernels.canonical(order, shift, begins, lengths, out[: high - low])
        return low, high - low

    def window_bounds(self, lane: int, offset: int) -> tuple[int, int, int]:
        """Number, first and end offset of the window of a lane that holds an offset."""
        head = max(self.window_rows * (lane + 1) // self.lanes, 1)
        number = 0 if offset < head else 1 + (offset - head) // self.window_rows
        low = 0 if number == 0 else head + (number - 1) * self.window_rows
        high = head + number * self.window_rows
        return number, low, min(high, self.lane_rows(lane))

    def head_rows(self, lanes: I64) -> I64:
        """Rows of the first windows of lanes that are as long as that."""
        return np.maximum(self.window_rows * (lanes + 1) // self.lanes, 1)

    def window_positions(self, lanes: I64, offsets: I64) -> tuple[I64, I64]:
        """Of offsets in lanes, the positions at which their windows begin, and those after which they end."""
        if self.is_small:
            return np.zeros_like(offsets), np.full_like(offsets, self.rows)
        head = self.head_rows(lanes)
        number = np.where(offsets < head, 0, 1 + (offsets - head) // self.window_rows)
        low = np.where(number == 0, 0, head + (number - 1) * self.window_rows)
        starts = self._lane_starts()
        high = np.minimum(head + number * self.window_rows, (starts[1:] - starts[:-1])[lanes])
        return low * self.lanes + lanes, (high - 1) * self.lanes + lanes + 1

    def visits(self, rank: int, ranks: int) -> Visits:
        """What a rank's lanes have of each row group; of a small set all, for its rows go anywhere."""
        lanes = self._lane_starts()
        cuts = np.unique(np.concatenate([self._stream, lanes]))
        begins, rows = cuts[:-1], np.diff(cuts)
        lane = np.searchsorted(lanes, begins, side="right") - 1
        own = (lane % ranks == rank) | self.is_small
        begins, rows, lane = begins[own], rows[own], lane[own]
        place = np.searchsorted(self._stream, begins, side="right") - 1
        offset = begins - lanes[lane]
        need, _ = self.window_positions(lane, offset)
        found = (lane, offset, self._order[place], begins - self._stream[place], rows, need)
        by_need = np.argsort(need, kind="stable")
        return Visits(*(array[by_need].astype(np.int64) for array in found))

    def owners(self, ranks: int) -> I64:
        """For each row group the rank whose lanes reach it first: ranks look at the groups they own."""
        size, longer = divmod(self.rows, self.lanes)
        edge = longer * (size + 1)
        begins = self._stream[:-1]
        lanes = np.where(begins < edge, begins // (size + 1), longer + (begins - edge) // max(size, 1))
        owners = np.empty(len(begins), dtype=np.int64)
        owners[self._order] = np.minimum(lanes, self.lanes - 1) % ranks
        return owners

    def _shuffle(self, lane: int, number: int, count: int) -> tuple[I32, int]:
        """How a window's rows are taken: all of a lane by one permutation, entered where a key says.

        A permutation of its own for each would cost more than gathering the rows does.
        """
        if not self.shuffle:
            return np.arange(count, dtype=np.int32), 0
        key = hashing.key(self.seed, self.epoch, lane, number)
        if count < self.window_rows:
            return hashing.permutation(key, count).astype(np.int32), 0
        if lane not in self._permutations:
            whole = hashing.permutation(hashing.key(self.seed, self.epoch, "lane", lane), count)
            self._permutations[lane] = whole.astype(np.int32)
        return self._permutations[lane], key % count

    @cached_property
    def _permutations(self) -> dict[int, I32]:
        """Of the whole windows of each lane."""
        return {}

    def _lane_start(self, lane: int) -> int:
        size, longer = divmod(self.rows, self.lanes)
        return lane * size + min(lane, longer)

    @cached_property
    def _shuffled(self) -> I64:
        """Canonical row numbers by position, of a small set."""
        return hashing.permutation(hashing.key(self.seed, self.epoch, "rows"), self.rows)

    def _lane_starts(self) -> I64:
        """Where each lane begins in the stream, and where the last one ends; int64 [L + 1]."""
        return np.array([self._lane_start(lane) for lane in range(self.lanes + 1)], dtype=np.int64)

    def _runs(self, lane: int, low: int, high: int) -> tuple[I64, I64]:
        """A lane's rows [low, high) by row group: the canonical number of the first of each, and how many."""
        begin, end = self._lane_start(lane) + low, self._lane_start(lane) + high
        first = int(np.searchsorted(self._stream, begin, side="right")) - 1
        last = int(np.searchsorted(self._stream, end, side="left"))
        starts, ends = self._stream[first:last], self._stream[first + 1 : last + 1]
        cut = np.maximum(starts, begin)
        return self._canonical[first:last] + cut - starts, np.minimum(ends, end) - cut


def check_ranks(ranks: int, lanes: int) -> None:
    """Raise ConfigError if there are more ranks than lanes: some would own nothing."""
    if ranks > lanes:
        raise ConfigError(
            f"{ranks} ranks cannot share {lanes} lanes: set train.lanes to {ranks} or more, "
            "or start fewer ranks."
        )


def checksum(rows: I64) -> int:
    """An order-independent sum of one 64-bit word for each row number, mod 2^64; additive over ranks.

    The word of row r is u + 2 u (u xor C) with u = (r + 1) S, S odd: a bijection of r mod 2^64, since adding
    an even multiple of a function whose bit i depends on the bits up to i of u can be undone bit by bit. So
    a row that is lost, repeated or swapped for another changes the sum without fail; several faults at once
    cancel out with a chance of 2^-63. A splitmix64 of each row takes four times as long.
    """
    return kernels.checksum(rows, _STRIDE, _FLIPPED)


@cache
def checksum_of_all(rows: int) -> int:
    """`checksum` of 0..rows-1."""
    chunk = 1 << 16
    parts = (checksum(np.arange(i, min(i + chunk, rows))) for i in range(0, rows, chunk))
    return sum(parts) % 2**64

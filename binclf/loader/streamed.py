"""Rows decoded (or fetched from the disk cache) as they come in an epoch, in bounded memory.

Each lane holds the rest of its window and the rest of the row group that the window ended in; both are
given back piece by piece. Row groups are decoded once an epoch, and once more where they reach over the end
of a lane.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt

from binclf.epoch import EpochPlan, Piece
from binclf.features import Block, Encoded, Encoder, Features, Target
from binclf.loader.cache import BlockCache
from binclf.loader.order import RowOrder, places
from binclf.loader.source import Look, Source, ahead, decoded, threads
from binclf.parquet import Buffers

I64 = npt.NDArray[np.int64]

SEGMENT_ROWS = 4096  # of a window, given back together
AHEAD = 1.15  # rows held, over what the lanes hold on average


class StreamedRows:
    """The rows of one part, decoded whenever they are needed; from the disk cache if there is one."""

    def __init__(self, source: Source, cache: BlockCache | None = None, work: Buffers | None = None) -> None:
        """Nothing is read yet. Parts that are read in turns share `work`: else each would keep its own."""
        self.source, self.cache = source, cache
        self.encoder: Encoder | None = None
        self.chunks, self.work = Buffers(), work or Buffers()

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
        return StreamReader(self, plan, rank, ranks)

    @cached_property
    def whole(self) -> Encoded:
        """All rows, of a set that is so small that they are shuffled as a whole."""
        return Encoded.joined([self.encoded(group) for group in range(len(self.source.group_rows))])

    def encoded(self, group: int, low: int = 0, high: int | None = None) -> Encoded:
        """Rows [low, high) of one row group."""
        encoder, block = self.attached, self._block(group, moments=False)
        high = len(block) if high is None else high
        return encoder.encode(block, low, high, x=self.work.take(high - low, encoder.features.width))

    def kept(self, group: int) -> Encoded:
        """One row group, encoded now: nothing is kept."""
        return self.encoded(group)

    @property
    def attached(self) -> Encoder:
        """The encoder of the features that were attached."""
        if self.encoder is None:
            raise AssertionError("attach features first")
        return self.encoder

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


class StreamReader:
    """Rows in the order of an epoch, lane by lane; positions must come in order to be read only once."""

    def __init__(self, store: StreamedRows, plan: EpochPlan, rank: int, ranks: int) -> None:
        """Nothing is read yet."""
        self.store, self.plan, self.rank, self.ranks = store, plan, rank, ranks
        self._lanes: dict[int, _Lane] = {}

    def read(self, first: int, end: int) -> tuple[Encoded, I64]:
        """The rank's rows of the positions [first, end), and their canonical numbers."""
        plan = self.plan
        count = plan.count(end, self.rank, self.ranks) - plan.count(first, self.rank, self.ranks)
        rows = np.empty(count, dtype=np.int64)
        encoded = self._empty(count)

        def fill(place: tuple[int, int, int, slice]) -> None:
            """One lane's rows, each lane by one thread."""
            lane, low, high, where = place
            held = self._lanes.get(lane)
            if held is None or held.at != low:
                held = self._lanes[lane] = _Lane(plan, lane, low, self.store.encoded)
            start, step = where.start, where.step
            for numbers, piece in held.take(high - low):
                part = slice(start, start + step * (len(piece) - 1) + 1, step)
                rows[part] = numbers
                encoded.put(part, piece)
                start += step * len(piece)

        for _ in ahead(fill, places(plan, first, end, self.rank, self.ranks), threads()):
            pass
        self._read_ahead()
        return encoded, rows

    def _read_ahead(self) -> None:
        """Open the windows that are needed next, while the rows held stay within what is reckoned with."""
        room = target_rows(self.plan, self.rank, self.ranks) - sum(lane.held for lane in self._lanes.values())
        chosen: list[_Lane] = []
        for lane in sorted(self._lanes.values(), key=lambda lane: lane.opened - lane.at):
            more = lane.next_rows()
            if not more or more > room:
                break
            room -= more
            chosen.append(lane)
        for _ in ahead(_Lane.open, chosen, threads()):
            pass

    def _empty(self, count: int) -> Encoded:
        encoder, how = self.store.attached, self.store.source.how
        return Encoded(
            self.store.chunks.take(count, encoder.features.width),
            np.empty((count, len(encoder.lookups)), dtype=np.int32),
            np.empty(count, dtype=np.int8),
            np.empty(count, dtype=np.float32) if how.weight else None,
        )


def target_rows(plan: EpochPlan, rank: int, ranks: int) -> int:
    """The rows that a reader holds, reading ahead: what its lanes hold on average, and a little more.

    Half a window and half a row group a lane: independent of the number of rows.
    """
    lane = plan.window_rows + max(plan.group_rows, default=0)
    return int(AHEAD * len(plan.lanes_of(rank, ranks)) * lane / 2)


class _Lane:
    """One lane from an offset on."""

    def __init__(
        self, plan: EpochPlan, lane: int, at: int, fetch: Callable[[int, int, int], Encoded]
    ) -> None:
        self.plan, self.lane, self.at, self.fetch = plan, lane, at, fetch
        self.opened = at  # the offset up to which windows have been opened
        self.segments: deque[tuple[I64, Encoded]] = deque()
        self.tail: tuple[int, int, Encoded] | None = None  # row group, its first row here, the rows

    def take(self, count: int) -> Iterator[tuple[I64, Encoded]]:
        """The next rows, in order, piece by piece."""
        self.at += count
        while count:
            if not self.segments:
                self.open()
            rows, encoded = self.segments.popleft()
            if len(rows) > count:
                self.segments.appendleft((rows[count:], encoded.between(count, len(rows))))
                rows, encoded = rows[:count], encoded.between(0, count)
            count -= len(rows)
            yield rows, encoded

    @property
    def held(self) -> int:
        """Rows that are in memory."""
        return self.opened - self.at + (len(self.tail[2]) if self.tail else 0)

    def next_rows(self) -> int:
        """Rows that the next window would bring into memory; 0 at the end of the lane."""
        if self.opened >= self.plan.lane_rows(self.lane):
            return 0
        tail = len(self.tail[2]) if self.tail else 0
        at = np.array([self.opened])
        return int(self.plan.held(self.lane, at)[0]) - tail

    def open(self) -> None:
        """Bring in the next window: its rows, shuffled, in segments that can be given back one by one."""
        window = self.plan.window(self.lane, self.opened)
        skipped = self.opened - window.first
        whole = Encoded.joined([self._rows_of(piece) for piece in window.pieces])
        labels = whole.y.take(window.order)
        weights = None if whole.w is None else whole.w.take(window.order)
        for low in range(skipped, len(window.order), SEGMENT_ROWS):
            # what is wide is given back by segments; what is narrow, with the window: many small arrays that
            # live long would leave holes in the heap
            rows = slice(low, min(low + SEGMENT_ROWS, len(window.order)))
            order = window.order[rows]
            x, ids = whole.x.take(order, axis=0), whole.ids.take(order, axis=0)
            encoded = Encoded(x, ids, labels[rows], None if weights is None else weights[rows])
            self.segments.append((window.rows[rows], encoded))
        self.opened = window.end

    def _rows_of(self, piece: Piece) -> Encoded:
        count = piece.high - piece.low
        if self.tail is not None and self.tail[:2] == (piece.group, piece.low):
            held = self.tail[2]
        else:
            held = self.fetch(piece.group, piece.low, piece.reach)
        self.tail = None
        if len(held) > count:  # copied, so that the rows before it can be given back
            rest = held.take(np.arange(count, len(held)))
            self.tail = (piece.group, piece.high, rest)
            held = held.between(0, count)
        return held

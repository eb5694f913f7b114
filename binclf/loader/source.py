"""The row groups of one part: how many rows each has, and each decoded when asked for."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from binclf.features import Block, Decoding, Standard, Target, decode
from binclf.hashing import U64
from binclf.loader.readers import Readers
from binclf.split import PartFile
from binclf.world import doing

MOST_FILLERS = 8

Item = TypeVar("Item")
Made = TypeVar("Made")
Look = Callable[[int, Block], None]  # at a row group, by the thread that decoded it


class Source:
    """The row groups of one part's files, numbered in canonical order."""

    def __init__(self, files: Iterable[PartFile], how: Decoding) -> None:
        """Nothing is read yet."""
        self.files, self.how = tuple(files), how
        self._readers, self._coded = Readers(), how.coded
        self._beside = Readers()  # of columns that no block has
        self.place = [(f, g) for f in self.files for g in range(len(f.groups))]
        self.group_rows: tuple[int, ...] = tuple(f.groups[g] for f, g in self.place)
        self.starts = np.concatenate([[0], np.cumsum(self.group_rows)]).astype(np.int64)

    @property
    def rows(self) -> int:
        """N."""
        return int(self.starts[-1])

    def span(self, group: int) -> slice:
        """Canonical row numbers of a row group."""
        return slice(int(self.starts[group]), int(self.starts[group + 1]))

    def decode(
        self,
        group: int,
        *,
        out: Target | None = None,
        moments: bool = False,
        standard: Standard | None = None,
    ) -> Block:
        """Decode one row group, as `features.decode` does.

        Raises:
            DataError: the file changed, or is damaged.
        """
        file, index = self.place[group]
        with self._readers.open(file, self._coded) as reader:
            block = decode(reader, index, self.how, out=out, moments=moments, standard=standard)
        doing.step()
        if len(block) != self.group_rows[group]:
            raise AssertionError(
                f"{file.path}, row group {index}: {len(block)} labelled rows, and the split counted "
                f"{self.group_rows[group]}"
            )
        return block

    def hashes(self, group: int, column: str) -> U64:
        """A column's values hashed, uint64 [n], of the same rows of a row group as `decode` gives.

        Raises:
            DataError: the file changed, or is damaged, or the column is of a kind that is no key.
        """
        file, index = self.place[group]
        with self._beside.open(file, ()) as reader:
            rows = reader.read(index, list(dict.fromkeys([self.how.label.column, column])))
        kept = self.how.downsampling.kept(file.relative, index, self.how.label.read(rows)[0])
        return np.asarray(rows.hashes(column, 0)[kept])


def decoded(
    groups: Iterable[int], decode: Callable[[int], Block], look: Look | None = None
) -> Iterator[tuple[int, Block]]:
    """Row groups by threads, in order; each looked at by the thread that has just decoded it."""

    def one(group: int) -> Block:
        block = decode(group)
        if look is not None:
            look(group, block)
        return block

    todo = list(groups)
    yield from zip(todo, ahead(one, todo, threads()), strict=True)


def threads() -> int:
    """Decoding threads of this rank: the machine's cores, shared with its other ranks."""
    return max(1, (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))


def fillers() -> int:
    """Threads that decode ahead of a reader that streams: each needs memory."""
    return min(threads(), MOST_FILLERS)


def ahead(call: Callable[[Item], Made], items: Iterable[Item], count: int) -> Iterator[Made]:
    """`map` by `count` threads, in order, never more than that many results ahead of the consumer."""
    with ThreadPoolExecutor(count, thread_name_prefix="decode") as pool:
        waiting: deque[Future[Made]] = deque()
        try:
            for item in items:
                doing.step()
                waiting.append(pool.submit(call, item))
                if len(waiting) > count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

"""Products of the scores of whole groups, wherever a group's rows are: the same bits for any number of ranks.

A group is known by the 64-bit hash of its value; rows without one are a group of their own. First the
groups are learnt from their column alone. Then each row's score is turned to integers in units that the
bounds of all rows set, |sum| <= W m, so that a group's integers add up exactly in whatever order and by
whatever rank, to within n 2^-62 W m for n rows. Where the sums of all groups would take more than ROOM,
runs of groups take their turns, each with a pass of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binclf.errors import DataError
from binclf.features import Encoded, Encoder
from binclf.hashing import U64
from binclf.kernels import Curvature
from binclf.loader.memory import shown
from binclf.loader.source import ahead, threads
from binclf.solvers.blocks import Reducer, curvature_at
from binclf.solvers.exact import BITS
from binclf.solvers.quadratic import one_thread

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

ROOM = 2**28  # bytes of sums at a time
MOST_TURNS = 64
MOST_GROUPS = 2**26  # 512 MiB of hashes
LEAST_SORTED = 2**20  # hashes
AT_ONCE = 2**22  # bytes of rows that are turned to integers together, and of sums that ranks exchange


def clustered(column: str, point: F64, reducer: Reducer) -> tuple[F64, int, int]:
    """The sum of g g' over groups, float64 [p, p], the number of groups, and passes over the rows.

    Args:
        column: whose values are the groups.
        point: where scores are taken, float64 [p].
        reducer: over the rows; all ranks must ask.

    Raises:
        DataError: there are fewer than two groups, or too many.
    """
    groups = _Known(column, reducer).everywhere()
    size, count = len(point), len(groups)
    if count < 2:
        raise DataError(
            f"data.group = '{column}' has the same value in all {reducer.store.source.rows:,} training rows: "
            "clustered errors need groups that differ. Take train.errors = 'hc0', or another column."
        )
    at_once = max(ROOM // (8 * size), 1)
    turns = -(-count // at_once)
    if turns > MOST_TURNS:
        raise DataError(
            f"data.group = '{column}' has {count:,} groups, whose scores for {size:,} weights take "
            f"{shown(8.0 * count * size)}: clustered errors add up at most {shown(ROOM * MOST_TURNS)}, in "
            f"{MOST_TURNS} passes. Take train.errors = 'hc0', coarser groups or fewer columns."
        )
    middle = np.zeros((size, size))
    for first in range(0, count, at_once):
        scores = _Scores(groups[first : first + at_once], column, point, reducer)
        scores.add_all()
        for sums in scores.everywhere():
            with one_thread():
                middle += sums.T @ sums
    return middle, count, turns


class _Known:
    """Groups that this rank has seen, by their hashes."""

    def __init__(self, column: str, reducer: Reducer) -> None:
        self.column, self.source, self.world = column, reducer.store.source, reducer.world
        self.hashes: U64 = np.empty(0, dtype=np.uint64)

    def everywhere(self) -> U64:
        """Those of all ranks, sorted; each reads the column of its share of the row groups."""
        own = range(self.world.rank, len(self.source.group_rows), self.world.size)
        waiting: list[U64] = []
        count = 0
        for found in ahead(lambda group: np.unique(self.source.hashes(group, self.column)), own, threads()):
            waiting.append(found)
            count += len(found)
            if count > max(len(self.hashes), LEAST_SORTED):  # seldom, as all are sorted each time
                self._add(waiting)
                waiting, count = [], 0
        self._add(waiting)
        self.world.meet()
        everyone = self.world.fold(
            lambda: self.hashes.tobytes(), lambda other: self._add([np.frombuffer(other, dtype=np.uint64)])
        )
        return np.frombuffer(everyone, dtype=np.uint64)

    def _add(self, more: list[U64]) -> None:
        self.hashes = np.unique(np.concatenate([self.hashes, *more]))
        if len(self.hashes) > MOST_GROUPS:
            raise DataError(
                f"data.group = '{self.column}' has more than {MOST_GROUPS:,} groups: clustered errors add up "
                "no more. Take train.errors = 'hc0', or coarser groups."
            )


@dataclass(frozen=True, slots=True)
class _Slopes:
    """Rows of one row group that belong to groups of a turn."""

    rows: Encoded
    places: I64  # [n], of their groups; below 0: of none of them
    slopes: F64  # [n]


class _Scores:
    """The scores of some groups, added up as integers."""

    def __init__(self, groups: U64, column: str, point: F64, reducer: Reducer) -> None:
        self.groups, self.column, self.point, self.reducer = groups, column, point, reducer
        exponents = np.frexp(reducer.weight * reducer.terms.magnitudes)[1]
        self.unit = np.ldexp(1.0, exponents - BITS)
        self.sums = np.zeros((len(groups), len(point)), dtype=np.int64)
        self.seen = 0  # rows
        self._blanks = Encoder(reducer.features).blanks

    def add_all(self) -> None:
        """This rank's share of the row groups."""
        reducer = self.reducer
        own = [group for block in reducer.blocks[reducer.world.rank :: reducer.world.size] for group in block]
        for found in ahead(self._slopes, own, threads()):
            self.seen += len(found.slopes)
            for places, scores in self._pieces(found):
                self.sums[places] += scores

    def everywhere(self) -> Iterator[F64]:
        """The sums of all ranks, some groups at a time: float64 [some, p]."""
        world, expected = self.reducer.world, self.reducer.store.source.rows
        world.meet()
        rows = int(world.sum_integers(np.array([self.seen]))[0])
        if rows != expected:
            raise AssertionError(f"a pass saw {rows} rows of {expected}: rows were lost or repeated")
        step = max(AT_ONCE // (8 * len(self.point)), 1)
        for low in range(0, len(self.sums), step):
            yield world.sum_integers(self.sums[low : low + step]).astype(np.float64) * self.unit

    def _at(self) -> Curvature:
        return curvature_at(self.reducer.features, self.point, self._blanks)

    def _slopes(self, group: int) -> _Slopes:
        rows = self.reducer.store.kept(group)
        hashes = self.reducer.store.source.hashes(group, self.column)
        places = np.searchsorted(self.groups, hashes)
        is_one = self.groups[np.minimum(places, len(self.groups) - 1)] == hashes
        slopes = self._at().slopes_of(rows.x, rows.ids, rows.y, rows.w)
        return _Slopes(rows, np.where(is_one, places, -1), slopes)

    def _pieces(self, found: _Slopes) -> Iterator[tuple[I64, I64]]:
        """Groups, and the integers of their rows' scores, int64 [groups, p]."""
        rows, width, size = found.rows, self.reducer.features.width, len(self.point)
        chosen = np.flatnonzero(found.places >= 0)
        chosen = chosen[np.argsort(found.places[chosen], kind="stable")]
        step = max(AT_ONCE // (8 * size), 1)
        for low in range(0, len(chosen), step):
            own = chosen[low : low + step]
            dense = self._at().dense(rows.x[own])
            u = np.zeros((len(own), size))
            u[:, :width], u[:, -1] = dense[:, :-1], 1.0
            for ids in rows.ids[own].T:
                np.add.at(u, (np.arange(len(own)), width + ids), 1.0)
            u *= found.slopes[own, np.newaxis]
            scores = np.rint(u / self.unit).astype(np.int64)
            places, starts = np.unique(found.places[own], return_index=True)
            yield places, np.add.reduceat(scores, starts, axis=0)

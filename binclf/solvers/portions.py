"""Sums by files: loss's gradient and Hessian over the rows of each file of train, at one point.

A file's sums are added up by one rank, each of its blocks by one thread: the same bits for any number of
ranks. Files of few rows beside the weights are taken together with those that follow; where there is one file
alone its row groups are taken, by runs.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.features import Encoder
from binclf.loader import Balanced, Source
from binclf.loader.source import ahead, threads
from binclf.solvers.blocks import Reducer, curvature_at, flat, square
from binclf.solvers.cuts import blocks_of, least_rows

F64 = npt.NDArray[np.float64]

ROWS_A_WEIGHT = 32  # of what is taken as one: a judgement takes as long as some rows a weight


@dataclass(frozen=True, slots=True)
class Own:
    """Sums over the rows of one file."""

    rows: int
    weight: float
    squares: float  # of the weights
    gradient: F64  # [p]
    hessian: F64  # [p, p]
    plain: F64  # [p, p], the Hessian without class weights


def units_of(source: Source, size: int) -> list[range]:
    """Row groups that are taken as one: those of a file, or of some; of one file alone, runs of them."""
    least = ROWS_A_WEIGHT * size
    ends = np.cumsum([0, *(len(file.groups) for file in source.files)]).tolist()
    if not is_by_file(source):
        return blocks_of(source.group_rows, least)
    runs = blocks_of([sum(file.groups) for file in source.files], least)
    return [range(ends[run.start], ends[run.stop]) for run in runs]


def is_by_file(source: Source) -> bool:
    """Whether more than one file has rows."""
    return sum(any(file.groups) for file in source.files) > 1


def summed(point: F64, reducer: Reducer, units: list[range]) -> Iterator[tuple[int, Own]]:
    """The sums of each file that is this rank's: the largest files are dealt out first."""
    group_rows = reducer.store.source.group_rows
    sizes = [sum(group_rows[unit.start : unit.stop]) for unit in units]
    loads = [(0, rank) for rank in range(reducer.world.size)]
    own: list[int] = []
    for place in sorted(range(len(units)), key=lambda place: -sizes[place]):
        load, rank = heapq.heappop(loads)
        heapq.heappush(loads, (load + sizes[place], rank))
        if rank == reducer.world.rank:
            own.append(place)
    jobs = [(place, block) for place in sorted(own) for block in _cut(units[place], reducer)]
    found = ahead(lambda job: _added(point, reducer, job[1]), jobs, threads())
    for place, pairs in groupby(zip(jobs, found, strict=True), key=lambda pair: pair[0][0]):
        yield place, _joined(reducer, (sums for _, sums in pairs))


def _cut(unit: range, reducer: Reducer) -> list[range]:
    """Blocks of row groups, each for one thread."""
    rows = reducer.store.source.group_rows[unit.start : unit.stop]
    found = blocks_of(rows, least_rows(reducer.size))
    return [range(unit.start + block.start, unit.start + block.stop) for block in found]


def _added(point: F64, reducer: Reducer, groups: range) -> F64:
    """Of some row groups rows, weight and squared weight, gradient and Hessian, and the plain Hessian."""
    store, features = reducer.store, reducer.features
    blanks = Encoder(features).blanks
    found, plain = curvature_at(features, point, blanks), curvature_at(features, point, blanks)
    counts = np.zeros(3)
    for group in groups:
        rows = store.store.kept(group) if isinstance(store, Balanced) else store.kept(group)
        weights = np.ones(len(rows)) if rows.w is None else rows.w.astype(np.float64)
        counts += len(rows), weights.sum(), (weights * weights).sum()
        if isinstance(store, Balanced):
            plain.add(rows.x, rows.ids, rows.y, rows.w)
            rows = store.weighed(rows)
        found.add(rows.x, rows.ids, rows.y, rows.w)
    own = [counts, flat(features, found)]
    return np.concatenate([*own, *([flat(features, plain)] if isinstance(store, Balanced) else [])])


def _joined(reducer: Reducer, blocks: Iterable[F64]) -> Own:
    """A file's sums, its blocks added up in order."""
    sums = np.asarray(sum(blocks))
    size, triangle = reducer.size, reducer.size * (reducer.size + 1) // 2
    rows, weight, squares = sums[:3].tolist()
    hessian = square(size, sums[3 + size : 3 + size + triangle])
    plain = square(size, sums[-triangle:]) if isinstance(reducer.store, Balanced) else hessian
    return Own(int(rows), weight, squares, sums[3 : 3 + size], hessian, plain)


def named(source: Source, unit: range) -> dict[str, Any]:
    """What is taken as one, in words of the data."""
    (first, low), (last, high) = source.place[unit[0]], source.place[unit[-1]]
    names = list(dict.fromkeys(source.place[group][0].relative for group in unit))
    return {
        "file": first.relative,
        "last_file": last.relative,
        "files": len(names),
        "row_groups": None if is_by_file(source) else [low, high],
    }

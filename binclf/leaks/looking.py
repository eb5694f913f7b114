"""Each feature laid beside the label, in some row groups that are evenly spread and always the same.

Of a row group at most so many rows of either label are taken: the area is a matter of pairs of rows, one of
each label, so thinning one label leaves it as it is, and rare positives are all there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binclf.features import Roles
from binclf.hashing import U64
from binclf.labels import LabelRule
from binclf.leaks.records import Alone, Looked
from binclf.metrics import area_of_levels, area_of_numbers
from binclf.parquet import Column, Footer, Rows, feature_codes, feature_numbers
from binclf.scored import RowGroup, in_threads

F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MOST_GROUPS = 8
MOST_CELLS = 2**23  # of all row groups that are looked at, unless the first has more
MOST_ROWS = 2**12  # of either label, of a row group
LEAST_ROWS = 100  # of either label: of fewer nothing is claimed, for chance may put them in order


def evenly(sizes: Sequence[int], most: int, limit: int) -> list[int]:
    """Places of at most `most` things, evenly spread: fewer where they were more than `limit` together.

    >>> evenly([3, 3, 3, 3, 3], most=3, limit=100), evenly([3, 3, 3, 3, 3], most=3, limit=7)
    ([0, 2, 4], [0, 2])
    """
    count, taken, together = min(most, len(sizes)), list[int](), 0
    for step in range(count):
        place = round(step * (len(sizes) - 1) / max(count - 1, 1))
        together += sizes[place]
        if taken and together > limit:
            break
        taken.append(place)
    return taken


def has_label(foot: Footer, label: LabelRule) -> bool:
    """Whether a file has the label, of the kind that was learnt."""
    column = foot.column(label.column)
    return column is not None and column.kind == label.kind


def look(places: Sequence[RowGroup], sizes: Sequence[int], used: Roles, label: LabelRule) -> Looked:
    """How well each feature tells the label alone, in some of these row groups.

    Args:
        places: the row groups, in canonical order.
        sizes: their rows.
        used: the features.
        label: how the label is read; rows without one are passed over.

    Raises:
        DataError: damaged bytes, or labels that are neither of the two.
    """
    filled = [(place, rows) for place, rows in zip(places, sizes, strict=True) if rows]
    width = len(used.numeric) + len(used.categorical)
    chosen = evenly([rows * width for _, rows in filled], MOST_GROUPS, MOST_CELLS)
    found = list(in_threads(lambda place: _read(filled[place][0], used, label), chosen))
    labels = np.concatenate([np.zeros(0, dtype=np.int8), *(own.labels for own in found)])
    alone = list(in_threads(lambda place: _judged(place, used, found, labels), range(width)))
    known = tuple(own for own in alone if own is not None)
    return Looked(len(labels), int(labels.sum()), len(chosen), len(places), known)


@dataclass(frozen=True, slots=True)
class _Read:
    """Some rows of a row group."""

    labels: I8  # [n], 0 or 1
    numbers: Sequence[F64]  # of each numeric feature, [n]; missing is NaN
    levels: Sequence[tuple[Mask, U64]]  # of each categorical one: whether it is there, the level's hash


def _read(place: RowGroup, used: Roles, label: LabelRule) -> _Read:
    columns = (*used.numeric, *used.categorical)
    names = list(dict.fromkeys([label.column, *(name for column in columns for name in column.reads)]))
    rows = place.read(names, [column.source for column in used.categorical if column.kind == "text"])
    labels, _ = label.read(rows)
    chosen = np.sort(np.concatenate([_some(np.flatnonzero(labels == own)) for own in (0, 1)]))
    numbers = [feature_numbers(rows, column, finite=False)[chosen] for column in used.numeric]
    return _Read(labels[chosen], numbers, [_levels(rows, column, chosen) for column in used.categorical])


def _levels(rows: Rows, column: Column, chosen: I64) -> tuple[Mask, U64]:
    codes, texts = feature_codes(rows, column)
    own = codes[chosen]
    return own >= 0, np.append(texts.hashes(0), np.uint64(0))[own]


def _some(rows: I64) -> I64:
    """At most `MOST_ROWS` of some rows, evenly spread."""
    return rows[np.linspace(0, len(rows) - 1, min(MOST_ROWS, len(rows))).astype(np.int64)]


def _judged(place: int, used: Roles, found: Sequence[_Read], labels: I8) -> Alone | None:
    """What tells most of a feature, the numeric ones first; None if there is too little to tell."""
    if not _is_enough(labels):
        return None
    other = place - len(used.numeric)
    if other < 0:
        values = np.concatenate([own.numbers[place] for own in found])
        told = _of_numbers(used.numeric[place].name, values, labels)
    else:
        both = [np.concatenate([own.levels[other][side] for own in found]) for side in (0, 1)]
        told = _of_levels(used.categorical[other].name, both[0].astype(np.bool_), both[1], labels)
    return max(told, key=lambda own: own.area, default=None)


def _of_numbers(name: str, values: F64, labels: I8) -> Iterator[Alone]:
    present = ~np.isnan(values)
    yield from _of_missing(name, present, labels)
    if _is_enough(labels[present]):
        area = area_of_numbers(values[present], labels[present])
        yield Alone(name, area, int(present.sum()), "values")


def _of_levels(name: str, present: Mask, hashes: U64, labels: I8) -> Iterator[Alone]:
    yield from _of_missing(name, present, labels)
    levels, codes = np.unique(hashes, return_inverse=True)
    area = area_of_levels(np.where(present, codes, len(levels)), labels)  # missing is a level
    yield Alone(name, area, len(labels), "levels")


def _of_missing(name: str, present: Mask, labels: I8) -> Iterator[Alone]:
    if present.any() and not present.all():
        yield Alone(name, area_of_numbers(present.astype(np.float64), labels), len(labels), "missing")


def _is_enough(labels: I8) -> bool:
    return int(np.bincount(labels, minlength=2).min()) >= LEAST_ROWS

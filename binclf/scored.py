"""Labelled row groups through a model, in threads: what evaluation is made from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from binclf.errors import together
from binclf.labels import LabelRule, plain, read_weights
from binclf.parquet import Column, Footer, Reader, Rows
from binclf.predict import Model
from binclf.split import PartFile
from binclf.split.checks import third_values
from binclf.storage import Place, Stamp
from binclf.world import doing

F64 = npt.NDArray[np.float64]
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class RowGroup:
    """One row group of a file, which must be what it was."""

    path: Place
    name: str  # what messages call the file
    group: int
    digest: str  # of its footer; empty: any
    stamp: Stamp | None  # None: any

    def read(self, columns: Sequence[str], texts: Sequence[str] = ()) -> Rows:
        """Some of its columns, `texts` being those to read as dictionaries."""
        with Reader(self.path, self.name, texts, self.digest, self.stamp) as reader:
            return reader.read(self.group, columns)


@dataclass(frozen=True, slots=True)
class Labels:
    """Where the answer is."""

    rule: LabelRule
    weight: str  # column of row weights; empty: all 1


@dataclass(frozen=True, slots=True)
class Scored:
    """The labelled rows of one row group."""

    number: int  # of the row group, in canonical order
    rows: Rows
    logits: F64  # [n]
    labels: npt.NDArray[np.int8]  # [n], 0 or 1
    weights: F64  # [n]


def places_of(feet: Sequence[Footer]) -> list[RowGroup]:
    """The row groups of files that no split knows, in canonical order."""
    return [RowGroup(f.path, f.relative, g, "", f.stamp) for f in feet for g in range(len(f.groups))]


def rounds(places: Sequence[T], count: int) -> Iterator[Sequence[T]]:
    """All of them in rounds of about so many, each evenly spread, and the next far from those before.

    >>> [list(some) for some in rounds("abcdefgh", 2)]
    [['a', 'e'], ['c', 'g'], ['b', 'f'], ['d', 'h']]
    """
    step = max(len(places) // max(count, 1), 1)
    for first in sorted(range(step), key=lambda first: f"{first:064b}"[::-1]):
        yield places[first::step]


def row_groups(files: Sequence[PartFile]) -> list[RowGroup]:
    """The row groups of a part, in canonical order."""
    return [
        RowGroup(file.path, file.relative, group, file.footer, file.expected)
        for file in files
        for group in range(len(file.groups))
    ]


def each(
    model: Model,
    places: Sequence[RowGroup],
    answer: Labels,
    add: Callable[[Scored], None],
    *,
    also: Sequence[Column] = (),
    share: tuple[int, int] = (0, 1),
) -> None:
    """Score row groups in threads; rows without a label are passed over.

    Args:
        model: gives the logits.
        places: the row groups, of all ranks.
        answer: the label and the weight.
        add: is given each row group's rows, in any order and by several threads at once.
        also: columns to read besides.
        share: (rank, ranks): this rank scores each so-many-th row group.
    """
    read = _reader(model, answer, also)
    numbers = range(share[0], len(places), share[1])
    for _ in in_threads(lambda number: add(read(number, places[number])), numbers):
        pass


def in_threads(work: Callable[[T], R], given: Sequence[T], threads: int = 0) -> Iterator[R]:
    """What work gives of each, in their order; after a failure no more are begun.

    No more results wait for who asks than there are threads, so that memory does not grow with the rows.

    Args:
        work: called by several threads at once.
        given: what of.
        threads: 0: one for each core of this process, which of several ranks on a machine has its own.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    from binclf.loader.source import ahead  # scoring does without the loader

    yield from ahead(work, given, threads or max(min(cores, len(given)), 1))


def _reader(model: Model, answer: Labels, also: Sequence[Column]) -> Callable[[int, RowGroup], Scored]:
    """What reads a row group and scores its labelled rows."""
    columns = [*model.columns(), answer.rule.column, *filter(None, [answer.weight])]
    columns = list(dict.fromkeys([*columns, *(name for column in also for name in column.reads)]))
    features = model.features.categorical
    texts = [*(c.name for c in features if c.kind == "text"), *(c.name for c in also if c.kind == "text")]

    def read(number: int, place: RowGroup) -> Scored:
        rows = place.read(columns, texts)
        doing.step()
        labels, _ = answer.rule.read(rows)
        if (labels < 0).any():
            rows, labels = rows.where(labels >= 0), labels[labels >= 0]
        return Scored(number, rows, model.logits(rows), labels, read_weights(rows, answer.weight))

    return read


def unlabelled_rows(places: Iterable[RowGroup], label: LabelRule) -> int:
    """Rows without a label; over all files there are at most two values."""
    unlabelled, values_of = 0, dict[str, set[str]]()
    for place in places:
        labels, values = label.read(place.read([label.column]))
        unlabelled += int((labels < 0).sum())
        values_of.setdefault(place.name, set()).update(map(plain, values))
    if wrong := third_values(label.column, ((name, sorted(own)) for name, own in values_of.items())):
        raise together(wrong)
    return unlabelled


def total_weight(places: Iterable[RowGroup], weight: str) -> float:
    """The weight of all rows, `weight` being its column."""
    total = 0.0
    for place in places:
        total += float(read_weights(place.read([weight]), weight).sum())
    return total

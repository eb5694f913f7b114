"""One pass over the columns that decide a split: labels, weights, times and keys of a file.

For a preflight: what a split would refuse is collected, the first of each sort, and nothing is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from binclf.config import Config
from binclf.errors import BinclfError, DataError, together
from binclf.labels import LabelRule, plain, read_weights
from binclf.parquet import Footer, Reader, Rows
from binclf.split.checks import null_labels, null_times
from binclf.split.plan import selection_of
from binclf.split.run import keys_of


@dataclass(frozen=True, slots=True)
class Scan:
    """What a file's deciding columns hold."""

    relative: str
    rows: int
    positives: int
    unlabelled: int
    weight: float  # of the labelled rows
    label_values: tuple[str, ...]  # as text, sorted
    problems: tuple[BinclfError, ...]


class _Tally:
    def __init__(self) -> None:
        self.positives = self.unlabelled = 0
        self.weight = 0.0
        self.values: set[str] = set()
        self.problems: dict[str, BinclfError] = {}


def scan(config: Config, foot: Footer, label: LabelRule) -> Scan:
    """Read the deciding columns of one file, row group by row group."""
    names = deciding_columns(config, label)
    tally = _Tally()
    try:
        with Reader(foot.path, foot.relative) as reader:
            for group in range(len(foot.groups)):
                try:
                    rows = reader.read(group, names)
                except DataError as error:
                    tally.problems.setdefault("damage", error)
                    continue
                for sort, look in _looks(config, foot, label):
                    try:
                        look(rows, tally)
                    except DataError as error:
                        tally.problems.setdefault(sort, error)
    except BinclfError as error:  # it cannot be opened
        tally.problems["open"] = error
    return Scan(
        foot.relative,
        foot.rows,
        tally.positives,
        tally.unlabelled,
        tally.weight,
        tuple(sorted(tally.values)),
        tuple(tally.problems.values()),
    )


Look = Callable[[Rows, _Tally], None]


def deciding_columns(config: Config, label: LabelRule) -> list[str]:
    """The columns that `scan` reads."""
    data, split = config.data, config.split
    names = [label.column, data.weight, split.column]
    if split.method == "time":
        names.append(data.time)
    if split.method in ("random", "hash"):
        names += [*split.key, data.group]
    return list(dict.fromkeys(filter(None, names)))


def _looks(config: Config, foot: Footer, label: LabelRule) -> Iterator[tuple[str, Look]]:
    """What is looked at in each row group, by the sort of problem that it finds."""

    def labels(rows: Rows, tally: _Tally) -> None:
        found, seen = label.read(rows)
        tally.values.update(plain(value) for value in seen)
        tally.positives += int((found == 1).sum())
        tally.unlabelled += int((found < 0).sum())
        if config.data.on_null_label == "error" and (wrong := null_labels(found, label.column, rows.place)):
            raise together(wrong)

    def weights(rows: Rows, tally: _Tally) -> None:
        tally.weight += float(np.sum(read_weights(rows, config.data.weight)))

    def times(rows: Rows, tally: _Tally) -> None:
        _, missing = rows.moments(config.data.time)
        if wrong := null_times(missing, config.data.time, rows.place):
            raise together(wrong)

    def keys(rows: Rows, tally: _Tally) -> None:
        keys_of(rows, selection)

    yield "labels", labels
    yield "weights", weights
    if config.split.method == "time":
        yield "times", times
    else:
        selection = selection_of(config, foot.relative, is_alone=False)
        yield "keys", keys

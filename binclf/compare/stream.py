"""One pass over the rows that are judged: both models on each row group, in threads, added up in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from binclf.compare.membership import Judged, Seen
from binclf.compare.populations import Pairs
from binclf.compare.tally import Tally
from binclf.errors import DataError, together
from binclf.labelled import Needed
from binclf.labels import plain, read_weights
from binclf.parquet import Column, Rows, feature_codes
from binclf.predict import Model
from binclf.scored import in_threads
from binclf.split import deal
from binclf.split.checks import third_values

FITTED = (deal.TRAIN, deal.VALIDATION)  # parts whose rows are refused


@dataclass(frozen=True, slots=True)
class How:
    """What is read of each row, and by whom it is judged."""

    models: tuple[Model, Model]  # champion, challenger
    needed: Needed

    def columns(self, seen: Sequence[Seen]) -> list[str]:
        """Each column once."""
        names = [
            *self.models[0].columns(), *self.models[1].columns(), *self.needed.names,
            *(name for one in seen for name in one.columns),
        ]  # fmt: skip
        return list(dict.fromkeys(filter(None, names)))

    @property
    def texts(self) -> tuple[str, ...]:
        """Columns that are read as dictionaries."""
        learnt = [c for model in self.models for c in model.features.categorical if c.kind == "text"]
        return tuple(
            dict.fromkeys(
                [*(c.name for c in learnt), *(c.name for c in self.needed.slices if c.kind == "text")]
            )
        )


@dataclass(slots=True)
class Outcome:
    """What came of the rows: judged and in the tally, refused, or without a label."""

    tally: Tally
    rows: int = 0  # read
    unlabelled: int = 0
    refused: int = 0  # in either one's training or validation part
    refused_of: npt.NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((2, len(FITTED)), dtype=np.int64)
    )
    label_values: dict[str, set[str]] = field(default_factory=dict)  # of each file

    def merge(self, other: Outcome) -> None:
        """Add what comes after."""
        self.tally.merge(other.tally)
        self.rows += other.rows
        self.unlabelled += other.unlabelled
        self.refused += other.refused
        self.refused_of += other.refused_of
        for name, values in other.label_values.items():
            self.label_values.setdefault(name, set()).update(values)


def stream(how: How, judged: Sequence[tuple[Judged, tuple[Seen, Seen]]], threads: int = 0) -> Outcome:
    """Judge both models on each row that neither has seen; the same bits for any number of threads.

    Args:
        how: the models and the columns.
        judged: files in canonical order, and what champion and challenger have seen of each.
        threads: 0: one for each core.

    Raises:
        DataError: a column is missing or damaged, or the label has a third value.
    """
    places: list[_Place] = []
    number = 0
    for file, seen in judged:
        first = 0
        for group, rows in enumerate(file.groups):
            places.append(_Place(file, seen, group, first, number))
            first, number = first + rows, number + rows
    total = Outcome(_tally(how))
    for outcome in in_threads(lambda place: _one(how, place), places, threads):
        total.merge(outcome)
    if wrong := third_values(
        how.needed.label.column, ((name, sorted(v)) for name, v in total.label_values.items())
    ):
        raise together(wrong)
    return total


@dataclass(frozen=True, slots=True)
class _Place:
    """A row group."""

    file: Judged
    seen: tuple[Seen, Seen]
    group: int
    first: int  # number of its first row in the file
    number: int  # and among all


def _one(how: How, place: _Place) -> Outcome:
    """Both models on one row group."""
    rows = place.file.row_group(place.group).read(how.columns(place.seen), how.texts)
    labels, values = how.needed.label.read(rows)
    codes = [seen.codes(rows, place.first) for seen in place.seen]
    if {len(code) for code in codes} != {len(rows)}:
        raise DataError(f"{rows.place} has other rows than its split counted: split again.")
    labelled = labels >= 0
    refused = np.logical_or.reduce([np.isin(code, FITTED) for code in codes]) & labelled
    found = Outcome(
        _tally(how),
        rows=len(rows),
        unlabelled=int((~labelled).sum()),
        refused=int(refused.sum()),
        refused_of=np.array(
            [[np.count_nonzero((code == part) & labelled) for part in FITTED] for code in codes]
        ),
        label_values={place.file.name: {plain(value) for value in values}},
    )
    kept = labelled & ~refused
    if kept.any():
        found.tally.add(_pairs(how, rows, labels, kept, place.number))
    return found


def _pairs(
    how: How, rows: Rows, labels: npt.NDArray[np.int8], kept: npt.NDArray[np.bool_], number: int
) -> Pairs:
    champion, challenger = (model.logits(rows)[kept] for model in how.models)
    return Pairs(
        numbers=number + np.flatnonzero(kept),
        champion=champion,
        challenger=challenger,
        labels=labels[kept],
        weights=read_weights(rows, how.needed.weight)[kept],
        clusters=rows.hashes(how.needed.group, 0)[kept] if how.needed.group else None,
        slices={column.name: _levels(rows, column, kept) for column in how.needed.slices},
    )


def _levels(
    rows: Rows, column: Column, kept: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int32], Sequence[str | None]]:
    """A slice column's codes and levels; the last is that of null."""
    codes, texts = feature_codes(rows, column)
    return np.where(codes < 0, len(texts), codes)[kept].astype(np.int32), [*texts, None]


def _tally(how: How) -> Tally:
    thresholds = (how.models[0].threshold, how.models[1].threshold)
    return Tally(
        thresholds, [column.name for column in how.needed.slices], is_clustered=bool(how.needed.group)
    )

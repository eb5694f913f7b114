"""Labelled data that no run made: has it the columns that a judgement needs, and are they what was learnt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from binclf.config import Config
from binclf.errors import DataError
from binclf.labels import LabelRule
from binclf.parquet import Column, closest

UNSLICED = ("moment", "duration", "other")  # kinds that no levels are read from


@dataclass(frozen=True, slots=True)
class Needed:
    """The columns beside those of models that rows are judged by."""

    label: LabelRule
    weight: str  # or empty
    group: str  # rows that share a value are not independent; empty: all are
    slices: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        """Each once."""
        names = [self.label.column, self.weight, self.group, *(n for c in self.slices for n in c.reads)]
        return list(dict.fromkeys(filter(None, names)))

    def clusters(self, columns: Iterable[Column]) -> Column | None:
        """The group's, of these columns; None: rows are independent."""
        return next((column for column in columns if self.group and column.name == self.group), None)

    def lacking(self, columns: Sequence[Column], place: str, verb: str) -> list[DataError]:
        """What is missing in a file, or of another kind than was learnt.

        Args:
            columns: of the file.
            place: what messages call it.
            verb: who needs them, in words.
        """
        known = {column.name: column for column in columns}
        problems: list[DataError] = []
        for name in self.names:
            if name not in known:
                close = closest(name, known)
                hint = f" (it has '{close}')" if close else ""
                problems.append(DataError(f"{place} lacks column '{name}'{hint}, which {verb} needs."))
        label = known.get(self.label.column)
        if label is not None and label.kind != self.label.kind:
            problems.append(
                DataError(
                    f"label '{label.name}' of {place} is {label.type}, and the run learnt {self.label.kind}: "
                    "cast it."
                )
            )
        return problems + [_unfit(known[c.source], c, place) for c in self.slices if _is_unfit(known, c)]


def _is_unfit(known: dict[str, Column], wanted: Column) -> bool:
    """Whether there is a column of the slice's name, and no slice can be made of it."""
    column = known.get(wanted.source)
    if column is None or column.type == "null":
        return False
    return column.kind != "moment" if wanted.part else column.kind in UNSLICED


def _unfit(column: Column, wanted: Column, place: str) -> DataError:
    return DataError(
        f"column '{column.name}' of {place} is {column.type}, and the run's evaluate.slices has "
        f"'{wanted.name}', which was {wanted.type}: cast it."
    )


def refuse_unlabelled(config: Config, rows: int, data: str) -> None:
    """Rows without a label are left out only if those of training were.

    Raises:
        DataError: there are some, and the run that has this config was trained without any.
    """
    if rows and config.data.on_null_label == "error":
        raise DataError(
            f"label '{config.data.label}' of {data} holds {rows} nulls: bring their labels, or remove the "
            "rows. (The run was trained with data.on_null_label = 'error'.)"
        )

"""How well columns by themselves tell the label: what is kept of it (`alone.json`), and said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from binclf.config import Data
from binclf.errors import reading_back

ALONE = "alone.json"
FORMAT = 1
WORDS = {"values": "its values", "levels": "its levels", "missing": "whether it is missing"}


@dataclass(frozen=True, slots=True)
class Alone:
    """How well a column by itself tells the label."""

    column: str
    area: float  # under its own ROC curve: 1 tells everything, 0.5 nothing
    rows: int  # that this is of
    by: Literal["values", "levels", "missing"]  # what of it tells most

    @property
    def words(self) -> str:
        """By what, for a sentence."""
        return WORDS[self.by]


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found in some row groups."""

    rows: int
    positives: int
    row_groups: int
    of_row_groups: int
    columns: tuple[Alone, ...]  # those with enough rows of either label, in the order of the features

    def leaks(self, data: Data) -> list[Alone]:
        """The columns at or above the limit, but for those that are declared to be none."""
        return [own for own in self.columns if own.area >= data.leak_auc and own.column not in data.not_leaks]

    def told(self, data: Data) -> list[str]:
        """Each of them in a sentence, for who is about to train."""
        of = f"{self.row_groups:,} of {self.of_row_groups:,} row groups"
        return [
            f"column '{own.column}' tells the label '{data.label}' alone, by {own.words} (ROC-AUC "
            f"{own.area:.4f} on {own.rows:,} rows, in {of}; data.leak_auc = {data.leak_auc:g}): is it known "
            "before the outcome is? If not, name it in data.exclude; if so, in data.not_leaks."
            for own in self.leaks(data)
        ]

    def as_json(self) -> dict[str, Any]:
        """For `alone.json`."""
        return {"format": FORMAT, **asdict(self), "columns": [asdict(own) for own in self.columns]}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Looked:
        """Read `alone.json` back.

        Raises:
            ArtifactError: it is of another version or shape.
        """
        with reading_back(ALONE, "train again"):
            if record["format"] != FORMAT:
                raise KeyError("format")
            return cls(
                record["rows"],
                record["positives"],
                record["row_groups"],
                record["of_row_groups"],
                tuple(Alone(**own) for own in record["columns"]),
            )

"""What is planned, what was asked for, and who looks on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from binclf import hashing
from binclf.config import Score
from binclf.labels import LabelRule
from binclf.predict import Model
from binclf.profile import Observer
from binclf.storage import Place, Stamp

RECEIPTS = "_receipts"  # readers of Parquet directories pass over names with '_'
STAGING = "_staging"
QUARANTINE = "_quarantine"
MANIFEST = "_manifest.json"
ADDED = ("probability", "decision", "model")


@dataclass(frozen=True, slots=True)
class Part:
    """Some row groups of one input file, and where their scores go."""

    name: str  # of the output, below the output's directory
    input: str  # relative path of the file
    path: Place
    stamp: Stamp
    changed: int  # as `changed_at` tells
    footer: str  # digest of the file's footer
    groups: tuple[int, int]  # from, and up to
    number: int  # of the first row group among those of all files
    rows: int

    def is_of(self, receipt: Mapping[str, Any]) -> bool:
        """Whether the part was scored from the file as it is, by what is known without reading it.

        Its inode is not asked for: another machine may know another one.
        """
        told = receipt.get("input_stamp", [])
        return told[:2] == list(self.stamp[:2]) and receipt.get("input_changed") == self.changed

    @property
    def numbers(self) -> range:
        """Of its row groups, among those of all files."""
        return range(self.number, self.number + self.groups[1] - self.groups[0])


@dataclass(frozen=True, slots=True)
class Job:
    """One model over one input into one output."""

    model: Model
    address: str  # as the model was asked for: its id, or an alias that newer models may get
    ids: tuple[str, ...]
    settings: Score
    output: Place
    observers: Sequence[Observer] = ()
    label: LabelRule | None = None  # that rows may have, too

    @property
    def kept(self) -> tuple[str, ...]:
        """Columns of the input that are written."""
        return (*self.ids, *self.settings.columns)

    @property
    def shape(self) -> dict[str, Any]:
        """What decides what an output holds, beside the model and its input."""
        return {
            "ids": list(self.ids),
            "columns": list(self.settings.columns),
            "contributions": self.settings.contributions,
            "on_bad_row": self.settings.on_bad_row,
        }

    def key(self, part: Part) -> str:
        """Names the content of a part's output."""
        facts = [part.input, part.footer, part.groups, self.model.id, self.shape]
        return hashing.digest(facts)


@dataclass(frozen=True, slots=True)
class BadFile:
    """A file that is left out, as it was asked for."""

    input: str
    reason: str
    rows: int | None  # None: nobody can tell

    def as_json(self) -> dict[str, Any]:
        """For the manifest."""
        return {"file": self.input, "reason": self.reason, "rows": self.rows}


@dataclass(frozen=True, slots=True)
class Plan:
    """The parts of an input in canonical order, and the files that are left out already."""

    parts: tuple[Part, ...]
    bad: tuple[BadFile, ...] = ()
    files: int = 0  # those left out counted
    rows_of: dict[str, int] = field(default_factory=dict)  # by input file
    labelled: frozenset[str] = frozenset()  # input files that have the label, of the kind that was learnt

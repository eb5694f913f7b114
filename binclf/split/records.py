"""What a split is made of: small frozen records that JSON can hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from binclf.errors import DataError, reading_back
from binclf.labels import LabelRule
from binclf.parquet import Column, Reader
from binclf.storage import Place, Stamp, place_of, stamp_if_there

PART_NAMES = ("train", "validation", "test")
FORMAT = 3  # of parts and receipts: another number makes other ids


@dataclass(frozen=True, slots=True)
class Task:
    """One input file to be dealt into parts; a pure function of its content and the settings."""

    id: str  # names its outputs: digest of relative path, content and selection
    relative: str
    path: Place
    fingerprint: str  # of the input file's content
    rows: int
    columns: int
    stamp: Stamp  # when it was fingerprinted
    selection: Mapping[str, Any]  # all that decides which row goes where
    slots: tuple[str, ...]  # the part that each output belongs to
    in_place: bool  # method none: the input file itself is the part

    def as_json(self) -> dict[str, Any]:
        """For a scheduler that hands the task to another process or machine."""
        return {**asdict(self), "path": str(self.path)}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Task:
        """A task that was handed over."""
        rest = {"path": place_of(record["path"]), "stamp": tuple(record["stamp"])}
        return cls(**{**record, **rest, "slots": tuple(record["slots"])})


@dataclass(frozen=True, slots=True)
class PartFile:
    """The rows of one input file that belong to one part."""

    path: Place
    relative: str  # of the input file
    id: str
    rows: int
    positives: int
    weight: float  # sum of row weights; the row count where there are none
    positive_weight: float
    groups: tuple[int, ...]  # rows of each row group; where labels were dropped, those kept
    stamp: Stamp  # of an input file read in place, when the split was made; zeros for a file of ours
    footer: str  # SHA-256 of the file's footer

    @property
    def expected(self) -> Stamp | None:
        """The stamp that the file must have; None: any, for a file of ours is known by its footer."""
        return self.stamp if any(self.stamp) else None

    def check(self) -> None:
        """Compare the file with its stamp.

        Raises:
            DataError: it changed since the split, so its rows are not those that were counted.
        """
        found = stamp_if_there(self.path)
        if found is None or self.expected not in (None, found):
            raise DataError(f"{self.path} changed or went since the data were split: split again.")

    def reader(self, coded: Sequence[str] = ()) -> Reader:
        """The file opened, `coded` being columns to read as codes.

        Raises:
            DataError: it changed since the split, or is damaged.
        """
        return Reader(self.path, self.relative, coded, self.footer, self.expected)


@dataclass(frozen=True, slots=True)
class Split:
    """Which rows are in which part, and the receipt that says that none was lost."""

    digest: str
    method: str
    columns: tuple[Column, ...]
    label: LabelRule
    cuts: Mapping[str, str]  # method time: where the parts begin
    parts: Mapping[str, tuple[PartFile, ...]]  # in canonical order
    receipt: Mapping[str, Any]  # rows read, per part, dropped; files, duplicates

    def rows(self, part: str) -> int:
        """Rows of a part."""
        return sum(file.rows for file in self.parts.get(part, ()))

    def positives(self, part: str) -> int:
        """Rows of a part whose label is positive."""
        return sum(file.positives for file in self.parts.get(part, ()))

    def weight(self, part: str) -> float:
        """Sum of the row weights of a part."""
        return sum(file.weight for file in self.parts.get(part, ()))

    def base_rate(self, part: str) -> float:
        """Weighted share of positives in a part."""
        return sum(file.positive_weight for file in self.parts.get(part, ())) / self.weight(part)

    def as_json(self) -> dict[str, Any]:
        """For `split.json`."""
        record = asdict(self)
        for part, files in self.parts.items():
            for entry, file in zip(record["parts"][part], files, strict=True):
                entry["path"] = str(file.path)
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Split:
        """Read `split.json` back.

        Raises:
            ArtifactError: it is of another shape.
        """
        with reading_back("split.json", "split again", AttributeError):
            return cls(
                digest=record["digest"],
                method=record["method"],
                columns=tuple(Column(**column) for column in record["columns"]),
                label=LabelRule(**record["label"]),
                cuts=record["cuts"],
                parts={
                    part: tuple(part_file(file) for file in files) for part, files in record["parts"].items()
                },
                receipt=record["receipt"],
            )


def part_file(record: Mapping[str, Any]) -> PartFile:
    """A `PartFile` from JSON."""
    fields = {**record, "path": place_of(record["path"]), "groups": tuple(record["groups"])}
    fields["stamp"] = tuple(record["stamp"])
    return PartFile(**fields)

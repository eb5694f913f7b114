"""What was learnt, as records that JSON can hold, and the layout of the weight vector that follows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

from binclf.errors import ArtifactError, reading_back
from binclf.parquet import PARTS, Column, Kind

OTHER, NULL, FIRST_LEVEL = 0, 1, 2  # places of a levelled column, from its offset
KINDS = {kind for kind in get_args(Kind) if kind != "other"}  # of features
MOST_HASH_BITS = 26


@dataclass(frozen=True, slots=True)
class NumericColumn:
    """One numeric feature: z takes (t(v) - centre) / scale, with t = log1p or the identity."""

    name: str
    kind: Kind
    column: Column  # what it is read from, and which part of it
    is_log1p: bool
    centre: float  # subtracted; 0 without standardisation
    scale: float  # divided by; 1 without standardisation, and for a constant column
    fill: float  # stands in for a missing value, after log1p
    indicator: int  # place of the missing indicator in x, or -1
    missing: int  # rows of train
    mean: float  # weighted, after log1p
    deviation: float  # weighted standard deviation, after log1p
    low: float  # least value of train, in original units
    high: float


@dataclass(frozen=True, slots=True)
class CategoricalColumn:
    """One categorical feature: levels with a weight each, or hashed into shared buckets."""

    name: str
    kind: Kind
    column: Column  # what it is read from, and which part of it
    levels: tuple[str, ...]  # sorted; empty where hashed
    offset: int  # of its first place in the weight vector
    is_hashed: bool
    missing: int  # rows of train
    rare_rows: int  # rows of train whose level is rarer than min_count
    rare_levels: int
    distinct: int  # values in train; where hashed, the linear-counting estimate from the buckets
    buckets: int  # where hashed, buckets that train fills
    level_rows: tuple[int, ...] = ()  # rows of train of each level; empty in runs that did not count them


@dataclass(frozen=True, slots=True)
class Features:
    """Everything learnt from the columns of train, the same bits for any number of ranks.

    The weight vector v has for each levelled column the places other (rare and unseen), null and one per
    level, then 2^hash_bits buckets shared by all hashed columns (none where no column is hashed).
    """

    numeric: tuple[NumericColumn, ...]
    categorical: tuple[CategoricalColumn, ...]
    hash_bits: int
    hash_offset: int
    rows: int  # of train

    @property
    def columns(self) -> tuple[NumericColumn | CategoricalColumn, ...]:
        """All learnt columns, numeric ones first."""
        return (*self.numeric, *self.categorical)

    @property
    def width(self) -> int:
        """F: columns of x, numbers first, then missing indicators."""
        return len(self.numeric) + sum(column.indicator >= 0 for column in self.numeric)

    @property
    def table_size(self) -> int:
        """V: length of the weight vector that ids index."""
        hashed = any(column.is_hashed for column in self.categorical)
        return self.hash_offset + (2**self.hash_bits if hashed else 0)

    def as_json(self) -> dict[str, Any]:
        """For `features.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Features:
        """Read `features.json` back.

        Raises:
            ArtifactError: it is of another shape, or places in the weight vector do not follow each other.
        """
        with reading_back("features.json", "train again", AttributeError, ValueError):
            found = cls(
                numeric=tuple(
                    NumericColumn(**{**column, "column": Column(**column["column"])})
                    for column in record["numeric"]
                ),
                categorical=tuple(
                    CategoricalColumn(
                        **{
                            **column,
                            "column": Column(**column["column"]),
                            "levels": tuple(column["levels"]),
                            "level_rows": tuple(column.get("level_rows", ())),
                        }
                    )
                    for column in record["categorical"]
                ),
                hash_bits=record["hash_bits"],
                hash_offset=record["hash_offset"],
                rows=record["rows"],
            )
            wrong = next(_wrong(found), "")
        if wrong:
            raise ArtifactError(f"features.json was edited ({wrong}): train again.")
        return found


def _wrong(features: Features) -> Iterator[str]:
    """What cannot be: whoever wrote the file may have sealed the run anew, and kernels look places up."""
    for column in features.columns:
        own = column.column
        texts = (column.name, own.name, own.type, own.source, own.part, own.against)
        if not all(isinstance(text, str) for text in texts) or own.part not in ("", *PARTS):
            yield f"{column.name!r} is read from {own!r}"
        if column.kind not in KINDS:
            yield f"the kind of '{column.name}' is {column.kind!r}"
    yield from _wrong_numbers(features)
    yield from _wrong_levels(features)


def _wrong_numbers(features: Features) -> Iterator[str]:
    indicator = len(features.numeric)
    for column in features.numeric:
        constants = (column.centre, column.scale, column.fill)
        if not all(isinstance(value, int | float) and math.isfinite(value) for value in constants):
            yield f"'{column.name}' has centre, scale and fill {constants!r}"
        if not column.scale > 0:
            yield f"'{column.name}' is divided by {column.scale!r}"
        if column.indicator not in (-1, indicator):
            yield f"the indicator of '{column.name}' is at {column.indicator!r}"
        indicator += column.indicator == indicator


def _wrong_levels(features: Features) -> Iterator[str]:
    offset = 0
    for column in features.categorical:
        if column.offset != (0 if column.is_hashed else offset):
            yield f"the weights of '{column.name}' begin at {column.offset!r}"
        if not all(isinstance(level, str) for level in column.levels):
            yield f"the levels of '{column.name}' are no text"
        "".join(column.levels).encode()  # a UnicodeEncodeError: half a character
        if len(set(column.levels)) < len(column.levels) or (column.is_hashed and column.levels):
            yield f"the levels of '{column.name}' come twice, or it is hashed"
        offset += 0 if column.is_hashed else FIRST_LEVEL + len(column.levels)
    if features.hash_offset != offset or not 0 <= features.hash_bits <= MOST_HASH_BITS:
        yield f"2^{features.hash_bits!r} buckets begin at {features.hash_offset!r}"

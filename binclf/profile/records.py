"""What is kept of rows: `profile.json`, small whatever their number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from binclf.errors import reading_back
from binclf.profile.bins import Spread

FORMAT = 1
PROFILE = "profile.json"


@dataclass(frozen=True, slots=True)
class NumberProfile:
    """A numeric column; mean and variance are of the values that are there, after log1p."""

    name: str
    present: int
    missing: int
    mean: float | None  # None: beyond doubles
    variance: float | None
    size: float  # mean of the binary exponent of values that are not 0, in original units
    sized: int  # sampled rows that this is of
    spread: Spread  # of sampled rows that have a value


@dataclass(frozen=True, slots=True)
class LevelProfile:
    """A categorical column, by rows."""

    name: str
    missing: int
    other: int  # rare in train, or never seen; 0 where hashed
    levels: tuple[int, ...]  # of each learnt level; where hashed, of 32 groups of buckets
    mean: float | None  # where hashed, of the present rows' weights; else 0
    variance: float | None  # likewise

    @property
    def known(self) -> int:
        """Rows whose level was learnt."""
        return sum(self.levels)


@dataclass(frozen=True, slots=True)
class ScoreProfile:
    """The calibrated log-odds, and the mean probability."""

    mean: float | None
    variance: float | None
    probability: float
    spread: Spread


@dataclass(frozen=True, slots=True)
class Profile:
    """What a model's columns and scores look like over some rows, each row counting once."""

    rows: int
    sampled: int  # rows that spreads and sizes are of
    numbers: tuple[NumberProfile, ...]  # in the order of the features
    levels: tuple[LevelProfile, ...]
    score: ScoreProfile

    def as_json(self) -> dict[str, Any]:
        """For `profile.json`."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Profile:
        """Read `profile.json` back.

        Raises:
            ArtifactError: it is of another version or shape.
        """
        with reading_back(PROFILE, "train again"):
            if record["format"] != FORMAT:
                raise KeyError("format")
            return cls(
                record["rows"],
                record["sampled"],
                tuple(NumberProfile(**{**own, "spread": _spread(own)}) for own in record["numbers"]),
                tuple(LevelProfile(**{**own, "levels": tuple(own["levels"])}) for own in record["levels"]),
                ScoreProfile(**{**record["score"], "spread": _spread(record["score"])}),
            )


def _spread(record: Mapping[str, Any]) -> Spread:
    return Spread(tuple(record["spread"]["edges"]), tuple(record["spread"]["units"]))

"""The shift of the mean log-odds between training and other rows, split exactly into what each column did.

The mean of a column's term is (1 - m - o) a + m c + o d: of shares m of missing rows (term c), o of rows with
rare or unseen levels (d), and of the others with mean term a. With 0 for training and 1 for the rows,

    shift = (1 - m1 - o1) (a1 - a0) + (m1 - m0) (c - a0) + (o1 - o0) (d - a0)

to the last term: what the values did, what the missing rate did, what unseen levels did. The intercept does
not move, so the columns' terms are the whole shift. Where log-odds are calibrated by a line, terms are in its
units; where by steps, which no sum passes through, they are of the log-odds before calibration.

Standard errors take rows as independent and training as known but for its size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from binclf.calibration import Line
from binclf.features import FIRST_LEVEL, NULL, OTHER, CategoricalColumn, NumericColumn
from binclf.predict import Model
from binclf.profile import LevelProfile, NumberProfile, Profile

Cause = Literal["values", "levels", "missing", "unseen"]


@dataclass(frozen=True, slots=True)
class Term:
    """What one thing about one column adds to the shift."""

    column: str
    cause: Cause
    shift: float | None  # log-odds; None: beyond doubles
    standard_error: float
    before: float | None  # values: the mean (after log1p, if so taken); levels: a level's share; else a share
    after: float | None
    level: str = ""  # levels: that which did most

    def as_json(self) -> dict[str, Any]:
        """For `drift.json`."""
        return {
            "column": self.column, "cause": self.cause, "shift": self.shift,
            "standard_error": self.standard_error, "before": self.before, "after": self.after,
            "level": self.level,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mixture:
    """A column's rows: each kind's share, term, and mean of the kind that varies."""

    rows: int
    missing: float  # share
    unseen: float  # share
    mean: float | None  # term of the others
    variance: float | None  # of that


def terms(model: Model, old: Profile, new: Profile) -> list[Term]:
    """Every term, those of a column together, in the order of the model's columns."""
    factor = model.calibration.slope if isinstance(model.calibration, Line) else 1.0
    found: list[Term] = []
    if not (old.rows and new.rows):
        return found
    for place, column in enumerate(model.features.numeric):
        found += _of_number(model, place, column, (old.numbers[place], new.numbers[place]), factor)
    for place, categorical in enumerate(model.features.categorical):
        both = (old.levels[place], new.levels[place])
        found += _of_levels(model, categorical, both, (old.rows, new.rows), factor)
    return found


def total(found: Sequence[Term]) -> float | None:
    """The shift of the mean, rounded once; None where a term is beyond doubles."""
    shifts = [term.shift for term in found if term.shift is not None]
    return math.fsum(shifts) if len(shifts) == len(found) else None


def _of_number(
    model: Model, place: int, column: NumericColumn, both: tuple[NumberProfile, NumberProfile], factor: float
) -> Iterator[Term]:
    slope = float(model.weight[place]) / column.scale * factor
    blank = (column.fill - column.centre) * slope
    if column.indicator >= 0:
        blank += float(model.weight[column.indicator]) * factor
    mixtures = [
        Mixture(
            rows=own.present + own.missing,
            missing=own.missing / (own.present + own.missing),
            unseen=0.0,
            mean=None if own.mean is None else (own.mean - column.centre) * slope if own.present else 0.0,
            variance=None if own.variance is None else own.variance * slope**2,
        )
        for own in both
    ]
    shifts = _parts(mixtures, blank, 0.0)
    means = [own.mean if own.present else None for own in both]
    yield Term(column.name, "values", *shifts[0], means[0], means[1])
    yield Term(column.name, "missing", *shifts[1], mixtures[0].missing, mixtures[1].missing)


def _of_levels(
    model: Model,
    column: CategoricalColumn,
    both: tuple[LevelProfile, LevelProfile],
    rows: tuple[int, int],
    factor: float,
) -> Iterator[Term]:
    first = column.offset + FIRST_LEVEL
    own = (model.table[first : first + len(column.levels)] * factor).tolist()
    if column.is_hashed:
        lookup = model.lookups[model.features.categorical.index(column)]
        blank, other = float(model.table[lookup.null + lookup.hash_offset]) * factor, 0.0
    else:
        blank, other = (float(model.table[column.offset + place]) * factor for place in (NULL, OTHER))
    mixtures = [_mixture(profile, count, own, factor) for profile, count in zip(both, rows, strict=True)]
    shifts = _parts(mixtures, blank, other)
    moved = ("", None, None) if column.is_hashed else _most_moved(column, both, own, mixtures[0].mean or 0.0)
    yield Term(column.name, "levels", *shifts[0], moved[1], moved[2], moved[0])
    yield Term(column.name, "missing", *shifts[1], mixtures[0].missing, mixtures[1].missing)
    if not column.is_hashed:
        yield Term(column.name, "unseen", *shifts[2], mixtures[0].unseen, mixtures[1].unseen)


def _mixture(profile: LevelProfile, rows: int, own: Sequence[float], factor: float) -> Mixture:
    if not own:  # hashed, or no level is frequent enough
        mean = None if profile.mean is None else profile.mean * factor
        variance = None if profile.variance is None else profile.variance * factor**2
        return Mixture(rows, profile.missing / rows, profile.other / rows, mean, variance)
    known = max(profile.known, 1)
    pairs = list(zip(profile.levels, own, strict=True))
    mean = math.fsum(count * value for count, value in pairs) / known
    variance = math.fsum(count * (value - mean) ** 2 for count, value in pairs) / known
    return Mixture(rows, profile.missing / rows, profile.other / rows, mean, variance)


def _parts(both: Sequence[Mixture], blank: float, other: float) -> list[tuple[float | None, float]]:
    """Shift and standard error of values, missing rate and unseen levels."""
    old, new = both
    known = 1.0 - new.missing - new.unseen
    if old.mean is None or new.mean is None:
        return [(None, 0.0)] * 3
    error = 0.0
    for one in both:
        count = one.rows * (1.0 - one.missing - one.unseen)
        error += (one.variance or 0.0) / count if count >= 1 else 0.0
    found: list[tuple[float | None, float]] = [
        (known * (new.mean - old.mean) if known > 0 else 0.0, max(known, 0.0) * math.sqrt(error))
    ]
    for before, after, value in ((old.missing, new.missing, blank), (old.unseen, new.unseen, other)):
        away = value - old.mean
        pooled = (before * old.rows + after * new.rows) / (old.rows + new.rows)
        spread = pooled * (1 - pooled) * (1 / old.rows + 1 / new.rows)
        found.append(((after - before) * away, abs(away) * math.sqrt(max(spread, 0.0))))
    return found


def _most_moved(
    column: CategoricalColumn, both: Sequence[LevelProfile], own: Sequence[float], mean: float
) -> tuple[str, float | None, float | None]:
    """The level whose share did most to the score, and its shares of the rows whose level is known."""
    old, new = (max(profile.known, 1) for profile in both)
    shares = [(a / old, b / new) for a, b in zip(both[0].levels, both[1].levels, strict=True)]
    if not shares:
        return "", None, None
    place = max(range(len(shares)), key=lambda i: abs((shares[i][1] - shares[i][0]) * (own[i] - mean)))
    return column.levels[place], *shares[place]

"""Skew: rows that cannot mean what training's did, though their schema fits.

A number whose typical size is another by orders of magnitude is in another unit; a column most of whose
levels were never seen is written otherwise. Both are told by limits of [drift], with counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from binclf.config import Drift
from binclf.features import Features
from binclf.profile.records import LevelProfile, NumberProfile, Profile

LEAST_ROWS = 50  # with a value, on both sides: of fewer nothing is claimed
SIZED = ("integer", "number", "duration")  # kinds whose size is one of a unit


@dataclass(frozen=True, slots=True)
class Skew:
    """One column that is not what training saw."""

    column: str
    rows: int  # that are in question
    words: str

    def as_json(self) -> dict[str, object]:
        """For `drift.json`."""
        return {"column": self.column, "rows": self.rows, "words": self.words}


def skews(features: Features, reference: Profile, seen: Profile, limits: Drift) -> list[Skew]:
    """Every column that is beyond a limit, in the order of the features."""
    found: list[Skew] = []
    for column, old, new in zip(features.numeric, reference.numbers, seen.numbers, strict=True):
        if column.kind in SIZED and not column.column.part:
            found += _of_unit(old, new, limits)
    for categorical, before, after in zip(features.categorical, reference.levels, seen.levels, strict=True):
        if not categorical.is_hashed:
            found += _of_levels(before, after, (reference.rows, seen.rows), limits)
    return found


def _of_unit(old: NumberProfile, new: NumberProfile, limits: Drift) -> Iterator[Skew]:
    if min(old.sized, new.sized) < LEAST_ROWS:
        return
    moved = new.size - old.size
    if abs(moved) >= math.log2(limits.unit_factor):
        factor = 2.0 ** min(abs(moved), 1000.0)
        yield Skew(
            old.name,
            new.present,
            f"'{old.name}' is typically {factor:.3g} times as {'large' if moved > 0 else 'small'} as in "
            f"training (drift.unit_factor = {limits.unit_factor:g}), in {new.present:,} rows: has its unit "
            "changed?",
        )


def _of_levels(old: LevelProfile, new: LevelProfile, rows: tuple[int, int], limits: Drift) -> Iterator[Skew]:
    present = new.known + new.other
    if present < LEAST_ROWS or not rows[0]:
        return
    known = old.known + old.other
    share, before = new.other / present, old.other / known if known else 0.0
    if share - before > limits.unseen_share:
        yield Skew(
            old.name,
            new.other,
            f"'{old.name}' has levels that training did not see, or hardly, in {new.other:,} of {present:,} "
            f"rows ({share:.1%}, in training {before:.1%}; drift.unseen_share = {limits.unseen_share:g}): "
            "are they written as they were?",
        )

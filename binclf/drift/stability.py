"""The population stability index (PSI) of each column and of the score, and how much of it chance would make.

PSI = sum over bins of (q - p) log(q / p), for shares p of training and q of the rows: the symmetrised
Kullback-Leibler divergence. Bins are training's deciles, or levels, and one of missing values. Half a row is
added to each bin, so that an empty one is no infinity. What chance would make of rows from one distribution
(`chisquare.noise_of_stability`) is called noise, however large.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from binclf.metrics.chisquare import noise_of_stability
from binclf.profile import LevelProfile, NumberProfile, Profile, Spread

SCORE = ""  # the name of what is no column


@dataclass(frozen=True, slots=True)
class Stability:
    """How far the distribution of one column, or of the score, has moved."""

    column: str  # empty: the score
    psi: float
    noise: float  # that chance makes
    bins: int

    def as_json(self) -> dict[str, Any]:
        """For `drift.json`."""
        return {"column": self.column, "psi": self.psi, "noise": self.noise, "bins": self.bins}


def stabilities(old: Profile, new: Profile) -> list[Stability]:
    """Of the score first, then of each column."""
    if not (old.rows and new.rows):
        return []
    sampled = old.sampled, new.sampled
    found = [_of(SCORE, _shares(old.score.spread), _shares(new.score.spread), sampled)]
    found += [
        _of(before.name, _of_number(before), _of_number(after), sampled)
        for before, after in zip(old.numbers, new.numbers, strict=True)
    ]
    found += [
        _of(before.name, _of_levels(before), _of_levels(after), (old.rows, new.rows))
        for before, after in zip(old.levels, new.levels, strict=True)
    ]
    return found


def _shares(spread: Spread) -> list[float]:
    total = sum(spread.units) or 1
    return [units / total for units in spread.units]


def _of_number(own: NumberProfile) -> list[float]:
    """Missing first, of all rows; then each bin, of those sampled."""
    present = own.present / (own.present + own.missing)
    return [1 - present, *(present * share for share in _shares(own.spread))]


def _of_levels(own: LevelProfile) -> list[float]:
    counts = [own.missing, own.other, *own.levels]
    return [count / sum(counts) for count in counts]


def _of(name: str, old: Sequence[float], new: Sequence[float], rows: tuple[int, int]) -> Stability:
    """Bins that neither side has are none."""
    shares = np.array([old, new])
    shares = shares[:, shares.any(axis=0)]
    bins, counts = shares.shape[1], np.array(rows, dtype=np.float64)[:, np.newaxis]
    p, q = (shares * counts + 0.5) / (counts + 0.5 * bins)
    psi = float(((q - p) * np.log(q / p)).sum())
    return Stability(name, psi, noise_of_stability(bins, rows), bins)

"""A model as a sum that other languages can write down.

logit = intercept + sum of numbers' terms + sum of levels' terms, where a number adds (t(v) - centre) factor,
or what stands for 'missing', and a category adds the weight of its level. The probability is the sigmoid of
the logit, or of what calibration makes of it. Steps give but a few probabilities, which exports hold as
binclf reckons them: a threshold may be one of these, and rounding would then decide for all rows of its step.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from binclf import predict
from binclf.artifact import Run
from binclf.calibration import Calibration, Steps
from binclf.errors import ConfigError
from binclf.features import FIRST_LEVEL, NULL, OTHER, CategoricalColumn, NumericColumn


@dataclass(frozen=True, slots=True)
class Number:
    """A numeric feature's term."""

    column: NumericColumn
    weight: float  # per deviation
    indicator: float  # weight of 'missing'; 0 where there is none

    @property
    def factor(self) -> float:
        """Per unit, after log1p."""
        return self.weight / self.column.scale

    @property
    def missing(self) -> float:
        """What a missing value adds."""
        return (self.column.fill - self.column.centre) * self.factor + self.indicator

    def of(self, value: float) -> float:
        """What a value adds."""
        if self.column.is_log1p:
            value = math.copysign(math.log1p(abs(value)), value)
        return (value - self.column.centre) * self.factor


@dataclass(frozen=True, slots=True)
class Levels:
    """A categorical feature's term."""

    column: CategoricalColumn
    weights: Mapping[str, float]  # of each level
    other: float  # of rare and unseen levels
    null: float


@dataclass(frozen=True, slots=True)
class Formula:
    """A whole model."""

    name: str
    run: str
    intercept: float
    numbers: tuple[Number, ...]
    levels: tuple[Levels, ...]
    threshold: float
    calibration: Calibration  # of the logit

    @property
    def terms(self) -> tuple[Number | Levels, ...]:
        """All of them, in the order of the model."""
        return (*self.numbers, *self.levels)

    @property
    def reads(self) -> list[str]:
        """The table's columns that it takes."""
        return list(dict.fromkeys(name for term in self.terms for name in term.column.column.reads))


def formula_of(run: Run) -> Formula:
    """The formula of a run.

    Raises:
        ConfigError: it has a hashed column.
    """
    model = predict.of_run(run)
    features = run.features
    hashed = [f"'{column.name}'" for column in features.categorical if column.is_hashed]
    if hashed:
        raise ConfigError(
            f"{run.id} hashes {', '.join(hashed)} into {2**features.hash_bits:,} buckets by a hash that "
            "other engines do not have: set features.max_levels above the number of levels and train "
            "again, or score with binclf."
        )
    weight, table = run.weights.get("weight", ()), run.weights.get("table", ())
    return Formula(
        name=run.config.name,
        run=run.id,
        intercept=float(run.weights["bias"][0]),
        numbers=tuple(
            Number(
                column=column,
                weight=float(weight[place]),
                indicator=float(weight[column.indicator]) if column.indicator >= 0 else 0.0,
            )
            for place, column in enumerate(features.numeric)
        ),
        levels=tuple(
            Levels(
                column=column,
                weights={
                    level: float(table[column.offset + FIRST_LEVEL + place])
                    for place, level in enumerate(column.levels)
                },
                other=float(table[column.offset + OTHER]),
                null=float(table[column.offset + NULL]),
            )
            for column in features.categorical
        ),
        threshold=model.threshold,
        calibration=model.calibration,
    )


def probabilities_of(steps: Steps) -> list[float]:
    """The probability of each step, to the bits of `predict_proba`."""
    found: list[float] = predict.probability(np.array(steps.values)).tolist()
    return found


def offset_of(zone: str) -> int | None:
    """Seconds that a zone's clocks are ahead of UTC, if they always are by the same: '', 'UTC', '+05:30'.

    >>> offset_of("+05:30"), offset_of("UTC"), offset_of("Europe/Berlin")
    (19800, 0, None)
    """
    if zone in ("", "UTC", "Etc/UTC", "GMT", "Z"):
        return 0
    found = re.fullmatch(r"([+-])(\d\d):?(\d\d)", zone)
    if not found:
        return None
    sign, hours, minutes = found.groups()
    return (-1 if sign == "-" else 1) * (int(hours) * 3600 + int(minutes) * 60)

"""What is to be thought of a shift: alarms go by effect, beyond a limit and noise, the largest first."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from binclf.calibration import Line
from binclf.config import Drift
from binclf.drift.rao import Refit
from binclf.drift.shift import Term, terms, total
from binclf.drift.stability import Stability, stabilities
from binclf.predict import Model
from binclf.profile import Profile, Skew

BEYOND = 4.5  # standard errors: of a thousand terms that have not moved, one in 150 batches is
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Drifted:
    """Rows beside a run's training rows."""

    run: str
    data: str
    rows: int
    training_rows: int
    shift: float | None  # of the mean log-odds: the sum of the terms
    measured: float | None  # the same, by the scores themselves; None with isotonic steps, or beyond doubles
    shift_error: float
    probability: tuple[float, float]  # mean in training, and now
    terms: tuple[Term, ...]
    stability: tuple[Stability, ...]  # of the score first
    skews: tuple[Skew, ...]
    limits: Drift
    refit: Refit | None = None  # with labels
    undefined: dict[str, str] = field(default_factory=dict)
    sample_of: int = 0  # rows that these are a sample of; 0: they are all

    @property
    def moved(self) -> list[Term]:
        """The terms beyond the limit and beyond noise, the largest first."""
        found = [term for term in self.terms if self._is_beyond(term.shift, term.standard_error)]
        return sorted(found, key=lambda term: -abs(term.shift or 0.0))

    @property
    def unstable(self) -> list[Stability]:
        """What is distributed otherwise, the most moved first."""
        found = [one for one in self.stability if one.psi > max(self.limits.psi, one.noise)]
        return sorted(found, key=lambda one: -one.psi)

    @property
    def is_alarm(self) -> bool:
        """Whether someone should look."""
        return bool(
            self._is_beyond(self.shift, self.shift_error) or self.moved or self.unstable or self.skews
        )

    def as_json(self) -> dict[str, Any]:
        """What `binclf drift --json` tells, but for the sentence."""
        return {
            "format": FORMAT,
            "run": self.run,
            "data": self.data,
            "rows": self.rows,
            "sample_of": self.sample_of,
            "training_rows": self.training_rows,
            "is_alarm": self.is_alarm,
            "shift": self.shift,
            "shift_standard_error": self.shift_error,
            "measured_shift": self.measured,
            "mean_probability": {"training": self.probability[0], "now": self.probability[1]},
            "terms": [term.as_json() for term in self.terms],
            "moved": [term.as_json() for term in self.moved],
            "psi": [one.as_json() for one in self.stability],
            "unstable": [one.column for one in self.unstable],
            "skewed": [skew.as_json() for skew in self.skews],
            "retrain": None if self.refit is None else self.refit.as_json(),
            "limits": self.limits.model_dump(),
            "undefined": dict(self.undefined),
        }

    def _is_beyond(self, shift: float | None, error: float) -> bool:
        return shift is not None and abs(shift) > max(self.limits.shift, BEYOND * error)


def judged(
    model: Model, data: str, both: tuple[Profile, Profile], skews: tuple[Skew, ...], limits: Drift
) -> Drifted:
    """The drift from training's profile to the rows' own.

    Args:
        model: of the run.
        data: what the rows are called.
        both: the profiles of training and of the rows.
        skews: what was found of them.
        limits: of alarms.
    """
    old, new = both
    found = terms(model, old, new)
    shift = total(found)
    undefined: dict[str, str] = {}
    if not new.rows:
        undefined["shift"] = "there are no rows"
    elif shift is None:
        undefined["shift"] = "a column's mean is beyond doubles"
    errors = [(one.score.variance or 0.0) / max(one.rows, 1) for one in both]
    measured, means = None, (old.score.mean, new.score.mean)
    if isinstance(model.calibration, Line) and new.rows and means[0] is not None and means[1] is not None:
        measured = means[1] - means[0]
    else:
        undefined["measured_shift"] = "no rows, isotonic calibration, or a mean beyond doubles"
    return Drifted(
        run=model.id,
        data=data,
        rows=new.rows,
        training_rows=old.rows,
        shift=shift if new.rows else None,
        measured=measured,
        shift_error=math.sqrt(sum(errors)),
        probability=(old.score.probability, new.score.probability),
        terms=tuple(found),
        stability=tuple(stabilities(old, new)),
        skews=skews,
        limits=limits,
        undefined=undefined,
    )

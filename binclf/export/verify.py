"""The last word before an export is handed over: its engine's probabilities beside `predict_proba`'s.

Engines add terms in orders of their own, so that log-odds differ in their last digits. For a sigmoid that is
nothing; steps have edges, and a row that lies on one but for rounding may stand on either side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.calibration import Steps
from binclf.errors import BinclfError, ConfigError
from binclf.parquet import Rows
from binclf.predict import Model, probability

F64 = npt.NDArray[np.float64]
Scores = tuple[F64, npt.NDArray[np.bool_]]  # probability [N], decision [N]

WITHIN = 1e-6
ROUNDING = 1e-10  # of log-odds, of themselves where they are beyond 1


@dataclass(frozen=True, slots=True)
class Verified:
    """What an export was seen to agree on."""

    rows: int  # made ones and real ones
    real_rows: int
    largest_difference: float


def verify(model: Model, tried: Sequence[Rows], scores: Callable[[Rows], Scores]) -> Verified:
    """Compare on all rows; the first of `tried` are made, the others real.

    Raises:
        BinclfError: a probability differs by more than 1e-6, or a decision for another reason.
    """
    largest = 0.0
    near = 0.0 if isinstance(model.calibration, Steps) else WITHIN  # of the threshold; steps are exact
    for rows in tried:
        sides = _expected(model, rows)
        found, decided = scores(rows)
        differences = np.abs(found - sides)
        agrees = differences <= WITHIN  # not NaN
        agrees &= (decided == (sides >= model.threshold)) | (np.abs(sides - model.threshold) < near)
        expected, difference = sides[0], differences.min(axis=0)
        wrong = ~agrees.any(axis=0)
        if wrong.any():
            place = int(wrong.argmax())
            raise BinclfError(
                f"the export of {model.id} was not written: for {int(wrong.sum())} of {len(rows)} rows of "
                f"{rows.place} it says otherwise than predict_proba, first for row {place} "
                f"({float(found[place])!r}, not {float(expected[place])!r}). Please report this."
            )
        largest = max(largest, float(difference.max(initial=0.0)))
    real = sum(len(rows) for rows in tried[1:])
    return Verified(len(tried[0]) + real, real, largest)


def _expected(model: Model, rows: Rows) -> F64:
    """The probabilities, and those a rounding below and above, [3, N]."""
    logits = model.sums(rows)
    rounding = ROUNDING * np.maximum(np.abs(logits), 1.0)
    return np.array([probability(model.calibration.of(logits + side * rounding)) for side in (0, -1, 1)])


def engine(name: str) -> Any:  # noqa: ANN401 - a module
    """An engine's module.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"an export is run before it is handed over, and {name} is not here ({error}): "
            "pip install 'binclf[export]'."
        ) from error

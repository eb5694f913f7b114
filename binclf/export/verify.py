"""The last word before an export is handed over: its engine's probabilities beside `predict_proba`'s."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.errors import BinclfError, ConfigError
from binclf.parquet import Rows
from binclf.predict import Model, probability

F64 = npt.NDArray[np.float64]
Scores = tuple[F64, npt.NDArray[np.bool_]]  # probability [N], decision [N]

WITHIN = 1e-6


@dataclass(frozen=True, slots=True)
class Verified:
    """What an export was seen to agree on."""

    rows: int  # made ones and real ones
    real_rows: int
    largest_difference: float


def verify(model: Model, golden: Sequence[Rows], scores: Callable[[Rows], Scores]) -> Verified:
    """Compare on all rows; the first of `golden` are made, the others real.

    Raises:
        BinclfError: a probability differs by more than 1e-6, or a decision for another reason.
    """
    largest = 0.0
    for rows in golden:
        expected = probability(model.logits(rows))
        found, decided = scores(rows)
        difference = np.abs(found - expected)
        wrong = ~(difference <= WITHIN)  # NaN too
        wrong |= (decided != (expected >= model.threshold)) & (np.abs(expected - model.threshold) > WITHIN)
        if wrong.any():
            place = int(wrong.argmax())
            raise BinclfError(
                f"the export of {model.id} was not written: for {int(wrong.sum())} of {len(rows)} rows of "
                f"{rows.place} it says otherwise than predict_proba, first for row {place} "
                f"({float(found[place])!r}, not {float(expected[place])!r}). Please report this."
            )
        largest = max(largest, float(difference.max(initial=0.0)))
    real = sum(len(rows) for rows in golden[1:])
    return Verified(len(golden[0]) + real, real, largest)


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

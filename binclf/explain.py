"""Why a row has its score: what each column adds to the log-odds.

The model is a sum, so there is nothing to approximate: the intercept and then each contribution, added one
after the other in float64 in the order in which they are told, are the logit to the last bit. Calibration,
where a model has one, is of this sum: the probability is that of the calibrated logit.

What a contribution is measured against:

- a number against its mean in train (weighted, after log1p), which adds nothing: w (t(v) - mean) / deviation.
  Without `features.standardise` against 0, since the model then has no mean;
- a missing number is the value that stands in for it, plus the weight of 'missing' where the model has one;
- a category against weight 0, to which the penalty draws all levels: the contribution is its level's weight.
  NULL has a weight of its own; levels that were rare in train or never seen share one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

F64 = npt.NDArray[np.float64]
State = Literal["value", "level", "missing", "rare or unseen", "hashed"]


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one column adds to the log-odds of N rows."""

    column: str
    values: tuple[float | str | None, ...]  # N, as the model reads them: moments and durations in seconds
    states: tuple[State, ...]  # N, what the model takes each for
    log_odds: F64  # [N]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The log-odds of N rows, taken apart."""

    model: str
    intercept: float
    contributions: tuple[Contribution, ...]  # in the order in which they are added
    logits: F64  # [N], the intercept and all contributions, before calibration
    probabilities: F64  # [N], calibrated

    def __len__(self) -> int:
        """N."""
        return len(self.logits)

    def as_json(self) -> list[dict[str, Any]]:
        """Each row by itself, of plain Python values."""
        return [
            {
                "intercept": self.intercept,
                "contributions": [_entry(one, row) for one in self.contributions],
                "logit": float(self.logits[row]),
                "probability": float(self.probabilities[row]),
            }
            for row in range(len(self))
        ]

    def as_frame(self) -> pd.DataFrame:
        """One line for each row and column: row, column, value, state, log_odds.

        Before the columns of a row stands a line of state "intercept"; after them one of state "logit", their
        sum, and one of state "probability", that of the calibrated logit, in `value`.
        """
        import pandas as pd

        names = ("column", "value", "state", "log_odds")
        lines = [{"row": row, **line} for row in range(len(self)) for line in self._lines(row)]
        return pd.DataFrame(lines, columns=["row", *names])

    def _lines(self, row: int) -> Iterator[dict[str, Any]]:
        yield {"column": None, "value": None, "state": "intercept", "log_odds": self.intercept}
        yield from (_entry(one, row) for one in self.contributions)
        yield {"column": None, "value": None, "state": "logit", "log_odds": float(self.logits[row])}
        probability = float(self.probabilities[row])
        yield {"column": None, "value": probability, "state": "probability", "log_odds": None}


def _entry(one: Contribution, row: int) -> dict[str, Any]:
    return {
        "column": one.column,
        "value": one.values[row],
        "state": one.states[row],
        "log_odds": float(one.log_odds[row]),
    }

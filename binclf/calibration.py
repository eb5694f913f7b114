"""From a model's log-odds to calibrated ones, row by row: a line or steps, as JSON holds them without loss.

Each is applied elementwise, so that a row's score has the same bits alone and in any batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Line:
    """slope z + intercept (Platt 1999); as it stands, the log-odds themselves."""

    slope: float = 1.0
    intercept: float = 0.0

    def of(self, logits: F64) -> F64:
        """Calibrated log-odds, float64 [N]."""
        if self == AS_THEY_ARE:
            return logits
        return np.asarray(logits * self.slope + self.intercept)

    def as_json(self) -> dict[str, Any]:
        """For `model.json`."""
        return {"kind": "platt", "slope": self.slope, "intercept": self.intercept}


@dataclass(frozen=True, slots=True)
class Steps:
    """values[k] where edges[k - 1] <= z < edges[k] (isotonic regression); values ascend."""

    edges: tuple[float, ...]  # K - 1, ascending
    values: tuple[float, ...]  # K

    def of(self, logits: F64) -> F64:
        """Calibrated log-odds, float64 [N]."""
        places = np.searchsorted(np.array(self.edges, dtype=np.float64), logits, side="right")
        return np.asarray(np.array(self.values)[places])

    def as_json(self) -> dict[str, Any]:
        """For `model.json`."""
        return {"kind": "isotonic", "edges": list(self.edges), "values": list(self.values)}


Calibration = Line | Steps

AS_THEY_ARE = Line()


def from_json(record: Mapping[str, Any] | None) -> Calibration:
    """What `as_json` wrote; None: the log-odds themselves.

    Raises:
        ValueError: it is neither a line that ascends nor steps that do.
    """
    if record is None:
        return AS_THEY_ARE
    if record.get("kind") == "platt":
        line = Line(float(record["slope"]), float(record["intercept"]))
        if line.slope > 0 and np.isfinite([line.slope, line.intercept]).all():
            return line
    if record.get("kind") == "isotonic":
        steps = Steps(tuple(map(float, record["edges"])), tuple(map(float, record["values"])))
        if (
            len(steps.values) == len(steps.edges) + 1
            and np.isfinite([*steps.edges, *steps.values]).all()
            and (np.diff(steps.edges) > 0).all()
            and (np.diff(steps.values) > 0).all()
        ):
            return steps
    raise ValueError(f"calibration {record} is neither an ascending line nor ascending steps")

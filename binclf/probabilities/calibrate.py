"""A map of the log-odds, fitted on validation and kept only if it does better there beyond chance.

The rows are dealt by a keyed hash into 32 buckets (with `data.group`, whole groups), and those into two
folds. Of each fold the map that was fitted on the other one is judged, so that no row judges what it made;
what a bucket gains in log-loss is one of 32 observations, and their mean is tested against 0 by Student's t
(paired, as both losses are of the same rows; between buckets, so that rows which belong together do not count
as many). The map that is kept is fitted on all rows.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.calibration import Calibration, Line
from binclf.metrics import softplus
from binclf.predict import Model
from binclf.probabilities.binned import FOLDS, Sums, binned
from binclf.probabilities.maps import fit_line, fit_steps
from binclf.probabilities.part import BUCKETS, Part
from binclf.scored import Scored

log = logging.getLogger(__name__)

F64 = npt.NDArray[np.float64]

FITS: dict[str, Callable[[Sums, float], Calibration]] = {"platt": fit_line, "isotonic": fit_steps}
NEEDED = 2.0395  # of Student's t with 31 degrees of freedom: one chance in forty
WORST = 700.0  # of a row's log-loss: more is counted as so much


@dataclass(frozen=True, slots=True)
class Judged:
    """Losses on validation, each row's by the map that was fitted on the other fold."""

    log_loss: float  # before
    log_loss_calibrated: float
    gain: float
    standard_error: float

    @property
    def t(self) -> float | None:
        """The gain in standard errors; None where all buckets gain the same."""
        return self.gain / self.standard_error if self.standard_error else None

    @property
    def is_better(self) -> bool:
        """Beyond chance."""
        return self.gain > NEEDED * self.standard_error


def calibrate(method: str, part: Part, model: Model) -> dict[str, Any]:
    """Fit a map of the model's log-odds and judge it; all ranks must ask.

    Args:
        method: platt or isotonic.
        part: validation.
        model: not calibrated.

    Returns:
        What JSON can hold: method, rows, losses, gain and its standard error, whether it is_kept and why; and
        the map, None if it was not kept.
    """
    record: dict[str, Any] = {"method": method, "rows": part.rows, "is_kept": False, "map": None}
    sums = binned(part, model)
    row = part.weight / part.rows
    if not (sums[:, :, :, 0].sum(axis=2) > 0).all():
        return _told(record, "half of the validation rows have one class alone", part)
    maps = [FITS[method](sums[1 - fold], row) for fold in range(FOLDS)]
    judged = _judge(part, model, maps)
    record |= {
        "log_loss": judged.log_loss,
        "log_loss_calibrated": judged.log_loss_calibrated,
        "gain": judged.gain,
        "standard_error": judged.standard_error,
        "t": judged.t,
        "t_needed": NEEDED,
    }
    found = FITS[method](sums.sum(axis=0), row)
    way = "gains" if judged.gain > 0 else "loses"
    why = f"it {way} {abs(judged.gain):.2e} +- {judged.standard_error:.1e} in log-loss on validation"
    if isinstance(found, Line) and not found.slope > 0:
        return _told(record, f"its slope is {found.slope:.3g}: it would turn the order round", part)
    if not judged.is_better:
        return _told(record, f"{why}{', which may be chance' if judged.gain > 0 else ''}", part)
    return _told(record | {"is_kept": True, "map": found.as_json()}, why, part)


def _told(record: dict[str, Any], why: str, part: Part) -> dict[str, Any]:
    if part.world.rank == 0:
        log.info("calibration (%s) is %skept: %s", record["method"], "" if record["is_kept"] else "not ", why)
    return {**record, "why": why}


def _judge(part: Part, model: Model, maps: Sequence[Calibration]) -> Judged:
    """One more pass: weight and losses of each bucket."""

    def values(rows: Scored) -> F64:
        buckets = part.buckets(rows)
        calibrated = np.where(buckets % FOLDS, maps[1].of(rows.logits), maps[0].of(rows.logits))
        losses = [_losses(logits, rows.labels) for logits in (rows.logits, calibrated)]
        each = (np.ones(len(buckets)), *losses)
        return np.concatenate([np.bincount(buckets, rows.weights * own, BUCKETS) for own in each])

    most = np.repeat([1.0, WORST, WORST], BUCKETS)
    weights, before, after = part.summed(model, values, most).reshape(3, BUCKETS)
    gain = float((before - after).sum() / weights.sum())
    left = before - after - gain * weights  # of a ratio of sums, as a mean's
    error = math.sqrt(BUCKETS / (BUCKETS - 1) * float(left @ left)) / float(weights.sum())
    return Judged(float(before.sum() / weights.sum()), float(after.sum() / weights.sum()), gain, error)


def _losses(logits: F64, labels: npt.NDArray[np.int8]) -> F64:
    """Log-loss of each row."""
    signed = np.where(labels > 0, -logits, logits)
    return np.asarray(np.minimum(softplus(signed), WORST))

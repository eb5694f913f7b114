"""The intercept, put right on natural odds.

Weighting the positive rows by a and the negative ones by b (or keeping such shares of them) multiplies all
odds by a / b, and log a / b = logit(base rate in training) - logit(base rate): the log-odds are shifted back
by that (Prentice and Pyke, 1979: the other weights are the same). That is exact only where the model is true
and for infinitely many rows; so one number more, the intercept, is fitted on all training rows at their
natural weights. Its maximum-likelihood equation says: the mean prediction is the base rate.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from binclf.calibration import Line
from binclf.errors import DataError
from binclf.objective import logit
from binclf.predict import Model
from binclf.probabilities.binned import Sums, binned, predicted
from binclf.probabilities.part import Part

STEPS = 200
PASSES, SHORT = 50, 4.0  # a refit by more is repeated: logits that the bins cut off would come to matter
NEAR = 1e-12  # of the base rate (or of its complement, if that is less), that the mean prediction may be off


@dataclass(frozen=True, slots=True)
class Correction:
    """What was added to the intercept, and what came of it."""

    trained_base_rate: float  # by the weights of training
    base_rate: float  # of all training rows at their natural weights
    shift: float  # of the log-odds, for the base rate's
    refit: float  # and of the intercept, fitted after that
    mean_before: float  # mean prediction on all training rows as trained
    mean_shifted: float  # after the shift
    mean_after: float  # after the refit

    @property
    def total(self) -> float:
        """What was added."""
        return self.shift + self.refit

    def as_json(self) -> dict[str, Any]:
        """For `model.json`."""
        return asdict(self)

    def told(self) -> str:
        """In words."""
        return (
            f"mean prediction on all training rows: {self.mean_before:.6f} as trained, "
            f"{self.mean_shifted:.6f} after a shift of {self.shift:+.4f}, {self.mean_after:.6f} "
            f"after a refit by {self.refit:+.2e}; the base rate is {self.base_rate:.6f}"
        )


def correct(part: Part, model: Model, trained_base_rate: float, shift: float) -> Correction:
    """Shift and refit the intercept of a model; all ranks must ask.

    Args:
        part: train, all rows of it.
        model: as it was trained.
        trained_base_rate: the share of positive weight that it was trained on.
        shift: of the log-odds from there to the base rate's.

    Raises:
        DataError: log-odds are so large that no intercept is found.
        AssertionError: the mean prediction on train is not the base rate afterwards.
    """
    base_rate = part.base_rate
    refit, means = 0.0, list[float]()
    for _ in range(PASSES):
        sums = binned(part, replace(model, bias=model.bias + shift + refit)).sum(axis=(0, 1))
        means = means or [_mean(sums, -shift), _mean(sums, 0.0)]
        step = _refit(sums, base_rate)
        refit += step
        if abs(step) <= SHORT:
            break
    else:
        raise DataError(
            f"the intercept does not come to rest: after {PASSES} passes it has moved by {refit:.3g}, as the "
            "log-odds of many training rows are far beyond 32. Set train.l2 above 0, or higher."
        )
    before, shifted = means
    found = Correction(trained_base_rate, base_rate, shift, refit, before, shifted, _mean(sums, step))
    if not abs(found.mean_after - base_rate) <= NEAR * min(base_rate, 1 - base_rate):
        raise AssertionError(
            f"the mean prediction on train is {found.mean_after} where the base rate is {base_rate}"
        )
    return found


def _refit(sums: Sums, base_rate: float) -> float:
    """The b for which the mean of sigmoid(z + b) is the base rate.

    The logit of that mean ascends in b with a slope of at most 1, so steps by what it lacks never go too far;
    Newton's, which divide by the slope, get there sooner and are taken where they are short.
    """
    b = 0.0
    for _ in range(STEPS):
        mean = _mean(sums, b)
        lacking = logit(base_rate) - logit(mean)
        bend = float(predicted(sums, Line(1.0, b), order=1).sum() / sums[:, 0].sum())
        newton = lacking * mean * (1 - mean) / bend if bend > 0 else math.inf
        step = newton if abs(newton) < 1 else lacking
        b += step
        if abs(step) < 1e-14:  # what is left is rounding
            break
    return b


def _mean(sums: Sums, b: float) -> float:
    """Mean of sigmoid(z + b)."""
    return float(predicted(sums, Line(1.0, b)).sum() / sums[:, 0].sum())

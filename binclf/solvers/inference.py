"""Standard errors, tests and intervals of coefficients in original units, from the Hessian at the optimum.

With H the Hessian of the log-loss summed over the rows (weights count rows) and P = H + W l2, the penalised
estimate varies by P^-1 H P^-1: without a penalty the inverse of the observed information, as in any textbook.
With one, it is the spread around what the penalty shrinks to, not around the truth. Coefficients are sums of
the model's weights, whose variances follow.

Class weights do not count rows, and H then says too much. With a, b the factors of the classes, p a row's
probability under the weighted odds and q under the data's, p / (1 - p) = (a / b) q / (1 - q), the variance of
a row's slope a (p - 1) u or b p u is q a^2 (1 - p)^2 + (1 - q) b^2 p^2 = a b p (1 - p), times u u'. So J,
the Hessian without class weights at the same point times a b, takes the place of H in the middle: a sandwich,
with the model's own probabilities as in H itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.features import Features
from binclf.features.records import FIRST_LEVEL, NULL, OTHER
from binclf.metrics.intervals import Z95
from binclf.solvers.blocks import Sums
from binclf.solvers.quadratic import FLAT, Inverse, Penalty, one_thread

F64 = npt.NDArray[np.float64]

NAMED = 0.05  # share of a dependence that a column must have to be named
ESTIMABLE = 1e-6  # of a coefficient, that may lie in a flat direction


def inference(
    features: Features, point: F64, sums: Sums, penalty: Penalty, scores: F64 | None = None
) -> dict[str, Any]:
    """Of each coefficient its estimate, `se`, z, p, 95 % interval, and odds ratio; None where unknown.

    Args:
        features: what the weights belong to.
        point: the optimum, float64 [p].
        sums: over all rows, there.
        penalty: with l1 or bounds nothing is known, and nothing is returned.
        scores: variance of the gradient, float64 [p, p]; None: the Hessian, where weights count rows.
    """
    if not penalty.is_smooth:
        return {}
    penalised = sums.hessian + np.diag(sums.weight * penalty.l2)
    inverse = Inverse(penalised)
    names, rows = zip(*_combinations(features, len(point)), strict=True)
    combined = np.array(rows)
    with one_thread():
        spread = inverse.times(combined.T)  # [p, k]
        middle = sums.hessian if scores is None else scores
        variances = np.einsum("pk,pk->k", spread, middle @ spread)
        kept = penalised @ spread  # a combination that can be told is itself again, in units of the diagonal
        lost = np.abs(inverse.scale[:, np.newaxis] * (kept - combined.T)).max(axis=0, initial=0.0)
        estimates = combined @ point
    sizes = np.abs(inverse.scale * combined).max(axis=1, initial=0.0)
    told: dict[str, Any] = {"intercept": {}, "numeric": {}, "categorical": {}}
    for place, (section, name, what) in enumerate(names):
        is_known = variances[place] > 0 and lost[place] <= ESTIMABLE * sizes[place]
        entry = _entry(float(estimates[place]), math.sqrt(variances[place]) if is_known else None)
        if section == "intercept":
            told[section] = entry
        else:
            told[section].setdefault(name, {})[what] = entry
    return told


def dependences(features: Features, sums: Sums) -> list[list[str]]:
    """Numeric columns that say the same together, or alone nothing: each such set by their names."""
    names = [column.name for column in features.numeric]
    names += [
        f"{c.name} (missing)" for c in sorted(features.numeric, key=lambda c: c.indicator) if c.indicator >= 0
    ]
    dense = [*range(features.width), len(sums.gradient) - 1]
    curved = sums.hessian[np.ix_(dense, dense)]
    diagonal = np.diag(curved)
    found = [[name] for name, own in zip(names, diagonal, strict=False) if own == 0]
    scale = np.zeros(len(dense))
    np.divide(1.0, np.sqrt(diagonal), out=scale, where=diagonal > 0)
    with one_thread():
        values, vectors = np.linalg.eigh(curved * scale[:, np.newaxis] * scale)
    for value, vector in zip(values, vectors.T, strict=True):
        own = [names[i] for i in np.flatnonzero((np.abs(vector[:-1]) > NAMED) & (diagonal[:-1] > 0))]
        if value <= FLAT * float(values[-1]) and own:
            found.append(own)
    return found


def _combinations(features: Features, size: int) -> Iterator[tuple[tuple[str, str, str], F64]]:
    """Section, name and kind of each coefficient, and what it is of the model's weights, float64 [p]."""
    intercept = np.zeros(size)
    intercept[-1] = 1.0
    for place, column in enumerate(features.numeric):
        intercept[place] = -column.centre / column.scale
    yield ("intercept", "", ""), intercept
    for place, column in enumerate(features.numeric):
        slope = np.zeros(size)
        slope[place] = 1.0 / column.scale
        yield ("numeric", column.name, "per_unit"), slope
        if column.indicator >= 0:
            missing = slope * column.fill
            missing[column.indicator] = 1.0
            yield ("numeric", column.name, "missing"), missing
    for categorical in features.categorical:
        if categorical.is_hashed:
            continue
        first = features.width + categorical.offset
        places = {"missing": NULL, "other": OTHER}
        places |= {f"level {level}": FIRST_LEVEL + i for i, level in enumerate(categorical.levels)}
        for what, place in places.items():
            own = np.zeros(size)
            own[first + place] = 1.0
            yield ("categorical", categorical.name, what), own


def unknown(estimate: float) -> dict[str, float | None]:
    """An entry of which nothing more is known."""
    rest = dict.fromkeys(("se", "z", "p", "low", "high", "odds_ratio", "odds_low", "odds_high"))
    return {"estimate": estimate, **rest}


def _entry(estimate: float, error: float | None) -> dict[str, float | None]:
    if error is None:
        return unknown(estimate)
    z = estimate / error
    low, high = estimate - Z95 * error, estimate + Z95 * error
    odds = {"odds_ratio": _exp(estimate), "odds_low": _exp(low), "odds_high": _exp(high)}
    p = math.erfc(abs(z) / math.sqrt(2))
    return {"estimate": estimate, "se": error, "z": z, "p": p, "low": low, "high": high, **odds}


def _exp(value: float) -> float | None:
    """None where a float cannot hold it."""
    return math.exp(value) if value < 709 else None

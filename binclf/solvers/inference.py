"""Standard errors, tests and intervals of coefficients in original units, from the Hessian at the optimum.

With H the Hessian of the log-loss summed over the rows and P = H + W l2, the penalised estimate varies by
P^-1 J P^-1, J being the variance of the gradient (`variance`): where the model is right and weights count
rows, H itself, so that without a penalty this is the inverse of the observed information, as in any
textbook. With a penalty it is the spread around what that shrinks to, not around the truth. Coefficients
are sums of the model's weights, whose covariance follows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.features import Features
from binclf.features.records import FIRST_LEVEL, NULL, OTHER
from binclf.metrics.intervals import Z95
from binclf.solvers.blocks import Sums
from binclf.solvers.quadratic import FLAT, Inverse, one_thread

F64 = npt.NDArray[np.float64]

NAMED = 0.05  # share of a dependence that a column must have to be named
ESTIMABLE = 1e-6  # of a coefficient, that may lie in a flat direction


class Spread:
    """How weights vary around the optimum, and which sums of them the rows and the penalty tell."""

    def __init__(self, penalised: F64, inverse: Inverse, middle: F64) -> None:
        """P, its inverse, and the variance of the gradient: float64 [p, p]."""
        self.penalised, self.inverse, self.middle = penalised, inverse, middle

    def of(self, combined: F64) -> tuple[F64, npt.NDArray[np.bool_]]:
        """The covariance of sums of weights, float64 [k, k], and whether each can be told, bool [k].

        Args:
            combined: how often each sum has each weight, float64 [k, p].
        """
        with one_thread():
            spread = self.inverse.times(combined.T)  # [p, k]
            covariance = spread.T @ self.middle @ spread
            kept = self.penalised @ spread  # a sum that can be told is itself again, in units of the diagonal
        lost = np.abs(self.inverse.scale[:, np.newaxis] * (kept - combined.T)).max(axis=0, initial=0.0)
        sizes = np.abs(self.inverse.scale * combined).max(axis=1, initial=0.0)
        covariance = (covariance + covariance.T) / 2
        return covariance, (np.diag(covariance) > 0) & (lost <= ESTIMABLE * sizes)


@dataclass(frozen=True, slots=True)
class Coefficients:
    """K coefficients in original units and how they vary."""

    paths: tuple[tuple[str, ...], ...]  # of each one's entry: intercept, or section, name and kind
    combined: F64  # [K, p], what each is of the model's weights
    estimates: F64  # [K]
    covariance: F64  # [K, K]
    is_known: npt.NDArray[np.bool_]  # [K], whether there is an error; else only differences may have one

    @property
    def errors(self) -> F64:
        """Standard errors, float64 [K]; NaN where unknown."""
        return np.sqrt(np.where(self.is_known, np.diag(self.covariance), np.nan))

    def as_json(self) -> dict[str, Any]:
        """Of each its estimate, `se`, z, p, 95 % interval, and odds ratio; None where unknown."""
        told: dict[str, Any] = {"intercept": {}, "numeric": {}, "categorical": {}}
        for path, estimate, error in zip(
            self.paths, self.estimates.tolist(), self.errors.tolist(), strict=True
        ):
            within = told
            for name in path[:-1]:
                within = within.setdefault(name, {})
            within[path[-1]] = _entry(estimate, error) if error == error else unknown(estimate)
        return told


def coefficients(features: Features, point: F64, spread: Spread, factor: float = 1.0) -> Coefficients:
    """Of all weights that are not hashed.

    Args:
        features: what the weights belong to.
        point: the optimum, float64 [p].
        spread: how it varies.
        factor: that the covariance is multiplied by.
    """
    paths, rows = zip(*_combinations(features, len(point)), strict=True)
    combined = np.array(rows)
    covariance, is_known = spread.of(combined)
    with one_thread():
        estimates = combined @ point
    return Coefficients(paths, combined, estimates, covariance * factor, is_known)


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


def _combinations(features: Features, size: int) -> Iterator[tuple[tuple[str, ...], F64]]:
    """The path of each coefficient, and what it is of the model's weights, float64 [p]."""
    intercept = np.zeros(size)
    intercept[-1] = 1.0
    for place, column in enumerate(features.numeric):
        intercept[place] = -column.centre / column.scale
    yield ("intercept",), intercept
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


def _entry(estimate: float, error: float) -> dict[str, float | None]:
    z = estimate / error
    low, high = estimate - Z95 * error, estimate + Z95 * error
    odds = {"odds_ratio": _exp(estimate), "odds_low": _exp(low), "odds_high": _exp(high)}
    p = math.erfc(abs(z) / math.sqrt(2))
    return {"estimate": estimate, "se": error, "z": z, "p": p, "low": low, "high": high, **odds}


def _exp(value: float) -> float | None:
    """None where a float cannot hold it."""
    return math.exp(value) if value < 709 else None

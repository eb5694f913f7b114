"""95 % intervals of weighted means, from sums over what was drawn independently: rows, or clusters of rows.

A weighted mean m = sum(w v) / sum(w) varies by sum(w^2 (v - m)^2) / sum(w)^2 (rows taken as independent, the
weights as given): with equal weights the usual standard error of a mean. The factor n / (n - 1) has n rows of
equal weight that would be as good, sum(w)^2 / sum(w^2). Of clusters w and w v are each one's sums of them.

Of few clusters tails are Student's t with n - 1 degrees of freedom, by Wallace's transformation to the normal
(1959, "Bounds on normal approximations to Student's and the chi-square distributions"; less than 0.1 % off at
49 degrees).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
Interval = tuple[float, float]

Z95 = 1.959963984540054  # 0.975 quantile of the normal distribution


def effective_rows(weight: float, squares: float) -> float:
    """Rows of equal weight that would be as good: sum(w)^2 / sum(w^2)."""
    return weight * weight / squares if squares > 0 else 0.0


def student_of(z: float, freedom: float) -> float:
    """The quantile of Student's t where the normal one is z."""
    stretched = z * (8 * freedom + 3) / (8 * freedom + 1)
    return math.copysign(math.sqrt(freedom * math.expm1(min(stretched**2 / freedom, 700.0))), z)


def normal_of(t: float, freedom: float) -> float:
    """The normal quantile where Student's is t: the inverse."""
    return (8 * freedom + 1) / (8 * freedom + 3) * math.sqrt(freedom * math.log1p(t**2 / freedom))


def variance_of(mean: float, weight: float, squares: float, once: float, twice: float) -> tuple[float, float]:
    """Variance of a mean, and the units of equal weight that it rests on, which must be above 1.

    Args are those of `of_mean`.
    """
    units = effective_rows(weight, squares)
    if units <= 1 + 1e-9:
        return 0.0, units
    scatter = max(twice - 2 * mean * once + mean * mean * squares, 0.0)
    return scatter / weight**2 * units / (units - 1), units


def of_clusters(mean: float, weights: F64, sums: F64) -> Interval | None:
    """Interval of a mean over clusters, from the weight of each and its weighted sum, float64 [C]."""
    found = variance_of(mean, *moments_of(weights, sums))
    if found[1] <= 1 + 1e-9 or not math.isfinite(found[0]):
        return None
    half = student_of(Z95, found[1] - 1) * math.sqrt(found[0])
    return mean - half, mean + half


def moments_of(weights: F64, sums: F64) -> tuple[float, float, float, float]:
    """Sums of w, w^2, w^2 v and w^2 v^2 over clusters, as `variance_of` takes them."""
    parts = (weights, weights**2, weights * sums, sums**2)
    return tuple(float(part.sum()) for part in parts)  # type: ignore[return-value]


def of_mean(mean: float, weight: float, squares: float, once: float, twice: float) -> Interval | None:
    """Interval of a mean; None with the weight of fewer than two rows, or where a square is beyond floats.

    Args:
        mean: m.
        weight: sum of w.
        squares: sum of w^2.
        once: sum of w^2 v.
        twice: sum of w^2 v^2.
    """
    variance, rows = variance_of(mean, weight, squares, once, twice)
    if rows <= 1 + 1e-9 or not math.isfinite(variance):
        return None
    half = Z95 * math.sqrt(variance)
    return mean - half, mean + half


def of_rate(rate: float, rows: float) -> Interval | None:
    """Wilson's (1927) interval of a share, which it holds, of rows of equal weight; None without a row."""
    if rows <= 0:
        return None
    middle = rate + Z95**2 / (2 * rows)
    half = Z95 * math.sqrt(rate * (1 - rate) / rows + Z95**2 / (4 * rows**2))
    whole = 1 + Z95**2 / rows
    return max(min((middle - half) / whole, rate), 0.0), min(max((middle + half) / whole, rate), 1.0)


def of_clustered_rate(rate: float, weights: F64, yes: F64) -> Interval | None:
    """Wilson's of a share over clusters: of as many independent rows as would tell as much.

    None with fewer than two clusters, or where all have the same share, which tells of no spread.
    """
    variance, units = variance_of(rate, *moments_of(weights, yes))
    if units <= 1 + 1e-9 or variance <= 0:
        return None
    reach = student_of(Z95, units - 1) / Z95
    return of_rate(rate, rate * (1 - rate) / (variance * reach**2))

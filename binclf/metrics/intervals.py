"""95 % intervals of weighted means over rows, from sums over rows.

A weighted mean m = sum(w v) / sum(w) varies by sum(w^2 (v - m)^2) / sum(w)^2 (rows taken as independent, the
weights as given): with equal weights the usual standard error of a mean. The factor n / (n - 1) has n rows of
equal weight that would be as good, sum(w)^2 / sum(w^2).
"""

from __future__ import annotations

import math

Interval = tuple[float, float]

Z95 = 1.959963984540054  # 0.975 quantile of the normal distribution


def effective_rows(weight: float, squares: float) -> float:
    """Rows of equal weight that would be as good: sum(w)^2 / sum(w^2)."""
    return weight * weight / squares if squares > 0 else 0.0


def of_mean(mean: float, weight: float, squares: float, once: float, twice: float) -> Interval | None:
    """Interval of a mean; None with the weight of fewer than two rows, or where a square is beyond floats.

    Args:
        mean: m.
        weight: sum of w.
        squares: sum of w^2.
        once: sum of w^2 v.
        twice: sum of w^2 v^2.
    """
    rows = effective_rows(weight, squares)
    if rows <= 1:
        return None
    spread = max(twice - 2 * mean * once + mean * mean * squares, 0.0) * rows / (rows - 1)
    if not math.isfinite(spread):
        return None
    half = Z95 * math.sqrt(spread) / weight
    return mean - half, mean + half


def of_rate(rate: float, rows: float) -> Interval | None:
    """Wilson's (1927) interval of a share, which it holds, of rows of equal weight; None without a row."""
    if rows <= 0:
        return None
    middle = rate + Z95**2 / (2 * rows)
    half = Z95 * math.sqrt(rate * (1 - rate) / rows + Z95**2 / (4 * rows**2))
    whole = 1 + Z95**2 / rows
    return max(min((middle - half) / whole, rate), 0.0), min(max((middle + half) / whole, rate), 1.0)

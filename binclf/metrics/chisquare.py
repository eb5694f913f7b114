"""The chi-square distribution: its tail in closed form, its quantiles by SciPy (Cephes), imported when asked.

SciPy comes with MLflow and scikit-learn in any case; training and plain scoring never import it.
"""

from __future__ import annotations

import math

CHANCE = 1e-5  # of a column that has not changed, to be beyond its noise


def tail(statistic: float, freedom: int) -> float:
    """Chance of more than `statistic` with so many degrees of freedom; 1 with none.

    With x half the statistic, the sum of x^j exp(-x) / gamma(j + 1) over j = 0, 1 ... or 1/2, 3/2 ... below
    half the degrees, and where these are odd erfc(sqrt(x)) too (Abramowitz and Stegun, 26.4.4 and 26.4.5).

    >>> round(tail(3.841458820694124, 1), 12)
    0.05
    """
    half = max(statistic, 0.0) / 2
    if freedom <= 0 or half == 0:
        return 1.0
    log, odd = math.log(half), freedom % 2
    powers = (odd / 2 + j for j in range((freedom - odd) // 2))
    series = math.fsum(math.exp(j * log - half - math.lgamma(j + 1)) for j in powers)
    return min(series + (math.erfc(math.sqrt(half)) if odd else 0.0), 1.0)


def quantile(chance: float, freedom: float) -> float:
    """What is exceeded with that chance; 0 with no degree of freedom.

    >>> round(quantile(0.05, 1), 6)
    3.841459
    """
    if freedom <= 0:
        return 0.0
    from scipy.special import chdtri

    return float(chdtri(freedom, chance))


def noise_of_stability(bins: int, rows: tuple[int, int]) -> float:
    """What a population stability index is within for two samples of one distribution, but for one in 1e5.

    Of n and N rows the index times n N / (n + N) is about chi-square with a degree of freedom for each bin
    but one (Yurdakul 2018).

    >>> round(noise_of_stability(2, (1000, 1000)), 4)
    0.039
    """
    return quantile(CHANCE, bins - 1) * (1 / rows[0] + 1 / rows[1])

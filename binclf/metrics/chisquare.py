"""The chi-square distribution, by SciPy's incomplete gamma functions (Cephes), which are imported when asked.

SciPy comes with MLflow and scikit-learn in any case; training and plain scoring never import it.
"""

from __future__ import annotations

CHANCE = 1e-5  # of a column that has not changed, to be beyond its noise


def tail(statistic: float, freedom: float) -> float:
    """Chance of more than `statistic` with so many degrees of freedom; 1 with none.

    >>> round(tail(3.841458820694124, 1), 12)
    0.05
    """
    if freedom <= 0:
        return 1.0
    from scipy.special import chdtrc

    return float(chdtrc(freedom, max(statistic, 0.0)))


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

"""The optimisers' own settings: one rule for 1,000 rows and for 10 million, chosen on six real sets.

With train.learning_rate = 0 the step size warms up over the first fiftieth of the run and decays to
nothing, the result is an average of the iterates that weighs late ones most (polynomial decay, Shamir and
Zhang 2013), and the validation rows are asked only in the last quarter: before it, a single outlier in a
small validation part picks an epoch that has hardly begun (measured: test log-loss up to 15 % worse). A
constant step size, the user's own, is neither averaged nor judged late.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from binclf.config import Train

FEWEST_ROWS, MOST_ROWS = 16, 8192  # of a step
WARM_UP = 0.02  # of all steps
JUDGED_FROM = 0.75  # of all epochs
GAMMA = 8  # of the average: the last fraction x of the steps has about 1 - (1 - x)^(GAMMA + 1) of its weight
RATES = {"adam": 0.1, "sgd": 4.0, "adagrad": 0.5}  # at the top
POWERS = {"adam": 2, "sgd": 1, "adagrad": 1}  # of the decay (1 - f)^power
SGD_NORM = 0.5  # longer gradients are shortened to it; Adam and Adagrad scale by themselves


def batch_rows(rows: int) -> int:
    """Rows of a step, all ranks together, for N training rows: N^0.6 / 4 within 16 and 8192.

    >>> batch_rows(900), batch_rows(229_000), batch_rows(11_000_000)
    (16, 411, 4195)
    """
    return int(min(max(round(rows**0.6 / 4), FEWEST_ROWS), MOST_ROWS))


def rate_of(settings: Train) -> Callable[[float], float]:
    """Step size as a function of the fraction of the planned steps that are done, in [0, 1)."""
    if settings.learning_rate:
        return lambda _fraction: settings.learning_rate
    top, power = RATES[settings.optimizer], POWERS[settings.optimizer]
    if settings.optimizer == "sgd":
        top *= 1 - settings.momentum
    return lambda fraction: float(top * (1 - fraction) ** power * min(1.0, fraction / WARM_UP))


def is_averaged(settings: Train) -> bool:
    """Whether the result is an average of the iterates."""
    return settings.learning_rate == 0


def longest_gradient(settings: Train) -> float:
    """The norm to which a gradient is shortened; infinite where it is taken as it is."""
    is_own = settings.learning_rate == 0 and settings.optimizer == "sgd"
    return SGD_NORM if is_own else math.inf


def first_judged_epoch(settings: Train) -> int:
    """The first epoch (from 1) whose weights may be kept or counted as stale."""
    return math.ceil(JUDGED_FROM * settings.epochs) if settings.learning_rate == 0 else 1

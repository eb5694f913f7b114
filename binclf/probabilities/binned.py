"""Log-odds in bins with their moments: one pass, exact sums, and any smooth sum over rows afterwards.

A row with logit z falls into a bin of width h = 1/64 with centre c; of each fold, label and bin the sums
w t^k, t = z - c, k = 0..5 are kept. For a smooth f,

    sum w f(z) = sum over bins of sum over k of f^(k)(c) / k! (sum w t^k),

and for f = sigmoid(a z + b), whose nearest poles are pi / a away, what is left out is about (a h / 2 pi)^6 of
the weight: 2e-16 for a = 1. Logits beyond 32 are taken for 32, where a probability is within 2e-14 of 0 or 1.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt

from binclf.calibration import Line
from binclf.metrics import softplus
from binclf.predict import Model, probability
from binclf.probabilities.part import Part
from binclf.scored import Scored

F64 = npt.NDArray[np.float64]

FURTHEST, PER_UNIT, MOMENTS = 32, 64, 6
BINS = 2 * FURTHEST * PER_UNIT
HALF = 0.5 / PER_UNIT  # of a bin
CENTRES = (np.arange(BINS) + 0.5) / PER_UNIT - FURTHEST
EDGES = np.arange(1, BINS) / PER_UNIT - FURTHEST  # between bins
FOLDS = 2

Sums = F64  # [..., 2, BINS, MOMENTS]: of each label, bin and k, w t^k


def binned(part: Part, model: Model) -> Sums:
    """The rows of a part by fold, label and bin of their log-odds, float64 [FOLDS, 2, BINS, MOMENTS].

    The same bits for any number of ranks, which must all ask. A row's fold is its bucket's parity.
    """
    shape = (FOLDS, 2, BINS, MOMENTS)
    most = np.broadcast_to(HALF ** np.arange(MOMENTS), shape).ravel()
    return part.summed(model, lambda rows: _sums(rows, part.buckets(rows) % FOLDS), most).reshape(shape)


def _sums(rows: Scored, folds: npt.NDArray[np.int64]) -> F64:
    """Of one row group, end to end."""
    logits = np.clip(rows.logits, EDGES[0] - HALF, EDGES[-1] + HALF)
    places = np.searchsorted(EDGES, logits, side="right")
    apart = logits - CENTRES[places]
    cells = (folds * 2 + rows.labels) * BINS + places
    found = np.empty((FOLDS * 2 * BINS, MOMENTS))
    powers = rows.weights
    for k in range(MOMENTS):
        found[:, k] = np.bincount(cells, powers, FOLDS * 2 * BINS)
        powers = powers * apart
    return found.ravel()


def predicted(sums: Sums, line: Line, *, order: int = 0, power: int = 0) -> F64:
    """Of each bin, the sum over its rows of w t^power times a derivative of sigmoid(slope z + intercept).

    Args:
        sums: of some rows, float64 [BINS, MOMENTS].
        line: slope and intercept.
        order: of the derivative; 0: the sigmoid itself; -1: its integral, log(1 + exp).
        power: of t.

    Returns:
        float64 [BINS].
    """
    logits = line.slope * CENTRES + line.intercept
    p, total = probability(logits), np.zeros(BINS)
    for k in range(MOMENTS - power):
        if k + order < 0:
            values = softplus(logits)
        else:
            values = np.asarray(np.polynomial.polynomial.polyval(p, _derivative(k + order)), np.float64)
        total += line.slope**k / math.factorial(k) * values * sums[:, k + power]
    return total


@cache
def _derivative(order: int) -> tuple[float, ...]:
    """The sigmoid's derivative of an order as a polynomial in the sigmoid, by d p / dz = p - p^2.

    >>> _derivative(0), _derivative(1), _derivative(2)
    ((0.0, 1.0), (0.0, 1.0, -1.0), (0.0, 1.0, -3.0, 2.0))
    """
    if order == 0:
        return (0.0, 1.0)
    inner = np.polynomial.polynomial.polyder(_derivative(order - 1))
    return tuple(np.polynomial.polynomial.polymul(inner, (0.0, 1.0, -1.0)).tolist())

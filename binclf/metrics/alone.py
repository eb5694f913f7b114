"""How well one column by itself tells two classes apart: the area under its own ROC curve.

Of numbers that is Mann and Whitney's statistic, ties counted half, whichever way round. Levels have no order
but that of their rates, and rates of the same rows flatter themselves: of ids, each of which comes once, they
would tell everything. So rates are learnt from one half of the rows and judged on the other, both ways, and a
level that is new to a half has the base rate there.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from binclf import hashing
from binclf.metrics.histogram import Histogram
from binclf.metrics.ranking import roc_auc

F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
I64 = npt.NDArray[np.int64]

_DRAW = hashing.key("alone")


def area_of_numbers(values: F64, labels: I8) -> float:
    """ROC-AUC of numbers or of their opposites, 0.5 to 1.

    Args:
        values: float64 [n], no NaN.
        labels: int8 [n], 0 and 1, both of which come.
    """
    area = _area(values, labels)
    return max(area, 1.0 - area)


def area_of_levels(codes: I64, labels: I8) -> float:
    """ROC-AUC of the rates of levels, on rows that the rates were not learnt from: mean of the two halves.

    Args:
        codes: of the levels, int64 [n], from 0.
        labels: int8 [n], 0 and 1, each of which comes at least twice.
    """
    size, half, areas = int(codes.max()) + 1, halves(labels), []
    for learnt in (half, ~half):
        rows = np.bincount(codes[learnt], minlength=size)
        positive = np.bincount(codes[learnt], labels[learnt], size)
        rates = np.full(size, labels[learnt].mean())
        np.divide(positive, rows, out=rates, where=rows > 0)
        areas.append(_area(rates[codes[~learnt]], labels[~learnt]))
    return (areas[0] + areas[1]) / 2


def halves(labels: I8) -> npt.NDArray[np.bool_]:
    """Half of the rows of each class, drawn always alike, bool [n]."""
    drawn = np.zeros(len(labels), dtype=np.bool_)
    for label in (0, 1):
        own = np.flatnonzero(labels == label)
        drawn[own[hashing.permutation(_DRAW, len(own))[: len(own) // 2]]] = True
    return drawn


def _area(scores: F64, labels: I8) -> float:
    distinct, place = np.unique(scores, return_inverse=True)
    units = np.stack([np.bincount(place, labels == label, len(distinct)) for label in (1, 0)], axis=1)
    return roc_auc(Histogram(distinct, distinct, units.astype(np.int64)))[0]

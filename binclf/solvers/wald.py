"""Tests of whole columns, and how far columns say the same, from the covariance of the weights.

A categorical column without effect has the same weight for all of its levels: with c the differences of
those that train has to the first of them and V their covariance, c' V^-1 c is about chi-square, with a
degree of freedom for each direction that V knows (Wald 1943). Which level comes first makes no difference.

A numeric column's variance inflation is the variance of its coefficient beside what it would be with the
intercept alone: [H^-1]_jj (H_jj - H_j0^2 / H_00), H being the Hessian without penalty and 0 the intercept.
That is 1 / (1 - R^2) of the column's weighted regression on all others, in the rows' weights w p (1 - p),
as Fox and Monette (1992) have it for generalised models; with all p alike it is the textbook's of a linear
regression.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.features import CategoricalColumn, Features
from binclf.features.records import FIRST_LEVEL, NULL, OTHER
from binclf.metrics.chisquare import tail
from binclf.solvers.blocks import Sums
from binclf.solvers.inference import Spread
from binclf.solvers.quadratic import Inverse

F64 = npt.NDArray[np.float64]


def joint_tests(
    features: Features, point: F64, spread: Spread, factor: float = 1.0
) -> dict[str, dict[str, Any]]:
    """Of each categorical column that is not hashed `chi2`, `df` and `p`; None where it has one level.

    Args:
        features: what the weights belong to.
        point: the optimum, float64 [p].
        spread: how it varies.
        factor: that its covariance is multiplied by.
    """
    columns = [column for column in features.categorical if not column.is_hashed]
    each = [_contrasts(column, features.width + column.offset, len(point)) for column in columns]
    contrasts = np.concatenate([np.zeros((0, len(point))), *each])
    covariance, is_known = spread.of(contrasts)  # of all at once: a system is solved but once
    apart = contrasts @ point
    ends = np.cumsum([0, *map(len, each)])
    told: dict[str, dict[str, Any]] = {}
    for column, first, end in zip(columns, ends, ends[1:], strict=False):
        own = first + np.flatnonzero(is_known[first:end])
        inverse = Inverse(factor * covariance[np.ix_(own, own)])
        found: dict[str, Any] = {"chi2": None, "df": inverse.rank, "p": None}
        if inverse.rank:
            chi2 = float(apart[own] @ inverse.times(apart[own]))
            found |= {"chi2": chi2, "p": tail(chi2, inverse.rank)}
        told[column.name] = found
    return told


def inflation(features: Features, sums: Sums, inverse: Inverse) -> dict[str, float | None]:
    """Of each numeric column its variance inflation factor; None where others say all that it says.

    Args:
        features: what the weights belong to.
        sums: at the optimum.
        inverse: of their Hessian.
    """
    count, size = len(features.numeric), len(sums.gradient)
    covariance, is_known = Spread(sums.hessian, inverse, sums.hessian).of(np.eye(count, size))
    diagonal, beside = np.diag(sums.hessian)[:count], sums.hessian[:count, -1]
    alone = diagonal - beside * beside / sums.hessian[-1, -1]
    factors = (np.diag(covariance) * alone).tolist()
    return {
        column.name: factor if known else None
        for column, factor, known in zip(features.numeric, factors, is_known.tolist(), strict=True)
    }


def _contrasts(column: CategoricalColumn, first: int, size: int) -> F64:
    """Differences between the levels that train has, and the first of them: float64 [levels - 1, p]."""
    places = [NULL] * bool(column.missing) + [OTHER] * bool(column.rare_rows)
    places += range(FIRST_LEVEL, FIRST_LEVEL + len(column.levels))
    found = np.zeros((max(len(places) - 1, 0), size))
    for row, place in enumerate(places[1:]):
        found[row, first + places[0]], found[row, first + place] = -1.0, 1.0
    return found

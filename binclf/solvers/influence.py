"""Which file disagrees with the model that all files gave, and how far each moved the coefficients.

By one more pass at the optimum. Let g_b and H_b be the gradient and the Hessian of the log-loss summed over
the rows of one file, g and H those of all rows, J_b and J the variances of g_b and g in the model: H_b and
H, where no class weights are. Around the true weights g_b = S_b + H_b d and g = S + H d, d being what the
estimate is off, so

    r = g_b - H_b H^-1 g = S_b - H_b H^-1 S,

whatever penalty held the estimate where it is. Where the file is like the others r has mean 0 and variance

    V = J_b - J_b H^-1 H_b - H_b H^-1 J_b + H_b H^-1 J H^-1 H_b,

without class weights V = H_b - H_b H^-1 H_b: less than H_b, as the file's own rows are in the fit; and T =
r' V^-1 r is about chi-square with a degree of freedom for each direction that V knows. (Rao's test (1948)
of the file's own optimum, with the null of a block that is part of the fit.) Left out are weights of which
the file tells next to nothing, less than LEAST of information, as of a level with a few rows. With row
weights T is divided by their design effect in the file, sum(w^2) / sum(w).

Without the file the gradient at the optimum t would be (L' - L) t - g_b and the curvature H - H_b + L',
with L and L' the penalties of all rows and of the others. So one step of Newton's from t leads to where a
training without the file would about end (Cook 1977; Pregibon 1981), and the way back is how far the file
moved it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.loader import Balanced
from binclf.metrics.chisquare import tail
from binclf.solvers.blocks import Reducer
from binclf.solvers.inference import ESTIMABLE, Coefficients
from binclf.solvers.portions import Own, is_by_file, named, summed, units_of
from binclf.solvers.quadratic import SOUND, Inverse, one_thread
from binclf.solvers.verdict import Fit

F64 = npt.NDArray[np.float64]

LEAST = 5.0  # of information on a weight, the sum of w p (1 - p) x^2
THIN = 1e-6  # of what a file tells in a direction: less is rounding
KEPT = 10  # files that are told, and
MOVED = 5  # coefficients of each
LEVEL = 0.05  # of all tests together


@dataclass(frozen=True, slots=True)
class Bent:
    """The curvature of the objective at the optimum, over all rows."""

    inverse: Inverse  # of H, down to what is SOUND
    scores: F64 | None  # J, [p, p], where classes have weights; None: H
    held: Callable[[float], F64]  # L of rows that weigh so much, [p]


class _Judge:
    """What is known of all rows, beside which a file is judged."""

    def __init__(self, found: Fit, bent: Bent, known: Coefficients | None) -> None:
        sums, scores = found.sums, bent.scores
        with one_thread():
            self.inverse = bent.inverse.matrix()
            # the last step may not have been looked at
            gradient = sums.gradient + sums.hessian @ (found.point - found.model.point)
            self.step = self.inverse @ gradient
            self.spread = None if scores is None else self.inverse @ scores @ self.inverse
        self.found, self.held, self.known = found, bent.held, known

    def judged(self, own: Own, product: float) -> dict[str, Any]:
        """The test of a file, and the coefficients that it moved most.

        Args:
            own: the file's sums.
            product: of the factors of the classes.
        """
        effect = own.squares / own.weight if own.weight else 1.0
        tested = np.flatnonzero(np.diag(own.plain) >= LEAST * effect)
        with one_thread():
            rest = own.gradient - own.hessian @ self.step
            varies = self._variance(own, product)
            information = product * np.diag(own.plain)[tested]
            statistic, freedom = _statistic(rest[tested], varies[np.ix_(tested, tested)], information)
        statistic /= effect
        return {
            "rows": own.rows,
            "statistic": statistic,
            "freedom": freedom,
            "p": tail(statistic, freedom),
            "moved": self._moved(own),
        }

    def _variance(self, own: Own, product: float) -> F64:
        """V, float64 [p, p]."""
        if self.spread is None:
            return np.asarray(own.hessian - own.hessian @ self.inverse @ own.hessian)
        scores = product * own.plain
        cross = scores @ self.inverse @ own.hessian
        return np.asarray(scores - cross - cross.T + own.hessian @ self.spread @ own.hessian)

    def _moved(self, own: Own) -> list[dict[str, Any]]:
        """The coefficients that the file moved by most of their standard errors, and by how many."""
        if self.known is None:
            return []
        sums = self.found.sums
        held, of_others = self.held(sums.weight), self.held(sums.weight - own.weight)
        rest = sums.hessian - own.hessian + np.diag(of_others)
        gone = np.diag(rest) <= THIN * np.diag(sums.hessian)  # no other file tells anything of them
        rest[gone], rest[:, gone] = 0.0, 0.0
        inverse, combined = Inverse(rest, SOUND), self.known.combined
        moved = inverse.times((of_others - held) * self.found.point - own.gradient)
        units = np.where(inverse.scale > 0, inverse.scale, 1.0)
        with one_thread():
            errors = combined @ moved
            lost = np.abs(combined @ inverse.flat).max(axis=1, initial=0.0)  # where the others tell nothing
        is_told = self.known.is_known & (lost <= ESTIMABLE * (np.abs(combined) @ units))
        errors = np.divide(errors, self.known.errors, out=np.zeros(len(errors)), where=is_told)
        order = np.argsort(-np.abs(errors), kind="stable")[:MOVED]
        return [
            {"path": list(self.known.paths[place]), "errors": float(errors[place])}
            for place in order.tolist()
            if is_told[place]
        ]


def influence(found: Fit, reducer: Reducer, bent: Bent, known: Coefficients | None) -> dict[str, Any]:
    """The files that disagree most, by one pass; empty where there is but one file of one block.

    Args:
        found: the optimum.
        reducer: over the rows of train; all ranks must ask.
        bent: of all rows.
        known: the coefficients and their errors, if these are known.
    """
    source, world = reducer.store.source, reducer.world
    units = units_of(source, reducer.size)
    if len(units) < 2:
        return {}
    judge = _Judge(found, bent, known)
    product = reducer.store.product if isinstance(reducer.store, Balanced) else 1.0
    told: list[dict[str, Any]] = []
    rows, beyond = 0, 0
    for place, own in summed(found.point, reducer, units):
        entry = judge.judged(own, product)
        rows, beyond = rows + own.rows, beyond + (entry["p"] <= LEVEL / len(units))
        told = _worst([*told, {"place": place, **named(source, units[place]), **entry}])
    world.meet()
    rows, beyond = world.sum_integers(np.array([rows, beyond])).tolist()
    if rows != source.rows:
        raise AssertionError(f"a pass saw {rows} rows of {source.rows}: rows were lost or repeated")
    everyone = [entry for content in world.gather(json.dumps(told).encode()) for entry in json.loads(content)]
    return {
        "of": "files" if is_by_file(source) else "row groups",
        "tests": len(units),
        "level": LEVEL,
        "beyond_chance": beyond,
        "worst": _worst(everyone),
    }


def _worst(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that chance explains least, the worst first."""
    return sorted(entries, key=lambda e: (e["p"], -e["statistic"] / max(e["freedom"], 1), e["place"]))[:KEPT]


def _statistic(rest: F64, varies: F64, information: F64) -> tuple[float, int]:
    """T = r' V^-1 r, and the directions that V knows, in units of what the file tells of each weight."""
    if not len(rest):
        return 0.0, 0
    scale = 1.0 / np.sqrt(information)
    values, vectors = np.linalg.eigh(varies * scale[:, np.newaxis] * scale)
    kept = values > THIN
    along = vectors[:, kept].T @ (scale * rest)
    return float((along * along / values[kept]).sum()), int(kept.sum())

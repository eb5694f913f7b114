"""Whether where Newton's method ended is the optimum, and what to tell if there is none."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from binclf.solvers.blocks import Reducer, Sums
from binclf.solvers.certificate import Certificate
from binclf.solvers.inference import dependences
from binclf.solvers.point import name_of
from binclf.solvers.problem import Problem
from binclf.solvers.quadratic import Model

F64 = npt.NDArray[np.float64]

DEPENDENT = 1e-9  # of the diagonal's: less is no curvature
CERTAIN = 1e-6  # of the base rate's loss: all rows are told apart


@dataclass
class Fit:
    """Where it ended."""

    point: F64  # weights of x, of the table, and the intercept, [p]
    model: Model  # there, or a step before it that changes nothing of the model
    sums: Sums  # where the model is
    certificate: Certificate
    history: list[dict[str, float]] = field(default_factory=list)


def base_point(problem: Problem) -> F64:
    """The intercept of the base rate alone, float64 [p]."""
    rate = problem.base_rate
    point = np.zeros(problem.features.width + problem.features.table_size + 1)
    point[-1] = np.log(rate / (1 - rate))
    return point


def base_loss(problem: Problem) -> float:
    """Mean log-loss of the base rate."""
    rate = problem.base_rate
    return float(-rate * np.log(rate) - (1 - rate) * np.log1p(-rate))


def is_good(found: Fit, problem: Problem, reducer: Reducer) -> bool:
    """Whether it is the optimum, as far as floats can tell."""
    penalty = found.model.penalty
    if penalty.is_smooth:
        return is_curved(found.model, problem, reducer) and found.certificate.is_proven
    is_free = not (penalty.l1.any() or penalty.l2.any())
    return found.certificate.errors is not None and not (is_free and _share(found, problem) < CERTAIN)


def _share(found: Fit, problem: Problem) -> float:
    """The loss there, of the base rate's."""
    return found.sums.loss / found.sums.weight / base_loss(problem)


def is_curved(model: Model, problem: Problem, reducer: Reducer) -> bool:
    """Whether directions are flat only because columns depend on each other, not as rows are certain.

    All ranks must ask: one more pass, if any of them has such directions.
    """
    flat = model.inverse.flat
    if not reducer.world.sum_integers(np.array([flat.shape[1]]))[0]:
        return True
    even = reducer.at(base_point(problem)).hessian
    bent = np.einsum("pk,pk->k", flat, even @ flat)
    return bool((bent <= DEPENDENT * np.einsum("pk,p,pk->k", flat, np.diag(even), flat)).all())


def failed(found: Fit, problem: Problem, reducer: Reducer) -> str:
    """Why there is no optimum, or none that could be told."""
    near = [names for names in dependences(problem.features, found.sums) if len(names) > 1]
    if near and _share(found, problem) > 0.01:
        listed = ", ".join(f"'{name}'" for name in near[0])
        return (
            f"columns {listed} are nearly the same, and what sets them apart would count: list one in "
            "data.exclude, or set train.l2 above 0."
        )
    if found.certificate.errors is None and not found.model.penalty.is_smooth:
        return (
            f"no optimum in {len(found.history)} passes beside train.l1 or the bounds: columns pull each "
            "other. Set train.l2 above 0."
        )
    furthest = int(np.argmax(np.abs(found.model.point[:-1]) * reducer.terms.magnitudes[:-1]))
    return grows(len(found.history), furthest, problem)


def one_sided(places: npt.NDArray[np.bool_], problem: Problem) -> str:
    """There is no optimum, as rows of some places of the table, bool [V], are of one class."""
    first = name_of(problem.features.width + int(np.argmax(places)), problem)
    return (
        f"no optimum: all rows of {int(places.sum()):,} levels or buckets, the first of them in {first}, are "
        "of one class, so their weights grow without end. Set train.l2 above 0."
    )


def grows(passes: int, place: int, problem: Problem) -> str:
    """There is no optimum, as a weight grows and grows."""
    return (
        f"no optimum in {passes} passes: the weight of {name_of(place, problem)} grows without end, as it "
        "tells classes apart. Set train.l2 above 0, or list it in data.exclude."
    )

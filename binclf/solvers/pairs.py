"""The memory of L-BFGS: the last steps, what the gradient changed by in each, and the way that follows.

The inverse of the Hessian that the pairs (s, y) tell is applied by the two loops of Nocedal, "Updating
Quasi-Newton Matrices with Limited Storage" (1980). Both work on coefficients: all vectors that occur are
sums of the pairs and the gradient, so their products are all that is needed (Chen, Wang and Zhou, "Large-
scale L-BFGS using MapReduce", 2014). So each step reads the pairs twice instead of 4 m times: for the
products of what is new, and for the way, a sum of elementwise products, which has the same bits on every
processor.

Pairs are held as float32. They shape the way and not where it ends: gradients and points are float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.loader.source import ahead, threads
from binclf.solvers.quadratic import one_thread

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

CHUNK = 2**15  # weights that are worked on at once: they stay in a core's cache
CURVED = 1e-12  # cosine of the angle between s and y: with less, a pair tells nothing


@dataclass(frozen=True, slots=True)
class Way:
    """Where to go, as a sum of vectors."""

    shares: F64  # [2 m + 1], of the pairs and of the gradient
    square: float  # of the gradient's length
    least: float  # curvature, s'y / s's, of the pairs; 1, that of the diagonal, before there are some


class Pairs:
    """At most m pairs of p weights each, in units in which the Hessian's diagonal is about one."""

    def __init__(self, most: int, size: int) -> None:
        """None yet."""
        self.most = most
        self.vectors: F32 = np.zeros((2 * most, size), dtype=np.float32)  # s and y of a pair, pair after pair
        self.products = np.zeros((2 * most, 2 * most))
        self.order: list[int] = []  # of pairs, oldest first
        self.is_new = False  # the last one, whose products are not known yet

    @classmethod
    def again(cls, record: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]], size: int) -> Pairs:
        """From what a checkpoint has of `as_json` and `arrays`."""
        found = cls(record["pairs"], size)
        found.order, found.is_new = list(record["order"]), record["is_new"]
        found.products[...] = arrays["products"]
        if found.held:
            found.vectors[: 2 * found.held] = arrays["vectors"]
        return found

    def as_json(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"pairs": self.most, "order": self.order, "is_new": self.is_new}

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """For a checkpoint."""
        vectors = {"vectors": self.vectors[: 2 * self.held]} if self.held else {}
        return {"products": self.products, **vectors}

    @property
    def held(self) -> int:
        """How many there are."""
        return len(self.order)

    def add(self, step: F64, change: F64) -> None:
        """A step and the gradient's change, float64 [p]; the oldest pair goes, if there are too many."""
        place = self.order.pop(0) if self.held == self.most else self.held
        self.vectors[2 * place], self.vectors[2 * place + 1] = step, change
        self.order.append(place)
        self.is_new = True

    def clear(self) -> None:
        """Forget all."""
        self.order.clear()
        self.is_new = False

    def way(self, gradient: F64, free: Mask | None) -> Way:
        """From the gradient, float64 [p]; of the weights alone that are free, [p], unless that is None."""
        used = 2 * self.held
        last = 2 * self.order[-1] if self.held else 0
        new = [*([last, last + 1] if self.is_new else []), used]
        if free is not None:  # others are free each time
            new = list(range(used + 1))
        found = np.zeros((used + 1, used + 1))
        found[:used, :used] = self.products[:used, :used]
        found[new] = self._times(new, gradient, free)
        found[:, new] = found[new].T
        if free is None:
            self.products[:used, :used], self.is_new = found[:used, :used], False
        good = [place for place in self.order if _is_curved(found, place)]
        least = min((found[2 * i, 2 * i + 1] / found[2 * i, 2 * i] for i in good), default=1.0)
        shares, loops = np.zeros(2 * self.most + 1), _two_loops(found, good)
        shares[:used], shares[-1] = loops[:-1], loops[-1]
        return Way(shares, float(found[-1, -1]), float(least))

    def along(self, shares: F64, gradient: F64) -> F64:
        """The sum of the pairs' vectors and the gradient by their shares, float64 [p]."""
        total = np.empty(len(gradient))

        def of(low: int) -> None:
            at = slice(low, low + CHUNK)
            into = np.multiply(gradient[at], shares[-1], out=total[at])
            for vector, share in zip(self.vectors[: 2 * self.held], shares[:-1], strict=False):
                into += np.multiply(vector[at], share, dtype=np.float64)

        for _ in ahead(of, range(0, len(gradient), CHUNK), threads()):
            pass
        return total

    def _times(self, new: list[int], gradient: F64, free: Mask | None) -> F64:
        """Products of some of the vectors, the gradient last, with all of them: float64 [new, 2 held + 1]."""
        used = 2 * self.held

        def of(low: int) -> F64:
            at = slice(low, low + CHUNK)
            own = np.empty((used + 1, len(gradient[at])))
            own[:-1], own[-1] = self.vectors[:used, at], gradient[at]
            if free is not None:
                own *= free[at]
            return np.asarray(own[new] @ own.T)

        total = np.zeros((len(new), used + 1))
        with one_thread():
            for part in ahead(of, range(0, len(gradient), CHUNK), threads()):
                total += part  # in the order of chunks, whatever the number of threads
        return total


def _is_curved(products: F64, place: int) -> bool:
    s, y = 2 * place, 2 * place + 1
    return bool(products[s, y] > CURVED * np.sqrt(products[s, s] * products[y, y]))


def _two_loops(products: F64, order: list[int]) -> F64:
    """Minus the inverse times the gradient, as shares [2 held + 1] of the vectors with these products."""
    shares = np.zeros(len(products))
    shares[-1] = -1.0
    taken: dict[int, float] = {}
    for place in reversed(order):
        s, y = 2 * place, 2 * place + 1
        taken[place] = float(products[s] @ shares) / products[s, y]
        shares[y] -= taken[place]
    if order:
        s, y = 2 * order[-1], 2 * order[-1] + 1
        shares *= products[s, y] / products[y, y]
    for place in order:
        s, y = 2 * place, 2 * place + 1
        shares[s] += taken[place] - float(products[y] @ shares) / products[s, y]
    return shares

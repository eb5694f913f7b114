"""Sums of floats that do not depend on who adds what in which order: by integers, which add up exactly.

Let |sum| <= bound <= 2^e, over B blocks. A block's value v becomes two integers, in units u = 2^(e - 61) and
u 2^-b, b = 61 - ceil(log2(B + 1)):

    high = rint(v / u),    low = rint((v - high u) / (u 2^-b))        (half to even)

v - high u is exact: where |v / u| >= 2^53 it is 0, since v is a multiple of u; else high u is a float with
the exponent of v or a smaller one, and the difference has no more digits than v. So a value is kept to within
u 2^-b / 2. No sum overflows: the sum of |v| is at most the bound, so |sum of high| <= 2^61 + B / 2, and
|low| <= 2^(b - 1) + 1, so |sum of low| <= B (2^(b - 1) + 1) <= 2^61, both below 2^63 for B up to 2^40. The
sum is therefore right to B u 2^-b / 2, less than 2^-120 (B + 1)^2 of the bound, before one rounding.

(Demmel and Nguyen, "Fast Reproducible Floating-Point Summation", 2013, reach the same with floats; integers
need no pass over the values for their largest, as the bound is known, and any library of messages adds them.)
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from binclf.world import World

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

BITS = 61
LEAST = -800  # exponents of bounds: units stay normal floats
MOST_BLOCKS = 2**40
SLACK = 1 + 1e-3  # of a bound that was itself rounded; there is room for four times as much


class ExactSum:
    """Adds up arrays of float64, one for each block of all ranks."""

    def __init__(self, bounds: F64, blocks: int, parts: int = 1) -> None:
        """Nothing added yet.

        Args:
            bounds: of the sum of absolute values over all blocks, of each element; finite, float64 [n].
            blocks: how many there are, over all ranks.
            parts: how many sums are kept apart, each of the blocks that are given to it.
        """
        if not np.isfinite(bounds).all() or not 0 < blocks <= MOST_BLOCKS:
            raise OverflowError(f"a sum over {blocks} blocks has no finite bound")
        exponents = np.maximum(np.frexp(bounds)[1], LEAST)
        self.bounds = bounds
        self.unit = np.ldexp(1.0, exponents - BITS)
        self.bits = BITS - math.ceil(math.log2(blocks + 1))
        self.high, self.low = np.zeros((2, parts, len(bounds)), dtype=np.int64)

    def add(self, values: F64, share: float, part: int = 0) -> None:
        """Add a block.

        Args:
            values: float64 [n].
            share: of the bounds that is this block's.
            part: to which it belongs.

        Raises:
            OverflowError: a value beyond its bound, or none at all.
        """
        most = self.bounds * (share * SLACK)
        if not (np.abs(values) <= most + np.ldexp(self.unit, -self.bits)).all():
            place = int(np.argmax(~(np.abs(values) <= most)))
            raise OverflowError(f"element {place} of a block is {values[place]}, and at most {most[place]}")
        high = np.rint(values / self.unit)
        rest = values - high * self.unit
        self.high[part] += high.astype(np.int64)
        self.low[part] += np.rint(np.ldexp(rest / self.unit, self.bits)).astype(np.int64)

    def total(self, world: World) -> F64:
        """The sum over all ranks' blocks, float64 [n], the same bits on all of them, however many parts."""
        return self._floats(world.sum_integers(np.stack([self.high.sum(axis=0), self.low.sum(axis=0)])))

    def apart(self, world: World) -> F64:
        """The sum of each part over all ranks' blocks, float64 [parts, n]."""
        return self._floats(world.sum_integers(np.stack([self.high, self.low])))

    def _floats(self, integers: I64) -> F64:
        high, low = integers
        leading = high.astype(np.float64)
        rest = (high - leading.astype(np.int64)).astype(np.float64)
        return np.asarray((leading + (rest + np.ldexp(low.astype(np.float64), -self.bits))) * self.unit)

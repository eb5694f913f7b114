"""Bins that need not know the values beforehand: by sign, exponent and five bits of the mantissa.

A standardised value's bin follows from its bits alone, so counts of any row groups add up. They are fine
enough (3 % of a value's distance from the mean) that deciles can be cut from them afterwards: a few coarse
bins, each a run of fine ones. Training and a later batch are binned by the same fine bins; a value that many
rows share, such as an integer, never falls left of a cut once and right of it later.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

BITS = 5  # of the mantissa
LEAST, MOST = -14, 14  # exponents: what is nearer to 0 is as good as 0, what is beyond is far
HALF = ((MOST - LEAST) << BITS) + 2  # bins of one sign
SIZE = 2 * HALF
COARSE = 10  # bins that are kept
_SHIFT = 52 - BITS
_BASE = (1023 + LEAST) << BITS


def places(values: F64) -> I64:
    """The fine bin of each value, int64 [n], ascending with the value; finite values only."""
    bits = (np.abs(values).view(np.int64) >> _SHIFT) - (_BASE - 1)
    own = np.clip(bits, 0, HALF - 1)
    return np.asarray(np.where(values < 0, HALF - own, HALF + own), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Spread:
    """How values lie: the weight of each of K coarse bins."""

    edges: tuple[int, ...]  # K - 1 fine bins at which a coarse one begins, ascending
    units: tuple[int, ...]  # K

    @classmethod
    def cut(cls, fine: I64) -> Spread:
        """Fine bins, int64 [SIZE], cut into at most `COARSE` of about equal weight.

        A fine bin belongs where the middle of its rows' ranks does, so one that is heavy stays by itself.
        """
        total = int(fine.sum())
        filled = np.flatnonzero(fine)
        if not total:
            return cls((), (0,))
        middle = (np.cumsum(fine) - fine / 2)[filled] / total
        group = np.minimum((middle * COARSE).astype(np.int64), COARSE - 1)
        begins = filled[np.flatnonzero(np.diff(group, prepend=-1))]
        return cls.by(tuple(begins[1:].tolist()), fine)

    @classmethod
    def by(cls, edges: tuple[int, ...], fine: I64) -> Spread:
        """Fine bins by the edges of others."""
        group = np.searchsorted(np.array(edges, dtype=np.int64), np.arange(SIZE), side="right")
        units = np.zeros(len(edges) + 1, dtype=np.int64)
        np.add.at(units, group, fine)
        return cls(edges, tuple(units.tolist()))

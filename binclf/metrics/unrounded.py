"""Sums of floats that have the same bits whoever added up what, in memory that does not grow with summands.

A float64 is a sum of a few digits to the base 2^32, each a whole number of 2^(32 k). Digits of one place are
added up as integers, which is exact in any order, and the total is rounded once, at the end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

BITS = 32  # of a digit: 2^31 vectors fit an int64
LOWEST = -30  # place of the last digit: what is left below 2^-960 is cut off
LARGEST = 2.0**960  # of what is added


class Unrounded:
    """Vectors of one width, added up."""

    def __init__(self, width: int) -> None:
        """Zeros, float64 [width]."""
        self.digits: dict[int, I64] = {}  # by place, int64 [width]
        self.beyond = np.zeros(width, dtype=np.bool_)  # a summand was not finite, or nearly so

    def add(self, values: F64) -> None:
        """Add a vector, float64 [width]."""
        beyond = ~(np.abs(values) <= LARGEST)
        self.beyond |= beyond
        rest = np.where(beyond, 0.0, values)
        place = (math.frexp(float(np.abs(rest).max(initial=0.0)))[1] - 1) // BITS
        while rest.any() and place >= LOWEST:
            unit = math.ldexp(1.0, BITS * place)
            digit = np.trunc(rest / unit)
            self._put(place, digit.astype(np.int64))
            rest -= digit * unit  # exact: what is below the digit
            place -= 1

    def merge(self, other: Unrounded) -> None:
        """Add what another has."""
        self.beyond |= other.beyond
        for place, digit in other.digits.items():
            self._put(place, digit)

    def pack(self) -> dict[str, npt.NDArray[np.generic]]:
        """For another rank, as arrays."""
        digits = np.array(list(self.digits.values()), dtype=np.int64).reshape(-1, len(self.beyond))
        return {
            "places": np.array(list(self.digits), dtype=np.int64),
            "digits": digits,
            "beyond": self.beyond,
        }

    def merge_packed(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Add what another rank packed."""
        self.beyond |= arrays["beyond"]
        for place, digit in zip(arrays["places"].tolist(), arrays["digits"], strict=True):
            self._put(place, digit)

    def total(self) -> F64:
        """The sum, float64 [width], rounded once; not a number where a summand was beyond 2^960."""
        wholes = [0] * len(self.beyond)
        for place, digit in self.digits.items():
            shift = BITS * (place - LOWEST)
            wholes = [whole + (own << shift) for whole, own in zip(wholes, digit.tolist(), strict=True)]
        unit = 1 << (-BITS * LOWEST)  # the division of integers rounds to the nearest float
        return np.where(self.beyond, np.nan, np.array([whole / unit for whole in wholes]))

    def _put(self, place: int, digit: I64) -> None:
        self.digits[place] = self.digits[place] + digit if place in self.digits else digit

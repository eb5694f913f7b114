"""How many levels of hashed columns share a weight with another, and how many bits would part them.

All hashed columns share the same buckets, each with a key of its own. Of D levels in m buckets a level is
alone with probability (1 - 1/m)^(D - 1). (Weinberger et al., "Feature Hashing for Large Scale Multitask
Learning", 2009, on why a few collisions do little harm.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from binclf.features.records import Features

MANY = 0.1  # of the levels share: beyond, more bits are advised
MOST_BITS = 26  # as features.hash_bits takes


@dataclass(frozen=True, slots=True)
class Collisions:
    """Of all hashed columns together."""

    levels: int  # distinct values, as far as they can be told: about
    bits: int

    @property
    def share(self) -> float:
        """Of the levels, those that are expected to share their bucket with another."""
        return shared(self.levels, self.bits)

    @property
    def advised_bits(self) -> int:
        """The fewest bits, not fewer than there are, with which at most `MANY` of the levels share."""
        enough = (bits for bits in range(self.bits, MOST_BITS) if shared(self.levels, bits) <= MANY)
        return next(enough, MOST_BITS)

    @property
    def words(self) -> str:
        """In a sentence."""
        told = (
            f"about {self.share:.0%} of the some {self.levels:,} levels of hashed columns share a weight "
            f"with another, in {2**self.bits:,} buckets"
        )
        if self.advised_bits == self.bits:
            return told
        left = shared(self.levels, self.advised_bits)
        return f"{told}: features.hash_bits = {self.advised_bits} would leave about {left:.0%}"


def shared(levels: int, bits: int) -> float:
    """The expected share of so many levels that are not alone in their one of 2^bits buckets."""
    return -math.expm1((levels - 1) * math.log1p(-(2.0**-bits))) if levels > 1 else 0.0


def collisions(features: Features) -> Collisions | None:
    """Of the hashed columns; None without any."""
    hashed = [column.distinct for column in features.categorical if column.is_hashed]
    return Collisions(sum(hashed), features.hash_bits) if hashed else None

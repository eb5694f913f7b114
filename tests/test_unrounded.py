"""Sums without rounding are what math.fsum says, in any order and by any hands, in a few digits."""

from __future__ import annotations

import math
import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from binclf.metrics.unrounded import Unrounded

# with all their bits above 2^-960
FLOATS = st.floats(-1e250, 1e250).filter(lambda value: value == 0 or abs(value) > 1e-250)
VECTORS = st.lists(st.tuples(FLOATS, FLOATS, FLOATS), min_size=1, max_size=12)


@given(VECTORS, st.randoms(use_true_random=False), st.integers(1, 4))
def test_sums_are_rounded_once_whoever_added_up_what(
    vectors: list[tuple[float, ...]], draw: random.Random, hands: int
) -> None:
    wanted = [math.fsum(own) for own in zip(*vectors, strict=True)]
    parts = [Unrounded(3) for _ in range(hands)]
    for vector in draw.sample(vectors, len(vectors)):
        draw.choice(parts).add(np.array(vector))
    total = parts.pop()
    for part in draw.sample(parts, len(parts)):
        total.merge(part)
    assert total.total().tolist() == wanted


def test_memory_does_not_grow_with_summands() -> None:
    values = np.random.default_rng(1).lognormal(0, 10, (5_000, 4))
    total = Unrounded(4)
    for vector in values:
        total.add(vector)
    assert len(total.digits) < 10
    assert total.total().tolist() == [math.fsum(column) for column in values.T]


def test_what_is_beyond_floats_is_no_number_and_spoils_nothing_else() -> None:
    total, other = Unrounded(4), Unrounded(4)
    total.add(np.array([1.0, math.inf, 0.5, 1e-300]))
    other.add(np.array([2.0, 1.0, math.nan, 2e300]))
    total.merge(other)
    assert np.isnan(total.total()).tolist() == [False, True, True, True]
    assert total.total()[0] == 3.0
    assert Unrounded(2).total().tolist() == [0.0, 0.0]

"""Sums of floats by integers: exact to the bound that is proven, in any order, over any ranks."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf.solvers import exact
from binclf.solvers.exact import MOST_BLOCKS, ExactSum
from tests.laws import examples
from tests.trained import Alone

ALONE: Any = Alone()


@examples(100)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(-700, 700), st.integers(0, 60))
def test_a_sum_is_right_to_the_proven_bound_and_the_same_in_any_order(
    seed: int, blocks: int, exponent: int, spread: int
) -> None:
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(blocks, 3)) * 2.0 ** (exponent - draw.integers(0, spread + 1, (blocks, 3)))
    bounds = np.abs(values).sum(axis=0)
    found = []
    for order in (np.arange(blocks), draw.permutation(blocks)):
        total = ExactSum(bounds, blocks)
        for value in values[order]:
            total.add(value, 1.0)
        found.append(total.total(ALONE))
    assert found[0].tobytes() == found[1].tobytes()
    for place, (own, bound) in enumerate(zip(values.T, bounds, strict=True)):
        true = sum(map(Fraction, own.tolist()))
        kept = Fraction(blocks * (blocks + 2) * 4 * bound) / 2**122
        rounded = Fraction(2 * abs(float(true))) * Fraction(float(np.finfo(float).eps))
        assert abs(Fraction(float(found[0][place])) - true) <= kept + rounded


@examples(50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 7))
def test_ranks_parts_add_up_to_the_same_bits(seed: int, ranks: int) -> None:
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(40, 5)) * 10.0 ** draw.integers(-9, 9, (40, 5))
    bounds = np.abs(values).sum(axis=0)
    whole = ExactSum(bounds, 40)
    parts = [ExactSum(bounds, 40) for _ in range(ranks)]
    for value, rank in zip(values, draw.integers(0, ranks, 40), strict=True):
        whole.add(value, 1.0)
        parts[rank].add(value, 1.0)

    class Ranks(Alone):
        def sum_integers(self, _: np.ndarray) -> np.ndarray:
            return np.stack([sum(p.high for p in parts), sum(p.low for p in parts)])

    other: Any = Ranks()
    assert parts[0].total(other).tobytes() == whole.total(ALONE).tobytes()


def test_nothing_overflows_with_as_many_blocks_as_there_may_be() -> None:
    """The largest integers that a block can add, MOST_BLOCKS times: as Python counts them."""
    for blocks in (1, 600, 10**6, MOST_BLOCKS):
        total = ExactSum(np.array([1.0]), blocks)
        share = 1.0 / blocks
        worst = np.nextafter(share, 0) if blocks > 1 else 1.0
        total.add(np.array([worst]), share)
        assert (int(abs(total.high[0, 0])) + 1) * blocks < 2**63
        assert (2 ** (total.bits - 1) + 1) * blocks < 2**63  # whatever is left of a unit
        assert int(abs(total.low[0, 0])) <= 2 ** (total.bits - 1)


@pytest.mark.parametrize("value", [1.1, -1.1, np.nan, np.inf])
def test_a_value_beyond_its_bound_is_an_error(value: float) -> None:
    with pytest.raises(OverflowError, match="element 1 of a block"):
        ExactSum(np.array([5.0, 1.0]), 3).add(np.array([5.0, value]), 1.0)


@pytest.mark.parametrize("bound", [np.inf, np.nan])
def test_a_bound_must_be_finite(bound: float) -> None:
    with pytest.raises(OverflowError, match="no finite bound"):
        ExactSum(np.array([1.0, bound]), 3)


def test_without_integers_the_order_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: floats, added as they come."""

    class Floats(ExactSum):
        def add(self, values: np.ndarray, share: float, part: int = 0) -> None:
            self.sum = getattr(self, "sum", 0.0) + values

        def total(self, _: Any) -> np.ndarray:
            return np.asarray(self.sum)

    monkeypatch.setattr(exact, "ExactSum", Floats)
    values = np.random.default_rng(0).normal(size=(50, 20))
    found = []
    for order in (values, values[::-1]):
        total = exact.ExactSum(np.full(20, 100.0), 50)
        for value in order:
            total.add(value, 1.0)
        found.append(total.total(ALONE))
    assert found[0].tobytes() != found[1].tobytes()

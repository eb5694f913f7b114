"""How many hashed levels share a bucket: against counting them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf import hashing
from binclf.features import Collisions, collisions, tell
from binclf.features.collisions import MANY, MOST_BITS, shared
from tests.laws import examples
from tests.optimum import made, simple


def counted(levels: int, bits: int, seed: int) -> float:
    """The share of levels that are not alone in their bucket, by hashing so many."""
    buckets = hashing.draws(seed, levels) >> np.uint64(64 - bits)
    filled = np.bincount(buckets.astype(np.int64), minlength=2**bits)
    return float((filled[filled > 1]).sum() / levels)


@examples(40)
@given(st.integers(1000, 200_000), st.integers(8, 20), st.integers(0, 2**32))
def test_the_expected_share_is_what_counting_finds(levels: int, bits: int, seed: int) -> None:
    expected, found = shared(levels, bits), counted(levels, bits, seed)
    # sharing comes in pairs and clusters: five deviations of twice a binomial's variance, and a level
    assert abs(found - expected) < 5 * np.sqrt(2 * expected * (1 - expected) / levels) + 2 / levels


@given(st.integers(0, 10**9), st.integers(4, MOST_BITS))
def test_no_fewer_bits_than_are_advised_would_do(levels: int, bits: int) -> None:
    found = Collisions(levels, bits)
    advised = found.advised_bits
    assert bits <= advised <= MOST_BITS
    assert advised == MOST_BITS or shared(levels, advised) <= MANY
    assert advised == bits or shared(levels, advised - 1) > MANY
    assert 0 <= found.share <= 1
    assert ("features.hash_bits" in found.words) == (advised > bits)


def test_one_level_or_none_shares_with_nobody() -> None:
    assert shared(0, 4) == shared(1, 4) == 0.0
    assert shared(2, 4) == pytest.approx(1 / 16)


@pytest.mark.parametrize(("bits", "is_warned"), [(6, True), (14, False)])
def test_learning_tells_columns_that_are_hashed_into_too_few_buckets(
    tmp_path: Path, bits: int, is_warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    random = np.random.default_rng(0)
    texts = {name: pa.array([f"{name}{k}" for k in random.integers(0, 100, 2000)]) for name in ("s", "t")}
    table = simple(texts, random.random(2000) < 0.5)
    _, features = made(tmp_path, table, max_levels=50, hash_bits=bits)
    caplog.clear()
    tell(features)
    found = collisions(features)
    assert found is not None
    assert found.levels == pytest.approx(200, rel=0.25)
    assert ("would leave about" in caplog.text) == is_warned
    _, unhashed = made(tmp_path / "all", table, max_levels=200)
    assert collisions(unhashed) is None

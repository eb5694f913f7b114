"""The keyed hash is the same for ever, on any machine, and as good as drawn."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf import hashing
from tests.laws import examples
from tests.plans import MASK, splitmix64

quick = examples(40)


def hash_bytes(text: bytes, seed: int) -> int:
    """What `hash_texts` promises in its docstring, one string and one word at a time."""
    state = splitmix64((len(text) ^ seed) & MASK)
    for place in range(0, len(text), 8):
        state = splitmix64(state ^ int.from_bytes(text[place : place + 8], "little"))
    return state


def hash_all(texts: list[bytes], seed: int) -> list[int]:
    data = np.frombuffer(b"".join(texts), dtype=np.uint8)
    offsets = np.cumsum([0, *map(len, texts)], dtype=np.int64)
    return [int(h) for h in hashing.hash_texts(data, offsets, seed)]


@quick
@given(st.lists(st.integers(0, MASK), max_size=20))
def test_mix_is_splitmix64(words: list[int]) -> None:
    assert [int(w) for w in hashing.mix(np.array(words, dtype=np.uint64))] == [splitmix64(w) for w in words]


def test_pinned_values_never_change() -> None:
    """They decide who is in which part of data that was split years ago."""
    assert hashing.key(42, "part-000.parquet") == 14310356804375704188
    assert [int(w) for w in hashing.draws(42, 3)] == [
        5592132763777985307,
        9129838320742759465,
        2139811525164838579,
    ]
    assert hashing.permutation(7, 8).tolist() == [0, 5, 1, 7, 4, 2, 3, 6]
    assert hash_all([b"", b"AA", b"a longer text"], 5) == [
        hash_bytes(t, 5) for t in (b"", b"AA", b"a longer text")
    ]


@quick
@given(st.lists(st.binary(max_size=40), max_size=12), st.integers(0, MASK))
def test_texts_are_hashed_as_documented(texts: list[bytes], seed: int) -> None:
    assert hash_all(texts, seed) == [hash_bytes(text, seed) for text in texts]


@quick
@given(st.lists(st.binary(max_size=20), max_size=12))
def test_a_text_has_its_hash_wherever_it_stands(texts: list[bytes]) -> None:
    together = hash_all(texts, 9)
    assert together == [hash_all([text], 9)[0] for text in texts]


@quick
@given(st.integers(0, 3), st.integers(0, 6), st.binary(max_size=9), st.integers(0, MASK))
def test_texts_of_one_width_are_hashed_as_any_others(
    words: int, count: int, before: bytes, seed: int
) -> None:
    random = np.random.default_rng(seed)
    texts = [random.bytes(8 * words) for _ in range(count)]
    data = np.frombuffer(before + b"".join(texts), dtype=np.uint8)  # not aligned to words, as in a slice
    offsets = len(before) + 8 * words * np.arange(count + 1)
    found = hashing.hash_texts(data, offsets, seed).tolist()
    assert found == [hash_bytes(text, seed) for text in texts]
    assert found == hash_all([*texts, b"another"], seed)[:-1]


def test_zero_bytes_at_the_end_count() -> None:
    assert len(set(hash_all([b"", b"\0", b"\0\0", b"a", b"a\0", b"\0" * 8, b"\0" * 9], 1))) == 7


def test_keys_depend_on_order_kind_and_each_part() -> None:
    parts: list[tuple[int | str, ...]] = [
        (1, "a"),
        ("a", 1),
        ("1", "a"),
        (1,),
        ("a",),
        (1, "a", 0),
        (2, "a"),
        (-1, "a"),
    ]
    assert len({hashing.key(*each) for each in parts}) == len(parts)


@quick
@given(st.integers(0, MASK), st.integers(0, 50), st.integers(0, 50))
def test_draws_are_a_stream_that_can_be_cut_anywhere(seed: int, first: int, count: int) -> None:
    whole = hashing.draws(seed, first + count)
    assert np.array_equal(hashing.draws(seed, count, first), whole[first:])


def test_draws_of_two_seeds_have_nothing_in_common() -> None:
    one, other = hashing.draws(1, 100_000), hashing.draws(2, 100_000)
    assert len(np.intersect1d(one, other)) == 0
    correlation = np.corrcoef(hashing.unit(one), hashing.unit(other))[0, 1]
    assert abs(correlation) < 5 / np.sqrt(100_000)


def test_unit_is_uniform_below_one() -> None:
    units = hashing.unit(hashing.draws(3, 100_000))
    counts = np.histogram(units, bins=100, range=(0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 160  # chi-square, 99 degrees of freedom: p < 1e-4
    ends = hashing.unit(np.array([0, MASK], dtype=np.uint64))
    assert ends[0] == 0.0
    assert ends[1] == np.nextafter(1.0, 0.0)


@quick
@given(st.integers(0, MASK), st.integers(0, 300))
def test_permutations_have_each_number_once(seed: int, count: int) -> None:
    order = hashing.permutation(seed, count)
    assert order.dtype == np.int64
    assert np.array_equal(np.sort(order), np.arange(count))


def test_all_permutations_of_three_are_as_likely() -> None:
    seen = Counter(tuple(hashing.permutation(seed, 3).tolist()) for seed in range(6000))
    assert len(seen) == 6
    assert all(abs(count - 1000) < 130 for count in seen.values())


def test_digest_is_blind_to_the_order_of_keys_and_to_nothing_else() -> None:
    assert hashing.digest({"a": 1, "b": [1, 2]}) == hashing.digest({"b": [1, 2], "a": 1})
    values: list[object] = [
        {"a": 1},
        {"a": 1.5},
        {"a": "1"},
        {"a": True},
        {"b": 1},
        [1, 2],
        [2, 1],
        [[1], 2],
        None,
    ]
    assert len({hashing.digest(value) for value in values}) == len(values)


def test_digest_refuses_what_json_cannot_hold() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        hashing.digest([float("nan")])

"""The way of L-BFGS is that of the matrix that its pairs make, with any number of threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf.solvers import pairs as pairs_room
from binclf.solvers.pairs import Pairs
from tests.laws import examples


def curved(seed: int, size: int) -> tuple[Any, np.random.Generator]:
    """A Hessian whose diagonal is about one, and what to draw from."""
    draw = np.random.default_rng(seed)
    root = draw.normal(size=(size, size)) / np.sqrt(size)
    return root @ root.T + 0.1 * np.eye(size), draw


def inverse_of(steps: list[Any], changes: list[Any], size: int) -> Any:
    """By the definition: rank-two updates of a multiple of the identity."""
    s, y = steps[-1], changes[-1]
    found = (s @ y) / (y @ y) * np.eye(size)
    for s, y in zip(steps, changes, strict=True):
        rest = np.eye(size) - np.outer(s, y) / (s @ y)
        found = rest @ found @ rest.T + np.outer(s, s) / (s @ y)
    return found


def as_held(vector: Any) -> Any:
    return vector.astype(np.float32).astype(np.float64)


@examples(60)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(1, 4), st.integers(1, 9), st.booleans())
def test_a_way_is_minus_the_inverse_times_the_gradient(
    seed: int, size: int, most: int, count: int, is_masked: bool
) -> None:
    hessian, draw = curved(seed, size)
    own = Pairs(most, size)
    steps: list[Any] = []
    changes: list[Any] = []
    free = draw.random(size) < 0.7 if is_masked else None
    for _ in range(count):
        step = draw.normal(size=size)
        own.add(step, hessian @ step)
        steps, changes = [*steps, as_held(step)], [*changes, as_held(hessian @ step)]
        gradient = draw.normal(size=size)
        way = own.way(gradient, free)
        found = own.along(way.shares, gradient)
    last = [(s, y) for s, y in zip(steps[-most:], changes[-most:], strict=True)]
    if free is not None:
        last = [(s * free, y * free) for s, y in last]
        last = [(s, y) for s, y in last if s @ y > 1e-12 * np.sqrt((s @ s) * (y @ y))]
        gradient, found = gradient * free, found * free
    wanted = -inverse_of([s for s, _ in last], [y for _, y in last], size) @ gradient if last else -gradient
    assert found == pytest.approx(wanted, rel=1e-7, abs=1e-8 * float(np.abs(wanted).max(initial=1.0)))
    assert way.square == pytest.approx(float(gradient @ gradient))
    if last:
        assert way.least == pytest.approx(min((s @ y) / (s @ s) for s, y in last))


def test_threads_and_chunks_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs_room, "CHUNK", 64)
    found = set()
    for count in (1, 2, 5):
        monkeypatch.setattr(pairs_room, "threads", lambda count=count: count)
        draw, own = np.random.default_rng(3), Pairs(3, 1000)
        for _ in range(5):
            step = draw.normal(size=1000)
            own.add(step, 2 * step + draw.normal(size=1000) / 9)
            gradient = draw.normal(size=1000)
            way = own.way(gradient, None)
        found.add(own.along(way.shares, gradient).tobytes())
    assert len(found) == 1


def test_what_a_checkpoint_has_goes_on_to_the_same_bits() -> None:
    draw, own = np.random.default_rng(5), Pairs(3, 50)
    assert Pairs.again(own.as_json(), own.arrays(), 50).held == 0
    for count in range(6):
        step = draw.normal(size=50)
        own.add(step, 2 * step + draw.normal(size=50) / 9)
        again = Pairs.again(own.as_json(), {n: a.copy() for n, a in own.arrays().items()}, 50)
        gradient = draw.normal(size=50)
        ways = [which.way(gradient, None).shares.tobytes() for which in (own, again)]
        assert ways[0] == ways[1], count


def test_a_pair_that_tells_nothing_is_left_out() -> None:
    own = Pairs(3, 4)
    own.add(np.array([1.0, 0, 0, 0]), np.array([0.0, 1, 0, 0]))
    gradient = np.array([1.0, 2, 3, 4])
    assert own.along(own.way(gradient, None).shares, gradient).tolist() == [-1, -2, -3, -4]
    own.clear()
    assert own.held == 0

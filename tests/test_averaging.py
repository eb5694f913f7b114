"""Gradients averaged through memory are the mean, the same bits on all ranks; gloo is there without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from binclf import artifact
from binclf.solvers.minibatch import fit
from binclf.world import group, join
from binclf.world.averaging import Averaging
from tests.ranks import run, small_job
from tests.test_invariance import problem_of

pytestmark = pytest.mark.slow


def averaged(dtype: str, rounds: int) -> list[bytes]:
    """The body of a rank: many rounds of arrays of many sizes; what came of each."""
    with join("cpu") as world:
        averaging = Averaging.of(world, 8 * 1000)
        assert averaging is not None
        found: list[bytes] = []
        for number in range(rounds):
            size = 1 + number % 999
            every = [
                np.random.default_rng([number, rank]).normal(size=size).astype(dtype)
                for rank in range(world.size)
            ]
            own = every[world.rank].copy()
            averaging.average(own)
            total = every[0] + every[1]
            for other in every[2:]:
                total = total + other
            assert np.array_equal(own, total / np.dtype(dtype).type(world.size))
            found.append(own.tobytes())
    return found


@pytest.mark.parametrize("size", [2, 3])
def test_is_the_mean_in_the_order_of_ranks_and_the_same_bits_on_all(size: int) -> None:
    for dtype in ("float32", "float64"):
        found = run(size, averaged, dtype=dtype, rounds=2000)
        assert all(each == found[0] for each in found)


def fitted(run_dir: Path, is_shared: bool) -> dict[str, Any]:
    """The body of a rank: a fit with shared memory or without."""
    if not is_shared:
        vars(group)["open_shared"] = lambda *_: None
    with join("cpu") as world:
        assert (world.shared(100) is not None) == is_shared
        task = problem_of(world, run_dir)
        return dict(fit(task, world, dtype=torch.float64).weights)


def test_without_shared_memory_gloo_finds_the_same_weights(tmp_path: Path) -> None:
    run_dir = artifact.begin(small_job(tmp_path, split={"method": "none"}))
    shared, sockets = (run(2, fitted, run_dir=run_dir, is_shared=each)[0] for each in (True, False))
    for name, weights in shared.items():
        np.testing.assert_allclose(sockets[name], weights, rtol=0, atol=1e-10)

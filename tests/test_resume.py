"""A run that is killed mid-epoch and taken up by other ranks is an undisturbed run; lost rows are noticed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from binclf import artifact
from binclf.config import Config, Train
from binclf.loader import HeldRows
from binclf.loader.held import HeldReader
from binclf.solvers import checkpoint, minibatch
from binclf.solvers.minibatch import fit
from binclf.solvers.problem import Problem
from binclf.world import World, join
from tests.ranks import run, small_job
from tests.test_invariance import problem_of
from tests.trained import on_disk, people, settings, stores, whole, write


class Killed(Exception):
    """The power went."""


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> HeldRows:
    folder = tmp_path_factory.mktemp("resume")
    write(folder / "data.parquet", people(700, 1), [300, 400])
    config = settings(folder / "data.parquet", folder / "store", split={"method": "none", "seed": 42})
    return stores(config)[2]["train"]


def problem(store: HeldRows, **train: Any) -> Problem:
    """The made problem, a checkpoint after each step."""
    assert store.encoder is not None
    rows = whole(store)
    options = {"lanes": 8, "window_rows": 16, "device": "cpu", "batch_rows": 64, "epochs": 3, **train}
    return Problem(
        train=store,
        validation=None,
        features=store.encoder.features,
        weight=float(rows.w.sum()),
        base_rate=float((rows.w * rows.y).sum() / rows.w.sum()),
        settings=Train(checkpoint_seconds=0, **options),
    )


def kill_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Die at a step of this process."""
    real, count = minibatch._Run._step, 0

    def step(self: Any, *arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count > steps:
            raise Killed
        return real(self, *arguments)

    monkeypatch.setattr(minibatch._Run, "_step", step)


@pytest.mark.parametrize("steps", [1, 7, 11, 22, 31])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_taken_up_at_any_step_has_the_bits_of_an_undisturbed_run(
    steps: int, optimizer: str, train: HeldRows, alone: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = problem(train, optimizer=optimizer)
    undisturbed = fit(task, alone)
    with monkeypatch.context() as patched:
        kill_after(patched, steps)
        with pytest.raises(Killed):
            fit(task, alone, checkpoints=tmp_path)
    found = checkpoint.newest(tmp_path)
    assert found is not None
    per_epoch = -(-train.source.rows // 64)
    assert (found.epoch, found.position) == (steps // per_epoch, steps % per_epoch * 64)
    resumed = fit(task, alone, checkpoints=tmp_path)
    for name, weights in undisturbed.weights.items():
        assert np.array_equal(resumed.weights[name], weights)
    assert resumed.record["rows"] == 3 * train.source.rows
    assert len(list(tmp_path.iterdir())) == checkpoint.KEPT


def test_goes_on_with_other_steps_and_sees_each_row_of_the_epoch_once(
    train: HeldRows, alone: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kills, batch_rows in enumerate((50, 333, 7, 64), start=1):
        with monkeypatch.context() as patched:
            kill_after(patched, 3 * kills)
            with pytest.raises(Killed):
                fit(problem(train, batch_rows=batch_rows, epochs=40), alone, checkpoints=tmp_path)
    record = fit(problem(train, batch_rows=100, epochs=40), alone, checkpoints=tmp_path).record
    assert (record["epochs"], record["rows"]) == (40, 40 * train.source.rows)  # asserted epoch by epoch


def test_a_damaged_newest_checkpoint_costs_a_step_and_nothing_else(
    train: HeldRows, alone: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = problem(train)
    undisturbed = fit(task, alone)
    with monkeypatch.context() as patched:
        kill_after(patched, 17)
        with pytest.raises(Killed):
            fit(task, alone, checkpoints=tmp_path)
    newest = max(tmp_path.iterdir())
    newest.write_bytes(newest.read_bytes()[:-3])
    resumed = fit(task, alone, checkpoints=tmp_path)
    assert all(np.array_equal(resumed.weights[n], w) for n, w in undisturbed.weights.items())


@pytest.mark.parametrize("damage", ["repeated", "another's", "lost"])
def test_a_row_that_is_lost_or_repeated_stops_the_run(
    damage: str, train: HeldRows, alone: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = HeldReader.read

    def read(self: HeldReader, first: int, end: int) -> Any:
        rows = self.order.rows(first, end)
        if damage == "repeated":
            rows[-1] = rows[0]
        elif damage == "another's":
            rows[0] = (rows[0] + 1) % self.store.source.rows
        else:
            rows = rows[:-1]
        return self.store.gather(rows), rows

    fit(problem(train), alone)
    monkeypatch.setattr(HeldReader, "read", read)
    with pytest.raises(AssertionError, match=r"rows (\(checksum .*\) )?of \d+: rows were lost or repeated"):
        fit(problem(train), alone)
    assert real is not read


def part_of_a_run(run_dir: Path, steps: int) -> dict[str, Any]:
    """The body of a rank: go on for so many steps (0: to the end), and die there."""
    with join("cpu") as world:
        task = problem_of(world, run_dir)
        task = replace(task, settings=task.settings.model_copy(update={"checkpoint_seconds": 0.0}))
        if steps:
            kill_after(pytest.MonkeyPatch(), steps)
        try:
            found = fit(task, world, checkpoints=run_dir / "checkpoints", dtype=torch.float64)
        except Killed:
            return {}
    return dict(found.weights)


@pytest.mark.slow
def test_killed_at_three_steps_and_taken_up_by_2_1_and_3_ranks_ends_with_the_same_weights(
    tmp_path: Path,
) -> None:
    def begun(name: str) -> tuple[Path, Config]:
        config = small_job(
            tmp_path / name, split={"method": "none"}, train={"epochs": 4, "batch_rows": 64, "patience": 0}
        )
        return on_disk(artifact.begin(config)), config

    expected = run(1, part_of_a_run, run_dir=begun("whole")[0], steps=0)[0]
    run_dir, _ = begun("killed")
    random = np.random.default_rng(11)
    for ranks in (3, 2, 1):
        assert run(ranks, part_of_a_run, run_dir=run_dir, steps=int(random.integers(5, 20)))[0] == {}
    found = run(3, part_of_a_run, run_dir=run_dir, steps=0)[0]
    assert set(found) == set(expected)
    for name, weights in expected.items():
        np.testing.assert_allclose(found[name], weights, rtol=0, atol=1e-10)

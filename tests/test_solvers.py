"""Minibatch comes near the optimum; a resumed run is an undisturbed one; damaged checkpoints are not used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression as Reference

from binclf import world
from binclf.config import Train
from binclf.errors import DataError
from binclf.loader import HeldRows
from binclf.model import LogisticRegression
from binclf.solvers import checkpoint, pace, schedule
from binclf.solvers.averaging import Average
from binclf.solvers.checkpoint import Checkpoint
from binclf.solvers.minibatch import fit
from binclf.solvers.problem import Problem, Solution
from binclf.solvers.state import optimizer_arrays, restore_optimizer, weights_of
from binclf.solvers.validation import mean_log_loss
from tests.laws import examples
from tests.trained import people, settings, stores, whole, write

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adam": {"optimizer": "adam"},
    "sgd": {"optimizer": "sgd"},
    "momentum": {"optimizer": "sgd", "momentum": 0.9},
    "adagrad": {"optimizer": "adagrad"},
    "adam, constant": {"optimizer": "adam", "learning_rate": 0.01},
    "momentum, constant": {"optimizer": "sgd", "momentum": 0.5, "learning_rate": 0.1},
    "adagrad, constant": {"optimizer": "adagrad", "learning_rate": 0.1},
}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, HeldRows]:
    folder = tmp_path_factory.mktemp("solvers")
    write(folder / "data.parquet", people(2000, 1), [900, 1100])
    return stores(settings(folder / "data.parquet", folder / "store"))[2]


def problem(parts: dict[str, HeldRows], *, validated: bool = True, **train: Any) -> Problem:
    """The made problem with these settings."""
    store = parts["train"]
    rows = whole(store)
    y, w = rows.y[:, 0].astype(float), rows.w[:, 0].astype(float)
    assert store.encoder is not None
    return Problem(
        train=store,
        features=store.encoder.features,
        validation=parts["validation"] if validated else None,
        weight=float(w.sum()),
        base_rate=float((w * y).sum() / w.sum()),
        settings=Train(**{"lanes": 8, "device": "cpu", **train}),
    )


def dense(store: HeldRows, table_size: int) -> np.ndarray:
    """Numbers beside one-hot columns."""
    rows = whole(store)
    return np.hstack([rows.x.astype(float), np.eye(table_size)[rows.ids].sum(axis=1)])


def mean_loss(weights: dict[str, np.ndarray], store: HeldRows) -> float:
    rows = whole(store)
    z = rows.x.astype(float) @ weights["weight"] + weights["bias"]
    z = z + weights["table"][rows.ids].sum(axis=1)
    y, w = rows.y[:, 0].astype(float), rows.w[:, 0].astype(float)
    return float((w * (np.logaddexp(0, z) - y * z)).sum() / w.sum())


@pytest.mark.parametrize("name", ["adam", "sgd", "momentum", "adagrad"])
def test_comes_near_the_optimum_of_scikit_learn(
    name: str, parts: dict[str, HeldRows], alone: world.World
) -> None:
    l2 = 1e-2
    task = problem(parts, validated=False, epochs=30, l2=l2, batch_rows=100, **OPTIMIZERS[name])
    solution = fit(task, alone)
    store = whole(parts["train"])
    design, w = dense(parts["train"], len(solution.weights["table"])), store.w[:, 0].astype(float)
    reference = Reference(C=1 / (l2 * w.sum()), tol=1e-10, max_iter=1000)
    reference.fit(design, store.y[:, 0], sample_weight=w)

    def objective(coefficients: np.ndarray, intercept: float) -> float:
        z = design @ coefficients + intercept
        loss = (w * (np.logaddexp(0, z) - store.y[:, 0] * z)).sum() / w.sum()
        return float(loss + l2 / 2 * (coefficients**2).sum())

    best = objective(reference.coef_[0], float(reference.intercept_[0]))
    ours = np.concatenate([solution.weights["weight"], solution.weights["table"]])
    found = objective(ours, float(solution.weights["bias"][0]))
    assert best - 1e-6 <= found <= best + 2e-4
    np.testing.assert_allclose(ours, reference.coef_[0], atol=0.05)


def test_the_record_counts_every_row_and_step(parts: dict[str, HeldRows], alone: world.World) -> None:
    task = problem(parts, validated=False, epochs=3, batch_rows=100, patience=3)
    record = fit(task, alone).record
    assert record["steps_per_epoch"] == -(-task.train.source.rows // 100)
    assert (record["epochs"], record["rows"]) == (3, 3 * task.train.source.rows)
    assert record["steps"] == 3 * record["steps_per_epoch"]
    assert [entry["epoch"] for entry in record["history"]] == [1, 2, 3]


def test_the_first_step_starts_from_the_base_rate(parts: dict[str, HeldRows], alone: world.World) -> None:
    task = problem(parts, epochs=1, batch_rows=2**20, optimizer="sgd", learning_rate=1e-9)
    rate = task.base_rate
    entropy = -rate * np.log(rate) - (1 - rate) * np.log(1 - rate)
    assert fit(task, alone).record["history"][0]["train_loss"] == pytest.approx(entropy, rel=1e-6)


def test_one_step_of_sgd_is_the_gradient_of_the_mean(parts: dict[str, HeldRows], alone: world.World) -> None:
    task = problem(parts, validated=False, epochs=1, batch_rows=2**20, optimizer="sgd",
                   learning_rate=0.5, l2=0.1)  # fmt: skip
    found = fit(task, alone, dtype=torch.float64).weights
    store = whole(parts["train"])
    w = store.w[:, 0].astype(float)
    error = w * (task.base_rate - store.y[:, 0].astype(float)) / w.sum()
    np.testing.assert_allclose(found["weight"], -0.5 * (error @ store.x.astype(float)), atol=1e-12)
    table = np.zeros(len(found["table"]))
    for place in range(store.ids.shape[1]):
        np.add.at(table, store.ids[:, place], -0.5 * error)
    np.testing.assert_allclose(found["table"], table, atol=1e-12)


class Stopped(Exception):
    """The power went."""

    def __init__(self) -> None:
        super().__init__("the power went")


def stopped_after(epochs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Crash right after the checkpoint of that epoch."""
    real = checkpoint.write

    def write_and_stop(folder: Path, state: Checkpoint) -> None:
        real(folder, state)
        if (state.epoch, state.position) == (epochs, 0):
            raise Stopped

    monkeypatch.setattr(checkpoint, "write", write_and_stop)
    monkeypatch.setattr(pace, "YOUNG_SECONDS", 0.0)


def told(solution: Solution) -> dict[str, Any]:
    """The record without clocks."""
    history = [{k: v for k, v in entry.items() if k != "seconds"} for entry in solution.record["history"]]
    return {**solution.record, "history": history}


@pytest.mark.parametrize("epoch", [1, 4])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_resumed_after_any_epoch_has_the_bits_of_an_undisturbed_run(
    name: str,
    epoch: int,
    parts: dict[str, HeldRows],
    alone: world.World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = problem(parts, epochs=5, batch_rows=200, patience=2, **OPTIMIZERS[name])
    undisturbed = fit(task, alone, checkpoints=tmp_path / "whole")
    with monkeypatch.context() as patched:
        stopped_after(epoch, patched)
        with pytest.raises(Stopped, match="the power went"):
            fit(task, alone, checkpoints=tmp_path / "stopped")
    resumed = fit(task, alone, checkpoints=tmp_path / "stopped")
    assert told(resumed) == told(undisturbed)
    assert resumed.weights.keys() == undisturbed.weights.keys()
    for array, expected in undisturbed.weights.items():
        assert np.array_equal(resumed.weights[array], expected)


def test_a_finished_fit_that_is_resumed_changes_nothing(
    parts: dict[str, HeldRows], alone: world.World, tmp_path: Path
) -> None:
    task = problem(parts, epochs=30, batch_rows=100, patience=1, optimizer="adam", learning_rate=0.5)
    first = fit(task, alone, checkpoints=tmp_path)
    assert first.record["epochs"] < 30  # stopped early
    again = fit(task, alone, checkpoints=tmp_path)
    assert told(again) == told(first)
    assert all(np.array_equal(again.weights[name], first.weights[name]) for name in first.weights)


def test_checkpoints_do_not_change_the_fit(
    parts: dict[str, HeldRows], alone: world.World, tmp_path: Path
) -> None:
    task = problem(parts, epochs=3)
    without, beside = fit(task, alone), fit(task, alone, checkpoints=tmp_path)
    assert told(without) == told(beside)
    assert all(np.array_equal(without.weights[name], beside.weights[name]) for name in without.weights)
    assert 1 <= len(list(tmp_path.iterdir())) <= checkpoint.KEPT


def test_early_stop_keeps_the_weights_of_the_best_epoch(
    parts: dict[str, HeldRows], alone: world.World
) -> None:
    task = problem(parts, epochs=40, batch_rows=50, patience=3, optimizer="adam", learning_rate=0.3)
    solution = fit(task, alone)
    losses = [entry["validation_loss"] for entry in solution.record["history"]]
    best = int(np.argmin(losses)) + 1
    assert len(losses) < 40
    assert solution.record["best_epoch"] == best == len(losses) - 3
    assert mean_loss(solution.weights, parts["validation"]) == pytest.approx(min(losses), rel=1e-6)


def test_own_schedule_asks_validation_only_in_the_last_quarter(
    parts: dict[str, HeldRows], alone: world.World
) -> None:
    record = fit(problem(parts, epochs=8, patience=1), alone).record
    assert record["best_epoch"] >= 6
    assert record["epochs"] >= 6


def test_steps_too_long_are_told_as_such(parts: dict[str, HeldRows], alone: world.World) -> None:
    store = parts["train"]
    kept = store.numbers.copy()
    store.numbers *= np.float32(1e30)
    try:
        task = problem(parts, epochs=5, optimizer="sgd", learning_rate=1000.0)
        with pytest.raises(DataError, match=r"stopped being a number in epoch \d.*train.learning_rate"):
            fit(task, alone)
    finally:
        store.numbers[:] = kept


@pytest.mark.parametrize("validated", [True, False])
def test_weights_lost_in_the_last_step_of_all_are_told_as_such(
    validated: bool, parts: dict[str, HeldRows], alone: world.World, tmp_path: Path
) -> None:
    store = parts["train"]
    kept = store.numbers.copy()
    store.numbers *= np.float32(1e37)
    try:
        task = problem(parts, validated=validated, epochs=1, batch_rows=2**20, optimizer="sgd",
                       learning_rate=1000.0)  # fmt: skip
        with pytest.raises(DataError, match=r"stopped being a number in epoch 1.*train.learning_rate"):
            fit(task, alone, checkpoints=tmp_path)
    finally:
        store.numbers[:] = kept


def test_validation_loss_is_the_weighted_mean(parts: dict[str, HeldRows], alone: world.World) -> None:
    model = LogisticRegression(whole(parts["train"]).x.shape[1], 30, torch.float64)
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.copy_(torch.linspace(-1, 1, len(tensor)))
    expected = mean_loss(weights_of(model), parts["validation"])
    assert mean_log_loss(model, parts["validation"], alone) == pytest.approx(expected, rel=1e-12)


@examples(50)
@given(st.integers(1, 10**11))
def test_a_step_has_between_16_and_8192_rows_and_never_fewer_for_more(rows: int) -> None:
    assert 16 <= schedule.batch_rows(rows) <= schedule.batch_rows(2 * rows) <= 8192


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "adagrad"])
def test_own_rate_warms_up_from_nothing_and_decays_to_nothing(optimizer: Any) -> None:
    rate = schedule.rate_of(Train(optimizer=optimizer))
    rates = [rate(i / 1000) for i in range(1000)]
    top = int(np.argmax(rates))
    assert rates[0] == 0.0
    assert top == 20
    assert (np.diff(rates[: top + 1]) > 0).all()
    assert (np.diff(rates[top:]) < 0).all()
    assert 0 <= rates[-1] < 0.002 * rates[top]


def test_a_rate_of_the_users_own_is_constant_and_neither_averaged_nor_judged_late() -> None:
    own = Train(learning_rate=0.25, optimizer="sgd", epochs=20)
    assert {schedule.rate_of(own)(i / 10) for i in range(10)} == {0.25}
    assert not schedule.is_averaged(own)
    assert schedule.longest_gradient(own) == float("inf")
    assert schedule.first_judged_epoch(own) == 1
    assert schedule.first_judged_epoch(Train(epochs=20)) == 15
    assert schedule.first_judged_epoch(Train(epochs=1)) == 1


def test_is_the_weighted_mean_of_the_iterates() -> None:
    model = LogisticRegression(1, 0, torch.float64)
    average = Average(model, is_on=True)
    values = [3.0, -1.0, 4.0, 1.0, -5.0]
    weights = np.zeros(0)
    for step, value in enumerate(values, start=1):
        share = (schedule.GAMMA + 1) / (step + schedule.GAMMA)
        weights = np.append(weights * (1 - share), share)
        with torch.no_grad():
            model.bias.fill_(value)
        average.add()
    assert weights.sum() == pytest.approx(1)
    assert float(average.model.bias.detach()) == pytest.approx(float(weights @ values), rel=1e-12)


def test_switched_off_is_the_model_itself() -> None:
    model = LogisticRegression(1, 0)
    average = Average(model, is_on=False)
    average.add()
    assert average.model is model
    assert average.arrays() == {}


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.Adagrad])
def test_an_optimiser_restored_takes_the_same_next_step(kind: Any) -> None:
    def after(steps: int, model: LogisticRegression, optimizer: Any) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            torch.autograd.backward((model(torch.ones(4, 2), torch.zeros(4, 0).int()) - 1).square().sum())
            optimizer.step()

    options = {"momentum": 0.9} if kind is torch.optim.SGD else {}
    one, other = LogisticRegression(2, 0), LogisticRegression(2, 0)
    first, second = (kind(model.parameters(), lr=0.1, **options) for model in (one, other))
    after(3, one, first)
    other.load_state_dict(one.state_dict())
    kept = {name: np.atleast_1d(array).copy() for name, array in optimizer_arrays(first).items()}
    restore_optimizer(second, {name: torch.from_numpy(array) for name, array in kept.items()})
    after(2, one, first)
    after(2, other, second)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))

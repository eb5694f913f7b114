"""Law 3: the answer does not depend on how many ranks worked it out."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from binclf import artifact
from binclf.epoch import checksum, checksum_of_all
from binclf.loader import Source
from binclf.loader.order import RowOrder
from binclf.loader.steps import StepDataset
from binclf.loader.tier import Room, attach, choose, open_stores
from binclf.model import LogisticRegression, log_loss_sum
from binclf.solvers import minibatch
from binclf.solvers.problem import Problem
from binclf.solvers.validation import mean_log_loss
from binclf.train import job_of, learn_features
from binclf.world import World, join
from tests.ranks import run, small_job
from tests.trained import decoding, on_disk

pytestmark = pytest.mark.slow

ROWS = 1031
WORLDS = (1, 2, 3)


def problem_of(world: World, run_dir: Path) -> Problem:
    config, split = artifact.read_config(run_dir), artifact.read_split(run_dir)
    how = decoding(config, split)
    sources = {part: Source(files, how) for part, files in split.parts.items() if part != "test"}
    job = job_of(config, sources, world, Room.found(config).agreed(world))
    stores = open_stores(job, choose(job), sources, world)
    features = learn_features(world, config, how, split, stores["train"])
    attach(stores, features, world)
    return Problem(
        train=stores["train"],
        features=features,
        validation=stores.get("validation"),
        weight=split.weight("train"),
        base_rate=split.base_rate("train"),
        settings=config.train,
    )


def fitted(run_dir: Path, dtype: str, mean_of_means: bool) -> dict[str, Any]:
    """The body of a rank: learn and fit, and tell of every row that it saw."""
    seen: list[tuple[int, list[int]]] = []
    batches_of = StepDataset.__getitems__

    def watched(self: StepDataset, steps: Any) -> Any:
        batches = batches_of(self, steps)
        assert self._plan is not None
        for epoch, first, end in steps:
            rows = RowOrder(self._plan, self.rank, self.ranks).rows(first, end)
            seen.append((epoch * self._plan.rows + first, rows.tolist()))
        return batches

    StepDataset.__getitems__ = watched  # type: ignore[method-assign]
    if mean_of_means:
        minibatch._Run._step = functools.partialmethod(  # type: ignore[assignment]
            step_of_means, exact=minibatch._Run._step
        )
    with join("cpu") as world:
        problem = problem_of(world, run_dir)
        solution = minibatch.fit(problem, world, dtype=getattr(torch, dtype))
    return {
        "features": json.dumps(problem.features.as_json()),
        "weights": np.concatenate([solution.weights[name] for name in sorted(solution.weights)]),
        "record": dict(solution.record),
        "seen": seen,
    }


def step_of_means(self: Any, batch: Any, epoch: int, position: int, *, exact: Any) -> Any:
    """The usual loss: the mean over this rank's rows, which DDP then averages over ranks."""
    own = max(float(batch.w.sum()), 1e-9)
    share = batch.step_rows * (self.problem.weight / self.rows) / self.world.size / own
    vars(minibatch)["log_loss_sum"] = lambda *columns: log_loss_sum(*columns) * share
    return exact(self, batch, epoch, position)


def on_each_world(run_dir: Path, dtype: str, *, mean_of_means: bool = False) -> list[list[dict[str, Any]]]:
    arguments: dict[str, Any] = {"run_dir": run_dir, "dtype": dtype, "mean_of_means": mean_of_means}
    return [run(world, fitted, **arguments) for world in WORLDS]


def difference(ranks: list[dict[str, Any]], alone: list[dict[str, Any]]) -> float:
    return max(float(np.abs(rank["weights"] - alone[0]["weights"]).max()) for rank in ranks)


# batch_rows 3 with 5 lanes: of 3 ranks, the last has no row in two steps of five
ORDERS: dict[str, dict[str, Any]] = {
    "a rank that runs dry": {"batch_rows": 3, "epochs": 1},
    "nothing divides": {"batch_rows": 64, "epochs": 3, "optimizer": "sgd", "momentum": 0.9},
    "in the order of the files": {"batch_rows": 37, "shuffle": False, "window_rows": 16384},
    "a constant step": {"batch_rows": 100, "learning_rate": 0.05, "optimizer": "adagrad", "l2": 0.01},
}


@pytest.fixture(scope="module", params=list(ORDERS))
def worlds(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("job")
    config = small_job(folder, split={"method": "none"}, train=ORDERS[request.param])
    found = on_each_world(on_disk(artifact.begin(config)), "float64")
    if request.param == "a rank that runs dry":
        assert max(sum(not rows for _, rows in rank["seen"]) for rank in found[2]) > 100
    return found


def test_each_row_comes_once_an_epoch_on_any_number_of_ranks(worlds: list[list[dict[str, Any]]]) -> None:
    for ranks in worlds:
        epochs: dict[int, list[int]] = {}
        for rank in ranks:
            for first, rows in rank["seen"]:
                epochs.setdefault(first // ROWS, []).extend(rows)
        assert len(epochs) == ranks[0]["record"]["epochs"]
        for rows in epochs.values():
            assert sorted(rows) == list(range(ROWS))


def test_each_step_has_the_same_rows_on_any_number_of_ranks(worlds: list[list[dict[str, Any]]]) -> None:
    alone = {first: sorted(rows) for first, rows in worlds[0][0]["seen"]}
    for ranks in worlds[1:]:
        steps: dict[int, list[int]] = {}
        for rank in ranks:
            assert [first for first, _ in rank["seen"]] == list(alone)
            for first, rows in rank["seen"]:
                steps.setdefault(first, []).extend(rows)
        assert {first: sorted(rows) for first, rows in steps.items()} == alone
        assert all(any(rows for _, rows in rank["seen"]) for rank in ranks)


def test_features_have_the_same_bits_on_any_number_of_ranks(worlds: list[list[dict[str, Any]]]) -> None:
    texts = {rank["features"] for ranks in worlds for rank in ranks}
    assert len(texts) == 1
    found = json.loads(texts.pop())
    assert found["rows"] == ROWS
    assert [column["name"] for column in found["numeric"]] == ["a", "b"]


def test_weights_in_float64_agree_to_1e_10_on_any_number_of_ranks(worlds: list[list[dict[str, Any]]]) -> None:
    assert np.abs(worlds[0][0]["weights"]).max() > 0.1
    assert [difference(ranks, worlds[0]) for ranks in worlds] == pytest.approx([0, 0, 0], abs=1e-10)


def test_all_ranks_of_a_world_have_the_same_bits(worlds: list[list[dict[str, Any]]]) -> None:
    for ranks in worlds:
        assert len({rank["weights"].tobytes() for rank in ranks}) == 1
        losses = [[entry["train_loss"] for entry in rank["record"]["history"]] for rank in ranks]
        assert all(each == losses[0] for each in losses)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_weights_in_float32_agree_to_1e_5_on_any_number_of_ranks(tmp_path: Path, optimizer: str) -> None:
    config = small_job(tmp_path, split={"method": "none"}, train={"optimizer": optimizer, "epochs": 8})
    worlds = on_each_world(on_disk(artifact.begin(config)), "float32")
    assert [difference(ranks, worlds[0]) for ranks in worlds] == pytest.approx([0, 0, 0], abs=1e-5)


def test_the_usual_mean_of_local_means_does_depend_on_the_ranks(tmp_path: Path) -> None:
    """The negative control: what the comparison would say of the loss that everybody writes."""
    config = small_job(tmp_path, split={"method": "none"}, train={"batch_rows": 16})
    worlds = on_each_world(on_disk(artifact.begin(config)), "float64", mean_of_means=True)
    assert difference(worlds[1], worlds[0]) > 1e-3
    assert difference(worlds[2], worlds[0]) > 1e-3


def judged(run_dir: Path, seed: int) -> tuple[str, float]:
    """The body of a rank: the validation loss of weights that are given."""
    with join("cpu") as world:
        problem = problem_of(world, run_dir)
        assert problem.validation is not None
        features = problem.features
        model = LogisticRegression(features.width, features.table_size)
        torch.manual_seed(seed)
        for weights in model.parameters():
            torch.nn.init.normal_(weights)
        loss = mean_log_loss(model, problem.validation, world)
    return loss.hex(), loss


def test_validation_loss_has_the_same_bits_on_any_number_of_ranks(tmp_path: Path) -> None:
    config = small_job(tmp_path, split={"test_fraction": 0.1, "validation_fraction": 0.4})
    run_dir = artifact.begin(config)
    found = [told for world in WORLDS for told in run(world, judged, run_dir=run_dir, seed=5)]
    assert len({bits for bits, _ in found}) == 1
    assert 0.1 < found[0][1] < 10


def test_validation_loss_has_the_same_bits_where_row_groups_are_large(tmp_path: Path) -> None:
    """One rank computes with all cores, each of two with half of them: threads cut large sums elsewhere."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(8)
    data = tmp_path / "large"
    data.mkdir()
    for number, rows in enumerate((150_001, 90_001)):
        columns: dict[str, npt.NDArray[Any]] = {f"x{i}": random.normal(size=rows) for i in range(3)}
        columns["late"] = random.random(rows) < 0.3
        pq.write_table(pa.table(columns), data / f"{number}.parquet")
    config = small_job(
        tmp_path,
        data={"path": str(data), "weight": "", "ids": []},
        split={"test_fraction": 0.001, "validation_fraction": 0.499},
    )
    run_dir = artifact.begin(config)
    found = {bits for world in WORLDS for bits, _ in run(world, judged, run_dir=run_dir, seed=6)}
    assert len(found) == 1


def test_checksum_of_rows_tells_a_lost_a_repeated_and_a_swapped_row() -> None:
    whole = np.arange(ROWS)
    for wrong in (whole[1:], np.append(whole, 5), np.append(whole[1:], 1)):
        assert checksum(wrong.astype(np.int64)) != checksum_of_all(ROWS)

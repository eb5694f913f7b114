"""Whole runs of L-BFGS: one model however it is run, killed or not, and what a run tells."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from binclf.config import Config, Train, parse
from binclf.errors import DataError
from binclf.retrain import retrain
from binclf.solvers import checkpoint, cuts, lbfgs, slopes
from binclf.split import ensure
from binclf.world import join
from tests.optimum import ALONE, Floats, digest, problem_of, problem_on, streamed
from tests.ranks import run, small_job
from tests.trained import on_disk, people, settings, write

HASHED: dict[str, Any] = {"max_levels": 2, "hash_bits": 8}


@pytest.mark.usefixtures("many_blocks")
@pytest.mark.parametrize("l1", [0.0, 1e-3])
def test_tiers_and_threads_have_the_same_bits(known: Any, l1: float, monkeypatch: pytest.MonkeyPatch) -> None:
    store, features, rows = known
    found = {digest(lbfgs.fit(problem_of(store, features, rows, l1=l1), ALONE))}
    found.add(digest(lbfgs.fit(problem_of(streamed(store, features), features, rows, l1=l1), ALONE)))
    for count in (1, 3):
        monkeypatch.setattr(slopes, "threads", lambda count=count: count)
        found.add(digest(lbfgs.fit(problem_of(store, features, rows, l1=l1), ALONE)))
    assert len(found) == 1


def on_a_rank(config: Config, exact: bool) -> str:
    """Body: fit on this rank's share; the digest of the weights."""
    cuts.LEAST_ROWS = 20
    if not exact:
        slopes.ExactSum = Floats  # type: ignore[attr-defined]
    with join("cpu") as world:
        return digest(lbfgs.fit(problem_on(world, config), world))


@pytest.mark.slow
@pytest.mark.parametrize("l1", [0.0, 1e-3])
def test_any_number_of_ranks_has_the_same_bits_and_a_float_all_reduce_has_not(
    tmp_path: Path, l1: float
) -> None:
    config = small_job(tmp_path, features=HASHED)
    config = config.model_copy(update={"train": Train(solver="lbfgs", lanes=8, device="cpu", l1=l1)})
    ensure(config)
    found = [run(ranks, on_a_rank, config=config, exact=True) for ranks in (1, 2, 3)]
    assert len({one for ranks in found for one in ranks}) == 1
    if not l1:
        floats = [run(ranks, on_a_rank, config=config, exact=False)[0] for ranks in (1, 2, 3)]
        assert len(set(floats)) > 1


@pytest.mark.slow
@pytest.mark.usefixtures("many_blocks")
@pytest.mark.parametrize("l1", [0.0, 1e-3])
def test_a_run_that_was_killed_goes_on_to_the_same_bits(
    known: Any, tmp_path: Path, l1: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first step, in the middle, and at the end."""
    monkeypatch.setattr(checkpoint, "KEPT", 1000)
    store, features, rows = known
    task = problem_of(store, features, rows, l1=l1, checkpoint_seconds=0.0)
    whole_run = lbfgs.fit(task, ALONE, checkpoints=tmp_path)
    kept = sorted(tmp_path.glob("*.safetensors"))
    assert len(kept) == len(whole_run.record["history"]) > 8
    for place in (len(kept) - 1, len(kept) // 2, 3, 1, 0):
        for path in kept[place + 1 :]:
            path.unlink(missing_ok=True)
        again = lbfgs.fit(
            task, ALONE, pairs=4, checkpoints=tmp_path
        )  # those of the run it goes on with count
        assert digest(again) == digest(whole_run)
        assert again.record == whole_run.record


def test_checkpoints_are_as_far_apart_as_the_settings_say(known: Any, tmp_path: Path) -> None:
    store, features, rows = known
    lbfgs.fit(problem_of(store, features, rows), ALONE, checkpoints=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_ranks_and_tiers_leave_no_trace_in_the_model(tmp_path: Path) -> None:
    found: list[bytes] = []
    ways: list[dict[str, Any]] = [{"ranks": 1}, {"ranks": 1, "cache": "disk"}, {"ranks": 2, "cache": "none"}]
    for place, train in enumerate(ways):
        made = small_job(tmp_path / str(place), features=HASHED).model_dump()
        exact = {"solver": "lbfgs", "device": "cpu", "lanes": 8, "l1": 1e-4}
        run_dir = on_disk(retrain(parse(made | {"train": exact | train})))
        found.append((run_dir / "model.safetensors").read_bytes())
        assert json.loads((run_dir / "model.json").read_text())["training"]["certificate"]["gap"] < 1e-3
    assert len(set(found)) == 1


def test_a_run_tells_how_far_it_is_and_what_it_read(
    people_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of many weights by its own bound."""
    caplog.set_level(logging.INFO)
    run_dir = on_disk(
        retrain(
            settings(people_dir, tmp_path, train={"epochs": 20}, features={"max_levels": 2, "hash_bits": 12})
        )
    )
    assert "solver: lbfgs, as a Hessian of 4,1" in caplog.text
    record, receipt = (json.loads((run_dir / name).read_text()) for name in ("model.json", "receipts.json"))
    training = record["training"]
    assert training["solver"] == "lbfgs"
    assert receipt["actual"]["passes"] == training["passes"]
    assert receipt["train"]["rows_seen"] == training["passes"] * receipt["train"]["rows"]
    told = training["certificate"]
    assert told["gap"] < 1e-4
    assert told["is_proven"]
    report = (run_dir / "report.html").read_text()
    assert f"lbfgs, {training['passes']} passes" in report
    assert f"Proven: within {told['gap']:.1e} of the least objective" in report
    assert "which newton alone works out, and this model was fitted by lbfgs." in report
    assert record["influence"] == record["inference"] == {}
    assert not (run_dir / "covariance.safetensors").exists()


def test_few_weights_have_the_certificate_of_newton_s_method(people_dir: Path, tmp_path: Path) -> None:
    made = settings(people_dir, tmp_path, train={"epochs": 20, "solver": "lbfgs"})
    training = json.loads((on_disk(retrain(made)) / "model.json").read_text())["training"]
    assert training["certificate"]["is_proven"]
    assert training["certificate"]["errors"] < 2e-3


def test_one_class_only_is_told(tmp_path: Path) -> None:
    table = people(300, 1).drop_columns(["bought"]).append_column("bought", pa.array([True] * 300))
    config = {
        "name": "one", "store": str(tmp_path / "runs"), "split": {"method": "none"},
        "data": {"path": str(write(tmp_path / "data.parquet", table)), "label": "bought"},
        "train": {"solver": "lbfgs", "device": "cpu", "lanes": 8}, "registry": {"uri": "off"},
    }  # fmt: skip
    with pytest.raises(DataError, match="bought"):
        retrain(parse(config))


@pytest.mark.slow
def test_balanced_classes_are_weighed_here_too(people_dir: Path, tmp_path: Path) -> None:
    weights = []
    for solver in ("newton", "lbfgs"):
        train = {"epochs": 20, "solver": solver, "class_weight": "balanced"}
        run_dir = on_disk(retrain(settings(people_dir, tmp_path / solver, train=train)))
        weights.append(json.loads((run_dir / "model.json").read_text())["numeric"]["age"]["per_unit"])
    assert weights[0] == pytest.approx(weights[1], rel=1e-2)
    assert np.isfinite(weights).all()

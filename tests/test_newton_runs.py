"""Whole runs with the exact solver: the six points, one model however it is run, and what a run tells."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import binclf
from binclf.config import parse
from binclf.errors import ConfigError, DataError
from binclf.report.numbers import signed
from binclf.retrain import retrain
from tests.ranks import small_job
from tests.trained import on_disk, people, settings, write

NEWTON: dict[str, Any] = {"solver": "newton", "device": "cpu", "lanes": 8}


def test_the_six_points_have_the_maximum_likelihood_answer(tmp_path: Path) -> None:
    x = np.arange(1.0, 7.0)
    points = pa.table({"a": x, "b": x + 1, "y": pa.array([0, 0, 1, 1, 1, 0], pa.int8())})
    pq.write_table(points, tmp_path / "six.parquet")
    for l2 in (0.0, 1e-9):
        config = {
            "name": "six", "store": str(tmp_path / "runs"), "split": {"method": "none"},
            "data": {"path": str(tmp_path / "six.parquet"), "label": "y"},
            "features": {"standardise": False}, "train": NEWTON | {"l2": l2, "ranks": 1},
            "registry": {"uri": "off"},
        }  # fmt: skip
        run = on_disk(retrain(parse(config)))
        found = binclf.load(str(run)).predict_proba(points)
        wanted = [0.288372, 0.367727, 0.454957, 0.545043, 0.632273, 0.711628]
        assert np.abs(found - wanted).max() < 5e-7
        metrics = json.loads((run / "metrics.json").read_text())
        assert metrics["train"]["log_loss"] == pytest.approx(0.649169, abs=5e-7)


def ran(folder: Path, **train: Any) -> Path:
    """A run over the small job, with its own store."""
    config = small_job(folder)
    changed = config.model_dump() | {"train": NEWTON | train}
    return on_disk(retrain(parse(changed)))


@pytest.mark.slow
def test_ranks_and_tiers_leave_no_trace_in_the_model(tmp_path: Path) -> None:
    found: list[bytes] = []
    ways: list[dict[str, Any]] = [{"ranks": 1}, {"ranks": 1, "cache": "disk"}, {"ranks": 2, "cache": "none"}]
    for place, train in enumerate(ways):
        run = ran(tmp_path / str(place), **train)
        found.append((run / "model.safetensors").read_bytes())
        record = json.loads((run / "model.json").read_text())
        assert record["training"]["certificate"]["is_proven"]
        assert record["training"]["ranks"] == train["ranks"]
    assert len(set(found)) == 1


def test_a_run_tells_its_certificate_errors_and_what_it_read(tmp_path: Path) -> None:
    run = ran(tmp_path, ranks=1)
    record, receipt = (json.loads((run / name).read_text()) for name in ("model.json", "receipts.json"))
    passes = record["training"]["passes"]
    assert receipt["train"]["rows_seen"] == passes * receipt["train"]["rows"]
    assert receipt["actual"]["passes"] == passes
    told = record["inference"]["numeric"]["a"]["per_unit"]
    assert told["estimate"] == record["numeric"]["a"]["per_unit"]
    assert told["low"] < told["estimate"] < told["high"]
    assert set(record["inference"]["categorical"]["town"]) >= {"missing", "other", "level Bonn"}
    report = (run / "report.html").read_text()
    assert f"newton, {passes} passes" in report
    assert "Proven: within" in report
    assert f"{signed(told['low'])} to {signed(told['high'])}" in report


@pytest.mark.slow
def test_a_run_on_one_process_loads_neither_torch_nor_pandas(people_dir: Path, tmp_path: Path) -> None:
    """From the split to the model: seconds and hundreds of megabytes of libraries that it does not need."""
    config = tmp_path / "people.json"
    config.write_text(settings(people_dir, tmp_path, train={"epochs": 20}).model_dump_json())
    code = (
        "import sys; from binclf import artifact; from binclf.config import load; "
        "from binclf.retrain import fit; run = artifact.begin(load(sys.argv[1])); fit(run); "
        "print(sorted({'torch', 'pandas', 'scipy', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(config)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_one_class_only_is_told(tmp_path: Path) -> None:
    table = people(300, 1).drop_columns(["bought"]).append_column("bought", pa.array([True] * 300))
    path = write(tmp_path / "data.parquet", table)
    config = {
        "name": "one", "store": str(tmp_path / "runs"), "split": {"method": "none"}, "train": NEWTON,
        "data": {"path": str(path), "label": "bought", "exclude": ["id", "w"]},
    }  # fmt: skip
    with pytest.raises(DataError, match="bought"):
        retrain(parse(config))


@pytest.mark.parametrize(
    ("train", "words"),
    [
        ({"solver": "newton", "epochs": 3}, r"train\.epochs has no effect with train\.solver = 'newton'"),
        ({"solver": "newton", "optimizer": "sgd"}, r"train\.optimizer has no effect"),
        (
            {"l1": 0.1, "epochs": 3},
            r"train\.l1 is read by newton or lbfgs and train\.epochs by minibatch: remove one",
        ),
        ({"nonnegative": ["a"], "epochs": 3}, r"train\.nonnegative is read by newton and train\.epochs by"),
        ({"solver": "lbfgs", "nonnegative": ["a"]}, r"train\.nonnegative has no effect with train\.solver"),
        ({"solver": "lbfgs", "patience": 5}, r"train\.patience has no effect with train\.solver = 'lbfgs'"),
        (
            {"solver": "lbfgs", "device": "cuda"},
            r"train\.device = 'cuda' has no effect with newton and lbfgs",
        ),
        ({"l1": 0.1, "device": "cuda"}, r"train\.device = 'cuda' has no effect with newton"),
        ({"solver": "minibatch", "tolerance": 0.1}, r"train\.tolerance has no effect"),
        ({"solver": "newton", "nonnegative": ["a"], "nonpositive": ["a"]}, "column 'a' is in train.nonneg"),
    ],
)
def test_settings_of_another_solver_are_refused(train: dict[str, Any], words: str, tmp_path: Path) -> None:
    config = {"name": "a", "store": str(tmp_path), "data": {"path": "x", "label": "y"}, "train": train}
    with pytest.raises(ConfigError, match=words):
        parse(config)

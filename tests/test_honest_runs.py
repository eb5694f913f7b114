"""Whole runs whose training moved the odds: their probabilities are the data's all the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import binclf
from binclf import artifact, registry
from binclf.config import Config, parse
from binclf.errors import ArtifactError, DataError
from binclf.probabilities.part import BUCKETS, Part
from binclf.retrain import fit, retrain
from binclf.scored import Scored
from binclf.world import Lone
from tests.test_probabilities import sigmoid
from tests.trained import on_disk, people, write

SEVENTY_TO_THIRTY = 0.0236  # of the negative rows, at a base rate of 1 %
SOLVERS: dict[str, dict[str, Any]] = {
    "newton": {"solver": "newton"},
    "minibatch": {"solver": "minibatch", "epochs": 6, "batch_rows": 256},
}
WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "both": ({"downsample_majority": SEVENTY_TO_THIRTY}, {"class_weight": "balanced"}),
    "weights": ({}, {"class_weight": "balanced"}),
    "rows": ({"downsample_majority": SEVENTY_TO_THIRTY}, {}),
}


@pytest.fixture(scope="module")
def rare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90,000 rows in two files, 1 % of them positive."""
    folder = tmp_path_factory.mktemp("rare")
    for number, rows in enumerate((50_000, 40_000)):
        random = np.random.default_rng(number)
        x, code = random.normal(size=(rows, 3)), random.integers(0, 4, rows)
        z = -5.2 + x @ [0.9, -0.5, 0.0] + np.array([0.0, 0.6, -0.4, 0.2])[code]
        columns: dict[str, Any] = {f"x{i}": x[:, i] for i in range(3)}
        columns |= {"code": code.astype("str"), "fraud": random.random(rows) < sigmoid(z)}
        pq.write_table(pa.table(columns), folder / f"{number}.parquet", row_group_size=15_000)
    return folder


def config(data: Path, store: Path, data_changes: dict[str, Any], train: dict[str, Any]) -> Config:
    return parse(
        {
            "registry": {"uri": "off"},
            "name": "fraud", "store": str(store),
            "data": {"path": str(data), "label": "fraud", **data_changes},
            "train": {"device": "cpu", "ranks": 1, "lanes": 8, **train},
        }
    )  # fmt: skip


def part_of(run: Path, part: str) -> pa.Table:
    split = artifact.read_split(run)
    return pa.concat_tables(pq.read_table(str(file.path)) for file in split.parts[part])


def told(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "model.json").read_text())
    return found


EACH = ["newton", pytest.param("minibatch", marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=EACH)
def plain(request: pytest.FixtureRequest, rare: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    store = tmp_path_factory.mktemp("plain")
    run = on_disk(retrain(config(rare, store, {}, SOLVERS[request.param])))
    return request.param, store, json.loads((run / "metrics.json").read_text())["test"], told(run)


@pytest.mark.parametrize(
    "way", ["rows", *(pytest.param(way, marks=pytest.mark.slow) for way in WAYS if way != "rows")]
)
def test_the_known_trap_leaves_the_base_rate_and_the_log_loss_where_they_are(
    way: str, plain: Any, rare: Path
) -> None:
    """Down-sampled to 70:30, then balanced: means 30 to 90 times the base rate where nothing undoes it."""
    solver, store, known, record = plain
    assert record["correction"] is None
    data, train = WAYS[way]
    run = on_disk(retrain(config(rare, store, data, SOLVERS[solver] | train)))
    model, record = binclf.load(str(run)), told(run)
    correction = record["correction"]
    rows = part_of(run, "train")
    base = float(np.mean(rows["fraud"].to_numpy(zero_copy_only=False)))
    assert correction["base_rate"] == pytest.approx(base, rel=1e-12)
    assert correction["mean_before"] > 15 * base  # the control: what it would have been
    assert model.predict_proba(rows).mean() == pytest.approx(base, rel=1e-10)
    assert correction["mean_after"] == pytest.approx(base, rel=1e-12)
    assert abs(correction["refit"]) < 0.15  # the shift has done nearly all
    test = part_of(run, "test")
    p, y = model.predict_proba(test), test["fraud"].to_numpy(zero_copy_only=False)
    noise = np.sqrt((p * (1 - p)).sum()) / len(p)
    assert abs(p.mean() - y.mean()) < 3 * noise
    loss = json.loads((run / "metrics.json").read_text())["test"]["log_loss"]
    assert loss == pytest.approx(known["log_loss"], rel=0.01)
    receipt = json.loads((run / "receipts.json").read_text())["train"]
    assert receipt["rows"] == len(rows) == receipt["rows_trained_on"] + receipt["rows_left_out"]
    if data:
        assert receipt["rows_trained_on"] < 0.05 * len(rows)
        every = "passes" if solver == "newton" else "epochs"
        assert receipt["rows_seen"] == receipt[every] * receipt["rows_trained_on"]


def test_with_row_weights_the_weighted_mean_prediction_is_the_weighted_base_rate(tmp_path: Path) -> None:
    path = write(tmp_path / "data.parquet", people(3000, 3), [700, 0, 1, 1300, 999])
    made = parse(
        {
            "registry": {"uri": "off"},
            "name": "people", "store": str(tmp_path / "store"), "split": {"method": "none"},
            "data": {"path": str(path), "label": "bought", "weight": "w", "ids": ["id"],
                     "downsample_majority": 0.5},
            "features": {"log1p": ["income"]},
            "train": {"solver": "newton", "class_weight": "balanced", "device": "cpu", "ranks": 1},
        }
    )  # fmt: skip
    run = on_disk(retrain(made))
    rows = pq.read_table(path)
    p = binclf.load(str(run)).predict_proba(rows)
    w, y = rows["w"].to_numpy(), rows["bought"].to_numpy(zero_copy_only=False)
    assert float(w @ p) / w.sum() == pytest.approx(float(w @ y) / w.sum(), rel=1e-12)
    assert told(run)["correction"]["trained_base_rate"] == pytest.approx(0.5, abs=1e-6)
    intercept = told(run)["inference"]["intercept"]
    assert intercept["estimate"] == pytest.approx(told(run)["intercept"], abs=1e-12)
    assert intercept["se"] is None


def test_standard_errors_under_class_weights_are_those_of_a_sandwich(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    x = random.normal(size=(4000, 2))
    y = random.random(4000) < sigmoid(-2.5 + x @ [1.0, -0.5])
    pq.write_table(pa.table({"a": x[:, 0], "b": x[:, 1], "fraud": y}), tmp_path / "rows.parquet")
    made = config(tmp_path / "rows.parquet", tmp_path / "s", {}, {"class_weight": "balanced", "l2": 0.0})
    run = on_disk(retrain(parse(made.model_dump() | {"split": {"method": "none"}})))
    record = told(run)
    slopes = np.array([record["numeric"][name]["per_unit"] for name in "ab"])
    trained = record["intercept"] - record["correction"]["shift"] - record["correction"]["refit"]
    factors = len(y) / (2 * np.array([(~y).sum(), y.sum()]))
    u = np.column_stack([x, np.ones(len(x))])
    p = sigmoid(u @ [*slopes, trained])
    bread = np.linalg.inv((u.T * (factors[y.astype(int)] * p * (1 - p))) @ u)
    # scores a (p - 1) u or b p u of a row, their variance by the model, as each label could have been
    q = p * factors[0] / (p * factors[0] + (1 - p) * factors[1])  # under the data's own odds
    spread = q * (factors[1] * (1 - p)) ** 2 + (1 - q) * (factors[0] * p) ** 2
    variance = bread @ ((u.T * spread) @ u) @ bread
    found = [record["inference"]["numeric"][name]["per_unit"]["se"] for name in "ab"]
    assert found == pytest.approx(np.sqrt(np.diag(variance))[:2], rel=1e-5)
    naive = np.sqrt(np.diag(bread))[:2]
    assert (np.array(found) > 1.2 * naive).all()  # which weights taken for rows would tell


@pytest.mark.parametrize("method", ["platt", pytest.param("isotonic", marks=pytest.mark.slow)])
def test_a_map_that_is_kept_is_what_every_consumer_sees(method: str, rare: Path, tmp_path: Path) -> None:
    """Weights that were shrunk too far by l2 are mended by validation."""
    made = config(rare, tmp_path, {}, {"solver": "newton", "l2": 0.05, "calibration": method})
    run = on_disk(retrain(parse(made.model_dump() | {"split": {"validation_fraction": 0.4}})))
    record = told(run)["calibration"]
    assert record["is_kept"], record
    model, rows = binclf.load(str(run)), part_of(run, "validation")
    p, y = model.predict_proba(rows), rows["fraud"].to_numpy(zero_copy_only=False)
    found = json.loads((run / "metrics.json").read_text())["validation"]
    assert found["log_loss"] == pytest.approx(-np.log(np.where(y, p, 1 - p)).mean(), rel=1e-9)
    assert found["log_loss"] < record["log_loss"] - 2 * record["standard_error"]
    assert abs(p.mean() - y.mean()) < 0.02 * y.mean()
    assert 0 < p.min() < p.max() < 1
    alone = np.concatenate([model.predict_proba(rows.slice(i, 1)) for i in range(100)])
    assert alone.tobytes() == p[:100].tobytes()
    if method == "isotonic":
        assert len(np.unique(p)) <= len(record["map"]["values"])
    for format in ("sql", "onnx", "sklearn"):
        receipt = binclf.export(str(run), format, tmp_path / "exported")
        assert receipt["real_rows"] > 500
        assert receipt["largest_difference"] < 1e-12
    changed = json.loads((run / "model.json").read_text())
    changed["calibration"]["map"]["slope" if method == "platt" else "values"] = -1.0
    (run / "model.json").write_text(json.dumps(changed))
    with pytest.raises(ArtifactError, match="was altered since the run was sealed"):
        binclf.load(str(run))


def test_calibration_without_validation_rows_in_the_data_is_told(tmp_path: Path) -> None:
    rows = people(600, 1).append_column("part", pa.array(["train", "test"] * 300))
    write(tmp_path / "data.parquet", rows)
    made = parse(
        {
            "registry": {"uri": "off"},
            "name": "people", "store": str(tmp_path), "split": {"method": "column", "column": "part"},
            "data": {"path": str(tmp_path / "data.parquet"), "label": "bought", "exclude": ["id", "w"]},
            "train": {"calibration": "platt", "device": "cpu", "ranks": 1},
        }
    )  # fmt: skip
    with pytest.raises(DataError, match=r"train\.calibration = 'platt' goes by validation rows, and .*none"):
        retrain(made)


@pytest.mark.slow
def test_buckets_hold_whole_groups_or_rows_that_are_drawn_for_themselves(tmp_path: Path) -> None:
    rows = people(3000, 2)
    write(tmp_path / "data.parquet", rows, [700, 0, 1, 1300, 999])
    made = parse(
        {
            "registry": {"uri": "off"},
            "name": "people", "store": str(tmp_path / "store"), "split": {"validation_fraction": 0.4},
            "data": {"path": str(tmp_path / "data.parquet"), "label": "bought", "exclude": ["id", "w"],
                     "group": "visits"},
            "train": {"solver": "newton", "calibration": "platt", "device": "cpu", "ranks": 1},
        }
    )  # fmt: skip
    run = on_disk(retrain(made))
    assert told(run)["calibration"]["rows"] == artifact.read_split(run).rows("validation")
    model, split = registry.load(run), artifact.read_split(run)
    found: dict[str, list[tuple[int, int]]] = {}
    for group in ("visits", ""):
        part = Part(split, "validation", Lone("cpu"), "", group)

        def values(scored: Scored, part: Part = part, own: str = group) -> Any:
            keys = scored.rows.numbers("visits") if own else np.arange(len(scored.labels))
            found.setdefault(own, []).extend(zip(keys.tolist(), part.buckets(scored).tolist(), strict=True))
            return np.ones(1) * scored.weights.sum()

        assert part.summed(model, values, np.ones(1)) == part.rows
    of_group = dict(found["visits"])
    assert all(of_group[key] == bucket for key, bucket in found["visits"])
    counts = np.bincount([bucket for _, bucket in found[""]], minlength=BUCKETS)
    assert len(counts) == BUCKETS
    assert abs(counts - counts.mean()).max() < 5 * np.sqrt(counts.mean())


@pytest.mark.parametrize("solver", EACH)
def test_a_run_that_ended_before_it_was_mended_goes_on_to_the_same_bits(
    solver: str, rare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, train = WAYS["both"]
    made = config(rare, tmp_path, data, SOLVERS[solver] | train | {"calibration": "isotonic"})

    class Killed(Exception):
        pass

    def killed(*_: Any) -> None:
        raise Killed

    run = on_disk(artifact.begin(made))
    with monkeypatch.context() as patch:
        patch.setattr("binclf.train.mend", killed)
        with pytest.raises(Killed):
            fit(run)
    assert list((run / "checkpoints").iterdir())
    assert artifact.begin(made, run) == run
    fit(run)
    whole = on_disk(retrain(made))
    assert (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert told(run)["calibration"] == told(whole)["calibration"]
    assert told(run)["correction"] == told(whole)["correction"]


@pytest.mark.slow
def test_ranks_and_tiers_leave_no_trace(rare: Path, tmp_path: Path) -> None:
    """Of so many rows that each tier is what it says; a few lost by lot, the others balanced."""
    data, train = {"downsample_majority": 0.9}, {"class_weight": "balanced", "lanes": 3}
    ways: list[dict[str, Any]] = [
        {"ranks": 1, "cache": "ram"}, {"ranks": 2, "cache": "disk"}, {"ranks": 3, "cache": "none"},
    ]  # fmt: skip
    found = set()
    for place, way in enumerate(ways):
        settings = {"solver": "newton", "l2": 0.05, "calibration": "isotonic"}
        made = config(rare, tmp_path / str(place), data, settings | train | way)
        run = on_disk(retrain(made))
        record = told(run)
        assert record["training"]["ranks"] == way["ranks"]
        assert json.loads((run / "receipts.json").read_text())["actual"]["tier"] == way["cache"]
        assert record["training"]["certificate"]["is_proven"]
        facts = json.dumps([record["correction"], record["calibration"], record["inference"]])
        found.add(((run / "model.safetensors").read_bytes(), facts))
    assert len(found) == 1


@pytest.mark.slow
def test_minibatch_agrees_on_any_number_of_ranks(rare: Path, tmp_path: Path) -> None:
    data, train = WAYS["both"]
    found = []
    for ranks in (1, 2):
        made = config(rare, tmp_path / str(ranks), data, SOLVERS["minibatch"] | train | {"ranks": ranks})
        run = on_disk(retrain(made))
        found.append(binclf.load(str(run)).predict_proba(part_of(run, "test")))
    assert np.abs(found[0] - found[1]).max() < 1e-5

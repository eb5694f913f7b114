"""Metrics beside scikit-learn's, whole: Parquet, a trained run, every rank of a world, all rows again.

The suite judges some thousand rows so, `make acceptance` a million.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import binclf
from binclf import artifact
from binclf.config import parse
from binclf.evaluate import of_parts
from binclf.predict import Model
from binclf.retrain import retrain
from binclf.world import join
from tests import oracles
from tests.ranks import run as run_ranks
from tests.trained import on_disk

THRESHOLD = 0.3
KINDS = [  # whether rows have weights, whether scores are tied
    {"is_weighted": weighted, "is_tied": tied} for weighted in (False, True) for tied in (False, True)
]
WITHIN = 1e-9


def beside(folder: Path, rows: int, ranks: tuple[int, ...], *, is_weighted: bool, is_tied: bool) -> list[str]:
    """What is wrong with the metrics of so many rows on these numbers of ranks."""
    run = _trained(folder, rows, is_weighted=is_weighted, is_tied=is_tied)
    told = {count: run_ranks(count, judged, seconds=600, run_dir=str(run)) for count in ranks}
    first = told[ranks[0]][0]
    wrong = [f"other bits on {count} ranks" for count, own in told.items() if set(own) != {first}]
    found = json.loads(first)["metrics"]["train"]
    if found["rows"] != rows:
        wrong.append(f"{found['rows']} rows")
    off = differences(found, *_scored(binclf.load(str(run)), folder / "data", is_weighted=is_weighted))
    return wrong + [f"{name} is {by:.2e} off" for name, by in off.items() if not by <= WITHIN]


def judged(run_dir: str) -> str:
    """In each rank: everything that evaluation tells."""
    with join("cpu") as world:
        return json.dumps(of_parts(artifact.open_run(run_dir), world))


def differences(found: dict[str, Any], logits: np.ndarray, y: np.ndarray, w: np.ndarray) -> dict[str, float]:
    """How far each metric and interval of some rows is from what it should be."""
    wanted = oracles.of_scikit_learn(logits, y, w, THRESHOLD)
    total = wanted.pop("confusion")
    off = {name: abs(found[name] - value) for name, value in wanted.items()}
    off |= {name: abs(found["confusion"][name] / value - 1) for name, value in total.items()}
    shares = [row["captured"] for row in found["gains"]]
    off["gains"] = float(np.abs(oracles.captured(logits, y, w) - shares).max())
    off["calibration"] = oracles.off_the_line(found, logits, y, w)
    parts = [found[f"brier_{name}"] for name in ("reliability", "resolution", "uncertainty", "within")]
    off["brier's parts"] = abs(parts[0] - parts[1] + parts[2] + parts[3] - found["brier"])
    p = 1 / (1 + np.exp(-logits))
    losses = np.where(y == 1, -np.log(p), -np.log1p(-p))
    intervals = {
        "roc_auc": oracles.delong_sorted(logits, y, w),
        "log_loss": oracles.interval_of_mean(losses, w),
        "brier": oracles.interval_of_mean((p - y) ** 2, w),
        "excess": oracles.interval_of_mean(p - y, w),
    }
    return off | {
        f"the interval of {name}": float(np.abs(np.subtract(own, found["intervals"][name])).max())
        for name, own in intervals.items()
    }


def _trained(folder: Path, rows: int, *, is_weighted: bool, is_tied: bool) -> Path:
    """A run over all rows of three files; tied: some hundred distinct scores."""
    random, data = np.random.default_rng(rows), folder / "data"
    data.mkdir(parents=True)
    for number, part in enumerate(np.array_split(np.arange(rows), [rows // 2, rows // 2 + rows // 7])):
        x = random.normal(size=(len(part), 3))
        x = np.round(x) if is_tied else x
        late = random.random(len(part)) < 1 / (1 + np.exp(1.5 - x @ [0.8, -0.5, 0.3]))
        columns = {**{f"x{i}": x[:, i] for i in range(3)}, "late": late}
        columns |= {"w": random.integers(0, 5, len(part)) / 4} if is_weighted else {}
        pq.write_table(pa.table(columns), data / f"{number}.parquet", row_group_size=max(rows // 20, 1))
    config = {
        "name": "beside", "store": str(folder / "store"), "registry": {"uri": "off"},
        "data": {"path": str(data), "label": "late", "weight": "w" if is_weighted else ""},
        "split": {"method": "none"}, "train": {"device": "cpu", "ranks": 1},
        "evaluate": {"threshold": str(THRESHOLD)},
    }  # fmt: skip
    return on_disk(retrain(parse(config)))


def _scored(model: Model, data: Path, *, is_weighted: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table = pq.read_table(data)
    y = table["late"].to_numpy().astype(int)
    w = table["w"].to_numpy() if is_weighted else np.ones(len(y))
    return model.logits(model.rows(table)), y, w

"""Newton and L-BFGS against scikit-learn's newton-cholesky: `python -m benchmarks.optimum DIR [SET ...]`.

DIR is as `benchmarks.oracles` takes it. Both fit the training rows of the oracle, encoded by binclf, with the
same penalty (C = 1): told are the difference of their mean log-losses, the largest difference of a weight in
its standard errors, and the seconds that each took once the rows are in memory. Then by how much L-BFGS ends
above newton, in mean log-loss and penalties, without and with an l1 beside the l2.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from benchmarks.oracles import SETS, asking, settings_of
from binclf import config
from binclf.features import Decoding, roles
from binclf.loader import HeldRows, Source
from binclf.solvers import lbfgs, newton
from binclf.solvers.problem import Problem
from binclf.split import ensure
from binclf.train import learn_features
from binclf.world import World, join


def main() -> None:
    """A line for each set."""
    options = asking(__doc__, SETS).parse_args()
    logging.disable(logging.WARNING)
    with join("cpu") as world:
        for name in options.sets:
            sys.stdout.write(f"{name}: {compared(world, options.folder, name)}\n")
            sys.stdout.flush()


def compared(world: World, folder: Path, name: str) -> str:
    """Ours and theirs, in words."""
    home = folder / name.partition("+")[0]
    meta = json.loads((home / "meta.json").read_text())
    weight = meta["weight"] if name.endswith("+weight") else ""
    frame = pd.concat([pd.read_parquet(file) for file in sorted(home.glob("*.parquet"))], ignore_index=True)
    test = pd.read_parquet(home / "oracle" / f"test{name[len(home.name) :]}.parquet")["row"].to_numpy()
    part = np.full(len(frame), "train", dtype=object)
    part[test] = "test"
    with tempfile.TemporaryDirectory() as store:
        path = Path(store) / "marked.parquet"
        frame.assign(**{"binclf part": part}).to_parquet(path)
        task = _task(world, settings_of(meta, weight, store), path)
        design, y, w = _dense(task)
        above = [_above(world, task, l1) for l1 in (0.0, 1e-3)]
    l2 = 1 / w.sum()
    began = time.perf_counter()
    solution = newton.fit(task, world)
    ours_seconds = time.perf_counter() - began
    reference = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-10, max_iter=1000)
    began = time.perf_counter()
    reference.fit(design[:, :-1], y, sample_weight=w)
    theirs_seconds = time.perf_counter() - began
    ours = np.concatenate([solution.weights[n] for n in ("weight", "table", "bias") if n in solution.weights])
    theirs = np.append(reference.coef_[0], reference.intercept_[0])
    z = design @ np.column_stack([ours, theirs])
    losses = (w[:, np.newaxis] * (np.logaddexp(0, z) - y[:, np.newaxis] * z)).sum(axis=0) / w.sum()
    p = 1 / (1 + np.exp(-z[:, 0]))
    curved = (design.T * (w * p * (1 - p))) @ design + np.diag(
        np.append(np.ones(len(ours) - 1), 0)
    ) * l2 * w.sum()
    errors = np.sqrt(np.diag(np.linalg.inv(curved)))
    apart = np.abs((ours - theirs) / errors).max()
    return (
        f"{len(y):,} rows, {len(ours)} weights: log-loss {losses[0]:.9f}, {losses[0] - losses[1]:+.1e}; "
        f"weights within {apart:.1e} standard errors; {solution.record['passes']} passes, "
        f"{ours_seconds:.2f} s and {theirs_seconds:.2f} s; "
        f"lbfgs {above[0]:+.1e} above newton, with l1 {above[1]:+.1e}"
    )


def _above(world: World, task: Problem, l1: float) -> float:
    """The objective of L-BFGS less that of newton."""
    with_l1 = task.settings.model_copy(update={"l1": l1})
    ends = []
    for solver in (lbfgs, newton):
        solution = solver.fit(replace(task, settings=with_l1), world)
        ends.append(float(solution.record["history"][-1]["objective"]))
    return ends[0] - ends[1]


def _task(world: World, settings: dict[str, Any], path: Path) -> Problem:
    """The training rows in memory, and what is learnt from them."""
    settings["data"]["path"] = str(path)
    settings["split"] = {"method": "column", "column": "binclf part"}
    train = {"solver": "newton", "l2": 0.0}
    parsed = config.parse({**settings, "train": train})
    split = ensure(parsed)
    how = Decoding(roles(parsed, split.columns), split.label, parsed.data.weight)
    held = HeldRows(Source(split.parts["train"], how))
    features = learn_features(world, parsed, how, split, held)
    held.attach(features)
    total = split.weight("train")
    chosen = parsed.train.model_copy(update={"l2": 1 / total})
    return Problem(held, None, features, total, split.base_rate("train"), chosen)


def _dense(task: Problem) -> tuple[Any, Any, Any]:
    """One-hot columns and ones beside the numbers, labels and weights, float64."""
    held: Any = task.train
    rows = held.gather(np.arange(held.source.rows))
    hot = np.zeros((len(rows), task.features.table_size))
    for own in rows.ids.T:
        np.add.at(hot, (np.arange(len(rows)), own), 1.0)
    w = np.ones(len(rows)) if rows.w is None else rows.w.astype(np.float64)
    return np.hstack([rows.x.astype(np.float64), hot, np.ones((len(rows), 1))]), rows.y.astype(np.float64), w


if __name__ == "__main__":
    main()

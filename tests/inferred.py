"""What the tests of inference share: stores over several files, and errors by their published formulas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from binclf.config import parse
from binclf.features import Features
from binclf.loader import Balanced, HeldRows
from binclf.solvers import newton
from binclf.solvers.problem import Problem, Solution
from tests.optimum import ALONE, problem_of
from tests.trained import stores, whole, write


def files(
    folder: Path, tables: Sequence[pa.Table], *, group: str = "", groups: list[int] | None = None, **data: Any
) -> tuple[HeldRows, Features]:
    """A filled store of the rows of some files with the columns `y` and perhaps `w`."""
    for number, table in enumerate(tables):
        write(folder / "data" / f"part-{number:03}.parquet", table, groups)
    weight = "w" if "w" in tables[0].column_names else ""
    told = {"path": str(folder / "data"), "label": "y", "weight": weight, "group": group, **data}
    config = {"name": "made", "store": str(folder / "store"), "data": told, "split": {"method": "none"}}
    _, features, found = stores(parse(config))
    return found["train"], features


def task_of(store: HeldRows, features: Features, *, group: str = "", **train: Any) -> Problem:
    """A problem over such a store, with class weights if `train` has them."""
    task = replace(problem_of(store, features, whole(store), **train), group=group)
    if train.get("class_weight") != "balanced":
        return task
    balanced = Balanced(store, task.weight, task.base_rate)
    return replace(task, train=balanced, weight=balanced.weight, base_rate=balanced.base_rate)


def fitted(folder: Path, tables: Sequence[pa.Table], *, group: str = "", **train: Any) -> Solution:
    """The optimum of all rows of some files."""
    store, features = files(folder, tables, group=group)
    return newton.fit(task_of(store, features, group=group, **train), ALONE)


def told_of(solution: Solution, names: Sequence[str], what: str = "se") -> np.ndarray:
    """One number of each numeric coefficient and, last, of the intercept."""
    told: Mapping[str, Any] = solution.inference
    entries = [told["numeric"][name]["per_unit"] for name in names] + [told["intercept"]]
    return np.array([entry[what] for entry in entries])


def irls(design: np.ndarray, y: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The maximum-likelihood weights of a design of full rank, by Newton's method as the books have it."""
    beta = np.zeros(design.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-design @ beta))
        step = np.linalg.solve((design.T * (w * p * (1 - p))) @ design, design.T @ (w * (y - p)))
        beta = beta + step
        if np.abs(step).max() < 1e-12:
            break
    return beta


def covariance(
    design: np.ndarray, y: np.ndarray, w: np.ndarray, beta: np.ndarray, kind: str, groups: Any = None
) -> np.ndarray:
    """As statsmodels has it for GLM: nonrobust, HC0, HC1, and cluster with its correction, written out."""
    p = 1 / (1 + np.exp(-design @ beta))
    bread = np.linalg.inv((design.T * (w * p * (1 - p))) @ design)
    scores = (w * (y - p))[:, np.newaxis] * design
    rows, weights = design.shape
    if kind == "model":
        return bread
    if kind in ("hc0", "hc1"):
        return bread @ (scores.T @ scores) @ bread * (rows / (rows - weights) if kind == "hc1" else 1.0)
    names = sorted(set(groups))
    sums = np.array([scores[np.asarray(groups) == name].sum(axis=0) for name in names])
    factor = len(names) / (len(names) - 1) * (rows - 1) / (rows - weights)
    return bread @ (sums.T @ sums) @ bread * factor


def drawn(rows: int, seed: int, *, weighted: bool = False, shift: float = 0.0) -> pa.Table:
    """Two numbers that are told in units of their own, a group, and a label that is logistic in them."""
    draw = np.random.default_rng([seed, rows])
    a, b = draw.normal(size=(2, rows))
    z = -0.4 + 0.8 * a - 0.5 * b + shift
    columns: dict[str, Any] = {
        "a": 50 + 7 * a,
        "b": -3 + 0.1 * (b + 0.5 * a),
        "y": draw.random(rows) < 1 / (1 + np.exp(-z)),
    }
    if weighted:
        columns["w"] = np.round(draw.gamma(1.0, 1.0, rows), 3)
    return pa.table(columns)

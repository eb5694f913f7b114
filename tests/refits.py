"""Simulated champions, and labelled rows after them: what Rao's test says, and what a refit does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from binclf import artifact, golden
from binclf.config import parse
from binclf.drift import Refit, rao
from binclf.metrics import log_losses
from binclf.parquet import find, footers, from_frame
from binclf.retrain import retrain
from binclf.scored import places_of
from tests.made import write

TRAIN, NEW = 2000, 6000
MANY = 60_000  # of which a gain is known to some percent; of NEW the sample alone moves it by 9 %
WORLD = np.array([0.8, -0.5, 0.3, 0.0])  # what labels follow
CHANGED = WORLD + np.array([0.0, 0.5, 0.0, 0.25])
LEVELS = np.array([0.4, -0.4, 0.0])


@dataclass(frozen=True)
class Simulated:
    """The test's answer, and log-losses of champion minus refit."""

    found: Refit
    gain_on_these: float | None  # None: not refitted
    gain: float | None  # on fresh rows


def rows(count: int, draw: np.random.Generator, slopes: np.ndarray) -> pa.Table:
    """Rows of a world."""
    x = draw.normal(size=(count, len(slopes)))
    level = draw.integers(0, len(LEVELS), count)
    missing = draw.random(count) < 0.1
    z = -0.7 + x @ slopes + LEVELS[level]
    columns = {f"x{place}": pa.array(x[:, place]) for place in range(1, len(slopes))}
    return pa.table(
        {
            "x0": pa.array(x[:, 0], mask=missing),
            **columns,
            "level": pa.array(np.array(["a", "b", "c"])[level]),
            "y": pa.array(draw.random(count) < 1 / (1 + np.exp(-z))),
        }
    )


def simulate(folder: Path, seed: int, *, is_changed: bool, is_refitted: bool = False) -> Simulated:
    """A champion, new rows, and on request a refit."""
    draw = np.random.default_rng(seed)
    world = CHANGED if is_changed else WORLD
    new, fresh = (
        rows(MANY if is_refitted else NEW, draw, world),
        rows(MANY if is_refitted else 1, draw, world),
    )
    champion = _fitted(folder / "old", rows(TRAIN, draw, WORLD))
    path = write(folder / "new" / "a.parquet", new, group_rows=25_000 if is_refitted else 2500)
    model = golden.model_of(champion)
    found = rao(champion, model, places_of(footers(find(path).files)), champion.config.drift)
    assert found is not None
    if not is_refitted:
        return Simulated(found, None, None)
    other = golden.model_of(_fitted(folder / "refit", new))
    gains: list[float] = []
    for table in (new, fresh):
        own = from_frame(table)
        y = np.asarray(table.column("y").to_numpy(), dtype=np.int8)
        gains.append(float(np.mean(log_losses(model.logits(own), y) - log_losses(other.logits(own), y))))
    return Simulated(found, *gains)


def _fitted(folder: Path, table: pa.Table) -> artifact.Run:
    write(folder / "data" / "a.parquet", table, group_rows=100_000)
    settings = {
        "name": "champion",
        "store": str(folder / "runs"),
        "data": {"path": str(folder / "data"), "label": "y"},
        "split": {"method": "none"},
        "train": {"device": "cpu", "ranks": 1, "solver": "newton"},
        "registry": {"uri": "off"},
    }
    return artifact.open_run(retrain(parse(settings)))

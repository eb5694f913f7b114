"""Files of one world, in one of which some labels are wrong."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tests.inferred import fitted

FILES = 16
ROWS = 20_000  # of a file
FLIPPED = 0.03


def world(rows: int, seed: int, columns: int = 8) -> pa.Table:
    """Numbers, some of them skewed, a category, and a label that is logistic in them."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(columns, rows))
    x[0] = np.exp(x[0] / 2)
    town = draw.integers(0, 4, rows)
    z = -1.2 + np.linspace(-0.8, 0.8, columns) @ x + np.array([0.0, 0.5, -0.5, 1.0])[town]
    names = np.array(["Aachen", "Bonn", "Celle", "Dresden"])
    told: dict[str, Any] = {f"x{i}": x[i] for i in range(columns)}
    return pa.table(
        {**told, "town": pa.array(names[town].tolist()), "y": draw.random(rows) < 1 / (1 + np.exp(-z))}
    )


def planted(folder: Path, seed: int, *, rows: int = ROWS) -> tuple[str, dict[str, Any]]:
    """The file with flipped labels, and what a training says of the files; the data are removed.

    Args:
        folder: for the data.
        seed: of the draws.
        rows: of each file.
    """
    draw = np.random.default_rng([seed, 99])
    tables = [world(rows, 1000 * seed + place) for place in range(FILES)]
    wrong = int(draw.integers(FILES))
    y = tables[wrong]["y"].to_numpy(zero_copy_only=False)
    chosen = draw.permutation(rows)[: round(FLIPPED * rows)]
    flipped = y.copy()
    flipped[chosen] = ~flipped[chosen]
    place = tables[wrong].column_names.index("y")
    tables[wrong] = tables[wrong].set_column(place, "y", pa.array(flipped))
    told = fitted(folder, tables).influence
    shutil.rmtree(folder)
    return f"part-{wrong:03}.parquet", dict(told)

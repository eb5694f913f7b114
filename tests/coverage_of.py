"""How often intervals of 95 % hold the truth, where rows are what their errors take them for."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.inferred import fitted

TRUE = {"a": 0.8 / 7, "b": -5.0}  # of the columns as they are told
ROWS = 500


def covered(folder: Path, seed: int, kind: str) -> float:
    """The share of two slopes whose interval holds the truth, in one fit of rows of that kind.

    Args:
        folder: for the data; removed afterwards.
        seed: of the draws.
        kind: of the errors. model: plain rows; hc0: rows with weights that count nothing; clustered: groups
            that share one number and their luck, some of it in each file.
    """
    draw = np.random.default_rng([seed, len(kind)])
    groups = np.arange(ROWS)
    own = np.repeat(groups, 3 if kind == "clustered" else 1)
    a, b = draw.normal(size=(2, ROWS))
    z = -0.4 + 0.8 * a - 0.5 * b
    columns = {"a": 50 + 7 * a, "b": 0.1 * b - 3, "y": draw.random(ROWS) < 1 / (1 + np.exp(-z))}
    table = pa.table({name: values[own] for name, values in columns.items()} | {"who": own})
    if kind == "hc0":
        table = table.append_column("w", pa.array(draw.gamma(1.0, 1.0, len(own)) + 0.01))
    order = draw.permutation(len(own))
    parts = [table.take(part) for part in np.array_split(order, 2)]
    solution = fitted(folder, parts, group="who", l2=0.0, errors=kind, influence=False)
    shutil.rmtree(folder)
    entries = {name: solution.inference["numeric"][name]["per_unit"] for name in TRUE}
    return float(np.mean([entries[n]["low"] <= true <= entries[n]["high"] for n, true in TRUE.items()]))

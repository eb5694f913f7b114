"""Data that the tests make: small Parquet files with every sort of column, seeded."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from binclf.config import Config, parse

NOON = datetime.datetime(2024, 1, 1, 12)


def write(
    path: Path, columns: Mapping[str, Any] | pd.DataFrame | pa.Table, *, group_rows: int = 100, **options: Any
) -> Path:
    """Write columns, a frame or a table as one Parquet file; parent directories are made."""
    if isinstance(columns, pd.DataFrame):
        table = pa.Table.from_pandas(columns, preserve_index=False)
    else:
        table = columns if isinstance(columns, pa.Table) else pa.table(dict(columns))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=group_rows, **options)
    return path


def mixed(rows: int, *, seed: int = 0, first: int = 0) -> pa.Table:
    """One column of each sort; row i has id first + i, and about 30 % of the labels are positive.

    number (float64, nulls and NaN), single (float32), whole (int64), small (int16, nulls), flag (bool,
    nulls), word (string, nulls), carrier (dictionary), w (weights), id, time (a minute apart), who (group),
    label.
    """
    draw = np.random.default_rng([seed, first])
    number = draw.normal(3.0, 2.0, rows)
    number[draw.random(rows) < 0.05] = np.nan
    whole = draw.integers(-50, 50, rows)
    word = draw.choice(["red", "green", "blue", "ultramarine"], rows, p=[0.5, 0.3, 0.15, 0.05])
    carrier = draw.choice(["AA", "UA", "WN"], rows)
    score = 0.6 * np.nan_to_num(number) + 0.02 * whole + (word == "red") - 3.4
    return pa.table(
        {
            "number": pa.array(number, mask=draw.random(rows) < 0.05),
            "single": pa.array(draw.normal(size=rows).astype(np.float32)),
            "whole": pa.array(whole),
            "small": pa.array(draw.integers(0, 9, rows).astype(np.int16), mask=draw.random(rows) < 0.1),
            "flag": pa.array(draw.random(rows) < 0.4, mask=draw.random(rows) < 0.1),
            "word": pa.array(word.tolist(), pa.string(), mask=draw.random(rows) < 0.1),
            "carrier": pa.array(carrier.tolist(), pa.string()).dictionary_encode(),
            "w": pa.array(np.round(draw.gamma(2.0, 0.5, rows), 3)),
            "id": pa.array(np.arange(first, first + rows)),
            "time": pa.array(
                [NOON + datetime.timedelta(minutes=first + i) for i in range(rows)], pa.timestamp("us")
            ),
            "who": pa.array(draw.integers(0, max(rows // 5, 1), rows)),
            "label": pa.array(draw.random(rows) < 1 / (1 + np.exp(-score))),
        }
    )


def mixed_files(root: Path, sizes: Sequence[int], *, seed: int = 0, group_rows: int = 100) -> Path:
    """Files part-000.parquet, part-001.parquet, ... of `mixed` rows below `root`; ids run on."""
    first = 0
    for place, rows in enumerate(sizes):
        table = mixed(rows, seed=seed, first=first)
        write(root / f"part-{place:03}.parquet", table, group_rows=group_rows)
        first += rows
    return root


def config(path: Path, store: Path, **sections: Mapping[str, Any]) -> Config:
    """A config for `mixed` data; each section's keys are added to or put over these."""
    data = {"path": str(path), "label": "label", "ids": ["id"], "exclude": ["who", "time", "w"]}
    data |= sections.pop("data", {})
    roles = {data.get("weight"), data.get("time"), data.get("group")}
    data["exclude"] = [name for name in data["exclude"] if name not in roles]
    registry = {"uri": "off"}  # MLflow takes seconds; tests of the registry have their own
    return parse({"name": "made", "store": str(store), "data": data, "registry": registry, **sections})

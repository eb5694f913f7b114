"""Many columns and few rows, as of grants: a good order, and probabilities far too sure of themselves."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from binclf.config import parse
from binclf.retrain import retrain
from tests.trained import on_disk

STRENGTH = 2.5  # standard deviation of the true log-odds
FIRST_LINE = re.compile(r"<h1[^>]*>(.*?)</h1>", re.DOTALL)


def wide(folder: Path, rows: int, columns: int) -> tuple[str, dict[str, Any]]:
    """The first line of the report on a run with all defaults, and the metrics of its test part."""
    random = np.random.default_rng(columns)
    x = random.normal(size=(rows, columns))
    z = x[:, :20].sum(axis=1) * STRENGTH / 20**0.5
    table = {f"x{i}": x[:, i] for i in range(columns)} | {
        "granted": random.random(rows) < 1 / (1 + np.exp(-z))
    }
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(table), folder / "grants.parquet", row_group_size=2000)
    config = {
        "name": "grants", "store": str(folder / "store"), "registry": {"uri": "off"},
        "data": {"path": str(folder / "grants.parquet"), "label": "granted"}, "train": {"device": "cpu"},
    }  # fmt: skip
    run = on_disk(retrain(parse(config)))
    found = FIRST_LINE.search((run / "report.html").read_text())
    first = unescape(found[1]) if found else ""
    return first, json.loads((run / "metrics.json").read_text())["test"]

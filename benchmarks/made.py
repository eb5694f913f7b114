"""Data for the benchmarks: seeded, and shaped like two that are well known.

`higgs`: 28 float32 columns and a label, dense. `criteo`: 13 int32 columns with nulls and 26 text columns of
10 to a million values, most of them rare.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa  # noqa: TID251 - made here, not read
import pyarrow.parquet as pq  # noqa: TID251

from binclf.config import Config, parse

GROUP_ROWS = 131072


def higgs(folder: Path, rows: int, *, files: int = 16, columns: int = 28) -> Path:
    """Dense floats; the label depends on all of them."""
    random = np.random.default_rng(7)
    mixing = random.normal(size=(columns, columns)) / np.sqrt(columns) + np.eye(columns)
    weights = random.normal(size=columns) * 0.25
    scale, shift = np.exp(random.normal(size=columns)), random.normal(size=columns) * 3
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        draw = np.random.default_rng([7, number])
        z = (draw.normal(size=(rows // files, columns)) @ mixing).astype(np.float32)
        logit = z @ weights.astype(np.float32) + 0.3 * np.sin(z[:, 0] * z[:, 1]) + 0.1
        label = (draw.random(len(z)) < 1 / (1 + np.exp(-logit))).astype(np.int8)
        x = (z * scale + shift).astype(np.float32)
        table = {"label": label} | {f"f{i:03}": np.ascontiguousarray(x[:, i]) for i in range(columns)}
        pq.write_table(pa.table(table), folder / f"part-{number:03}.parquet", row_group_size=GROUP_ROWS)
    return folder


def criteo(folder: Path, rows: int, *, files: int = 8) -> Path:
    """Integers with nulls, and text of all cardinalities; about a quarter of the labels are 1."""
    random = np.random.default_rng(11)
    sizes = np.geomspace(10, 1_000_000, 26).astype(int)
    random.shuffle(sizes)
    effects = [random.normal(size=min(size, 200_000)) * 0.35 for size in sizes]
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        draw, count = np.random.default_rng([11, number]), rows // files
        logit = np.full(count, -1.6)
        table: dict[str, object] = {}
        for i in range(13):
            values, lacks = (
                np.floor(np.exp(draw.normal(size=count) * 1.5 + i * 0.3)),
                draw.random(count) < 0.03 * i,
            )
            logit += 0.08 * ((i % 3) - 1) * np.log1p(values) * ~lacks
            table[f"I{i + 1}"] = pa.array(values.astype(np.int32), mask=lacks)
        for j, size in enumerate(sizes):
            rank = (size ** draw.random(count)).astype(np.int64) - 1  # few values are frequent
            logit += effects[j][rank % len(effects[j])] * 0.5
            texts = np.char.mod("%08x", (rank * 2654435761 + j * 97) & 0xFFFFFFFF)
            table[f"C{j + 1}"] = pa.array(texts, mask=draw.random(count) < 0.02)
        table["label"] = (draw.random(count) < 1 / (1 + np.exp(-logit))).astype(np.int8)
        pq.write_table(pa.table(table), folder / f"part-{number:03}.parquet", row_group_size=GROUP_ROWS)
    return folder


def config(name: str, data: Path, store: Path, **sections: dict[str, object]) -> Config:
    """A config for either."""
    return parse(
        {"name": name, "store": str(store), "data": {"path": str(data), "label": "label"}, **sections}
    )

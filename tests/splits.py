"""What the tests of splits share: how rows and files are looked at, and a config for each method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from binclf.config import Config
from binclf.split import PART_NAMES, Split
from tests import made

Parts = dict[str, list[int]]
Stamp = dict[str, tuple[int, int, int]]


def read(split: Split, part: str) -> pa.Table:
    """All rows of a part, file by file; which columns are required differs by file."""
    return pa.concat_tables(
        [pq.read_table(file.path) for file in split.parts.get(part, ())], promote_options="default"
    )


def plain(column: pa.ChunkedArray) -> list[Any]:
    """Values that can be compared: each NaN as a text."""
    return ["NaN" if value != value else value for value in column.to_pylist()]


def ids(split: Split) -> Parts:
    """The ids of each part's rows, in the order in which they are stored."""
    return {part: read(split, part)["id"].to_pylist() if split.rows(part) else [] for part in PART_NAMES}


def part_of(split: Split) -> dict[int, str]:
    return {row: part for part, rows in ids(split).items() for row in rows}


def stamps(store: Path) -> Stamp:
    """Inode, time and size of all files of a store: equal if nothing was written."""
    found = {}
    for path in sorted(store.rglob("*")):
        if path.is_file():
            stat = path.stat()
            found[path.relative_to(store).as_posix()] = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
    return found


def source(path: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(p) for p in sorted(path.rglob("*.parquet"))])


METHODS: dict[str, dict[str, dict[str, Any]]] = {
    "random": {"split": {"method": "random"}},
    "random, not stratified": {"split": {"method": "random", "stratify": False}},
    "random by group": {"split": {"method": "random"}, "data": {"group": "who"}},
    "hash": {"split": {"method": "hash", "key": ["carrier", "small"], "validation_fraction": 0.2}},
    "time": {"split": {"method": "time"}, "data": {"time": "time"}},
    "column": {"split": {"method": "column", "column": "part"}},
    "none": {"split": {"method": "none"}},
}


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four files of several row groups, with a column `part`; no test writes here."""
    root = tmp_path_factory.mktemp("data") / "flights"
    first = 0
    for place, rows in enumerate((310, 205, 1, 120)):
        table = made.mixed(rows, seed=3, first=first)
        part = np.random.default_rng(place).choice(PART_NAMES, rows, p=[0.6, 0.2, 0.2]).tolist()
        made.write(root / f"part-{place}.parquet", table.append_column("part", pa.array(part)))
        first += rows
    return root


def config_for(method: str, data: Path, store: Path) -> Config:
    sections = {name: dict(section) for name, section in METHODS[method].items()}
    config = made.config(data, store, **sections)
    return config


def read_column(split: Split, part: str, name: str) -> list[Any]:
    columns = [pq.read_table(file.path, columns=[name])[name].to_pylist() for file in split.parts[part]]
    return [value for column in columns for value in column]

"""Rows and footers that tests of Parquet make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from binclf.parquet import Footer, Found, Rows, footer


def rows_of(values: Any, kind: Any = None) -> Rows:
    return Rows(pa.table({"c": pa.array(values, kind)}), "a.parquet, row group 2")


def foot_of(path: Path) -> Footer:
    return footer(Found(path.name, path))

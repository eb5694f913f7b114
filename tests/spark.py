"""Queries run by Spark itself, in a session with a time zone of its own; needs pyspark and Java."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def scores(statement: str, tables: Sequence[pa.Table], folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Probabilities and decisions of the rows of each table, which the statement calls `t`."""
    with (
        warnings.catch_warnings()
    ):  # of pandas 3, which it does not know yet; nothing here goes through pandas
        warnings.simplefilter("ignore")
        from pyspark.sql import SparkSession
    settings: dict[str, Any] = {
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.session.timeZone": "Asia/Tokyo",
    }
    session = SparkSession.builder.master("local[1]").config(map=settings).getOrCreate()
    found: list[tuple[np.ndarray, np.ndarray]] = []
    try:
        for place, table in enumerate(tables):
            table = table.drop_columns([name for name in ("took", "at") if name in table.column_names])
            table = table.append_column("row number", pa.array(range(len(table))))
            pq.write_table(table, folder / f"{place}.parquet")
            session.read.parquet(str(folder / f"{place}.parquet")).createOrReplaceTempView("t")
            query = f"SELECT probability, decision FROM ({statement}) ORDER BY `row number`"
            rows = session.sql(query).collect()
            found.append((np.array([row[0] for row in rows]), np.array([row[1] for row in rows])))
    finally:
        session.stop()
    return found

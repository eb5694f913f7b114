"""Data that try what an export could get wrong, runs over them, and engines as functions of a table."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from binclf import artifact
from binclf.artifact import Run
from binclf.retrain import retrain
from tests import made

LEVELS = [
    "plain", "PLAIN", "plain ", "O'Brien", "back\\slash", "\\", "'", '"', "`", "two\nlines\r", "tab\t",
    "Zürich", "漢字", "é", "e\u0301", "\U0001f600", "", " ", "NULL", "null", "${HOME}", "$1", "-- no",
    "\\n\n", "/* no */", "; DROP TABLE t;", "\\u0041", "a%b", "{0}", "nul", "\x01\x1f",
]  # fmt: skip
NUMBER, SINGLE, DECIMAL, WHOLE, FLAG = 'num"ber', "sin'gle", "dec`imal", "whole {} {0}", "flag\\"
WORD, CODE, YES = "wörd\n-- x", "a:b", "select"
ZONE = "America/New_York"
MICROSECOND = datetime.timedelta(microseconds=1)


def odd(rows: int, seed: int = 0) -> pa.Table:
    """Every kind of column, nulls in each, names and levels that want quoting, and a label."""
    draw = np.random.default_rng(seed)

    def some(values: Any, kind: Any) -> pa.Array:
        lacks = draw.random(rows) < 0.1
        return pa.array([None if lack else v for v, lack in zip(values, lacks, strict=True)], kind)

    number = draw.normal(-3.0, 40.0, rows).tolist()
    word = draw.integers(0, len(LEVELS), rows)
    start = datetime.datetime(2023, 1, 1)
    seconds = draw.integers(0, 2 * 365 * 86400, rows).tolist()
    seen = [start + datetime.timedelta(seconds=s, microseconds=s % 999_983) for s in seconds]
    utc = [s.replace(tzinfo=datetime.UTC) for s in seen]
    born = [start - datetime.timedelta(days=9000) - (s - start) * 3 for s in seen]
    days = [s.date() for s in seen]
    heavy = np.exp(draw.normal(0, 3, rows)) * draw.choice([-1, 1], rows)
    z = 0.03 * np.array(number) + 0.8 * np.cos(word) + np.array([s.hour for s in seen]) / 8 - 1.5
    return pa.table(
        {
            NUMBER: some([float("nan") if i % 17 == 0 else v for i, v in enumerate(number)], pa.float64()),
            SINGLE: some(heavy.astype(np.float32), pa.float32()),
            DECIMAL: some([Decimal(v) / 100 for v in draw.integers(-(10**6), 10**6, rows).tolist()],
                          pa.decimal128(12, 2)),
            WHOLE: some((draw.integers(-50, 50, rows) * 10**11).tolist(), pa.int64()),
            FLAG: some((draw.random(rows) < 0.3).tolist(), pa.bool_()),
            WORD: some([LEVELS[i] if row % 40 else f"rare {row}" for row, i in enumerate(word)], pa.string()),
            CODE: some(draw.choice([-7, 0, 3, 2**40], rows).tolist(), pa.int64()),
            YES: some((draw.random(rows) < 0.5).tolist(), pa.bool_()),
            "born": some(born, pa.timestamp("us")),
            "seen": some(utc, pa.timestamp("us", tz=ZONE)),
            "since": some(born, pa.timestamp("us")),
            "paid": some(utc, pa.timestamp("us", tz="UTC")),
            "day": some(days, pa.date32()),
            "date": some(days, pa.date32()),
            "took": some([datetime.timedelta(milliseconds=s) for s in seconds], pa.duration("us")),
            "at": some([s.time().replace(microsecond=s.microsecond // 1000 * 1000) for s in seen],
                       pa.time32("ms")),
            "now": pa.array([s + datetime.timedelta(days=s.day) for s in utc], pa.timestamp("us", tz=ZONE)),
            "label": pa.array(draw.random(rows) < 1 / (1 + np.exp(-z))),
        }
    )  # fmt: skip


ON_CLOCKS = ["seen:weekday", "seen:month"]
NUMERIC = ["born:hour", "day:weekday", "seen:hour", "seen:age_days", "since", "paid", "date", "took", "at"]
CATEGORICAL = [CODE, YES, "born:weekday", "born:month", "day:month", *ON_CLOCKS]


def train(folder: Path, table: pa.Table, *, data: dict[str, Any] | None = None, **features: Any) -> Run:
    """A run over a table, by Newton's method, at a threshold of its own."""
    made.write(folder / "data" / "a.parquet", table, group_rows=1000)
    config = made.config(
        folder / "data", folder / "store",
        data={"exclude": [], "ids": [], **(data or {})},
        features={"min_count": 2, **features},
        train={"solver": "newton", "l2": 1e-3},
        evaluate={"threshold": "0.37"},
    )  # fmt: skip
    return artifact.open_run(retrain(config))


def _over_odd(folder: Path, *, without: tuple[str, ...]) -> Run:
    return train(
        folder, odd(3000),
        data={"time": "now", "exclude": [name for name in without if ":" not in name]},
        numeric=[name for name in NUMERIC if name not in without],
        categorical=[name for name in CATEGORICAL if name not in without],
        log1p=[SINGLE],
    )  # fmt: skip


@pytest.fixture(scope="session")
def odd_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose every column is a feature."""
    return _over_odd(tmp_path_factory.mktemp("odd"), without=())


@pytest.fixture(scope="session")
def run_without_durations(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """As `odd_run`, but for durations and times of day."""
    return _over_odd(tmp_path_factory.mktemp("moments"), without=("took", "at"))


@pytest.fixture(scope="session")
def run_without_clocks(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """As `odd_run`, but for parts on the clocks of a zone."""
    return _over_odd(tmp_path_factory.mktemp("numbers"), without=("seen:hour", *ON_CLOCKS))

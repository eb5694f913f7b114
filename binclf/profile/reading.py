"""The numeric columns of a row group, as an observation looks at them: all rows' sums, a sample's bins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf import hashing
from binclf.features import NumericColumn
from binclf.parquet import Rows, feature_numbers, singles
from binclf.profile.bins import SIZE, places

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

MOST_SAMPLED = 2048  # of a row group
_DRAW = hashing.key("profile")


@dataclass(frozen=True, slots=True)
class Read:
    """A numeric column of a row group."""

    values: npt.NDArray[np.floating[Any]]  # [n], as the model takes them; float32 where that holds them
    raw: F64  # of the sampled rows, in original units
    sampled: F64  # of the sampled rows


def read(rows: Rows, column: NumericColumn, chosen: I64) -> Read:
    """A column, and of it the rows that were chosen."""
    if not column.is_log1p and not column.column.part:
        short = singles(rows, column.column.source)
        if short is not None:  # nothing is copied
            raw = short[chosen].astype(np.float64)
            return Read(short, raw, raw)
    values = feature_numbers(rows, column.column)
    raw = values[chosen]
    if not column.is_log1p:
        return Read(values, raw, raw)
    values = np.sign(values) * np.log1p(np.abs(values))
    return Read(values, raw, values[chosen])


def sum_of(values: npt.NDArray[np.floating[Any]]) -> tuple[int, float]:
    """How many values are there, and their sum in float64, all in one pass where none is missing."""
    total = float(values.sum(dtype=np.float64))
    if total == total:
        return len(values), total
    present = values[~np.isnan(values)]
    return len(present), float(present.sum(dtype=np.float64))


def sample(count: int) -> I64:
    """The rows of a row group that are sampled, ascending; all of a small one."""
    if count <= MOST_SAMPLED:
        return np.arange(count)
    begins = np.arange(MOST_SAMPLED + 1) * count // MOST_SAMPLED
    draws = hashing.unit(hashing.draws(_DRAW, MOST_SAMPLED))
    return begins[:-1] + (draws * np.diff(begins)).astype(np.int64)


def binned(values: F64) -> I64:
    """How many values are in each fine bin, int64 [SIZE]; NaN in none."""
    known = values[~np.isnan(values)]
    return np.bincount(places(np.ascontiguousarray(known)), minlength=SIZE)

"""Frames in memory as rows."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa

from binclf.errors import DataError
from binclf.parquet.columns import Rows
from binclf.parquet.kinds import Column, zone_of


def from_frame(frame: Any, needed: Collection[str] = ()) -> Rows:  # noqa: ANN401 - or anything else
    """A pandas DataFrame, a pyarrow Table or batch, or a dict of one row; what is not needed may be anything.

    Raises:
        DataError: it is none of these, or a column cannot be read.
    """
    if isinstance(frame, pa.Table):
        return Rows(frame, "the table")
    if isinstance(frame, pa.RecordBatch):
        return Rows(pa.Table.from_batches([frame]), "the batch")
    if isinstance(frame, Mapping):
        return _one_row(frame, needed)
    try:
        if needed and set(needed) <= set(frame.columns):  # else all, so that a message can tell a likely name
            frame = frame[list(needed)]
        with warnings.catch_warnings():  # pyarrow 25 asks pandas 3.1 for values of zoned moments its old way
            warnings.filterwarnings(
                "ignore", message="Series.values returning an ndarray that drops timezone"
            )
            return Rows(pa.Table.from_pandas(frame, preserve_index=False), "the frame")
    except (pa.ArrowException, AttributeError, TypeError, ValueError) as error:
        raise DataError(
            f"the frame cannot be read: {error}. Give a pandas DataFrame or a pyarrow Table; "
            "one row may be a dict."
        ) from error


def _one_row(row: Mapping[str, Any], needed: Collection[str]) -> Rows:
    """A row by its columns' names; None, NaN and NaT are missing."""
    names = list(needed) if set(needed) <= set(row) else list(row)
    columns: dict[str, Any] = {}
    for name in names:
        try:
            columns[str(name)] = pa.array([row[name]], from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise DataError(
                f"'{name}' of the row is {type(row[name]).__name__}: {error}. Give one value."
            ) from error
    return Rows(pa.table(columns), "the row")


def from_values(columns: Sequence[Column], values: Mapping[str, Sequence[object]]) -> Rows:
    """Rows of the types that columns are read as; moments and durations are given as counted microseconds."""
    arrays = {column.name: _array(column, values[column.name]) for column in columns}
    return Rows(pa.table(arrays), "the made rows")


def _array(column: Column, values: Sequence[object]) -> Any:  # noqa: ANN401 - pyarrow
    if column.kind == "integer":
        return pa.array(values)  # int64, or uint64 where it must
    types = {
        "boolean": pa.bool_(),
        "number": pa.float64(),
        "text": pa.string(),
        "moment": pa.timestamp("us", tz=zone_of(column.type) or None),
        "duration": pa.duration("us"),
    }
    return pa.array(values, types[column.kind])

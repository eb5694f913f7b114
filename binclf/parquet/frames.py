"""Frames in memory as rows."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pyarrow as pa

from binclf.errors import DataError
from binclf.parquet.columns import Rows


def from_frame(frame: Any, needed: Collection[str] = ()) -> Rows:  # noqa: ANN401 - or anything else
    """A pandas DataFrame or a pyarrow Table as rows; a frame's columns that are not needed may be anything.

    Raises:
        DataError: it is neither, or a column cannot be read.
    """
    if isinstance(frame, pa.Table):
        return Rows(frame, "the table")
    try:
        if needed and set(needed) <= set(frame.columns):  # else all, so that a message can tell a likely name
            frame = frame[list(needed)]
        return Rows(pa.Table.from_pandas(frame, preserve_index=False), "the frame")
    except (pa.ArrowException, AttributeError, TypeError, ValueError) as error:
        raise DataError(
            f"the frame cannot be read: {error}. Give a pandas DataFrame or a pyarrow Table."
        ) from error

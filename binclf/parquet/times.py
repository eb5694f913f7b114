"""Moments and durations of Arrow arrays as counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from binclf.errors import DataError
from binclf.parquet.arrays import nulls_of, numpy_of


def microseconds(array: Any, name: str, place: str) -> npt.NDArray[np.int64]:  # noqa: ANN401 - pyarrow
    """Moments counted from 1970 (UTC), int64 [N], 0 where null; nanoseconds are cut off.

    Raises:
        DataError: a year beyond 292,000.
    """
    try:
        if pa.types.is_date(array.type):
            array = array.cast(pa.timestamp("us"))
        elif array.type.unit != "us":
            array = array.cast(pa.timestamp("us", tz=array.type.tz), safe=array.type.unit != "ns")
    except pa.ArrowInvalid as error:
        raise DataError(
            f"column '{name}' of {place} holds moments more than 292,000 years from 1970, which "
            "microseconds cannot count: write null, or list the column in data.exclude."
        ) from error
    whole = numpy_of(array.cast(pa.int64()).fill_null(0))
    return np.asarray(whole, dtype=np.int64)


def seconds(array: Any) -> npt.NDArray[np.float64]:  # noqa: ANN401 - pyarrow
    """Durations in seconds, times of day since midnight, float64 [N]; null is NaN."""
    counts = array.cast(pa.int32() if pa.types.is_time32(array.type) else pa.int64())
    per_second = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[array.type.unit]
    values: npt.NDArray[np.float64] = numpy_of(counts.fill_null(0)).astype(np.float64) / per_second
    values[nulls_of(array)] = np.nan
    return values

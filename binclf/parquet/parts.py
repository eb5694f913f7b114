"""A feature column's values, plain or derived from a moment: one place for training and for scoring.

A part is named by declaration, `departure:hour`: the hour (0-23), weekday (Monday is 0) and month (1-12) of
the moment in its column's own time zone (as written, where it has none), and `age_days`, the days from the
moment to the row's `data.time`. As categories they have names that sort: 00..23, monday..sunday,
january..december.
"""

from __future__ import annotations

import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from binclf.errors import DataError
from binclf.parquet.arrays import arrow_of, numpy_of
from binclf.parquet.columns import F64, I32, I64, Rows
from binclf.parquet.kinds import Column, zone_of
from binclf.parquet.texts import Texts

QUARTER, HOUR, DAY = 900_000_000, 3_600_000_000, 86_400_000_000  # microseconds; clocks change on quarters
LATE = 2_114_380_800_000_000  # 2037-01-01
NO_CALENDAR = 253_370_764_800_000_000  # 9999-01-01: Python's calendar ends

NAMES: dict[str, list[str]] = {
    "hour": [f"{hour:02}" for hour in range(24)],
    "weekday": ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"],
    "month": [
        "january", "february", "march", "april", "may", "june",
        "july", "august", "september", "october", "november", "december",
    ],
}  # fmt: skip
"""Of each part that can be a category, the names of its values in order."""

_FIRST = {"hour": 0, "weekday": 0, "month": 1}  # the number of each part's first name


def values_of(part: str) -> dict[str, int]:
    """The values of a categorical part: each one's name as a category, and its number.

    >>> values_of("weekday")["sunday"], values_of("month")["january"]
    (6, 1)
    """
    return {name: number for number, name in enumerate(NAMES[part], _FIRST[part])}


def feature_numbers(rows: Rows, column: Column, *, finite: bool = True) -> F64:
    """A numeric feature's values, float64 [N]; missing is NaN; infinite ones are refused, if to be `finite`.

    Raises:
        DataError: as `Rows.numbers`; or a time zone that is not known.
    """
    if not column.part:
        return rows.numbers(column.source, finite=finite)
    if column.part == "age_days":
        return _age_days(rows, column)
    places, missing = _places(rows, column)
    return np.where(missing, np.nan, places + _FIRST[column.part])


def feature_codes(rows: Rows, column: Column) -> tuple[I32, Texts]:
    """A categorical feature as codes int32 [N] into its distinct values as text; null is -1."""
    if not column.part:
        return rows.codes(column.source)
    places, missing = _places(rows, column)
    return np.where(missing, -1, places).astype(np.int32), Texts.of(NAMES[column.part])


def _places(rows: Rows, column: Column) -> tuple[I64, npt.NDArray[np.bool_]]:
    """Where in `NAMES` each row's part is, int64 [N], and where the moment is missing."""
    moments, missing = rows.moments(column.source)
    wall = _on_the_wall(moments, zone_of(column.type), rows.place, column.source)
    if column.part == "hour":
        return wall // HOUR % 24, missing
    if column.part == "weekday":
        return (wall // DAY + 3) % 7, missing  # 1970 began on a Thursday
    return wall.view("datetime64[us]").astype("datetime64[M]").astype(np.int64) % 12, missing


def _on_the_wall(moments: I64, zone: str, place: str, name: str) -> I64:
    """Microseconds since 1970 as clocks in the zone count them."""
    if not zone:
        return moments
    try:
        local = pc.local_timestamp(arrow_of(moments).cast(pa.timestamp("us", tz=zone)))
    except pa.ArrowInvalid as error:
        raise DataError(
            f"column '{name}' of {place} has the time zone '{zone}', which is not known here: write it with "
            "a name of the IANA database or as UTC."
        ) from error
    wall: I64 = numpy_of(local.cast(pa.int64())).astype(np.int64)
    late = (moments >= LATE) & (moments < NO_CALENDAR)
    if late.any():  # Arrow knows no summer time from 2038 on
        clock = pa.lib.string_to_tzinfo(zone)
        quarters, which = np.unique(moments[late] // QUARTER, return_inverse=True)
        offsets = [datetime.datetime.fromtimestamp(q * 900, clock).utcoffset() for q in quarters.tolist()]
        wall[late] = moments[late] + np.array(offsets, dtype="timedelta64[us]").astype(np.int64)[which]
    return wall


def _age_days(rows: Rows, column: Column) -> F64:
    moments, missing = rows.moments(column.source)
    times, timeless = rows.moments(column.against)
    with np.errstate(over="ignore"):
        exact = (times - moments).astype(np.float64)
    rough = times.astype(np.float64) - moments.astype(np.float64)
    days = np.where(np.abs(rough) < 2.0**62, exact, rough) / DAY  # a difference beyond 2^63 would wrap
    return np.where(missing | timeless, np.nan, days)

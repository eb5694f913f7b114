"""What binclf can do with a column, by its Arrow type.

| kind      | Arrow types                              | as a feature                                   |
|-----------|------------------------------------------|------------------------------------------------|
| boolean   | bool                                     | numeric 0/1, or categorical by declaration     |
| integer   | int8..int64, uint8..uint64               | numeric, or categorical by declaration         |
| number    | float16..float64, decimals               | numeric                                        |
| text      | string, large_string, string_view, and dictionaries of them | categorical                 |
| moment    | timestamps, dates                        | numeric (seconds since 1970) by declaration    |
| other     | everything else                          | refused by name                                |
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from binclf.errors import ConfigError

Kind = Literal["boolean", "integer", "number", "text", "moment", "other"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column as a footer describes it."""

    name: str
    kind: Kind
    type: str  # Arrow's own name for it, such as 'timestamp[us, tz=UTC]'


def kind_of(arrow_type: Any) -> Kind:  # noqa: ANN401 - pyarrow has no types
    """The kind of an Arrow type; a dictionary is what its values are."""
    types = pa.types
    if types.is_dictionary(arrow_type):
        arrow_type = arrow_type.value_type
    if types.is_boolean(arrow_type):
        return "boolean"
    if types.is_integer(arrow_type):
        return "integer"
    if types.is_floating(arrow_type) or types.is_decimal(arrow_type):
        return "number"
    if types.is_string(arrow_type) or types.is_large_string(arrow_type):
        return "text"
    if types.is_string_view(arrow_type):
        return "text"
    if types.is_timestamp(arrow_type) or types.is_date(arrow_type):
        return "moment"
    return "other"


def parse_value(text: str, kind: Kind, key: str) -> bool | int | float | str:
    """A setting's text as a value of the column's kind, such as 'true' for a boolean label.

    Raises:
        ConfigError: the text is no such value.
    """
    try:
        if kind == "boolean":
            return {"true": True, "1": True, "false": False, "0": False}[text.strip().lower()]
        if kind == "integer":
            is_written_as_one = text.strip().lstrip("+-").isdigit()  # float64 would round beyond 2^53
            return int(float(text)) if not is_written_as_one and float(text).is_integer() else int(text)
        if kind == "number":
            return float(text)
    except (KeyError, ValueError) as error:
        raise ConfigError(f"{key} = '{text}' is no {kind} value, and the column is one.") from error
    return text


def parse_moment(text: str, arrow_type: str, key: str) -> int:
    """An ISO date or time as `Rows.moments` counts it for a column of that type.

    Text without an offset is taken in the column's own time zone.

    Raises:
        ConfigError: the text is no such moment.
    """
    try:
        if not arrow_type.startswith(("timestamp", "date")):
            return int(text)
        if text[10:11].strip("T ") and text[4:5] == "-":  # Python reads 2024-07-01+03:00 as 3 o'clock
            raise ValueError("after the date, 'T' or a space and a time are needed")
        value = datetime.datetime.fromisoformat(text)
        zone = _zone(arrow_type)
        if zone is None and value.tzinfo is not None:
            raise ValueError("the column has no time zone")
        if zone is not None and value.tzinfo is None:
            value = value.replace(tzinfo=zone)
    except ValueError as error:
        raise ConfigError(
            f"{key} = '{text}' does not fit a time column of type {arrow_type}: {error}."
        ) from error
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC if value.tzinfo else None)
    return (value - epoch) // datetime.timedelta(microseconds=1)


def moment_text(moment: int, arrow_type: str) -> str:
    """A moment of `Rows.moments` as text that `parse_moment` reads back."""
    if not arrow_type.startswith(("timestamp", "date")):
        return str(moment)
    zone = _zone(arrow_type)
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC if zone else None)
    value = epoch + datetime.timedelta(microseconds=moment)
    return (value.astimezone(zone) if zone else value).isoformat(sep=" ")


def _zone(arrow_type: str) -> datetime.tzinfo | None:
    _, _, zone = arrow_type.rstrip("]").partition("tz=")
    if not zone:
        return None
    zone_type: datetime.tzinfo = pa.lib.string_to_tzinfo(zone)
    return zone_type

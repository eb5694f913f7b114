"""What binclf can do with a column, by its Arrow type. docs/types.md has the decision for each type.

| kind      | as a feature                                                                          |
|-----------|---------------------------------------------------------------------------------------|
| boolean   | numeric 0/1, or categorical by declaration                                            |
| integer   | numeric, or categorical by declaration                                                |
| number    | numeric                                                                               |
| text      | categorical                                                                           |
| moment    | by declaration: numeric as seconds since 1970, or a part of it such as `when:hour`    |
| duration  | numeric, in seconds, by declaration; a time of day is the seconds since midnight      |
| other     | refused by name                                                                       |
"""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import pyarrow as pa

from binclf.errors import ConfigError

Kind = Literal["boolean", "integer", "number", "text", "moment", "duration", "other"]

PARTS = ("hour", "weekday", "month", "age_days")  # of a moment, named behind a colon: 'departure:hour'
CATEGORICAL_PARTS = ("hour", "weekday", "month")


@dataclass(frozen=True, slots=True)
class Column:
    """A column as a footer describes it, or a part of one by declaration."""

    name: str
    kind: Kind
    type: str  # Arrow's own name for it, such as 'timestamp[us, tz=UTC]'
    source: str = ""  # the file's column that it is read from; the name itself unless a part is taken
    part: str = ""  # "" or one of PARTS
    against: str = ""  # part age_days: the file's column that has the row's time

    def __post_init__(self) -> None:
        if not self.source:
            object.__setattr__(self, "source", self.name)

    @property
    def reads(self) -> tuple[str, ...]:
        """The file's columns that it takes."""
        return (self.source, self.against) if self.against else (self.source,)


_READ_AS: dict[str, str] = {
    "boolean": "bool", "integer": "int64", "number": "double", "text": "string", "duration": "duration[us]"
}  # fmt: skip


def as_read(column: Column) -> Column:
    """The column with one type for all that are read alike, so that what is learnt from them is the same.

    >>> as_read(Column("c", "integer", "int8")).type, as_read(Column("c", "text", "large_string")).type
    ('int64', 'string')
    """
    zone = zone_of(column.type)
    moment = f"timestamp[us, tz={zone}]" if zone else "timestamp[us]"
    return replace(column, type=_READ_AS.get(column.kind, moment))


def part_of(name: str) -> tuple[str, str]:
    """What stands before and after a name's last colon: a moment column and a part, if it is one.

    >>> part_of("when:hour"), part_of("a:b:month"), part_of("plain")
    (('when', 'hour'), ('a:b', 'month'), ('', ''))
    """
    source, colon, part = name.rpartition(":")
    return (source, part) if colon else ("", "")


def closest(name: str, known: Iterable[str]) -> str:
    """The known name that was probably meant: equal but for case and blanks, else similar, else ''."""
    candidates = list(known)
    plain = name.strip().casefold()
    for candidate in candidates:
        if candidate.strip().casefold() == plain:
            return candidate
    return next(iter(difflib.get_close_matches(name, candidates, n=1)), "")


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
    if types.is_duration(arrow_type) or types.is_time(arrow_type):
        return "duration"
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


def zone_of(arrow_type: str) -> str:
    """The time zone in a type's name; empty: none."""
    return arrow_type.rstrip("]").partition("tz=")[2] if arrow_type.startswith("timestamp") else ""


def _zone(arrow_type: str) -> datetime.tzinfo | None:
    zone = zone_of(arrow_type)
    if not zone:
        return None
    zone_type: datetime.tzinfo = pa.lib.string_to_tzinfo(zone)
    return zone_type

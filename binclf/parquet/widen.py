"""One type for the types that a column has in several files, where that loses nothing; else none.

Types are Arrow's own names. Columns are never cast on disk: each file is read by its own type into float64,
text or microseconds, and the common type says what those values may be. Only what every value of both types
survives is common: int32 beside double is double, int64 beside double is not (2^53 + 1 has no double).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from binclf.parquet.kinds import Column, Kind, zone_of

Typed = tuple[Kind, str]

_BITS = {"halffloat": 16, "float": 32, "double": 64}
_UNITS = ("s", "ms", "us", "ns")


def plain_type(arrow_type: str) -> str:
    """The type of a dictionary's values; any other type as it is.

    >>> plain_type("dictionary<values=string, indices=int32, ordered=0>"), plain_type("int8")
    ('string', 'int8')
    """
    found = re.fullmatch(r"dictionary<values=(.*), indices=.*>", arrow_type)
    return found[1] if found else arrow_type


def common(columns: Sequence[Column]) -> Typed | None:
    """Kind and type that hold every value of all the columns; None where there are none such."""
    types = {plain_type(column.type): column.kind for column in columns}
    if len(types) == 1:
        only = next(iter(types))
        is_one = len({column.type for column in columns}) == 1  # one dictionary stays what it is
        return types[only], columns[0].type if is_one else only
    types.pop("null", None)  # a file without any value of the column
    if len(types) == 1:
        return next((kind, name) for name, kind in types.items())
    kinds = set(types.values())
    names = list(types)
    if kinds == {"text"}:
        return "text", "string"
    if kinds == {"integer"}:
        return _integers(names)
    if kinds <= {"integer", "number"}:
        return _numbers(names)
    if kinds == {"moment"}:
        return _moments(names)
    if kinds == {"duration"}:
        return _durations(names)
    return None


def why_not(columns: Sequence[Column]) -> str:
    """What to do about columns without a common type, as the end of a sentence."""
    types = {plain_type(column.type) for column in columns}
    if types & {"int64", "uint64"} and types & set(_BITS):
        return (
            "no type holds both, since floating point rounds integers beyond 2^53: write one of them (pandas "
            "writes integers with nulls as double: astype('Int64') before to_parquet keeps them integers), "
            "or exclude the column"
        )
    if any(zone_of(one) for one in types) and not all(zone_of(one) for one in types):
        return "times with and without a zone cannot be compared: write the files with one, or exclude it"
    return "write the files with one type, or exclude the column"


def _integers(names: list[str]) -> Typed | None:
    if all(name.startswith("uint") for name in names):
        return "integer", "uint64"
    return None if "uint64" in names else ("integer", "int64")


def _numbers(names: list[str]) -> Typed | None:
    decimals = [re.fullmatch(r"decimal\d+\((\d+), (-?\d+)\)", name) for name in names]
    if all(decimals):
        sizes = [(int(found[1]), int(found[2])) for found in decimals if found]
        scale = max(scale for _, scale in sizes)
        precision = max(precision - own for precision, own in sizes) + scale
        if precision > 76:
            return None
        return "number", f"decimal{128 if precision <= 38 else 256}({precision}, {scale})"
    if any(decimals) or {"int64", "uint64"} & set(names):
        return None
    if all(name in _BITS for name in names):
        return "number", max(names, key=_BITS.__getitem__)
    return "number", "double"  # which holds every integer of up to 32 bits


def _moments(names: list[str]) -> Typed | None:
    zones = {zone_of(name) for name in names}
    if "" in zones and len(zones) > 1:
        return None
    if all(name.startswith("date") for name in names):
        return "moment", "date64[ms]"
    unit = _finest(names)
    zone = zones.pop() if len(zones) == 1 else "UTC"  # the same instants, on other clocks
    return "moment", f"timestamp[{unit}, tz={zone}]" if zone else f"timestamp[{unit}]"


def _durations(names: list[str]) -> Typed | None:
    if all(name.startswith("duration") for name in names):
        return "duration", f"duration[{_finest(names)}]"
    if all(name.startswith("time") for name in names):
        unit = _finest(names)
        return "duration", f"time{32 if unit in ('s', 'ms') else 64}[{unit}]"
    return None


def _finest(names: list[str]) -> str:
    found = [re.match(r"[a-z0-9]+\[(s|ms|us|ns)\b", name) for name in names]
    return max((match[1] for match in found if match), key=_UNITS.index)

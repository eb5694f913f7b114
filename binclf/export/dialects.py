"""What four SQL engines call the same things, and how each quotes.

Templates have `{}` for what they are applied to; `{zone}` is a time zone's name as a literal. Moments of a
column without a zone are taken as written: that is a TIMESTAMP in DuckDB and PostgreSQL, a DATETIME in
BigQuery and a TIMESTAMP_NTZ in Spark; dates may stand there too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dialect:
    """One engine's words."""

    engine: str
    identifier: Callable[[str], str]  # a name, quoted
    text: Callable[[str], str]  # a text's literal
    double: str
    string: str
    is_nan: str
    seconds: str  # since 1970, of a moment without a zone, as a double
    seconds_zoned: str
    duration: str  # in seconds, as a double; empty: the engine has no type that durations and times share
    clock: str  # a zoned moment on the clocks of its zone
    hour: str  # of what `clock` gives, or of a moment without a zone
    weekday: str  # from 0, Monday
    month: str
    clock_parts: Mapping[str, str]  # of what `clock` gives, where that differs
    folds_case: bool = True  # takes "A" and "a" for one column
    longest_name: int = 300  # bytes
    steps: str = ""  # the one of `values` at {}'s place among `edges`; empty: a tree of CASE
    substitutes: bool = False  # puts variables in place of ${name}, anywhere in a query


def _doubled(quote: str) -> Callable[[str], str]:
    def quoted(text: str) -> str:
        return quote + text.replace(quote, quote * 2) + quote

    return quoted


def _e_text(text: str) -> str:
    """With backslashes or control characters an E'' literal, which no setting or editor takes otherwise."""
    plain = text.replace("'", "''")
    escaped = "".join(f"\\x{ord(c):02x}" if ord(c) < 32 else c for c in plain.replace("\\", "\\\\"))
    return f"'{plain}'" if escaped == plain else f"E'{escaped}'"


def _escaped(quote: str) -> Callable[[str], str]:
    """Quotes, backslashes and control characters behind a backslash; $ too, for Spark would read ${name}."""

    def quoted(text: str) -> str:
        shown = "".join(
            f"\\{c}" if c in (quote, "\\") else f"\\u{ord(c):04x}" if ord(c) < 32 or c == "$" else c
            for c in text
        )
        return quote + shown + quote

    return quoted


DUCKDB = Dialect(
    engine="DuckDB",
    identifier=_doubled('"'),
    text=_e_text,
    double="CAST({} AS DOUBLE)",
    string="CAST({} AS VARCHAR)",
    is_nan="isnan({})",
    seconds="CAST(epoch_us({}) AS DOUBLE) / 1e6",
    seconds_zoned="CAST(epoch_us({}) AS DOUBLE) / 1e6",
    duration="CAST(epoch_us({}) AS DOUBLE) / 1e6",
    clock="timezone({zone}, {})",
    hour="hour({})",
    weekday="isodow({}) - 1",
    month="month({})",
    clock_parts={},
)
POSTGRES = Dialect(
    engine="PostgreSQL",
    identifier=_doubled('"'),
    text=_e_text,
    double="CAST({} AS double precision)",
    string="CAST({} AS text)",
    is_nan="{} = 'NaN'::float8",
    seconds="CAST(extract(epoch FROM {}) AS double precision)",
    seconds_zoned="CAST(extract(epoch FROM {}) AS double precision)",
    duration="CAST(extract(epoch FROM {}) AS double precision)",
    clock="({} AT TIME ZONE {zone})",
    hour="extract(hour FROM {})",
    weekday="extract(isodow FROM {}) - 1",
    month="extract(month FROM {})",
    clock_parts={},
    folds_case=False,
    longest_name=63,
    # a tree would name the logit at each edge, and PostgreSQL puts the whole sum in place of each name
    steps="CAST((ARRAY[{values}])[width_bucket({}, ARRAY[{edges}]) + 1] AS double precision)",
)
BIGQUERY = Dialect(
    engine="BigQuery",
    identifier=_escaped("`"),
    text=_escaped("'"),
    double="CAST({} AS FLOAT64)",
    string="CAST({} AS STRING)",
    is_nan="IS_NAN({})",
    seconds="UNIX_MICROS(TIMESTAMP({})) / 1e6",
    seconds_zoned="UNIX_MICROS({}) / 1e6",
    duration="",
    clock="DATETIME({}, {zone})",
    hour="EXTRACT(HOUR FROM {})",
    weekday="MOD(DATE_DIFF(CAST({} AS DATE), DATE '0001-01-01', DAY), 7)",  # its first day was a Monday
    month="EXTRACT(MONTH FROM {})",
    clock_parts={},
)
SPARK = Dialect(
    engine="Spark",
    identifier=_doubled("`"),
    text=_escaped("'"),
    double="CAST({} AS DOUBLE)",
    string="CAST({} AS STRING)",
    is_nan="isnan({})",
    # hour() and its like read a TIMESTAMP_NTZ as it is written, whatever the session's time zone
    seconds="(unix_date(CAST({0} AS DATE)) * 86400e0 + hour(CAST({0} AS TIMESTAMP_NTZ)) * 3600 "
    "+ minute(CAST({0} AS TIMESTAMP_NTZ)) * 60 "
    "+ CAST(extract(SECOND FROM CAST({0} AS TIMESTAMP_NTZ)) AS DOUBLE))",
    seconds_zoned="unix_micros({}) / 1e6",
    duration="",
    clock="unix_micros(from_utc_timestamp({}, {zone}))",  # counted: hour() would use the session's time zone
    hour="hour({})",
    weekday="weekday({})",
    month="month({})",
    clock_parts={
        "hour": "pmod(floor({} / 3600e6), 24)",
        "weekday": "pmod(floor({} / 86400e6) + 3, 7)",
        "month": "month(date_from_unix_date(CAST(floor({} / 86400e6) AS INT)))",
    },
    substitutes=True,
)

DIALECTS: Mapping[str, Dialect] = {
    "duckdb": DUCKDB,
    "postgres": POSTGRES,
    "bigquery": BIGQUERY,
    "spark": SPARK,
}

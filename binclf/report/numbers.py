"""Numbers for people: few digits, as many as the interval beside them can bear."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

UNKNOWN = "\u2013"
MINUS = "\u2212"
MOST_DECIMALS = 6


def count(value: float | None) -> str:
    """A number of rows, or a sum of weights.

    >>> count(82609), count(3.25), count(1234.5)
    ('82,609', '3.25', '1,235')
    """
    if value is None:
        return UNKNOWN
    if value == int(value) or value >= 1000:
        return f"{math.floor(value + 0.5):,}"
    return f"{value:.3g}"


def number(value: float | None, interval: Sequence[float | None] | None = None) -> str:
    """To three digits, or to what its interval bears.

    >>> number(0.490618), number(0.490618, (0.49059, 0.49064)), number(12345.6), number(3e-7)
    ('0.491', '0.49062', '12,346', '3e-07')
    """
    if value is None:
        return UNKNOWN
    decimals = _decimals(value, interval)
    if value and (abs(value) < 10.0**-MOST_DECIMALS or abs(value) >= 1e7):
        return f"{value:.3g}".replace("-", MINUS, 1) if value < 0 else f"{value:.3g}"
    return _signed(value, decimals)


def share(value: float | None, interval: Sequence[float | None] | None = None) -> str:
    """A fraction as a percentage.

    >>> share(0.2214), share(0.000312), share(1.0), share(0.2214, (0.2185, 0.2243))
    ('22.1%', '0.0312%', '100%', '22.1%')
    """
    if value is None:
        return UNKNOWN
    scaled = None if interval is None or None in interval else [100 * float(end or 0) for end in interval]
    if value in (0, 1) and scaled is None:
        return f"{100 * value:.0f}%"
    return f"{number(100 * value, scaled)}%"


def points(value: float, interval: Sequence[float] | None = None) -> str:
    """A difference of fractions, in percentage points.

    >>> points(0.0199), points(0.0313, (0.027, 0.034))
    ('1.99 points', '3.1 points')
    """
    scaled = None if interval is None else [100 * end for end in interval]
    return f"{number(100 * value, scaled)} points"


def between(interval: Sequence[float | None] | None, *, percent: bool = False) -> str:
    """An interval in words; empty where there is none.

    >>> between((0.4881, 0.4932)), between((0.2185, 0.2243), percent=True), between(None)
    ('0.488 to 0.493', '21.9% to 22.4%', '')
    """
    if interval is None or None in interval:
        return ""
    low, high = (float(end or 0) for end in interval)
    form = share if percent else number
    return f"{form(low, (low, high))} to {form(high, (low, high))}"


def with_interval(metrics: Mapping[str, Any], name: str, *, percent: bool = False) -> str:
    """A metric with its interval behind it, where it has one."""
    interval = metrics.get("intervals", {}).get(name)
    form = share if percent else number
    told = between(interval, percent=percent)
    return form(metrics.get(name), interval) + (f" ({told})" if told else "")


def exactly(value: float) -> str:
    """A setting, or the share that a row of a table stands for: three digits at most, none of them added.

    >>> exactly(0.5), exactly(0.30000000000000004), exactly(0.12345)
    ('0.5', '0.3', '0.123')
    """
    return f"{value:.3g}"


def signed(value: float, digits: int = 4) -> str:
    """A coefficient or a shift, with its sign.

    >>> signed(0.85241), signed(0.000123, 2)
    ('+0.8524', '+0.00012')
    """
    return f"{value:+.{digits}g}".replace("-", MINUS, 1) if value < 0 else f"{value:+.{digits}g}"


def within(value: float) -> str:
    """An end of a column's values: whole numbers as such.

    >>> within(4983.0), within(0.5), within(1.38e9)
    ('4,983', '0.500', '1.38e+09')
    """
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e7 else number(value)


def odds(value: float | None) -> str:
    """An odds ratio.

    >>> odds(1.4567), odds(123456.0), odds(0.00002)
    ('1.46', '1.23e+05', '2e-05')
    """
    if value is None:
        return UNKNOWN
    if value >= 1e4 or value < 1e-3:
        return f"{value:.3g}"
    return f"{value:.3g}" if value >= 100 else f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def p_value(value: float | None) -> str:
    """A p-value, not pretended to be exact where it is tiny."""
    if value is None:
        return UNKNOWN
    return "< 0.001" if value < 0.001 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def size(bytes_: float | None) -> str:
    """Memory or disk."""
    if bytes_ is None:
        return UNKNOWN
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if bytes_ >= scale:
            return f"{bytes_ / scale:,.1f} {unit}"
    return f"{bytes_:.0f} bytes"


def _signed(value: float, decimals: int) -> str:
    text = f"{abs(value):,.{decimals}f}"
    return f"{MINUS}{text}" if value < 0 and float(text.replace(",", "")) else text


def _decimals(value: float, interval: Sequence[float | None] | None) -> int:
    """Such that one digit of the interval's half is shown (two where it begins with 1), or three in all."""
    if interval is not None and None not in interval:
        half = (float(interval[1] or 0) - float(interval[0] or 0)) / 2
        if half > 0:
            place = math.floor(math.log10(half))
            return min(max(0, -place + (half < 2 * 10.0**place)), MOST_DECIMALS)
    if value == 0:
        return 0
    return min(max(0, 2 - math.floor(math.log10(abs(value)))), MOST_DECIMALS)

"""What counts as yes: a label's values to 1, 0 and missing, and row weights that are weights.

The positive value is stated, or unambiguous (true of a boolean, 1 of exactly {0, 1}); it is never inferred
from an order of values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf import kernels
from binclf.config import Config
from binclf.errors import ConfigError, DataError, located
from binclf.parquet import Column, Kind, Rows, parse_value

MOST_SHOWN = 80  # characters of a value that a message repeats
LIGHTEST, HEAVIEST = 1e-24, 1e24  # weights that are none: float32 holds sums and inverses of 10^10 of them

I8 = npt.NDArray[np.int8]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class LabelRule:
    """How the label column is read."""

    column: str
    kind: Kind
    positive: bool | int | float | str
    is_stated: bool  # the config names the positive value, so the other may be anything

    @classmethod
    def of(cls, config: Config, column: Column) -> LabelRule:
        """The rule for a label column of that kind.

        Raises:
            ConfigError: the positive value is needed and not stated, or not of the label's type.
            DataError: the column cannot be a label.
        """
        if column.kind in ("moment", "duration", "other"):
            raise DataError(
                f"label column '{column.name}' is {column.type}: a boolean, a number or text is needed."
            )
        stated = config.data.positive
        if stated:
            value = parse_value(stated, column.kind, "data.positive")
        elif column.kind == "text":
            raise ConfigError(
                f"data.positive is empty and label '{column.name}' is text: "
                "state which of its two values counts as yes."
            )
        else:
            value = column.kind == "boolean" or 1
        return cls(column.name, column.kind, value, is_stated=bool(stated))

    def read(self, rows: Rows) -> tuple[I8, list[Any]]:
        """1 for positive, 0 for the other value, -1 for null or NaN, int8 [N]; and the values seen.

        Raises:
            DataError: a third value, or one that is neither 0 nor 1 where no positive is stated.
        """
        with located(rows.place, self.column):
            return self._read(rows)

    def _read(self, rows: Rows) -> tuple[I8, list[Any]]:
        codes, values = rows.values(self.column)
        nulls = int(np.count_nonzero(codes < 0))
        present = _present(codes, len(values), nulls)
        seen = [values[code] for code in present]
        if not self.is_stated and any(value not in (0, 1) for value in seen):
            raise DataError(
                f"label '{self.column}' of {rows.place} holds {shown(seen)}: state which value "
                "counts as yes in data.positive (only true/false and 0/1 go without)."
            )
        others = {value for value in seen if value != self.positive}  # -0.0 and 0.0 are one
        if len(others) == len(seen) == 2:
            raise DataError(
                f"label '{self.column}' of {rows.place} holds 2 values ({shown(seen)}), and neither is "
                f"data.positive = '{self.positive}': state which of them counts as yes."
            )
        if len(others) > 1:
            raise DataError(
                f"label '{self.column}' of {rows.place} holds {len(seen)} values ({shown(seen)}): "
                "a binary label has two. Map them to two, or choose another column."
            )
        labels = np.zeros(len(codes), dtype=np.int8)
        for code in present:  # two, or one
            if values[code] == self.positive:
                labels |= codes == code
        if nulls:
            np.copyto(labels, -1, where=codes < 0)
        return labels, seen


def _present(codes: I32 | I8, size: int, nulls: int) -> list[int]:
    """The codes that come, of 0 to size - 1."""
    if size != 2:
        return np.flatnonzero(kernels.tally(codes.astype(np.int32), size)[1:]).tolist()
    ones = int(np.count_nonzero(codes == 1))  # looking twice is faster than counting
    return [code for code, rows in enumerate((len(codes) - nulls - ones, ones)) if rows]


def read_weights(rows: Rows, column: str) -> F64:
    """Row weights as float64 [N]; all ones where there is no weight column.

    Raises:
        DataError: a weight is negative, missing or infinite, or neither 0 nor within 1e-24 and 1e24.
    """
    if not column:
        return np.ones(len(rows))
    with located(rows.place, column):
        return _weights(rows, column)


def _weights(rows: Rows, column: str) -> F64:
    weights = rows.numbers(column)
    bad = ~(weights >= 0)
    if bad.any():
        first = int(bad.argmax())
        raise DataError(
            f"weight column '{column}' of {rows.place} holds {int(bad.sum())} values that are negative "
            f"or missing, the first in row {first}: weights are finite and at least 0."
        )
    if len(weights) and (weights.max() > HEAVIEST or weights.min(where=weights > 0, initial=1.0) < LIGHTEST):
        beyond = (weights > HEAVIEST) | ((weights > 0) & (weights < LIGHTEST))
        first = int(beyond.argmax())
        raise DataError(
            f"weight column '{column}' of {rows.place} holds {int(beyond.sum())} values beyond what is added "
            f"up, the first in row {first} ({weights[first]:g}): a weight is 0, or between {LIGHTEST:g} and "
            f"{HEAVIEST:g}. Multiply all by one number, or write 0."
        )
    return weights


def weight_quantum(total: float) -> float:
    """A power of two that turns weights of that total into integers that float64 adds up exactly (2^52)."""
    return 2.0 ** (51 - math.ceil(math.log2(total))) if total > 0 else 1.0


def plain(value: Any) -> str:  # noqa: ANN401 - bool, number or text
    """A label value as text, the same for 1, 1.0 and Decimal(1), so that files can be compared."""
    if isinstance(value, str | bool):
        return str(value)
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def shown(values: list[Any]) -> str:
    """Label values for a message, in a stable order, at most five."""
    texts = sorted(text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…" for text in map(str, values))
    return ", ".join(texts[:5]) + (", ..." if len(texts) > 5 else "")

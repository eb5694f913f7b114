"""What each column of a model adds to the log-odds of rows, and their sum.

A number adds (value - centre) * (weight / scale): the standardisation is folded into the weight, and nothing
is written down but the sum. Columns of few values, as Parquet mostly has text and integers, are never
decoded: what each distinct value adds is looked up by its code. Columns add one after the other, elementwise
in float64: a row's sum has the same bits in any company.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf import kernels
from binclf.errors import DataError
from binclf.features import Features, Lookup, NumericColumn
from binclf.kernels import Sloped, Tabled, Term
from binclf.parquet import Rows, Texts, doubles, feature_codes, feature_numbers, singles

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]

AT_ONCE_BYTES = 2**23  # of columns, as float32, that are read together: of many columns no more are in memory


@dataclass(frozen=True, slots=True)
class Terms:
    """The columns of a model with their weights."""

    features: Features
    weight: F64  # [F] per standardised unit
    table: F64  # [V]
    bias: float
    lookups: tuple[Lookup, ...]  # of each categorical column

    def sums(self, rows: Rows) -> F64:
        """The intercept and each column's term added up, float64 [N].

        Raises:
            DataError: a number is infinite, or the sum of a row is.
        """
        total, is_finite = self.sums_of_all(rows)
        if not is_finite:
            self.refuse(rows, total)
        return total

    def sums_of_all(self, rows: Rows) -> tuple[F64, bool]:
        """`sums`, and whether all are finite: one that is not has an infinite number or is beyond doubles."""
        total = np.full(len(rows), self.bias)
        return total, self._add(rows, range(len(self.features.columns)), total)

    def sums_in_turns(self, read: Callable[[Sequence[str]], Rows], count: int) -> tuple[F64, bool]:
        """`sums_of_all` of rows whose columns are read some at a time.

        Args:
            read: some columns of the rows.
            count: of the rows.
        """
        columns, total, is_finite = self.features.columns, np.full(count, self.bias), True
        at_once = max(AT_ONCE_BYTES // (4 * max(count, 1)), 1)
        for first in range(0, len(columns), at_once):
            places = range(first, min(first + at_once, len(columns)))
            names = dict.fromkeys(name for place in places for name in columns[place].column.reads)
            is_finite = self._add(read(list(names)), places, total)
        return total, is_finite

    def _add(self, rows: Rows, places: range, total: F64) -> bool:
        """Add some columns to the sums; returns whether these are all finite."""
        return kernels.add([self.of_column(rows, place) for place in places], total)

    def of(self, rows: Rows) -> list[Term]:
        """What each column adds: first those of numbers, then the categorical ones."""
        return [self.of_column(rows, place) for place in range(len(self.features.columns))]

    def of_column(self, rows: Rows, place: int) -> Term:
        """What the column at `place`, among all, adds."""
        numeric, categorical = self.features.numeric, self.features.categorical
        if place < len(numeric):
            return self.of_number(rows, place)
        place -= len(numeric)
        return self.of_levels(place, *feature_codes(rows, categorical[place].column))

    def of_number(self, rows: Rows, place: int) -> Term:
        """The numeric column at `place`; infinite values are taken as they are, where that is quicker.

        Raises:
            DataError: integers that float64 cannot hold.
        """
        column = self.features.numeric[place]
        source = column.column.source
        if not column.column.part:
            coded = rows.coded.get(source)
            if coded is not None and not isinstance(coded.values, Texts):
                values: Any = coded.values
                if not coded.is_float:
                    return self._of_integers(rows, place, coded.codes, values)
                if not column.is_log1p:
                    return self._sloped(place, values, coded.codes)
            if not column.is_log1p:
                short = singles(rows, source)
                exact = doubles(rows, source) if short is None else short
                if exact is not None:
                    return self._sloped(place, exact)
        return self._sloped(place, _raised(column, self._numbers(rows, place)))

    def of_levels(self, place: int, codes: I32, texts: Texts) -> Tabled:
        """The categorical column at `place`, of these codes into these texts."""
        return Tabled(np.ascontiguousarray(codes), self.table[self.lookups[place].ids_of_texts(texts)])

    def refuse(self, rows: Rows, total: F64) -> None:
        """Raise DataError for the first column with infinite numbers, or the first row whose sum is."""
        columns = self.features.numeric
        for column in columns:
            feature_numbers(rows, column.column)
        beyond = np.flatnonzero(~np.isfinite(total))
        row = int(beyond[0])
        with np.errstate(over="ignore", invalid="ignore"):
            terms = [float(self.of_number(rows, place).added()[row]) for place in range(len(columns))]
        largest = int(np.argmax(np.abs(terms)))  # NaN before all others
        raise DataError(
            f"column '{columns[largest].name}' of {rows.place} adds {terms[largest]:.2g} to the log-odds of "
            f"row {row}, first of {len(beyond)} whose sum is beyond doubles. Write null for such numbers."
        )

    def reasons(self, rows: Rows) -> list[str]:
        """Why these rows have no log-odds: each one's first infinite number, or that there is none."""
        found = np.full(len(rows), len(self.features.numeric))
        for place in reversed(range(len(self.features.numeric))):
            found[np.isinf(self._numbers(rows, place))] = place
        words = [f"column '{column.name}' is infinite" for column in self.features.numeric]
        words.append("the log-odds are beyond doubles")
        return [words[place] for place in found]

    def _numbers(self, rows: Rows, place: int) -> F64:
        return feature_numbers(rows, self.features.numeric[place].column, finite=False)

    def _sloped(self, place: int, values: F32 | F64, codes: I32 | None = None) -> Sloped:
        column = self.features.numeric[place]
        shift, slope = float(column.centre), float(self.weight[place]) / float(column.scale)
        blank = (float(column.fill) - shift) * slope
        if column.indicator >= 0:
            blank += float(self.weight[column.indicator])
        return Sloped(values, shift, slope, blank, codes)

    def _of_integers(self, rows: Rows, place: int, codes: I32, values: npt.NDArray[Any]) -> Term:
        """Integers by their distinct values, some of which may come in no row."""
        column = self.features.numeric[place]
        if values.dtype.itemsize == 8 and len(values) and (values.min() < -(2**53) or values.max() > 2**53):
            return self._sloped(place, _raised(column, self._numbers(rows, place)))
        numbers = np.append(np.asarray(values, dtype=np.float64), np.nan)
        with np.errstate(over="ignore", invalid="ignore"):
            table = self._sloped(place, _raised(column, numbers)).added()
        return Tabled(codes, table)


def _raised(column: NumericColumn, values: F64) -> F64:
    """Values as the model takes them."""
    return np.sign(values) * np.log1p(np.abs(values)) if column.is_log1p else values

"""Log-odds of rows: what each column adds, one column after the other.

Each row's sum is made in the order of the columns, elementwise in float64: it has the same bits alone, in a
batch of any size, by any number of threads, compiled or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from binclf.kernels import library
from binclf.kernels.library import at

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]

TERM = np.dtype(  # as scores.c has it
    [
        ("sort", np.int64), ("values", np.int64), ("table", np.int64), ("length", np.int64),
        ("shift", np.float64), ("slope", np.float64), ("blank", np.float64),
    ]
)  # fmt: skip
_SINGLES, _DOUBLES, _CODES, _CODED_SINGLES, _CODED_DOUBLES = range(5)


@dataclass(frozen=True, slots=True)
class Sloped:
    """A column of numbers adds (value - shift) * slope, and where it is NaN `blank`."""

    values: F32 | F64  # [n], contiguous; with codes any number of them
    shift: float
    slope: float
    blank: float
    codes: I32 | None = None  # [n], contiguous: of each row which of the values it has, -1: NaN

    def added(self) -> F64:
        """What it adds to each row, float64 [n]."""
        values = self.values.astype(np.float64)
        if self.codes is not None:
            values = _looked_up(np.append(values, np.nan), self.codes, len(values))
        with np.errstate(over="ignore", invalid="ignore"):
            terms = (values - self.shift) * self.slope
        terms[np.isnan(values)] = self.blank
        return terms

    def between(self, low: int, high: int) -> Sloped:
        """Rows [low, high)."""
        if self.codes is not None:
            return replace(self, codes=self.codes[low:high])
        return replace(self, values=self.values[low:high])

    def record(self) -> tuple[float, ...]:
        """As TERM."""
        is_single = self.values.dtype == np.float32
        if self.codes is not None:
            sort = _CODED_SINGLES if is_single else _CODED_DOUBLES
            constants = (self.shift, self.slope, self.blank)
            return (sort, at(self.codes), at(self.values), len(self.values), *constants)
        sort = _SINGLES if is_single else _DOUBLES
        return (sort, at(self.values), 0, 0, self.shift, self.slope, self.blank)


@dataclass(frozen=True, slots=True)
class Tabled:
    """A column of codes adds what its table has for them; -1 finds the last entry."""

    codes: I32  # [n], contiguous
    table: F64

    def added(self) -> F64:
        """What it adds to each row, float64 [n]."""
        return _looked_up(self.table, self.codes, len(self.table))

    def between(self, low: int, high: int) -> Tabled:
        """Rows [low, high)."""
        return replace(self, codes=self.codes[low:high])

    def record(self) -> tuple[float, ...]:
        """As TERM."""
        return (_CODES, at(self.codes), at(self.table), len(self.table), 0.0, 0.0, 0.0)


Term = Sloped | Tabled


def add(terms: Sequence[Term], sums: F64) -> bool:
    """Add all terms to `sums` [n], one after the other; returns whether all sums are finite.

    Raises:
        IndexError: a code beyond its table.
    """
    for term in terms:
        _check(term, len(sums))
    if library.loops is None:
        with np.errstate(over="ignore", invalid="ignore"):
            for term in terms:
                sums += term.added()
        return bool(np.isfinite(sums).all())
    library.check(sums, np.float64)
    records = np.array([term.record() for term in terms], dtype=TERM)
    odd = np.zeros(1, dtype=np.int64)
    begin = at(records.view(np.int64))  # of records NumPy would put together what they are of
    wrong = library.loops.add_terms(begin, len(records), len(sums), at(sums), at(odd))
    if wrong >= 0:
        raise IndexError(f"a code of term {wrong} is beyond its table")
    return not odd[0]


def _looked_up(table: F64, codes: I32, size: int) -> F64:
    """What a table has for codes, of null its last entry.

    Raises:
        IndexError: a code of `size` or more.
    """
    if codes.max(initial=-1) >= size:
        raise IndexError(f"code {codes.max()} is beyond {size} values")
    found: F64 = table[np.where(codes < 0, len(table) - 1, codes)]
    return found


def _check(term: Term, rows: int) -> None:
    column = term.values if isinstance(term, Sloped) and term.codes is None else term.codes
    if column is None or len(column) != rows or not column.flags.c_contiguous:
        raise ValueError(f"a contiguous column of {rows} rows is needed")
    if term.codes is not None:
        library.check(term.codes, np.int32)
    if isinstance(term, Tabled):
        library.check(term.table, np.float64)
        if not len(term.table):
            raise ValueError("a table needs an entry for null")
    elif term.values.dtype not in (np.float32, np.float64) or not term.values.flags.c_contiguous:
        raise ValueError(f"numbers are contiguous float32 or float64, not {term.values.dtype}")

"""Log-odds of rows: what each column adds, one column after the other.

Each row's sum is made in the order of the columns, elementwise in float64: it has the same bits alone, in a
batch of any size, by any number of threads, compiled or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
_SINGLES, _DOUBLES, _CODES = range(3)


@dataclass(frozen=True, slots=True)
class Sloped:
    """A column of numbers adds (value - shift) * slope, and where it is NaN `blank`."""

    values: F32 | F64  # [n], contiguous
    shift: float
    slope: float
    blank: float

    def added(self) -> F64:
        """What it adds to each row, float64 [n]."""
        values = self.values.astype(np.float64)
        terms = (values - self.shift) * self.slope
        terms[np.isnan(values)] = self.blank
        return terms

    def record(self) -> tuple[float, ...]:
        """As TERM."""
        sort = _SINGLES if self.values.dtype == np.float32 else _DOUBLES
        return (sort, at(self.values), 0, 0, self.shift, self.slope, self.blank)


@dataclass(frozen=True, slots=True)
class Tabled:
    """A column of codes adds what its table has for them; -1 finds the last entry."""

    codes: I32  # [n], contiguous
    table: F64

    def added(self) -> F64:
        """What it adds to each row, float64 [n]."""
        added: F64 = self.table[self.codes]
        return added

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
    wrong = library.loops.add_terms(at(records), len(records), len(sums), at(sums), at(odd))
    if wrong >= 0:
        raise IndexError(f"a code of term {wrong} is beyond its table")
    return not odd[0]


def _check(term: Term, rows: int) -> None:
    column = term.values if isinstance(term, Sloped) else term.codes
    if len(column) != rows or not column.flags.c_contiguous:
        raise ValueError(f"a contiguous column of {rows} rows is needed")
    if isinstance(term, Sloped):
        if column.dtype not in (np.float32, np.float64):
            raise ValueError(f"numbers are float32 or float64, not {column.dtype}")
        return
    library.check(term.codes, np.int32)
    library.check(term.table, np.float64)
    if not len(term.table):
        raise ValueError("a table needs an entry for null")

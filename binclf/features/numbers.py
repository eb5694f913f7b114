"""The numeric columns of a row group: row-major residuals, their centres, and their moments.

Columns are written into the rows from where they lie: as residuals, or standardised at once where it is
known how. A column's values alone decide how it is kept and reckoned with, never the type that its file has
it in, so that what is learnt does not depend on the type either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf import kernels
from binclf.errors import DataError, located
from binclf.features.target import Target
from binclf.kernels import FIELDS
from binclf.parquet import Column, Rows, feature_numbers, singles

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Scaling = tuple[F32, F32]  # shift and scale of columns

SAMPLE = 1024  # values that a centre is taken from
TOGETHER = 32  # columns that are worked on at once: their float64 copies take memory


@dataclass(frozen=True, slots=True)
class Numbers:
    """What is told of n rows of F columns, beside the residuals."""

    centre: F64  # [F]
    missing: npt.NDArray[np.bool_]  # [F], whether any row lacks the column
    moments: F64 | None  # [F, FIELDS], if asked for


@dataclass(frozen=True, slots=True)
class Standard:
    """How F columns are standardised: (residual - (centre - own centre)) * inverse, in float32."""

    centre: F64  # [F]
    inverse: F32  # [F], one over the scale

    def of(self, columns: slice, centre: F64) -> Scaling:
        """What is subtracted from, and multiplied with, residuals of some columns."""
        return (self.centre[columns] - centre).astype(np.float32), self.inverse[columns]


@dataclass(frozen=True, slots=True)
class _Read:
    """One column."""

    residuals: F32  # [n], often the file's own values: not to be written to
    centre: float = 0.0
    exact: F64 | None = None  # [n], as the model takes it, where residuals are rounded
    raw: F64 | None = None  # [n], in original units, where they differ


def read_numbers(
    rows: Rows,
    columns: Sequence[Column],
    log1p: Sequence[str],
    weights: F64 | None,
    out: Target,
    *,
    moments: bool,
    standard: Standard | None = None,
) -> Numbers:
    """Write all columns into `out`, and its labels.

    Args:
        rows: the row group.
        columns: F numeric columns.
        log1p: names of those that are taken as sign(v) log(1 + |v|).
        weights: of the rows, float64 [n]; None: all 1.
        out: where to, with the labels of the rows.
        moments: whether to compute them.
        standard: how to standardise what is written; None: residuals are.

    Raises:
        DataError: infinite numbers, or numbers whose spread float32 cannot hold.
    """
    centre, found = np.zeros(len(columns)), np.zeros((len(columns), FIELDS))
    plain = _together(rows, columns, log1p)
    if plain is not None:
        is_finite = out.put(plain, *_scaling(standard, slice(None), centre))
        if moments or not is_finite:
            found = kernels.moments(plain, weights, with_sums=moments)
        if not is_finite:
            _refuse_infinite(rows, columns, [_Read(column) for column in plain], found)
        return Numbers(centre, found[:, 3] > 0, found + 0.0 if moments else None)
    out.put_labels()
    for first in range(0, len(columns), TOGETHER):
        some = slice(first, first + TOGETHER)
        read = [_read(rows, column, is_log1p=column.name in log1p) for column in columns[some]]
        centre[some] = [column.centre for column in read]
        kept = [column.residuals for column in read]
        is_finite = kernels.interleave(kept, *_scaling(standard, some, centre[some]), out.numbers[:, some])
        if moments or not is_finite:
            found[some] = kernels.moments(kept, weights, with_sums=moments)
        _refuse_infinite(rows, columns[some], read, found[some])
        if moments:
            for place, column in enumerate(read, first):
                found[place] = _exact_moments(column, weights, found[place])
    return Numbers(centre, found[:, 3] > 0, found if moments else None)


def _scaling(standard: Standard | None, columns: slice, centre: F64) -> Scaling:
    """What is subtracted and multiplied: nothing, where residuals are wanted."""
    if standard is not None:
        return standard.of(columns, centre)
    return np.zeros(len(centre), dtype=np.float32), np.ones(len(centre), dtype=np.float32)


def _read(rows: Rows, column: Column, *, is_log1p: bool) -> _Read:
    """A column as it is kept: itself where float32 holds every value, else what is left of a centre."""
    if not is_log1p and not column.part:
        short = singles(rows, column.source)
        if short is not None:
            return _Read(short)
    raw = feature_numbers(rows, column)
    values = np.sign(raw) * np.log1p(np.abs(raw)) if is_log1p else raw
    with np.errstate(over="ignore"):
        short = values.astype(np.float32)
        if np.array_equal(short, values, equal_nan=True):
            return _Read(short, raw=raw if is_log1p else None)
        centre = _centre(values)
        return _Read((values - centre).astype(np.float32), centre, values, raw)


def _centre(column: F64) -> float:
    """A median-like value: one outlier must not cost the others digits.

    A function of the column alone, so a row group decodes to the same bits wherever that is done.
    """
    present = column[~np.isnan(column)]
    sample = np.sort(present[:: -(-len(present) // SAMPLE)])
    return float(sample[len(sample) // 2])


def _together(rows: Rows, columns: Sequence[Column], log1p: Sequence[str]) -> F32 | None:
    """Columns that are kept as the file has them, where they lie so already: float32 [columns, n]."""
    if any(column.part or column.name in log1p for column in columns):
        return None
    found: Any = rows.plain.together([column.source for column in columns])
    return np.asarray(found) if found is not None and found.dtype == np.float32 else None


def _exact_moments(column: _Read, weights: F64 | None, found: F64) -> F64:
    """Moments [FIELDS] of a column whose residuals, of which they were `found`, say too little."""
    if column.exact is not None:
        shifted = (column.exact - column.centre)[np.newaxis]
        found = kernels.moments(shifted, weights, with_sums=True)[0]
        found[1] += column.centre if found[0] > 0 else 0.0
    if column.raw is not None:
        found[4:] = kernels.moments(column.raw[np.newaxis], None, with_sums=False)[0, 4:]
    return found + 0.0  # no -0.0, which a sum over ranks would turn into 0.0


def _refuse_infinite(rows: Rows, columns: Sequence[Column], read: Sequence[_Read], found: F64) -> None:
    for place in np.flatnonzero((found[:, 4] == -np.inf) | (found[:, 5] == np.inf)).tolist():
        if read[place].exact is None:
            with located(rows.place, columns[place].source):
                rows.refuse_infinite(read[place].residuals, columns[place].source)
        with located(rows.place, columns[place].source):
            raise DataError(
                f"column '{columns[place].name}' of {rows.place} spreads beyond what float32 holds (3e38): "
                "rescale it, or list it in data.exclude."
            )

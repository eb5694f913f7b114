"""The short ways to float32: where it holds a column exactly, nothing is looked at twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from binclf import kernels
from binclf.parquet.arrays import nulls_of, numpy_of
from binclf.parquet.coded import Coded
from binclf.parquet.columns import Rows
from binclf.parquet.texts import Texts

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

EXACT = 2**24  # float32 holds every integer up to here


def singles(rows: Rows, name: str) -> F32 | None:
    """A column that float32 holds exactly, seen at its type or ends: float32 [N], null as NaN; else None.

    Often a view of the file's own values: do not write to it. Infinities are not looked for.
    """
    plain: Any = rows.plain.get(name)
    if plain is not None and plain.dtype == np.float32:
        return np.asarray(plain)
    if name in rows.coded:
        return _looked_up(rows.coded[name])
    array = rows.array(name)
    if pa.types.is_boolean(array.type):
        return _narrowed(array)
    if pa.types.is_float32(array.type):
        return _narrowed(array)
    if not pa.types.is_integer(array.type):
        return None
    values = _narrowed(array)
    if array.type.bit_width <= 16 or not len(values):
        return values
    # an integer beyond 2^24 may be rounded, but not to less than that
    is_short = not (np.fmin.reduce(values) <= -EXACT or np.fmax.reduce(values) >= EXACT)
    return values if is_short else None


def doubles(rows: Rows, name: str) -> F64 | None:
    """A float64 column without nulls, [N], from where it lies; else None. Infinities are not looked for."""
    plain: Any = rows.plain.get(name)
    if plain is not None:
        return np.asarray(plain) if plain.dtype == np.float64 else None
    if name in rows.coded:
        own = rows.coded[name]
        is_double = not isinstance(own.values, Texts) and own.values.dtype == np.float64
        return np.asarray(_each(own, own.values, np.float64)) if is_double else None
    array = rows.array(name)
    return numpy_of(array) if pa.types.is_float64(array.type) and not array.null_count else None


def _looked_up(column: Coded) -> F32 | None:
    """Codes to their values; None for text, for doubles, and where a value, in a row or not, is too large."""
    values = column.values
    if isinstance(values, Texts) or values.dtype == np.float64:
        return None
    is_wide = values.dtype.itemsize > 2 and values.dtype != np.float32
    if is_wide and len(values) and (values.min() <= -EXACT or values.max() >= EXACT):
        return None
    return np.asarray(_each(column, values, np.float32))


def _each(column: Coded, values: Any, dtype: npt.DTypeLike) -> Any:  # noqa: ANN401 - an array of the type
    """The value of each row, [N], null as NaN."""
    table = np.append(values.astype(dtype), np.asarray(np.nan, dtype))  # the last is null's
    if table.dtype != np.float32:
        return table[column.codes]  # -1 finds the last, too
    found = np.empty((len(column), 1), dtype=np.float32)
    kernels.encode(column.codes[np.newaxis], [table.view(np.int32)], found.view(np.int32))
    return found[:, 0]


def use_system_memory() -> None:
    """Have Arrow take its memory where all else does, instead of from a pool that keeps what was freed."""
    pa.set_memory_pool(pa.system_memory_pool())


def _narrowed(array: Any) -> F32:  # noqa: ANN401 - pyarrow
    """Integers or float32 as float32 [N], from where they lie; null as NaN.

    An array with nulls goes through float64 in pyarrow, and takes four times as long.
    """
    values: F32 = numpy_of(array).astype(np.float32, copy=False)
    return np.where(nulls_of(array), np.float32(np.nan), values) if array.null_count else values

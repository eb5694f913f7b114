"""The short ways to float32: where it holds a column exactly, nothing is looked at twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from binclf.parquet.columns import Rows

F32 = npt.NDArray[np.float32]

EXACT = 2**24  # float32 holds every integer up to here


def singles(rows: Rows, name: str) -> F32 | None:
    """A column that float32 holds exactly, seen at its type or ends: float32 [N], null as NaN; else None.

    Often a view of the file's own values: do not write to it.

    Raises:
        DataError: infinite values.
    """
    array = rows.array(name)
    if not (pa.types.is_float32(array.type) or pa.types.is_boolean(array.type) or _is_short(array)):
        return None
    if array.null_count or not pa.types.is_float32(array.type):
        array = array.cast(pa.float32())
    values: F32 = array.to_numpy(zero_copy_only=False)
    rows.refuse_infinite(values, name)
    return values


def matrix(rows: Rows, names: Sequence[str]) -> F32 | None:
    """Columns as one row-major float32 [N, columns], if all are float32 without nulls; else None.

    Once over the rows instead of once for each column: twice as fast. A NaN stays NaN, and infinities are not
    looked for.
    """
    chosen = rows.table.select(list(names))
    if not names or not all(pa.types.is_float32(kind) for kind in chosen.schema.types):
        return None
    batches = chosen.combine_chunks().to_batches()
    if len(batches) != 1 or any(column.null_count for column in batches[0].columns):
        return None
    values: F32 = batches[0].to_tensor(row_major=True).to_numpy()
    return values


def use_system_memory() -> None:
    """Have Arrow take its memory where all else does, instead of from a pool that keeps what was freed."""
    pa.set_memory_pool(pa.system_memory_pool())


def _is_short(array: Any) -> bool:  # noqa: ANN401 - pyarrow
    """Integers within 2^24 either way."""
    if not pa.types.is_integer(array.type):
        return False
    if array.type.bit_width <= 16 or len(array) == array.null_count:
        return True
    ends = pc.min_max(array)
    return bool(ends["min"].as_py() >= -EXACT and ends["max"].as_py() <= EXACT)

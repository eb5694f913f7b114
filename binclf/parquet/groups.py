"""Row groups by pyarrow, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from binclf.parquet.dictionaries import AsWritten, refuse_other_dictionaries

AT_ONCE_BYTES = 2**22  # of columns as they come out


AT_ONCE_REQUESTS = 16  # to an object store


def read_group(
    file: Any,  # noqa: ANN401 - pyarrow
    group: int,
    columns: Sequence[str],
    rows: int,
    written: AsWritten | None = None,
) -> Any:  # noqa: ANN401 - pyarrow
    """A table of some columns of a file's row group.

    Of many rows some columns at a time: decoding takes five times the memory of what comes out.

    Args:
        file: as pyarrow has it.
        group: which of its row groups.
        columns: by their names.
        rows: how many there are; 0: all at once, as an object's ranges come together.
        written: what the file has, to see that pyarrow's dictionaries are the file's; None: they are.

    Raises:
        pa.ArrowException, OSError: the bytes are damaged.
    """
    table = _in_stages(file, group, columns, rows)
    if written is not None and any(pa.types.is_dictionary(column.type) for column in table.columns):
        refuse_other_dictionaries(written, 1 if rows else AT_ONCE_REQUESTS, table)
    return table


def _in_stages(file: Any, group: int, columns: Sequence[str], rows: int) -> Any:  # noqa: ANN401 - pyarrow
    at_once = max(AT_ONCE_BYTES // max(8 * rows, 1), 1)
    if len(columns) <= at_once:
        return _read(file, group, columns)
    tables = [
        _read(file, group, columns[first : first + at_once]) for first in range(0, len(columns), at_once)
    ]
    fields = [field for table in tables for field in table.schema]
    return pa.table([column for table in tables for column in table.columns], schema=pa.schema(fields))


def no_columns(rows: int) -> Any:  # noqa: ANN401 - pyarrow.Table
    """A table of so many rows without a column."""
    empty = pa.Array.from_buffers(pa.struct([]), rows, [None])
    return pa.Table.from_batches([pa.RecordBatch.from_struct_array(empty)])


def _read(file: Any, group: int, columns: Sequence[str]) -> Any:  # noqa: ANN401 - pyarrow
    """Some columns at once; pyarrow does not look whether codes are of values, and pages' headers can lie."""
    table = file.read_row_group(group, columns=list(columns), use_threads=False)
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not pa.types.is_dictionary(column.type):
            continue
        for chunk in column.chunks:
            largest = pc.max(chunk.indices).as_py()
            if largest is not None and largest >= len(chunk.dictionary):
                raise pa.ArrowInvalid(f"value {largest} of the {len(chunk.dictionary)} of column '{name}'")
    return table

"""Row groups by pyarrow, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

AT_ONCE_BYTES = 2**22  # of columns as they come out


def read_group(file: Any, group: int, columns: Sequence[str], rows: int) -> Any:  # noqa: ANN401 - pyarrow
    """A table of some columns of a file's row group.

    Of many rows some columns at a time: decoding takes five times the memory of what comes out. (0: all at
    once, as an object's ranges come together.)
    """
    at_once = max(AT_ONCE_BYTES // max(8 * rows, 1), 1)
    if len(columns) <= at_once:
        return file.read_row_group(group, columns=columns, use_threads=False)
    tables = [
        file.read_row_group(group, columns=columns[first : first + at_once], use_threads=False)
        for first in range(0, len(columns), at_once)
    ]
    fields = [field for table in tables for field in table.schema]
    return pa.table([column for table in tables for column in table.columns], schema=pa.schema(fields))

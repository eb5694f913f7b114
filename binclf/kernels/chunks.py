"""What a Parquet footer says of the columns of one row group: compiled, or left to pyarrow."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from binclf.kernels import library
from binclf.kernels.library import at

I64 = npt.NDArray[np.int64]

UNTOLD = -1
(
    TYPE,  # as parquet.thrift numbers them
    CODEC,
    VALUES,
    BYTES,  # of its pages, as they lie in the file
    DATA,  # where its first data page begins
    DICTIONARY,  # and its dictionary page; UNTOLD: it has none
    NULLS,  # how many, by its statistics
) = FIELDS = range(7)  # as thrift.c has it


def chunks(record: bytes) -> tuple[int, I64] | None:
    """Of a row group's record in the compact protocol: its rows, and its columns' FIELDS, int64 [columns, 7].

    None where it is no such record, a column lies in another file, or this was not compiled.
    """
    if library.loops is None or not record:
        return None
    content, rows = np.frombuffer(record, dtype=np.uint8), np.empty(1, dtype=np.int64)
    count = library.loops.chunks(at(content), len(content), 0, at(rows), None)
    if count < 0:
        return None
    found = np.empty((count, len(FIELDS)), dtype=np.int64)
    if library.loops.chunks(at(content), len(content), count, at(rows), at(found)) != count:
        return None
    return int(rows[0]), found

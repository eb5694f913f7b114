"""CRC-32, as gzip and Parquet have it."""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

from binclf.kernels import library
from binclf.kernels.library import at

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]


def crc32s(rows: U8) -> U32:
    """The CRC-32 of each row, uint32 [n].

    All in one call that lets other Python threads run: one for each would have them wait at Python's lock.

    Args:
        rows: uint8 [n, bytes], each contiguous; they may lie apart.
    """
    if rows.dtype != np.uint8 or (rows.size and rows.shape[1] > 1 and rows.strides[1] != 1):
        raise ValueError("rows of contiguous bytes are needed")
    found = np.empty(len(rows), dtype=np.uint32)
    loops = library.loops
    if loops is None or not loops.crc32s(at(rows), rows.strides[0], rows.shape[1], len(rows), at(found)):
        found[:] = [zlib.crc32(row) for row in rows]
    return found


def crc32(data: bytes | memoryview) -> int:
    """The CRC-32 of some bytes."""
    return int(crc32s(np.frombuffer(data, dtype=np.uint8)[np.newaxis])[0])

"""What a Parquet footer says of the columns of one row group.

pyarrow's own objects for that are not asked: of a damaged footer they may end the process, since their errors
in C++ (such as counts of levels that the schema denies) are caught by nobody.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from binclf.kernels import library
from binclf.kernels.library import at
from binclf.kernels.thrift import BINARY, LIST, NUMBERS, RECORD, Walk

I64 = npt.NDArray[np.int64]

UNTOLD = -1
(
    TYPE,  # as parquet.thrift numbers them
    CODEC,
    VALUES,
    RAW,  # bytes of its pages once they are unpacked
    BYTES,  # and as they lie in the file
    DATA,  # where its first data page begins
    DICTIONARY,  # and its dictionary page; UNTOLD: it has none
    NULLS,  # how many, by its statistics
    PATH,  # where in the record its name is, a list of texts
    LOW,  # and the least value, by its statistics, a text
    HIGH,  # and the largest
) = FIELDS = range(11)  # as thrift.c has it

_ROWS, _COLUMNS = 3, 1  # fields of a row group
_OTHER_FILE, _META = 1, 3  # of a column
_PATH, _STATISTICS = 3, 12  # of what is told of it
_WANTED = {1: TYPE, 4: CODEC, 5: VALUES, 6: RAW, 7: BYTES, 9: DATA, 11: DICTIONARY}
_NULLS, _ENDS = 3, {1: HIGH, 2: LOW, 5: HIGH, 6: LOW}  # of statistics; the older fields come first
_WIDE = NUMBERS[-1]  # the kind of a number of 64 bits


def chunks(record: bytes) -> tuple[int, I64] | None:
    """Of a row group's record in the compact protocol: its rows, and FIELDS of its C columns, int64 [C, 11].

    None where it is no such record, or a column lies in another file.
    """
    if library.loops is None or not record:
        try:
            return _chunks(Walk(record))
        except IndexError:
            return None
    content, rows = np.frombuffer(record, dtype=np.uint8), np.empty(1, dtype=np.int64)
    count = library.loops.chunks(at(content), len(content), 0, at(rows), None)
    if count < 0:
        return None
    found = np.empty((count, len(FIELDS)), dtype=np.int64)
    if library.loops.chunks(at(content), len(content), count, at(rows), at(found)) != count:
        return None
    return int(rows[0]), found


def _chunks(walk: Walk) -> tuple[int, I64] | None:
    rows, found = UNTOLD, list[list[int]]()
    is_told = False
    for kind, field in walk.fields():
        if (field, kind) == (_ROWS, _WIDE):
            rows = walk.whole()
        elif (field, kind) == (_COLUMNS, LIST):
            count, inner = walk.header()
            if inner != RECORD or count > len(walk.record) - walk.at:
                return None
            found, is_told = [_chunk(walk) for _ in range(count)], True
        else:
            walk.skip(kind, 0)
    if not is_told or rows < 0:
        return None
    return rows, np.array(found, dtype=np.int64).reshape(len(found), len(FIELDS))


def _chunk(walk: Walk) -> list[int]:
    """One column; IndexError where it is not told of, or lies in another file."""
    own, is_told = [UNTOLD] * len(FIELDS), False
    for kind, field in walk.fields():
        if field == _OTHER_FILE:
            if kind != BINARY or walk.varint():
                raise IndexError(walk.at)
        elif (field, kind) == (_META, RECORD):
            is_told = True
            _column(walk, own)
        else:
            walk.skip(kind, 0)
    if not is_told:
        raise IndexError(walk.at)
    return own


def _column(walk: Walk, own: list[int]) -> None:
    for kind, field in walk.fields():
        if field in _WANTED and kind in NUMBERS:
            own[_WANTED[field]] = walk.whole()
        elif (field, kind) == (_STATISTICS, RECORD):
            _statistics(walk, own)
        else:
            if (field, kind) == (_PATH, LIST):
                own[PATH] = walk.at
            walk.skip(kind, 0)


def _statistics(walk: Walk, own: list[int]) -> None:
    for kind, field in walk.fields():
        if (field, kind) == (_NULLS, _WIDE):
            own[NULLS] = walk.whole()
        else:
            if field in _ENDS and kind == BINARY:
                own[_ENDS[field]] = walk.at
            walk.skip(kind, 0)

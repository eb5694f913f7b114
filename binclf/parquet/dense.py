"""Floats without nulls as anybody writes them: by dictionary or plain, snappy or not packed, in many pages.

Our own files have them as memory wants them (`plain`). Here all of a row group's columns are read by one call
that other threads need not wait for, one column after the other: its bytes, what they are unpacked to and
what is looked up there stay in a near cache, and what goes to memory are the values alone.

A column is taken only if each byte of it is understood: checksums, where there are any, are right, and all
counts and lengths agree. Whatever else is found is left to pyarrow, which reads it, or says what is wrong.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from binclf import kernels
from binclf.kernels import SLACK
from binclf.kernels.chunks import BYTES, NULLS, TYPE
from binclf.parquet.buffers import Buffers, apart
from binclf.parquet.floats import Floats
from binclf.parquet.handle import Handle, can_be_at
from binclf.parquet.plain import DOUBLE, SINGLE, Number, float_of
from binclf.parquet.rowgroup import DOUBLE as STORED_DOUBLE
from binclf.parquet.rowgroup import FLOAT as STORED_SINGLE
from binclf.parquet.rowgroup import MOST_ROWS, RowGroup, packing

Stages = list[tuple[list[str], Floats]]  # as of `Plain`

_STORED = {SINGLE: STORED_SINGLE, DOUBLE: STORED_DOUBLE}

AT_WORK = 2 * (os.cpu_count() or 1)  # row groups: of more, those who hold them all have use for the memory

_values, _rooms = Buffers(AT_WORK), Buffers(AT_WORK)


@dataclass(frozen=True, slots=True)
class DensePlace:
    """Where a column of floats is in a file."""

    place: int
    dtype: Number
    is_nullable: bool


@dataclass(slots=True)
class _Run:
    """Columns of one type that are read together."""

    names: list[str] = field(default_factory=list)
    chunks: list[tuple[int, int, bool, bool]] = field(default_factory=list)  # as `read_floats` takes them


def dense_places(schema: Any, group: RowGroup) -> dict[str, DensePlace]:  # noqa: ANN401 - pyarrow.Schema
    """The columns of floats, which are never nested.

    Args:
        schema: of the file.
        group: any row group of the file.
    """
    found = {}
    for place, name in enumerate(schema.names):
        own = schema.field(place)
        dtype = float_of(own.type)
        if dtype is not None and group.chunks[place, TYPE] == _STORED[dtype]:
            found[name] = DensePlace(place, dtype, own.nullable)
    return found


def read_dense(
    handle: Handle, group: RowGroup, places: Mapping[str, DensePlace], names: Sequence[str]
) -> Stages:
    """Those of the columns that have no nulls and can be read here; the others are left out.

    Args:
        handle: the file.
        group: which of its row groups.
        places: as of `dense_places`.
        names: of the columns.

    Raises:
        OSError: the file cannot be read.
    """
    if not kernels.can_decode() or not 0 < group.rows <= MOST_ROWS:
        return []
    runs: dict[Number, _Run] = {SINGLE: _Run(), DOUBLE: _Run()}
    for name, of, begin, chunk in group.chosen(places, names):
        is_packed = packing(chunk)
        has_nulls = of.is_nullable and chunk[NULLS] != 0
        if not has_nulls and is_packed is not None and can_be_at(begin):
            runs[of.dtype].names.append(name)
            runs[of.dtype].chunks.append((begin, chunk[BYTES], is_packed, of.is_nullable))
    return [stage for dtype, run in runs.items() for stage in _read(handle, group, dtype, run)]


def _read(handle: Handle, group: RowGroup, dtype: Number, run: _Run) -> Stages:
    """Columns of one type: together, if all are what they must be, else those that are."""
    names = run.names
    if not names:
        return []
    size = group.rows * dtype.itemsize
    memory = _values.take(len(names), apart(size + SLACK) // SINGLE.itemsize).view(dtype)
    good = kernels.read_floats(handle.number, run.chunks, group.rows, memory, _rooms.bytes)
    stage = memory[:, : group.rows]
    if all(good):
        return [(names, stage)]
    return [([name], stage[i : i + 1]) for i, name in enumerate(names) if good[i]]

"""Columns of few values, read as the file has them: distinct values, and of each row the code of its value.

Text and integers mostly lie so in Parquet, and floats of which some are null. pyarrow takes a fifth
of a millisecond for each column of a row group, beside its decoding: here all of a row group's columns are
read, verified, unpacked and decoded by one call that other threads need not wait for.

A column is taken only if each byte of it is understood: its pages are packed by snappy or not at all, their
checksums, where they have any, are right, and all counts and lengths agree. Whatever else is found is left to
pyarrow, which reads it, or says what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from binclf import kernels
from binclf.kernels import SLACK
from binclf.kernels.chunks import BYTES, TYPE
from binclf.parquet.arrays import arrow_of, dtype_of
from binclf.parquet.buffers import Buffers
from binclf.parquet.handle import Handle
from binclf.parquet.rowgroup import BYTE_ARRAY, DOUBLE, FLOAT, INT32, INT64, MOST_ROWS, RowGroup, packing
from binclf.parquet.texts import Texts

I32 = npt.NDArray[np.int32]
Numbers = npt.NDArray[np.signedinteger[Any] | np.unsignedinteger[Any] | np.floating[Any]]

AT_ONCE_BYTES = 2**22  # of a file, as it has them

_packed, _codes = Buffers(), Buffers()


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of N rows by its values."""

    codes: I32  # [N] into `values`; null is -1
    values: Texts | Numbers  # of the column's type; some may come in no row, and floats more than once
    kind: Any  # its pyarrow.DataType; of texts one of dictionaries
    is_nullable: bool

    def __len__(self) -> int:
        """N."""
        return len(self.codes)

    @property
    def is_float(self) -> bool:
        """Whether its values are floats, of which most come but once."""
        return not isinstance(self.values, Texts) and bool(np.issubdtype(self.values.dtype, np.floating))

    def dictionary(self) -> Any:  # noqa: ANN401 - pyarrow.DictionaryArray
        """As Arrow has it."""
        valid = pa.py_buffer(np.packbits(self.codes >= 0, bitorder="little"))
        indices = pa.Array.from_buffers(pa.int32(), len(self), [valid, pa.py_buffer(self.codes)])
        if isinstance(self.values, Texts):
            values = self.values.arrow().cast(self.kind.value_type)
        else:
            values = arrow_of(self.values)
        return pa.DictionaryArray.from_arrays(indices, values)

    def array(self) -> Any:  # noqa: ANN401 - pyarrow.Array
        """As pyarrow reads the column."""
        array = self.dictionary()
        return array if isinstance(self.values, Texts) else array.dictionary_decode()


@dataclass(frozen=True, slots=True)
class CodedPlace:
    """Where a column is in a file, and of what sort."""

    place: int
    width: int  # bytes of a value; 0: text
    is_nullable: bool
    kind: Any  # as of `Coded`

    @property
    def repeats(self) -> int:
        """What its values are taken for: of floats, most come but once."""
        return kernels.REPEATED if pa.types.is_floating(self.kind) else kernels.UNIQUE


@dataclass(slots=True)
class _Run:
    """Chunks that are read together."""

    begin: int
    end: int
    names: list[str] = field(default_factory=list)
    chunks: list[tuple[int, ...]] = field(default_factory=list)  # the first fields of CHUNK


def coded_places(
    schema: Any,  # noqa: ANN401 - pyarrow.Schema
    group: RowGroup,
    names: Sequence[str],
) -> dict[str, CodedPlace]:
    """The columns of text and numbers, which are never nested, among those of these names.

    Args:
        schema: of the file, its text as dictionaries.
        group: any row group of the file.
        names: of columns to read as codes.
    """
    found = {}
    for place, name in enumerate(schema.names):
        own = schema.field(place)
        width = _width_of(int(group.chunks[place, TYPE]), own.type)
        if name in names and width is not None:
            found[name] = CodedPlace(place, width, own.nullable, own.type)
    return found


def read_coded(
    handle: Handle, group: RowGroup, places: Mapping[str, CodedPlace], names: Sequence[str]
) -> dict[str, Coded]:
    """Those of the columns that can be read here; the others are left out.

    Args:
        handle: the file.
        group: which of its row groups.
        places: as of `coded_places`.
        names: of the columns.

    Raises:
        OSError: the file cannot be read.
    """
    if not kernels.can_decode() or not 0 < group.rows <= MOST_ROWS:
        return {}
    wanted = group.chosen(places, names)
    if not wanted:
        return {}
    codes = _codes.take(len(wanted), group.rows).view(np.int32)
    found: dict[str, Coded] = {}
    done = 0
    for run in _runs(wanted):
        found |= _read(handle, run, places, codes[done : done + len(run.names)])
        done += len(run.names)
    return found


def _read(handle: Handle, run: _Run, places: Mapping[str, CodedPlace], codes: I32) -> dict[str, Coded]:
    """Those of a run that are what they must be, with their codes int32 [columns of the run, rows]."""
    size = run.end - run.begin
    data = _packed.bytes(size + SLACK)
    if handle.read([data[:size]], run.begin) != size:
        return {}
    decoded = kernels.decode(data, run.chunks, codes)
    found: dict[str, Coded] = {}
    for name, own, values in zip(run.names, codes, decoded, strict=True):
        of, taken = places[name], None if values is None else _taken(values, places[name])
        if taken is not None:
            found[name] = Coded(own, taken, of.kind, of.is_nullable)
    return found


def _runs(wanted: Sequence[tuple[str, CodedPlace, int, list[int]]]) -> Iterator[_Run]:
    """Columns, as of `RowGroup.chosen`, that follow each other in the file: as many as are read at once."""
    run = _Run(0, 0)
    for name, own, begin, chunk in wanted:
        is_packed, length = packing(chunk), chunk[BYTES]
        if is_packed is None:
            continue
        if begin != run.end or run.end + length - run.begin > AT_ONCE_BYTES:
            if run.names:
                yield run
            run = _Run(begin, begin)
        first = run.end - run.begin
        run.names.append(name)
        run.chunks.append((first, first + length, is_packed, own.is_nullable, own.width, own.repeats))
        run.end += length
    if run.names:
        yield run


def _taken(values: kernels.Values, of: CodedPlace) -> Texts | Numbers | None:
    """A column's values; None if they are not UTF-8."""
    if of.width:
        letter = "f" if pa.types.is_floating(of.kind) else "i"
        stored: Numbers = values.data.view(f"<{letter}{of.width}")
        return stored.astype(dtype_of(of.kind), copy=False)  # wraps around, as pyarrow does
    texts = Texts(values.data, values.offsets)
    return texts if values.is_ascii or texts.is_utf8() else None


def _width_of(physical: int, kind: Any) -> int | None:  # noqa: ANN401 - pyarrow.DataType
    """Bytes of a value as the file has it, 0 of text; None: it is neither text nor numbers of 4 or 8."""
    if pa.types.is_float32(kind) or pa.types.is_float64(kind):
        return {FLOAT: 4, DOUBLE: 8}.get(physical)
    if pa.types.is_integer(kind):
        return {INT32: 4, INT64: 8}.get(physical)
    is_text = pa.types.is_dictionary(kind) and (
        pa.types.is_string(kind.value_type) or pa.types.is_large_string(kind.value_type)
    )
    return 0 if is_text and physical == BYTE_ARRAY else None

"""Rows in memory, column by column, as NumPy arrays; every complaint names file, row group and column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from binclf import hashing
from binclf.errors import DataError
from binclf.parquet.arrays import arrow_of, nulls_of, numpy_of, signed
from binclf.parquet.coded import Coded
from binclf.parquet.floats import Plain
from binclf.parquet.kinds import Column, kind_of
from binclf.parquet.placed import placed
from binclf.parquet.texts import Texts
from binclf.parquet.times import microseconds, seconds

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
I8 = npt.NDArray[np.int8]

_NULL_WORD = 0x6E756C6C  # "null": what a missing key hashes as


@placed("numbers", "codes", "values", "moments", "hashes", "array")
@dataclass(frozen=True, slots=True)
class Rows:
    """N rows of some columns, from one row group of a file or from a frame."""

    arrow: Any  # pyarrow.Table of the columns that are neither plain nor coded; N rows without any, too
    place: str  # where they come from, for messages
    plain: Plain = field(default_factory=Plain)
    names: tuple[str, ...] = ()  # of all, in order; of those of `arrow` alone it knows itself
    coded: Mapping[str, Coded] = field(default_factory=dict)

    def __len__(self) -> int:
        """N."""
        return int(self.arrow.num_rows)

    @property
    def table(self) -> Any:  # noqa: ANN401 - pyarrow.Table
        """All columns, in order."""
        if not self.plain and not self.coded:
            return self.arrow
        arrays = {name: self.array(name) for name in (*self.plain, *self.coded)}
        nullable = {name for name, own in self.coded.items() if own.is_nullable} | self.plain.nullable
        fields = [pa.field(name, array.type, name in nullable) for name, array in arrays.items()]
        schema = {field.name: field for field in (*fields, *self.arrow.schema)}
        return pa.Table.from_arrays(
            [arrays[name] if name in arrays else self.arrow.column(name) for name in self.names],
            schema=pa.schema([schema[name] for name in self.names]),
        )

    def columns(self) -> tuple[Column, ...]:
        """What there is."""
        return tuple(Column(f.name, kind_of(f.type), str(f.type)) for f in self.table.schema)

    def where(self, kept: npt.NDArray[np.bool_]) -> Rows:
        """The rows that are kept, bool [N]."""
        table = self.table
        views = [i for i, field in enumerate(table.schema) if pa.types.is_string_view(field.type)]
        for place in views:  # pyarrow cannot filter them
            table = table.set_column(place, table.schema.names[place], table.column(place).cast(pa.string()))
        return Rows(table.filter(arrow_of(kept)), self.place)

    def numbers(self, name: str, *, finite: bool = True) -> F64:
        """A boolean, integer, number, moment or duration column as float64 [N]; null and NaN are NaN.

        Moments are seconds since 1970 (UTC), durations seconds, times of day seconds since midnight.

        Raises:
            DataError: integers that float64 cannot hold; infinite values, where they are to be `finite`.
        """
        array = self.array(name)
        kind = kind_of(array.type)
        array = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
        if kind == "moment":
            values: F64 = microseconds(array, name, self.place) / 1e6
            values[nulls_of(array)] = np.nan
            return values
        if kind == "duration":
            return seconds(array)
        if kind == "boolean":
            array = array.cast(pa.uint8())
        elif kind == "integer":
            self._refuse_huge(array, name)
        elif pa.types.is_decimal(array.type) or pa.types.is_float16(array.type):
            array = array.cast(pa.float64())
        values = numpy_of(array).astype(np.float64)
        values[nulls_of(array)] = np.nan
        if finite:
            self.refuse_infinite(values, name)
        return values

    def codes(self, name: str) -> tuple[I32, Texts]:
        """A column as codes int32 [N] into its distinct values as text; null is -1.

        Integers and booleans are written as Python writes them in lower case: 7, true.

        Raises:
            DataError: text that is not UTF-8.
        """
        own = self.coded[name].values if name in self.coded else None
        if isinstance(own, Texts):
            return self.coded[name].codes, own
        array = self._dictionary(name)
        values, codes = array.dictionary, signed(array.indices)
        try:
            texts = Texts.of_array(values)
        except UnicodeDecodeError as error:
            raise self._not_utf8(name) from error
        if values.null_count:  # a null among the dictionary's values
            hole = np.append(nulls_of(values), False)
            codes = np.where(hole[codes], np.int32(-1), codes).astype(np.int32)
        return codes, texts

    def values(self, name: str) -> tuple[I32 | I8, list[Any]]:
        """A label-like column as codes, signed [N], into its distinct Python values; null and NaN are -1."""
        if name in self.coded:
            own = self.coded[name]
            return own.codes, list(own.values) if isinstance(own.values, Texts) else own.values.tolist()
        whole = self.array(name)
        is_boolean = pa.types.is_boolean(whole.type)
        if len(whole) and not whole.null_count and (is_boolean or pa.types.is_integer(whole.type)):
            ones = numpy_of(whole)
            if ones.min() >= 0 and ones.max() <= 1:
                return ones.astype(np.int8), [False, True] if is_boolean else [0, 1]  # no look-up
        array = self._dictionary(name)
        values = self._listed(array.dictionary, name)
        codes = signed(array.indices)
        hole = np.array([v is None or v != v for v in values] + [False])
        return np.where(hole[codes], np.int32(-1), codes).astype(np.int32), values

    def moments(self, name: str) -> tuple[I64, npt.NDArray[np.bool_]]:
        """A time column as int64 [N] and where it is null: microseconds, or the integers themselves.

        Raises:
            DataError: the column is neither a moment nor an integer.
        """
        array = self.array(name)
        missing = nulls_of(array)
        kind = kind_of(array.type)
        if pa.types.is_null(array.type):  # a file whose writer saw no value has no type either
            return np.zeros(len(array), dtype=np.int64), missing
        if kind == "integer":
            array = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
            try:
                whole = numpy_of(array.cast(pa.int64()).fill_null(0))
            except pa.ArrowInvalid as error:
                raise DataError(
                    f"time column '{name}' of {self.place} holds integers beyond 2^63: count from later."
                ) from error
            return np.asarray(whole, dtype=np.int64), missing
        if kind != "moment":
            raise DataError(
                f"time column '{name}' of {self.place} is {array.type}: "
                "a timestamp, a date or an integer is needed."
            )
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        return microseconds(array, name, self.place), missing

    def hashes(self, name: str, seed: int) -> hashing.U64:
        """A key column's values hashed, uint64 [N]: equal values have equal hashes in every file.

        Raises:
            DataError: the column is of a kind that is no key (floating point, nested).
        """
        array = self.array(name)
        kind = kind_of(array.type)
        null = hashing.mix(np.uint64(hashing.key(seed, _NULL_WORD)))
        if kind != "text" and pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        if kind in ("boolean", "integer", "moment"):
            words = (
                microseconds(array, name, self.place)
                if kind == "moment"  # unchecked: unsigned keys beyond 2^63 wrap
                else numpy_of(array.cast(pa.int64(), safe=False).fill_null(0))
            )
            hashed = hashing.mix(np.asarray(words, dtype=np.int64).view(np.uint64) ^ np.uint64(seed))
            return np.where(nulls_of(array), null, hashed)
        if kind != "text":
            raise DataError(
                f"column '{name}' of {self.place} is {array.type}: a key is text, an integer, "
                "a boolean or a moment."
            )
        codes, texts = self.codes(name)
        return np.append(texts.hashes(seed), null)[codes]

    def array(self, name: str) -> Any:  # noqa: ANN401 - pyarrow
        """A column as one pyarrow.Array, not copied if the row group has it in one piece."""
        if name in self.plain:
            return arrow_of(self.plain[name])  # not copied
        if name in self.coded:
            return self.coded[name].array()
        place = self.arrow.schema.get_field_index(name)
        if place < 0:
            raise DataError(f"{self.place} lacks column '{name}'.")
        column = self.arrow.column(place)
        if pa.types.is_dictionary(column.type):
            column = column.unify_dictionaries()
        array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()  # which would copy
        if isinstance(array, pa.ChunkedArray):  # no rows, or more than one array can hold
            array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.nulls(0, column.type)
        return array

    def _dictionary(self, name: str) -> Any:  # noqa: ANN401 - pyarrow
        if name in self.coded:
            return self.coded[name].dictionary()
        array = self.array(name)
        if pa.types.is_dictionary(array.type):
            return array
        if pa.types.is_string_view(array.type):
            array = array.cast(pa.string())
        return array.dictionary_encode()

    def _listed(self, values: Any, name: str) -> list[Any]:  # noqa: ANN401 - pyarrow
        try:
            return list(values.to_pylist())
        except UnicodeDecodeError as error:  # Arrow's readers do not look
            raise self._not_utf8(name) from error

    def _not_utf8(self, name: str) -> DataError:
        return DataError(f"column '{name}' of {self.place} holds text that is not UTF-8: write it as UTF-8.")

    def refuse_infinite(self, values: npt.NDArray[Any], name: str) -> None:
        """Raise DataError if any of a column's values is infinite."""
        if not np.isfinite(values).all() and (infinite := np.isinf(values)).any():
            raise DataError(
                f"column '{name}' of {self.place} holds {int(infinite.sum())} infinite values, the "
                f"first in row {int(infinite.argmax())}: numbers must be finite or null. Write null."
            )

    def _refuse_huge(self, array: Any, name: str) -> None:  # noqa: ANN401 - pyarrow
        if array.type.bit_width < 64 or len(array) == array.null_count:
            return
        ends = pc.min_max(array)
        if ends["min"].as_py() < -(2**53) or ends["max"].as_py() > 2**53:
            raise DataError(
                f"column '{name}' of {self.place} holds integers beyond 2^53, which a number cannot "
                f"hold: name it in data.ids, data.exclude or features.categorical."
            )

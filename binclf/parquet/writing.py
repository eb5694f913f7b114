"""Parquet as binclf writes it: page checksums on, floats plain, row groups of a few MiB.

One flipped bit in a page is read silently in 90-97 % of cases where pages carry no checksum, and never
where they do. pyarrow's default of dictionaries for floats makes such files half as large again and 4-6
times slower to write; compressing them saves 3 % and costs a quarter of the reading speed. A column without
nulls is written as REQUIRED, which nearly doubles the speed of reading it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from binclf.errors import DataError
from binclf.kernels.chunks import NULLS
from binclf.parquet.arrays import arrow_of, strings_of
from binclf.parquet.columns import Rows
from binclf.parquet.kinds import kind_of
from binclf.parquet.reading import Reader
from binclf.storage import Place

WHOLE = 2**30  # bytes or rows of a page: more than a row group has, so that each column of it is one page
_HAS_MOST_ROWS = "max_rows_per_page" in inspect.signature(pq.ParquetWriter).parameters


class _PartWriter:
    """Appends rows to one file in row groups of exactly `group_rows` (the last may be short)."""

    def __init__(self, path: Path, schema: Any, group_rows: int) -> None:  # noqa: ANN401
        self.schema, self.group_rows = schema, group_rows
        self.writer = _writer(path, schema, statistics=False)
        self.pending: list[Any] = []
        self.pending_rows = 0

    def append(self, table: Any) -> None:  # noqa: ANN401 - pyarrow
        self.pending.append(pa.Table.from_arrays(table.columns, schema=self.schema))
        self.pending_rows += table.num_rows
        while self.pending_rows >= self.group_rows:
            whole = pa.concat_tables(self.pending)
            self._write(whole.slice(0, self.group_rows))
            rest = whole.slice(self.group_rows)
            self.pending, self.pending_rows = [rest], rest.num_rows

    def close(self) -> None:
        if self.pending_rows:
            self._write(pa.concat_tables(self.pending))
        self.writer.close()

    def _write(self, table: Any) -> None:  # noqa: ANN401 - pyarrow
        whole = table.unify_dictionaries().combine_chunks()
        self.writer.write_table(whole, row_group_size=self.group_rows)


def deal_rows(
    source: Place,
    name: str,
    part_of_row: npt.NDArray[np.int8],
    targets: Mapping[int, Path],
    group_rows: int,
) -> None:
    """Copy each row of `source` to the target of its part, in order; rows of part -1 are left out.

    Args:
        source: the Parquet file.
        name: what messages call it.
        part_of_row: int8 [rows of the file].
        targets: part to a path that does not exist yet.
        group_rows: rows of a written row group.
    """
    with Reader(source, name) as reader:
        schema = _required_where_no_nulls(reader)
        views = any(pa.types.is_string_view(field.type) for field in reader.file.schema_arrow)
        writers = {part: _PartWriter(path, schema, group_rows) for part, path in targets.items()}
        start = 0
        for group in range(reader.groups):
            table = reader.read(group, schema.names).table
            if views:  # pyarrow cannot filter them
                table = table.cast(schema)
            parts = part_of_row[start : start + table.num_rows]
            start += table.num_rows
            for part, writer in writers.items():
                mask = parts == part
                writer.append(table if mask.all() else table.filter(arrow_of(mask)))
        for writer in writers.values():
            writer.close()


class ColumnWriter:
    """Writes pass-through columns of rows beside new ones, one row group for each call."""

    def __init__(self, path: Path) -> None:
        """Begin a file; it has its schema from the first rows."""
        self.path = path
        self.writer: Any = None

    def append(self, rows: Rows, keep: Sequence[str], columns: Mapping[str, Any]) -> None:
        """Write `keep` of the rows, then `columns`, which have no nulls.

        Args:
            rows: N of them.
            keep: names of their columns.
            columns: NumPy arrays [N], or pairs of codes [N] and texts.
        """
        arrays = {name: rows.array(name) for name in keep}
        for name, values in columns.items():
            if isinstance(values, tuple):
                codes, texts = values
                named = strings_of(texts).cast(pa.string())  # `pa.array` would import pandas
                arrays[name] = pa.DictionaryArray.from_arrays(arrow_of(codes), named)
            else:
                arrays[name] = arrow_of(values)
        if self.writer is None:
            schema = pa.schema([pa.field(n, array.type, n not in columns) for n, array in arrays.items()])
            # the least and greatest of few texts say little, and take a look at each row
            told = [name for name in arrays if not isinstance(columns.get(name), tuple)]
            self.writer = _writer(self.path, schema, statistics=told, dictionaries=(pa.types.is_dictionary,))
        fields = [self.writer.schema.field(name) for name in arrays]
        as_begun = [
            own if own.type == field.type else own.cast(field.type)
            for own, field in zip(arrays.values(), fields, strict=True)
        ]
        if len(rows):
            table = pa.Table.from_arrays(as_begun, schema=self.writer.schema)
            self.writer.write_table(table, row_group_size=len(rows))

    def close(self) -> None:
        """End the file."""
        if self.writer is not None:
            self.writer.close()


def write_rows(path: Path, rows: Rows, keep: Sequence[str], told: npt.NDArray[np.float64]) -> None:
    """Write some columns of rows, and last what was told of each, float64 [N]: `of_bytes` reads it."""
    name = "told"
    while name in keep:
        name += "_"
    table = rows.table.select(list(keep)).append_column(name, pa.array(told))
    table = table.unify_dictionaries()
    with _writer(path, table.schema) as writer:
        writer.write_table(table)


def of_bytes(content: bytes, place: str, most: int) -> tuple[Rows, npt.NDArray[np.float64]]:
    """The rows that `write_rows` wrote, at most so many, and what was told of each.

    Raises:
        DataError: they are damaged, or what was told is no number, or they are more.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        if file.metadata.num_rows > most:  # seen before it is read: few bytes can say that there are many
            raise DataError(f"{place} has {file.metadata.num_rows:,} rows, where {most} at most are written.")
        table = file.read(use_threads=False)  # `read_table` would import pandas
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{place} is damaged ({error}).") from error
    if not table.num_columns or kind_of(table.schema.types[-1]) != "number":
        raise DataError(f"{place} does not end in a column of numbers.")
    *names, last = table.column_names
    return Rows(table.select(names), place), Rows(table.select([last]), place).numbers(last)


def write_columns(path: Path, columns: Mapping[str, Any], group_rows: int) -> None:
    """Write NumPy arrays, lists or pyarrow arrays of one length as a Parquet file."""
    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    with _writer(path, table.schema) as writer:
        writer.write_table(table, row_group_size=group_rows)


def write_frame(path: Path, frame: object, group_rows: int) -> None:
    """Write a pandas DataFrame as a Parquet file."""
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    with _writer(path, table.schema) as writer:
        writer.write_table(table, row_group_size=group_rows)


def _writer(
    path: Path,
    schema: Any,  # noqa: ANN401 - pyarrow
    *,
    statistics: bool | Sequence[str] = True,
    dictionaries: Sequence[Callable[[Any], bool]] = (),
) -> Any:  # noqa: ANN401 - pyarrow
    """A writer; statistics, of all or some columns, are for other readers: parts' footers would only swell.

    Columns of the types `dictionaries` are written by their distinct values; of none named, all but floats.
    """
    return pq.ParquetWriter(
        path,
        schema,
        compression={
            field.name: "none" if pa.types.is_floating(field.type) else "snappy" for field in schema
        },
        use_dictionary=_dictionary_columns(schema, dictionaries),
        write_page_checksum=True,
        write_statistics=statistics,
        data_page_size=WHOLE,
        **({"max_rows_per_page": WHOLE} if _HAS_MOST_ROWS else {}),
    )


def _required_where_no_nulls(reader: Reader) -> Any:  # noqa: ANN401 - pyarrow
    """The file's schema; columns that its footer knows to be without nulls are not nullable, views text."""
    schema = reader.file.schema_arrow
    whole = np.full(len(schema), reader.file.metadata.num_columns == len(schema))  # none is nested
    for group in range(reader.groups):
        nulls = reader.said(group).chunks[:, NULLS]
        whole &= len(nulls) == len(schema) and nulls == 0
    fields = [field.with_nullable(not whole[place]) for place, field in enumerate(schema)]
    fields = [f.with_type(pa.string()) if pa.types.is_string_view(f.type) else f for f in fields]
    return pa.schema(fields, metadata=schema.metadata)


def _dictionary_columns(schema: Any, are: Sequence[Callable[[Any], bool]]) -> Sequence[str]:  # noqa: ANN401
    if are:
        return [field.name for field in schema if any(is_one(field.type) for is_one in are)]
    return [field.name for field in schema if not pa.types.is_floating(field.type)]

"""Rows of two sets of files that have the same ids, by their numbers: what is joined is no more than keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from binclf.errors import DataError
from binclf.parquet.arrays import numpy_of
from binclf.parquet.columns import Rows
from binclf.parquet.files import Found
from binclf.parquet.kinds import zone_of
from binclf.parquet.reading import Reader

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]

# how a period is called
PERIODS = {"day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m"}


@dataclass(frozen=True, slots=True)
class Joined:
    """Pairs of rows, in the order of the left ones."""

    left: I64  # [n]
    right: I64  # [n]
    duplicates: tuple[int, int]  # rows that have the ids of another, on each side


def read_all(files: Sequence[Found], columns: Sequence[str], place: str) -> tuple[Rows, I32]:
    """Some columns of all files end to end, and which file each row is of, int32 [N].

    Raises:
        DataError: a file lacks a column, is damaged, or has a column of another type than the first file.
    """
    tables: list[Any] = []
    numbers: list[I32] = []
    for number, file in enumerate(files):
        with Reader(file.path, file.relative) as reader:
            own = [_plain(rows.table) for rows in reader.all(list(columns))]
        table = pa.concat_tables(own)
        if tables and table.schema.types != tables[0].schema.types:
            raise DataError(
                f"columns {', '.join(columns)} of {file.relative} are of other types than in "
                f"{files[0].relative}: cast them."
            )
        tables.append(table)
        numbers.append(np.full(table.num_rows, number, dtype=np.int32))
    return Rows(pa.concat_tables(tables), place), np.concatenate(numbers)


def join(left: Rows, right: Rows, ids: Sequence[str]) -> Joined:
    """Match rows by their ids; a null is no id, and has no match.

    Raises:
        DataError: an id column is of another type on the other side.
    """
    for name in ids:
        types = [str(rows.array(name).type) for rows in (left, right)]
        if types[0] != types[1]:
            raise DataError(
                f"id column '{name}' is {types[0]} in {left.place} and {types[1]} in {right.place}: cast one."
            )
    keys = [f"id {place}" for place in range(len(ids))]
    tables = [
        pa.table([*(rows.array(name) for name in ids), pa.array(np.arange(len(rows)))], names=[*keys, number])
        for rows, number in ((left, "left"), (right, "right"))
    ]
    duplicates = [table.num_rows - table.group_by(keys).aggregate([]).num_rows for table in tables]
    if any(duplicates):
        return Joined(np.zeros(0, np.int64), np.zeros(0, np.int64), (duplicates[0], duplicates[1]))
    pairs = tables[0].join(tables[1], keys=keys, join_type="inner").select(["left", "right"])
    pairs = pairs.combine_chunks()
    found = [numpy_of(pairs.column(name).combine_chunks()) for name in ("left", "right")]
    order = np.argsort(found[0], kind="stable")
    return Joined(found[0][order], found[1][order], (0, 0))


def periods(rows: Rows, name: str, by: str) -> tuple[I32, list[str]]:
    """The period of each row by a column of moments, as codes int32 [N] into names that ascend; null is -1.

    Raises:
        DataError: the column is no moment.
    """
    array = rows.array(name)
    if not (pa.types.is_timestamp(array.type) or pa.types.is_date(array.type)):
        raise DataError(
            f"time column '{name}' of {rows.place} is {array.type}: a timestamp or a date is needed."
        )
    if pa.types.is_timestamp(array.type) and zone_of(str(array.type)):
        array = pc.local_timestamp(array)
    begins = pc.floor_temporal(array.cast(pa.timestamp("us")), unit=by).dictionary_encode()
    names = pc.strftime(begins.dictionary, format=PERIODS[by]).to_pylist()
    order = sorted(range(len(names)), key=names.__getitem__)
    rank = np.empty(len(names) + 1, dtype=np.int32)
    rank[order] = np.arange(len(names), dtype=np.int32)
    rank[-1] = -1
    return rank[numpy_of(begins.indices.fill_null(len(names)))], [names[place] for place in order]


def _plain(table: Any) -> Any:  # noqa: ANN401 - pyarrow.Table
    """Without dictionaries and views, which tables of several files do not share."""
    for place, field in enumerate(table.schema):
        column = table.column(place)
        if pa.types.is_dictionary(field.type):
            column = column.cast(field.type.value_type)
        if pa.types.is_string_view(column.type):
            column = column.cast(pa.string())
        table = table.set_column(place, field.name, column)
    return table.replace_schema_metadata(None)

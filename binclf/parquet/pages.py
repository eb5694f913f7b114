"""The columns of a local file that are read without pyarrow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from binclf.parquet.coded import Coded, CodedPlace, coded_places, read_coded
from binclf.parquet.dense import DensePlace, dense_places, read_dense
from binclf.parquet.floats import Plain
from binclf.parquet.handle import Handle
from binclf.parquet.plain import PlainPlace, plain_places, read_plain
from binclf.parquet.rowgroup import RowGroup

KEPT = 64  # forms of files: those of one data set mostly have one


@dataclass(frozen=True, slots=True)
class Places:
    """Which columns of files of one form can be read so, and where they are."""

    plain: Mapping[str, PlainPlace] = field(default_factory=dict)
    dense: Mapping[str, DensePlace] = field(default_factory=dict)
    coded: Mapping[str, CodedPlace] = field(default_factory=dict)
    columns: int = 0  # of the file

    @classmethod
    def of(cls, file: Any, coded: Sequence[str], group: RowGroup) -> Places:  # noqa: ANN401 - pyarrow.parquet.ParquetFile
        """Of a file that pyarrow has opened, and what its footer says of a row group.

        pyarrow's own schema is not asked: it and the metadata hold each other, and stay until Python looks.
        """
        metadata, schema = file.metadata, file.schema_arrow
        if metadata.num_columns != len(schema):  # leaves of nested columns cannot be told by their paths
            return cls()
        if len(group.chunks) != len(schema):  # which pyarrow refuses
            return cls()
        coded_ones = coded_places(schema, group, coded)
        return cls(plain_places(schema), dense_places(schema, group), coded_ones, len(schema))


_known: dict[tuple[str, tuple[str, ...]], Places] = {}
_lock = threading.Lock()


def places_of(form: str, coded: Sequence[str], group: RowGroup, parsed: Callable[[], Any]) -> Places:
    """What is known of files of a form; the first of them is parsed by pyarrow.

    Args:
        form: a digest of all that files say of their columns.
        coded: names of columns to read as codes.
        group: what the footer says of a row group.
        parsed: the file.
    """
    key = (form, tuple(coded))
    with _lock:
        places = _known.get(key)
    if places is None:
        places = Places.of(parsed(), coded, group)
        with _lock:
            while len(_known) >= KEPT:
                _known.pop(next(iter(_known)))
            _known[key] = places
    return places


class Pages:
    """Floats as they lie there, and what is read as codes."""

    def __init__(self, path: Path) -> None:
        """Nothing is looked at before the first reading: most files are opened for their footers alone."""
        self._handle = Handle(path)

    def read(self, group: RowGroup, places: Places, names: Sequence[str]) -> tuple[Plain, dict[str, Coded]]:
        """Of the columns those that can be read so; the others are left out.

        Raises:
            OSError: the file cannot be read.
        """
        if len(group.chunks) != places.columns:
            return Plain(), {}
        plain = read_plain(self._handle, group, places.plain, names)
        rest = [name for name in names if name not in plain]
        dense = read_dense(self._handle, group, places.dense, rest)
        nullable = [name for own, _ in dense for name in own if places.dense[name].is_nullable]
        floats = Plain([*plain.stages(), *dense], nullable)
        rest = [name for name in rest if name not in floats]
        return floats, read_coded(self._handle, group, places.coded, rest)

    def close(self) -> None:
        """Let go of the file."""
        self._handle.close()

"""Footers and row groups, with checksums verified and every fault named by file, row group and column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from binclf.errors import DamageError, DataError
from binclf.parquet.columns import Rows
from binclf.parquet.files import Found
from binclf.parquet.kinds import Column, kind_of
from binclf.parquet.refusal import first_line, unopened
from binclf.parquet.tail import tail_of

# what pyarrow raises for damaged bytes: ArrowInvalid, OSError, and for text UnicodeDecodeError
_DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError)


@dataclass(frozen=True, slots=True)
class Footer:
    """What a Parquet file says of itself; no data is read for it."""

    relative: str
    path: Path
    bytes: int
    groups: tuple[int, ...]  # rows of each row group
    columns: tuple[Column, ...]

    @property
    def rows(self) -> int:
        """Rows of the file."""
        return sum(self.groups)

    def column(self, name: str) -> Column | None:
        """The column of that name, or None."""
        return next((c for c in self.columns if c.name == name), None)


def footer(file: Found) -> Footer:
    """Read one footer.

    Raises:
        DataError: the file is no whole Parquet, or two of its columns share a name.
    """
    with Reader(file.path, file.relative) as reader:
        schema = reader.file.schema_arrow
        names = [field.name for field in schema]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(f"{file.relative} has two columns named '{twice[0]}': rename one.")
        meta = reader.file.metadata
        return Footer(
            relative=file.relative,
            path=file.path,
            bytes=file.path.stat().st_size,
            groups=tuple(meta.row_group(i).num_rows for i in range(meta.num_row_groups)),
            columns=tuple(Column(f.name, kind_of(f.type), str(f.type)) for f in schema),
        )


def footers(files: Iterable[Found]) -> list[Footer]:
    """Read all footers at once, in the order of the files."""
    with ThreadPoolExecutor(16, thread_name_prefix="footer") as pool:
        return list(pool.map(footer, files))


class Reader:
    """One open Parquet file; row groups are read one at a time and nothing is kept."""

    def __init__(self, path: Path, name: str = "", texts: Sequence[str] = (), digest: str = "") -> None:
        """Open a file.

        Args:
            path: where it is.
            name: what messages call it.
            texts: columns to read as dictionaries.
            digest: what its footer must have, as `footer_digest` told when it was written; empty: any.

        Raises:
            DataError: it is gone, no whole Parquet, or has another footer.
        """
        self.name = name or str(path)
        try:
            tail = tail_of(path)
            if digest and tail.digest != digest:
                raise DamageError(
                    f"the footer of {self.name} is not what was written: the file was damaged or replaced. "
                    "Remove it, and split again.",
                    self.name,
                )
            self.file: Any = pq.ParquetFile(
                path,
                metadata=tail.metadata,
                page_checksum_verification=True,
                read_dictionary=list(texts) or None,
            )
        except FileNotFoundError as error:
            raise DataError(f"{self.name} is gone: it was there a moment ago.") from error
        except _DAMAGE as error:
            raise unopened(error, path, self.name) from error

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.file.close()

    def read(self, group: int, columns: Sequence[str]) -> Rows:
        """Some columns of one row group.

        Raises:
            DataError: damaged bytes, or another number of rows than the footer promised.
        """
        place = f"{self.name}, row group {group}"
        try:
            table = self.file.read_row_group(group, columns=list(columns), use_threads=False)
        except _DAMAGE as error:
            column = self._damaged(group, columns)
            raise DamageError(
                f"column '{column}' of {place} is damaged ({first_line(error)}): write the file again.",
                self.name,
            ) from error
        found = set(table.column_names)
        lacking = [name for name in columns if name not in found]
        if lacking:  # pyarrow passes over a name that it does not find
            raise DataError(f"{place} lacks column '{lacking[0]}'.")
        promised = self.file.metadata.row_group(group).num_rows
        if table.num_rows != promised:
            raise DamageError(
                f"{place} holds {table.num_rows} rows where the footer says {promised}: "
                "write the file again.",
                self.name,
            )
        return Rows(table, place)

    def all(self, columns: Sequence[str]) -> Iterator[Rows]:
        """Some columns of each row group in order; of a file without any, once no rows."""
        for group in range(self.file.num_row_groups):
            yield self.read(group, columns)
        if not self.file.num_row_groups:
            schema = self.file.schema_arrow
            wanted = pa.schema([schema.field(name) for name in columns])
            yield Rows(wanted.empty_table(), self.name)

    def _damaged(self, group: int, columns: Sequence[str]) -> str:
        for column in columns:
            try:
                self.file.read_row_group(group, columns=[column], use_threads=False)
            except _DAMAGE:
                return column
        return ", ".join(columns)

"""Row groups, with checksums verified and every fault named by file, row group and column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from binclf.errors import DamageError, DataError, RowGroupPlace, StorageError, located
from binclf.parquet.coded import Coded
from binclf.parquet.columns import Rows
from binclf.parquet.copied import copied
from binclf.parquet.dictionaries import AsWritten
from binclf.parquet.floats import Plain
from binclf.parquet.groups import no_columns, read_group
from binclf.parquet.pages import Pages, Places, places_of
from binclf.parquet.refusal import DAMAGE, at_fault, broken, damaged, unopened
from binclf.parquet.rowgroup import RowGroup
from binclf.parquet.tail import tail_of
from binclf.storage import Place, Remote, Stamp, stamp_if_there, stamp_of, stamp_of_open

AT_ONCE = 8  # row groups whose part of the footer is parsed together
_NO_CODES = "DecodeArrow of DictAccumulator"  # in what pyarrow says of encodings that it makes no codes of
_CHANGED = "{} changed or went since the data were split: split again."


class Reader:
    """One open Parquet file; row groups are read one at a time and nothing is kept."""

    def __init__(
        self,
        place: Place,
        name: str = "",
        coded: Sequence[str] = (),
        digest: str = "",
        stamp: Stamp | None = None,
    ) -> None:
        """Open a file.

        Args:
            place: where it is.
            name: what messages call it.
            coded: columns to read as codes, where they are text or integers.
            digest: what its footer must have, as `footer_digest` told when it was written; empty: any.
            stamp: what `stamp_of` told when its rows were counted; None: any.

        Raises:
            DataError: it is gone, changed, no whole Parquet, or has another footer.
            StorageError: the store does not answer.
        """
        self.place, self.name = place, name or str(place)
        self.coded = list(coded)  # by pyarrow: none any more, if it cannot
        self._run, self._asked = range(0), -AT_ONCE  # row groups that are parsed, and the last read
        self._cut: Any = None  # the file as if it had no others
        self._last: tuple[int, RowGroup] | None = None  # what the footer says of the row group read last
        is_part = bool(digest) or stamp is not None
        with self._opening(is_part=is_part):
            source = place.open() if isinstance(place, Remote) else pa.OSFile(str(place))
            self.stamp = stamp_of(place) if isinstance(place, Path) else stamp_of_open(source)
            if stamp not in (None, self.stamp):
                raise DataError(_CHANGED.format(place))
            self._source, self._tail = source, tail_of(place, self.stamp, source)
        if digest and self._tail.digest != digest:
            raise DamageError(
                f"the footer of {self.name} is not what was written: the file was damaged or replaced. "
                "Remove it, and split again.",
                self.name,
            )
        # those of an object come by ranges that pyarrow fetches together
        self._pages = Pages(place) if isinstance(place, Path) else None
        self._as_codes = tuple(coded)
        self._known: Places | None = None
        self._is_ours = bool(digest)  # written by pyarrow, whose dictionaries have each value once
        if self._tail.places is None:
            _ = self.file  # which says what is wrong
            raise broken(f"the footer of {self.name} is damaged", self.name)

    @property
    def digest(self) -> str:
        """Of the footer: as `footer_digest` tells it."""
        return self._tail.digest

    @property
    def groups(self) -> int:
        """How many row groups there are."""
        return self._tail.groups

    @contextmanager
    def _opening(self, *, is_part: bool = False) -> Iterator[None]:
        """What goes wrong, in our words."""
        try:
            yield
        except (StorageError, MemoryError):
            raise
        except FileNotFoundError as error:
            gone = f"{self.name} is gone: it was there a moment ago."
            raise DataError(_CHANGED.format(self.place) if is_part else gone) from error
        except DAMAGE as error:
            raise unopened(error, self.place, self.name).at(self.name) from error

    @cached_property
    def file(self) -> Any:  # noqa: ANN401 - pyarrow.parquet.ParquetFile
        """All of the file, its footer parsed whole."""
        with self._opening():
            return self._parquet(self._source, self._tail.whole())

    def _group(self, group: int) -> tuple[Any, int]:
        """The file as if it had few row groups, and which this is of them; some ahead if read in order."""
        if group not in self._run:
            some = AT_ONCE if 0 < group - self._asked <= AT_ONCE else 1
            self._run = range(group, min(group + some, self.groups))
            with self._opening():
                self._cut = self._parquet(self._source, self._tail.cut(self._run))
        self._asked = group
        return self._cut, group - self._run.start

    def said(self, group: int) -> RowGroup:
        """What the footer says of a row group; of the one that was read last it is known.

        Raises:
            DamageError: it cannot be understood.
        """
        if self._last is None or self._last[0] != group:
            found = RowGroup.of_record(self._tail.record(group))
            if found is None:
                untold = f"does not say what row group {group} has and where in the file"
                raise broken(f"the footer of {self.name} {untold}", self.name)
            self._last = group, found
        return self._last[1]

    def _written(self, said: RowGroup) -> AsWritten | None:
        """What is compared with what pyarrow reads, where that is needed."""
        return None if self._is_ours else AsWritten(self._source.read_at, said)

    def _places(self, said: RowGroup) -> Places:
        if self._known is None:
            self._known = places_of(self._tail.form, self._as_codes, said, lambda: self._group(0)[0])
        return self._known

    def _parquet(self, source: Any, metadata: Any) -> Any:  # noqa: ANN401 - pyarrow
        try:
            return pq.ParquetFile(
                source,
                metadata=metadata,
                page_checksum_verification=True,
                read_dictionary=self.coded,  # only text is
                pre_buffer=isinstance(self.place, Remote),  # ranges are fetched together
            )
        except KeyError as error:
            raise DataError(f"{self.name} lacks column '{error.args[0].decode()}'.") from error

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._source.close()
        if self._pages is not None:
            self._pages.close()

    def read(self, group: int, columns: Sequence[str]) -> Rows:
        """Some columns of one row group.

        Raises:
            DataError: damaged bytes, or another number of rows than the footer promised.
        """
        with located(place := RowGroupPlace(self.name, group)):
            return self._read(place, group, columns)

    def _read(self, place: RowGroupPlace, group: int, columns: Sequence[str]) -> Rows:
        nothing: tuple[Plain, dict[str, Coded]] = Plain(), {}
        promised = (said := self.said(group)).rows
        try:
            plain, coded = self._pages.read(said, self._places(said), columns) if self._pages else nothing
            rest = [name for name in columns if name not in plain and name not in coded]
            if rest:
                rows = 0 if isinstance(self.place, Remote) else promised
                table = read_group(*self._group(group), rest, rows, self._written(said))
            else:
                table = no_columns(promised)
        except DAMAGE as error:
            if self.coded and _NO_CODES in str(error):
                self.coded, self._run = [], range(0)
                return self.read(group, columns)
            (plain, coded), rest, table = nothing, list(columns), self._once_more(group, columns, error)
        self._refuse_changed()
        lacking = [name for name in rest if name not in set(table.column_names)]
        if lacking:  # pyarrow passes over a name that it does not find
            raise DataError(f"{place} lacks column '{lacking[0]}'.")
        if table.num_rows != promised:
            counted = f"holds {table.num_rows} rows where the footer says {promised}"
            raise broken(f"{place} {counted}", self.name)
        return Rows(table, place, plain, tuple(columns), coded)

    def all(self, columns: Sequence[str]) -> Iterator[Rows]:
        """Some columns of each row group in order; of a file without any, once no rows."""
        for group in range(self.groups):
            yield self.read(group, columns)
        if not self.groups:
            schema = self.file.schema_arrow
            yield Rows(pa.schema([schema.field(name) for name in columns]).empty_table(), self.name)

    def _refuse_changed(self) -> None:
        """What was read must be of the file that was opened, to its last byte."""
        if stamp_if_there(self.place) != self.stamp:
            raise DataError(_CHANGED.format(self.place))

    def _once_more(self, group: int, columns: Sequence[str], error: BaseException) -> Any:  # noqa: ANN401
        """What could not be read: an object's bytes fetched anew, to tell the store's faults from the file's.

        Raises:
            DamageError: the bytes are damaged.
            StorageError: the store does not give them.
        """
        if isinstance(error, MemoryError):
            raise error
        self._refuse_changed()
        if isinstance(self.place, Path):
            if isinstance(error, OSError) and error.errno is not None:
                raise at_fault(error, self.name) from error
            raise self._damage(self._group(group)[0], group, columns, error) from error
        said = self.said(group)
        with copied(self.place, self.stamp[0], said, self.name, group) as path:
            file = self._parquet(path, self._group(group)[0].metadata)
            try:
                return read_group(file, self._group(group)[1], columns, 0, self._written(said))
            except DAMAGE as again:
                raise self._damage(file, group, columns, again) from again

    def _damage(self, file: Any, group: int, columns: Sequence[str], error: BaseException) -> DamageError:  # noqa: ANN401
        own, written = self._group(group)[1], self._written(self.said(group))
        place = RowGroupPlace(self.name, group)
        return damaged(place, columns, error, lambda name: read_group(file, own, [name], 0, written))

"""What files say of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from binclf.errors import BinclfError, DataError
from binclf.parquet.files import Found
from binclf.parquet.kinds import Column, kind_of
from binclf.parquet.reading import Reader
from binclf.storage import Place, Stamp


@dataclass(frozen=True, slots=True)
class Footer:
    """What a Parquet file says of itself; no data is read for it."""

    relative: str
    path: Place
    stamp: Stamp  # when the footer was read
    groups: tuple[int, ...]  # rows of each row group
    columns: tuple[Column, ...]
    digest: str = ""  # of the footer itself; empty: not known

    @property
    def bytes(self) -> int:
        """Bytes of the file."""
        return self.stamp[0]

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
        return Footer(
            relative=file.relative,
            path=file.path,
            stamp=reader.stamp,
            groups=tuple(reader.said(group).rows for group in range(reader.groups)),
            columns=tuple(Column(f.name, kind_of(f.type), str(f.type)) for f in schema),
            digest=reader.digest,
        )


def footers(files: Iterable[Found]) -> list[Footer]:
    """Read all footers at once, in the order of the files."""
    with ThreadPoolExecutor(16, thread_name_prefix="footer") as pool:
        return list(pool.map(footer, files))


def readable_footers(files: Sequence[Found]) -> tuple[list[Footer], dict[str, BinclfError]]:
    """The footers that can be read, and by relative path what is wrong with the others."""

    def read(file: Found) -> Footer | BinclfError:
        try:
            return footer(file)
        except BinclfError as error:
            return error

    feet: list[Footer] = []
    unread: dict[str, BinclfError] = {}
    with ThreadPoolExecutor(16, thread_name_prefix="footer") as pool:
        for file, got in zip(files, pool.map(read, files), strict=True):
            if isinstance(got, Footer):
                feet.append(got)
            else:
                unread[file.relative] = got
    return feet, unread

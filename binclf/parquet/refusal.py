"""Why a file cannot be opened as Parquet, in words that say what it is instead."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence

import pyarrow as pa

from binclf.errors import BinclfError, DamageError, RowGroupPlace, StorageError
from binclf.storage import Place, read_at

HEAD = 1024  # bytes that are looked at
# what pyarrow raises for damaged bytes: ArrowInvalid, OSError, and for text UnicodeDecodeError
DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError)

_OTHER_FORMATS: tuple[tuple[bytes, str], ...] = (
    (b"PARE", "Parquet with an encrypted footer, which is not read: write it without encryption"),
    (b"ARROW1", "an Arrow (Feather) file: convert it with pandas.read_feather(...).to_parquet(...)"),
    (b"FEA1", "a Feather file: convert it with pandas.read_feather(...).to_parquet(...)"),
    (b"ORC", "an ORC file: convert it with pandas.read_orc(...).to_parquet(...)"),
    (
        b"\x1f\x8b",
        "a gzip archive: unpack it, or if it is CSV convert it with pandas.read_csv(...).to_parquet(...)",
    ),
    (b"PK\x03\x04", "a zip archive or an Excel sheet: convert it to Parquet first"),
    (b"SQLite format 3", "an SQLite database: export the table to Parquet first"),
)


def unopened(error: BaseException, path: Place, name: str) -> BinclfError:
    """The error to raise for a file that the reader of Parquet refused.

    Args:
        error: the reader's.
        path: the file.
        name: what messages call it.

    Returns:
        A `StorageError` where the file may not be read (its content is not at fault, so it is never
        quarantined), else a `DamageError` that says what the file looks like.
    """
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM):
        return StorageError(
            f"{name} cannot be read: permission is denied. Let this user read it (chmod, or the bucket's "
            "policy)."
        )
    if isinstance(error, OSError) and error.errno is not None:
        return at_fault(error, name)
    other = _other_format(path)
    if other:
        return DamageError(f"{name} is no Parquet file but looks like {other}.", name)
    return DamageError(f"{name} is not a whole Parquet file ({first_line(error)}): write it again.", name)


def broken(what: str, name: str) -> DamageError:
    """Of a file whose bytes are at fault."""
    return DamageError(f"{what}: write the file again.", name)


def at_fault(error: OSError, name: str) -> StorageError:
    """What the machine failed to do; the file is not at fault, so it is never quarantined."""
    return StorageError(f"{name} cannot be read ({error.strerror}): mend that, and run it again.")


def damaged(
    place: RowGroupPlace, columns: Sequence[str], error: BaseException, read: Callable[[str], object]
) -> DamageError:
    """What to raise for a row group whose columns could not be read; the first that cannot alone is named.

    Args:
        place: the row group.
        columns: that were read.
        error: the reader's.
        read: reads one of them alone.
    """
    for column in columns:
        try:
            read(column)
        except DAMAGE:
            break
    else:
        column = ", ".join(columns)
    found = broken(f"column '{column}' of {place} is damaged ({first_line(error)})", place.file)
    return found.at(row_group=place.row_group, column=column)


def first_line(error: BaseException) -> str:
    """An error's own words, shortened."""
    return str(error).strip().split("\n")[0].rstrip(".")


def _other_format(path: Place) -> str:
    """What a file is that is no Parquet; empty if that cannot be told."""
    try:
        head = read_at(path, 0, HEAD)
    except OSError:
        return ""  # the reader's own words say why
    if not head or head.startswith(b"PAR1"):
        return ""
    for magic, words in _OTHER_FORMATS:
        if head.startswith(magic):
            return words
    if _is_text(head):
        source = path.name
        target = f"{path.stem}.parquet" if path.suffix != ".parquet" else f"{path.stem}.new.parquet"
        return f"text or CSV: convert it with pandas.read_csv('{source}').to_parquet('{target}', index=False)"
    return ""


def _is_text(head: bytes) -> bool:
    """Whether bytes are printable UTF-8 with a line in it; a character may be cut at the end."""
    try:
        text = head[:-3].decode() if len(head) == HEAD else head.decode()
    except UnicodeDecodeError:
        return False
    return all(char.isprintable() or char in "\r\n\t" for char in text) and any(c in text for c in ",;\t\n")

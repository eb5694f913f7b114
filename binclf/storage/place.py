"""What is asked of a place, whichever of the two it is."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from binclf.storage.address import check_uri, is_uri
from binclf.storage.remote import PIECE_BYTES, Remote, problem

Place = Path | Remote
Stamp = tuple[int, int, int]  # bytes, time of modification, and inode or ETag, as numbers


def place_of(text: str | Place) -> Place:
    """The place that a path or a URI means; `file://` is a path.

    >>> place_of("s3://bucket/a") / "b", place_of("file:///data") / "b"
    (Remote(scheme='s3', key='bucket/a/b', options=''), PosixPath('/data/b'))

    Raises:
        ConfigError: a URI that cannot be used.
    """
    if not isinstance(text, str):
        return text
    if not is_uri(text):
        return Path(text)
    if text.startswith("file://"):
        return Path("/" + unquote(text.removeprefix("file://")).lstrip("/"))
    check_uri(text, "address")
    return Remote.parse(text)


def stamp_of(place: Place) -> Stamp:
    """Cheap signs that a file is the same; they never take part in an id or an order.

    Raises:
        FileNotFoundError: it is not there.
        StorageError: the store does not answer.
    """
    if isinstance(place, Path):
        status = place.stat()
        return status.st_size, status.st_mtime_ns, status.st_ino
    with problem(place, "read"), place.open() as file:
        return stamp_of_open(file)


def stamp_if_there(place: Place) -> Stamp | None:
    """`stamp_of`; None if the file is not there."""
    try:
        return stamp_of(place)
    except FileNotFoundError:
        return None


def changed_at(place: Place) -> int:
    """When a local file last became what it is, by the system's own clock, in ns since 1970.

    That moves whenever content, name or rights change, and no program sets it: of two files with equal size
    and time of modification (`touch -r`, `rsync --times`) it tells the one from the other. Rights and links
    move it too, so a file that has another may yet be the same. 0 of an object, whose stamp has its tag; -1
    where there is no file.
    """
    if not isinstance(place, Path):
        return 0
    try:
        return place.stat().st_ctime_ns
    except FileNotFoundError:
        return -1


def stamp_of_open(file: Any) -> Stamp:  # noqa: ANN401 - pyarrow.NativeFile
    """The stamp of an object that is open; no further request."""
    told = _metadata(file)
    tag = told.get("etag", "")
    # the same content sent again, as two machines may, has the same tag and another time
    moment = "" if tag else told.get("last-modified", "") or told.get("updated", "")
    return int(file.size()), _word(moment), _word(tag)


def fingerprint_of(place: Place) -> str:
    """Names a file's content: SHA-256 (hex) of it, or of a store's own ETag, which spares reading it.

    An ETag is a digest of the content (of its parts, for one that was sent in parts), so other content has
    another; where a store has none, the content is read.
    """
    if isinstance(place, Remote):
        with problem(place, "read"), place.open() as file:
            tag = _metadata(file).get("etag", "")
            if tag:
                return hashlib.sha256(f"etag {file.size()} {tag}".encode()).hexdigest()
    return sha256_of(place)


def sha256_of(place: Place) -> str:
    """SHA-256 (hex) of a file's content; other threads run meanwhile."""
    if isinstance(place, Path):
        with place.open("rb") as local:
            return hashlib.file_digest(local, "sha256").hexdigest()
    digest = hashlib.sha256()
    with problem(place, "read"), place.open() as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def read_at(place: Place, start: int, count: int) -> bytes:
    """Some bytes of a file; fewer where it ends."""
    if isinstance(place, Path):
        with place.open("rb") as local:
            local.seek(start)
            return local.read(count)
    with problem(place, "read"), place.open() as file:
        return bytes(file.read_at(max(min(count, file.size() - start), 0), start))


def remove_tree(place: Place) -> None:
    """Remove a folder with all in it; one that is not there is no error."""
    if isinstance(place, Path):
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.remove_tree()


@contextmanager
def beside_locally(place: Remote) -> Iterator[Path]:
    """A local file to write to; it becomes the object when the block ends well, and goes in any case.

    Raises:
        StorageError: the store does not take it.
    """
    handle, name = tempfile.mkstemp(prefix="binclf-", suffix=".tmp")
    os.close(handle)
    try:
        yield Path(name)
        place.upload(Path(name))
    finally:
        Path(name).unlink(missing_ok=True)


def _metadata(file: Any) -> dict[str, str]:  # noqa: ANN401 - pyarrow.NativeFile
    told = file.metadata() or {}
    return {_text(key).lower(): _text(value) for key, value in told.items()}


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _word(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "little") if text else 0

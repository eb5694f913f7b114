"""Nothing half-written is ever seen: write beside, flush, rename; lock what two may want at once.

A file appears under its name only when it is whole. `os.replace` within one directory is atomic on POSIX;
the file and its directory are flushed first, so that a name never outlives its content in a power cut.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from binclf.errors import ArtifactError, BusyError, StorageError

log = logging.getLogger(__name__)


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; renamed to `path` when the block ends well, removed when not.

    Raises:
        StorageError: the disk is full, read-only or gone.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        flush(temporary)
        os.replace(temporary, path)
        flush(path.parent)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def storage_error(error: OSError, path: Path) -> OSError:
    """The disk's own errors in words that help; any other error as it is."""
    if isinstance(error, StorageError) or error.errno is None:
        return error
    advice = {
        errno.ENOSPC: "the disk is full: free some space",
        errno.EDQUOT: "the quota is used up: free some space",
        errno.EFBIG: "the file is larger than allowed: raise the limit",
        errno.EROFS: "the disk is read-only: choose another place",
        errno.EACCES: "permission is denied: choose another place",
        errno.EIO: "the disk fails: check it",
        errno.ENOTDIR: "a file is where a directory is needed: choose another place",
        errno.EEXIST: "a file is where a directory is needed: choose another place",
    }.get(error.errno)
    if advice is None:
        return error
    return StorageError(f"{path} cannot be written ({error.strerror}): {advice}, and run it again.")


def flush(path: Path) -> None:
    """Bring a file's or a directory's content to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with beside(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401 - anything that JSON can hold
    """Write JSON whole or not at all; NaN and infinity are refused, as JSON has neither."""
    write_bytes(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:  # noqa: ANN401 - the caller knows the shape
    """Read JSON.

    Raises:
        ArtifactError: the file is missing or not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ArtifactError(f"{path} is missing: it was removed, or never finished.") from error
    except ValueError as error:
        raise ArtifactError(f"{path} is not JSON ({error}): it was damaged or edited.") from error


def sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's content; other threads run meanwhile."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold the lock file `path`; the kernel frees it however the holder ends.

    Raises:
        BusyError: another process holds it and `wait` is false.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o640)
    except OSError as error:
        raise storage_error(error, path) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if not wait:
                raise BusyError(
                    f"{path.parent} is in use by another process: wait for it, then run this again."
                ) from error
            log.info("waiting for another process that works in %s", path.parent)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)

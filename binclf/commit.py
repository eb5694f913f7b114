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
import math
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from binclf.errors import ArtifactError, BusyError, StorageError
from binclf.storage import Place, Remote, beside_locally, local_home

log = logging.getLogger(__name__)

MOST_NAME_BYTES = 200  # of a name that a temporary one tells of: file systems take 255

ADVICE = {  # what the machine is at fault with, and what to do
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the quota is used up: free some space",
    errno.EFBIG: "the file is larger than allowed: raise the limit",
    errno.EROFS: "the disk is read-only: choose another place",
    errno.EACCES: "permission is denied: choose another place",
    errno.EPERM: "it is not permitted: choose another place",
    errno.EIO: "the disk fails: check it",
    errno.ESTALE: "the disk's server has lost it: mount it again",
    errno.ENOTDIR: "a file is where a directory is needed: choose another place",
    errno.EEXIST: "a file is where a directory is needed: choose another place",
    errno.EISDIR: "a directory is where a file is needed: choose another place",
    errno.ELOOP: "its symbolic links lead nowhere: choose another place",
    errno.ENAMETOOLONG: "the name is longer than the disk takes: choose a shorter one",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine: close some",
}


@contextmanager
def beside(path: Place, *, lasting: bool = True) -> Iterator[Path]:
    """A local name to write to; it becomes `path` when the block ends well, and is removed when not.

    What need not be `lasting` may be lost or torn by a power cut, though by nothing else; it takes no waiting
    for the disk.

    On a disk it lies beside `path` and is renamed. To an object store it is sent when it is whole.

    Raises:
        StorageError: the disk is full, read-only or gone, or the store does not take it.
    """
    if isinstance(path, Remote):
        with beside_locally(path) as temporary:
            yield temporary
        return
    name = os.fsdecode(os.fsencode(path.name)[:MOST_NAME_BYTES])
    temporary = path.with_name(f".{name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if lasting:
            _to_disk(temporary)
        os.replace(temporary, path)
        if lasting:
            _to_disk(path.parent)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        with suppress(OSError):  # it may be that it could not be made; why is being told
            temporary.unlink(missing_ok=True)


def move(source: Place, target: Place) -> None:
    """Give a complete file another name in the same place, over whatever has it.

    Raises:
        StorageError: the disk or the store does not take it.
    """
    if isinstance(source, Remote) and isinstance(target, Remote):
        source.move_to(target)
        return
    if isinstance(source, Remote) or isinstance(target, Remote):
        raise ValueError(f"{source} and {target} are not in one place")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, target)
    except OSError as error:
        raise storage_error(error, target) from error


def storage_error(error: OSError, path: Place) -> OSError:
    """The disk's own errors in words that help; any other error as it is."""
    if isinstance(error, StorageError) or error.errno is None:
        return error
    advice = ADVICE.get(error.errno)
    if advice is None:
        return error
    return StorageError(f"{path} cannot be written ({error.strerror}): {advice}, and run it again.")


def told(error: Exception) -> Exception:
    """An error as whoever runs a command is told it: what the machine is at fault with is no fault of ours.

    Any call may meet a full disk or a file that this user may not read; those that write say so themselves.
    """
    if isinstance(error, OSError) and not isinstance(error, StorageError):
        advice = ADVICE.get(error.errno or 0)
        if advice is not None:
            what = error.filename if error.filename is not None else "a file"
            words = f"{what} cannot be used ({error.strerror}): {advice}, and run it again."
            found = StorageError(words)
            for note in getattr(error, "__notes__", ()):
                found.add_note(note)
            return found
    return error


def flush(path: Path) -> None:
    """Bring a file's or a directory's content to the disk.

    Raises:
        StorageError: the disk does not take it.
    """
    try:
        _to_disk(path)
    except OSError as error:
        raise storage_error(error, path) from error


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Place, content: bytes, *, lasting: bool = True) -> None:
    """Write a file whole or not at all."""
    with beside(path, lasting=lasting) as temporary:
        temporary.write_bytes(content)


def write_json(path: Place, value: Any, *, lasting: bool = True) -> None:  # noqa: ANN401 - what JSON can hold
    """Write JSON whole or not at all; NaN and infinity are refused, as JSON has neither."""
    write_bytes(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode(), lasting=lasting)


def read_json(path: Place) -> Any:  # noqa: ANN401 - the caller knows the shape
    """Read JSON.

    Raises:
        ArtifactError: the file is missing or not JSON.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ArtifactError(f"{path} is missing: it was removed, or never finished.") from error
    return parse_json(content, path)


def parse_json(content: bytes, path: Place) -> Any:  # noqa: ANN401 - the caller knows the shape
    """JSON that was read from a file.

    Raises:
        ArtifactError: it is none.
    """
    try:
        return json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # lists in lists without end are none
        raise ArtifactError(f"{path} is not JSON ({error}): it was damaged or edited.") from error


def _refuse_constant(word: str) -> None:
    """NaN and Infinity, which Python reads and JSON has not: we never write them."""
    raise ValueError(f"{word} is no number")


@contextmanager
def locked(place: Place, *, wait: bool, seconds: float = math.inf, is_shared: bool = False) -> Iterator[None]:
    """Hold the lock file `place`, alone or among those who share it; the kernel frees it however they end.

    Object stores have no locks: there it holds among the processes of this machine only. What several
    machines may write at once is named by its content, so that it does not matter who was last.

    Raises:
        BusyError: another process holds it and `wait` is false, or holds it for so many seconds.
    """
    path = _lock_file(place) if isinstance(place, Remote) else place
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o640)
    except OSError as error:
        raise storage_error(error, path) from error
    kind = fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX
    try:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if wait:
                log.info("waiting for another process that works in %s", place.parent)
            if not (wait and _waited(handle, kind, seconds)):
                raise BusyError(
                    f"{place.parent} is in use by another process: wait for it, then run this again."
                ) from error
        yield
    finally:
        os.close(handle)


def _waited(handle: int, kind: int, seconds: float) -> bool:
    """Whether the lock was had in time; one that is asked for again and again can be waited for so long."""
    if seconds == math.inf:
        fcntl.flock(handle, kind)
        return True
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False


def _lock_file(place: Remote) -> Path:
    return local_home() / "locks" / f"{hashlib.sha256(str(place).encode()).hexdigest()}.lock"

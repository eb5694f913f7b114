"""The local place for what must not, or need not, lie in an object store: locks, footers, decoded rows."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

HOME = "BINCLF_CACHE"  # overrides the place
SCRATCH = "binclf-work-"  # of private folders
UNLOCKED_SECONDS = 60.0  # within which a new folder's owner may not hold it yet
KEPT_SECONDS = 30 * 86400  # entries that were not used for so long are removed


def local_home() -> Path:
    """`$BINCLF_CACHE`, else `binclf` in the user's cache folder; it may not exist yet."""
    own = os.environ.get(HOME)
    if own:
        return Path(own)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "binclf"
    except RuntimeError:  # a user without a home, as containers have
        return Path(tempfile.gettempdir()) / f"binclf-{os.getuid()}"


class Kept:
    """Small contents by key in a local folder, for all processes of this user; only ever a shortcut.

    Each content is followed by its SHA-256, and what does not agree is as if it were not there. A folder
    that cannot be written keeps nothing.
    """

    def __init__(self, name: str) -> None:
        """A folder of the local home."""
        self.name = name
        self._is_tidied = False

    def get(self, key: str) -> bytes | None:
        """The content, or None."""
        path = self._path(key)
        try:
            content = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        content, digest = content[:-32], content[-32:]
        return content if hashlib.sha256(content).digest() == digest else None

    def put(self, key: str, content: bytes) -> None:
        """Keep a content."""
        path = self._path(key)
        beside = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(content + hashlib.sha256(content).digest())
            beside.replace(path)
            self._tidy(path.parent)

    def _path(self, key: str) -> Path:
        return local_home() / self.name / hashlib.sha256(key.encode()).hexdigest()

    def _tidy(self, folder: Path) -> None:
        """Once a process: remove what nobody used for a month."""
        if self._is_tidied:
            return
        self._is_tidied = True
        limit = time.time() - KEPT_SECONDS
        for path in folder.iterdir():
            with suppress(OSError):
                if path.stat().st_mtime < limit:
                    path.unlink()


@contextmanager
def scratch() -> Iterator[Path]:
    """A private folder for as long as the block takes; those that killed processes left go first.

    Whose folder it is holds a lock on it, which the kernel frees however that process ends.
    """
    _sweep(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=SCRATCH) as folder:
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield Path(folder)
        finally:
            os.close(handle)


def _sweep(place: Path) -> None:
    """Remove folders of ours that nobody holds."""
    for folder in place.glob(f"{SCRATCH}*"):
        with suppress(OSError):  # another sweeps it, too
            status = folder.lstat()
            if status.st_uid != os.getuid() or time.time() - status.st_mtime < UNLOCKED_SECONDS:
                continue
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(handle)

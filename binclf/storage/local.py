"""The local place for what must not, or need not, lie in an object store: locks, footers, decoded rows."""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
import time
from contextlib import suppress
from pathlib import Path

HOME = "BINCLF_CACHE"  # overrides the place
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

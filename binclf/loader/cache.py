"""Decoded row groups on disk, decoded once for all epochs and all later runs; memory-mapped when read.

One file a row group, named by what it depends on: the part (which is named by its content and the split),
the columns and rules of decoding, and the format. It is written beside and renamed, so that several runs may
write the same block at once; and it ends with a checksum of all before it, looked at when a process first
opens it: a damaged or torn block is decoded again. So nothing needs to be flushed, and nothing is locked: a
block that another run removes while it is mapped stays mapped, and one that is gone is decoded again.
"""

from __future__ import annotations

import logging
import mmap
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from binclf import hashing
from binclf.features import Block
from binclf.loader.blockfile import block_of, content_of, is_whole
from binclf.loader.source import Source
from binclf.storage import Place

log = logging.getLogger(__name__)

SHARERS = 16  # the share of what is left that one writer takes at once
ABANDONED_SECONDS = 86400  # a half-written file older than this was left by a run that was killed


class BlockCache:
    """Blocks of many data sets in one folder of the local disk, at most `limit` bytes."""

    def __init__(self, folder: Path, limit: int) -> None:
        """Nothing is looked at yet."""
        self.folder, self.limit = folder, limit
        # by inode too: another thread may have put a good block where one has a damaged one mapped
        self._verified: set[tuple[Path, int, int]] = set()
        self._asked: set[Place] = set()
        self._room = 0  # bytes that may be written until the folder is looked at again
        self._underway = 0  # bytes that have room and are not in the folder yet
        self._lock = threading.Lock()
        self._is_full = False

    def __getstate__(self) -> dict[str, Any]:
        """What another process is sent; it looks at the folder for itself."""
        return {"folder": self.folder, "limit": self.limit}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def block(self, source: Source, group: int) -> Block:
        """A row group with its moments: from the disk, else decoded and put there.

        Raises:
            DataError: the part's file changed or is damaged.
        """
        file, index = source.place[group]
        if isinstance(file.path, Path) or file.path not in self._asked:  # a store is asked once a run
            file.check()
            self._asked.add(file.path)
        path = self.home(source, group) / f"{index}.block"
        block = self._read(path)
        if block is None:
            block = source.decode(group, moments=True)
            self._write(path, block)
        return block

    def home(self, source: Source, group: int) -> Path:
        """The folder of the blocks of a row group's file."""
        return self.folder / hashing.digest([source.place[group][0].id, source.how.digest])[:32]

    def prepare(self, sources: Iterable[Source], needed: int) -> None:
        """Before a run: mark its blocks as used now, and remove the least recently used of others.

        Args:
            sources: the run's rows.
            needed: bytes of all its blocks.
        """
        own = {self.home(source, group) for source in sources for group in range(len(source.place))}
        for folder in own:
            if folder.is_dir():
                os.utime(folder)
        if not self.folder.is_dir():
            return
        others = [folder for folder in self.folder.iterdir() if folder.is_dir() and folder not in own]
        sizes = {folder: _size(folder) for folder in others}
        excess = needed + sum(sizes.values()) - self.limit
        for folder in sorted(others, key=_used):
            if excess <= 0:
                break
            log.info("the cache makes room: removing %s (%s bytes)", folder.name, f"{sizes[folder]:,}")
            shutil.rmtree(folder, ignore_errors=True)  # another run may be removing it too
            excess -= sizes[folder]

    def _read(self, path: Path) -> Block | None:
        try:
            with path.open("rb") as file:
                known = _known(path, file)
                content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (FileNotFoundError, ValueError):  # ValueError: it is empty
            return None
        view = memoryview(content)
        if known not in self._verified:
            if not is_whole(view):
                log.warning("cached block %s is damaged: decoding it again", path)
                path.unlink(missing_ok=True)
                return None
            self._verified.add(known)
        return block_of(view)

    def _write(self, path: Path, block: Block) -> None:
        if self._is_full:
            return
        content = content_of(block)
        if not self._has_room(len(content)):
            return
        try:
            try:
                self._put(path, content)
            except FileNotFoundError:  # another run removed the folder between two of our steps
                self._put(path, content)
        except OSError as error:  # the rows are there all the same: they are decoded again each epoch
            self._is_full = True
            log.warning("%s cannot be written (%s): going on without caching more", path, error)
        finally:
            with self._lock:
                self._underway -= len(content)

    def _put(self, path: Path, content: bytes) -> None:
        """Write beside and rename."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                known = _known(path, file)
            os.replace(temporary, path)
            self._verified.add(known)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _has_room(self, size: int) -> bool:
        """Whether a block still fits; several ranks and runs write, so the folder is asked now and then."""
        with self._lock:
            if self._room < size:
                left = self.limit - self._underway - cached_bytes(self.folder)
                self._room = max(left // SHARERS, size) if left >= size else 0
            if self._room < size:
                if self._underway:  # perhaps counted twice, as blocks appear in the folder
                    return False
                if not self._is_full:
                    log.warning("the cache is full (%d bytes): going on without caching more", self.limit)
                self._is_full = True
                return False
            self._room -= size
            self._underway += size
            return True


def _known(path: Path, file: BinaryIO) -> tuple[Path, int, int]:
    """The file that is open under a name: its inode, and when it was last written."""
    status = os.fstat(file.fileno())
    return path, status.st_ino, status.st_mtime_ns


def free_bytes(folder: Path) -> int:
    """What is free on the disk that a folder is, or will be, on."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def cached_bytes(folder: Path) -> int:
    """What all blocks below a folder take."""
    return sum(_size(child) for child in folder.iterdir() if child.is_dir()) if folder.is_dir() else 0


def _size(folder: Path) -> int:
    total = 0
    try:
        files = list(folder.iterdir())
    except FileNotFoundError:  # another run has removed it
        return 0
    for file in files:
        with suppress(FileNotFoundError):  # or is removing it
            status = file.stat()
            if file.suffix == ".tmp" and time.time() - status.st_mtime > ABANDONED_SECONDS:
                file.unlink()
            else:
                total += status.st_size
    return total


def _used(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0

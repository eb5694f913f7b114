"""Memory that the processes of one machine share, without a name that could be left behind (Linux)."""

from __future__ import annotations

import mmap
import os
import sys

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]


def create(size: int) -> tuple[U8, int] | None:
    """New memory, zeros, and the handle by which others of this machine can open it; None if it cannot be."""
    if sys.platform != "linux" or not hasattr(os, "memfd_create"):
        return None
    try:
        handle = os.memfd_create("binclf")
        os.ftruncate(handle, max(size, 1))  # pages come when they are first written, by each rank its own
    except OSError:  # no room, or not allowed: ranks then do without
        return None
    return _mapped(handle, size), handle


def path_of(handle: int) -> str:
    """Where the other processes of this user find it, as long as it is open here."""
    return f"/proc/{os.getpid()}/fd/{handle}"


def open_shared(path: str, size: int) -> U8 | None:
    """The memory that another process created; None if it cannot be opened."""
    if not path:
        return None
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:  # such as another container's process
        return None
    try:
        return _mapped(handle, size)
    finally:
        os.close(handle)


def _mapped(handle: int, size: int) -> U8:
    return np.frombuffer(mmap.mmap(handle, max(size, 1), flags=mmap.MAP_SHARED), dtype=np.uint8)[:size]

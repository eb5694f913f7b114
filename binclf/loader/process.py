"""The memory of this process and its machine: what there is, what was taken, and how it is given back."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from binclf.parquet import use_system_memory

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def available_bytes() -> int:
    """Memory that this machine, or the container, can still give."""
    found = [2**33]
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        fields = dict(line.split(":") for line in meminfo.read_text().splitlines() if ":" in line)
        found = [int(fields["MemAvailable"].split()[0]) * 1024]
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and used.exists() and limit.read_text().strip() != "max":
        found.append(int(limit.read_text()) - int(used.read_text()))
    return max(min(found), 0)


def give_back() -> None:
    """Have glibc give freed memory back at once instead of keeping it (a no-op elsewhere)."""
    use_system_memory()
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            for option, value in ((_M_MMAP_THRESHOLD, 2**16), (_M_TRIM_THRESHOLD, 2**20)):
                libc.mallopt(option, value)


class Peak:
    """The most memory that this process held since now, beside what it holds now (Linux)."""

    def __init__(self) -> None:
        """Begin to watch."""
        self.before: int | None = None
        self._highest = 0
        try:
            Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
            self.before = _status("VmRSS")
        except OSError:  # not Linux, or not allowed
            return

    def bytes(self) -> int | None:
        """So far; None where it cannot be told."""
        if self.before is None:
            return None
        return max(_status("VmHWM") - self.before, self._highest)

    @contextmanager
    def apart(self) -> Iterator[None]:
        """What is held more after the block than before it, such as a library, does not count."""
        if self.before is None:
            yield
            return
        self._highest, held = max(_status("VmHWM") - self.before, self._highest), _status("VmRSS")
        yield
        self.before += max(_status("VmRSS") - held, 0)
        Path("/proc/self/clear_refs").write_text("5")


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")

"""The memory that a process and its children take, and files brought into the system's cache (Linux)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

POLL_SECONDS = 0.05


def read_all(data: Path) -> None:
    """Read the files once: what one contender drove out of the system cache is not the next one's cost."""
    for path in sorted(data.glob("*.parquet")):
        with path.open("rb", buffering=0) as file:
            while file.read(2**24):
                pass


class Watch:
    """The most memory of a process and its children, looked at again and again (Linux)."""

    def __init__(self, pid: int) -> None:
        """Begin."""
        self.pid, self.peak, self._is_over = pid, 0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> int:
        """The peak, in bytes."""
        self._is_over.set()
        self._thread.join()
        return self.peak

    def _look(self) -> None:
        while not self._is_over.wait(POLL_SECONDS):
            self.peak = max(self.peak, sum(_pss(pid) for pid in _tree(self.pid)))


def _tree(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _tree(int(child))


def _pss(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0

"""Memory to work in, used again and again, by one thread after another.

Fresh memory costs a page fault every 4 KiB, which is more than what is done in it here; and threads that
decode ahead come and go, so it is not theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

_IDLE: dict[type[np.generic], list[npt.NDArray[Any]]] = {np.float32: [], np.float64: []}


@contextmanager
def scratch(dtype: type[np.generic], *shape: int) -> Iterator[npt.NDArray[Any]]:
    """An array of that shape with anything in it, float32 or float64; no longer than the `with` lasts."""
    size, idle = int(np.prod(shape)), _IDLE[dtype]
    try:
        held = idle.pop()  # one step of the interpreter: no lock is needed, nor held when a process forks
    except IndexError:
        held = np.empty(size, dtype=dtype)
    if len(held) < size:
        held = np.empty(size, dtype=dtype)
    try:
        yield held[:size].reshape(shape)
    finally:
        idle.append(held)

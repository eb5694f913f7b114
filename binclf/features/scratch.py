"""Memory to work in, kept by each thread.

Fresh memory costs a page fault every 4 KiB, which is more than what is done in it here.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

_LOCAL = threading.local()


def scratch(dtype: type[np.generic], *shape: int) -> npt.NDArray[Any]:
    """This thread's own array of that shape with anything in it, until it asks for that dtype again."""
    size = int(np.prod(shape))
    held = getattr(_LOCAL, dtype.__name__, None)
    if held is None or len(held) < size:
        held = np.empty(size, dtype=dtype)
        setattr(_LOCAL, dtype.__name__, held)
    return np.asarray(held[:size].reshape(shape))

"""What passes have found that holds beside any penalty: where a path of penalties goes on from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binclf.solvers.owners import Columns
from binclf.solvers.slopes import First
from binclf.solvers.surface import State


@dataclass(frozen=True, slots=True)
class Known:
    """A point, and what the first pass of all found at the base rate."""

    state: State  # beside the penalty under which it was reached,
    l2: float  # of so much
    first: First
    columns: Columns | None  # None: not looked at

    @property
    def point(self) -> npt.NDArray[np.float64]:
        """[p]."""
        return self.state.point

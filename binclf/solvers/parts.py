"""Sums over the rows of validation, the same bits for any number of ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from binclf.features import Encoded
from binclf.loader import Store
from binclf.loader.source import ahead, threads
from binclf.world import World, doing

F64 = npt.NDArray[np.float64]


def sums_of(store: Store, world: World, width: int, of: Callable[[Encoded], Sequence[float]]) -> F64:
    """Float64 [G, width]: what `of` tells of each row group, in canonical order; all ranks must ask.

    Row groups are dealt to the ranks, and each rank adds zeros for the others', which is exact.
    """
    doing.stage("a pass over the validation rows")
    groups = len(store.source.group_rows)
    sums = np.zeros((groups, width))
    own = range(world.rank, groups, world.size)
    for group, rows in zip(own, ahead(store.encoded, own, threads()), strict=True):
        sums[group] = of(rows)
    world.meet()
    return world.sum_floats(sums)

"""The optimum of a few row groups: a small share of a pass over all rows that saves passes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from binclf import hashing
from binclf.loader.source import Source
from binclf.solvers.cuts import blocks_of, least_rows
from binclf.solvers.descent import Descent
from binclf.solvers.problem import Problem
from binclf.solvers.verdict import base_loss, base_point

F64 = npt.NDArray[np.float64]

SAMPLE_ROWS, ROWS_A_WEIGHT = 32768, 32  # at least
SAMPLE_SHARE, SAMPLE_BYTES = 32, 32 * 2**20  # else a 32nd of all rows, but no more than this
MOST_SHARE = 8  # none, if it were more than an eighth
MOST_PASSES = 100  # over the sample
NEAR = 1e-7  # of the objective: a step that gains less is the last


def sample_of(source: Source, size: int, seed: int) -> list[range]:
    """Blocks of row groups by a keyed permutation; none of a small set. It follows from the row counts alone.

    Args:
        source: the rows.
        size: how many weights there are.
        seed: of the permutation.
    """
    rows, roles = source.group_rows, source.how.roles
    blocks = blocks_of(rows, least_rows(size))
    row_bytes = 4 * (len(roles.numeric) + len(roles.categorical)) or 1
    wanted = max(SAMPLE_ROWS, ROWS_A_WEIGHT * size, min(sum(rows) // SAMPLE_SHARE, SAMPLE_BYTES // row_bytes))
    chosen: list[range] = []
    for place in hashing.permutation(hashing.key(seed, "sample"), len(blocks)):
        if sum(rows[group] for block in chosen for group in block) >= wanted:
            break
        chosen.append(blocks[place])
    return chosen if MOST_SHARE * len(chosen) <= len(blocks) else []


def optimum_of(sample: list[range], descent: Descent, problem: Problem) -> F64 | None:
    """Where the objective over a sample is least, float64 [p]; None where its rows can be told apart."""
    state = descent.at(base_point(problem), sample)
    for _ in range(MOST_PASSES):
        after = descent.step(state, sample) if state.sums.weight else None
        if after is None or state.objective - after.objective <= NEAR * abs(state.objective):
            break
        state = after
        if state.objective < base_loss(problem) / 100:  # they can be told apart: all others hardly
            return None
    return state.point

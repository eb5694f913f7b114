"""Row groups cut into blocks, which follow from the row counts alone."""

from __future__ import annotations

from collections.abc import Sequence

LEAST_ROWS = 16384  # of a block
ROWS_A_WEIGHT = 64  # and for each weight: a Hessian is turned to integers once a block


def blocks_of(group_rows: Sequence[int], least: int) -> list[range]:
    """Row groups by runs of at least so many rows, but for the last; empty ones are left out."""
    blocks: list[range] = []
    first, rows = 0, 0
    for group, more in enumerate(group_rows):
        rows += more
        if rows >= least:
            blocks.append(range(first, group + 1))
            first, rows = group + 1, 0
    if rows:
        blocks.append(range(first, len(group_rows)))
    return blocks


def within(groups: range, group_rows: Sequence[int], least: int) -> list[range]:
    """`blocks_of` some row groups that follow each other."""
    own = blocks_of(group_rows[groups.start : groups.stop], least)
    return [range(groups.start + block.start, groups.start + block.stop) for block in own]


def least_rows(size: int) -> int:
    """Of a block, where there are so many weights."""
    return max(LEAST_ROWS, ROWS_A_WEIGHT * size)


def is_coarse(group_rows: Sequence[int], size: int) -> bool:
    """Whether row groups are so large that each could be a block of its own, with so many weights."""
    return sum(group_rows) >= ROWS_A_WEIGHT * size * len(group_rows)

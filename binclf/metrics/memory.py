"""How much memory it takes to judge rows, before it is taken: bounded, however many there are.

What counts is the histogram of scores (`scores`): up to 2^21 distinct ones wait to be made one, or are joined
in as many cells. The figures are sizes of arrays that are there at the same time.
"""

from __future__ import annotations

from binclf.metrics.histogram import STRETCH
from binclf.metrics.scores import MOST_BINS, PENDING, TOP_SHARE
from binclf.metrics.slices import BINS, MOST_LEVELS

ROW = 512  # bytes of a row that is being added: its log-odds, probability, and what they add to each sum
SUMS = 2**15  # of a level of a slice, beside its histogram
WORK = 32  # bytes a bin, of what is worked out from a histogram
BESIDE = 128  # and of each bin of a stretch


def judging(rows: int, *, is_weighted: bool, slices: int, group_rows: int, threads: int) -> int:
    """Bytes that judging one part takes at most, beside those of reading it.

    Args:
        rows: of the part.
        is_weighted: whether they have weights.
        slices: columns of slices.
        group_rows: of the largest row group.
        threads: that add rows.
    """
    units = 8 * (4 if is_weighted else 2)
    alone, joined = 8 + units, 16 + units  # bytes of a bin of one score, and of a cell
    pending = int(min(rows, PENDING * MOST_BINS)) * alone
    whole = max(2 * pending, pending + WORK * min(rows, MOST_BINS))
    if rows > MOST_BINS:
        cells, bins = MOST_BINS * joined, MOST_BINS + MOST_BINS // TOP_SHARE
        whole = max(2 * pending, cells + pending, cells + bins * joined, bins * (joined + WORK))
        whole += 8 * MOST_BINS  # their edges
    levels = slices * MOST_LEVELS
    sliced = min(2 * rows * slices, levels * BINS) * joined + min(rows * slices, levels) * SUMS
    return whole + sliced + BESIDE * STRETCH + ROW * group_rows * threads

"""For each row the columns that add most to its log-odds, or take most away: reason codes."""

from __future__ import annotations

from typing import Any

import numpy as np

from binclf.parquet import Rows
from binclf.terms import Terms

AT_ONCE = 2**14  # rows: what each column adds to them fits the processor's caches


def largest(terms: Terms, rows: Rows, count: int) -> dict[str, Any]:
    """The `count` largest contributions by magnitude, before calibration; of equals the first column's.

    Returns:
        contribution_1 (codes [N] and the columns' names), contribution_1_log_odds (float64 [N]), and so on.
    """
    all_terms = terms.of(rows)
    which = np.empty((count, len(rows)), dtype=np.int32)
    added = np.empty((count, len(rows)))
    for low in range(0, len(rows), AT_ONCE):
        high = min(low + AT_ONCE, len(rows))
        each = np.stack([term.between(low, high).added() for term in all_terms])
        sizes, places = np.abs(each), np.arange(high - low)
        for k in range(count):
            chosen = sizes.argmax(axis=0)
            which[k, low:high], added[k, low:high] = chosen, each[chosen, places]
            sizes[chosen, places] = -1.0
    names = [column.name for column in terms.features.columns]
    found: dict[str, Any] = {}
    for k in range(count):
        found[f"contribution_{k + 1}"] = (which[k], names)
        found[f"contribution_{k + 1}_log_odds"] = added[k]
    return found

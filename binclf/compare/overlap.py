"""How many rows of other data a run was fitted on: metrics of those flatter it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from binclf.artifact import Run
from binclf.compare.history import History
from binclf.compare.membership import Judged, seen
from binclf.errors import BinclfError
from binclf.parquet import Footer
from binclf.split import PART_NAMES

FITTED = ("train", "validation")


def overlap(run: Run, feet: Sequence[Footer]) -> dict[str, Any]:
    """Rows of files that the run trained on, or that it stopped, calibrated or chose its threshold on.

    Returns:
        What JSON can hold: train and validation, in rows; or null and `reason`, where it cannot be known.
    """
    history = History(run)
    counts = np.zeros(len(PART_NAMES), dtype=np.int64)
    try:
        for foot in feet:
            if wrong := history.unlike(foot.columns, foot.relative):
                raise wrong[0]
            counts += _of_file(history, foot)
    except BinclfError as error:
        return {**dict.fromkeys(FITTED), "reason": str(error)}
    return {part: int(counts[PART_NAMES.index(part)]) for part in FITTED}


def flattered(run: str, fitted_on: Mapping[str, Any], rows: int) -> str:
    """What to warn of; empty where all rows are new to the run."""
    if "reason" in fitted_on:
        return f"whether {run} was fitted on these rows is not known: {fitted_on['reason']}"
    told = [f"{count:,} in {part}" for part, count in fitted_on.items() if count]
    if not told:
        return ""
    return (
        f"of these {rows:,} rows {run} has seen {' and '.join(told)}: their metrics flatter it. "
        "Judge it on its test part, or on rows that are new to it."
    )


def _of_file(history: History, foot: Footer) -> Any:  # noqa: ANN401 - int64 [3]
    """Rows of each part of the run that a file has."""
    judged = Judged(foot.path, foot.relative, foot.groups, "", foot.stamp)
    found = seen(history, judged, None)
    counts = np.zeros(len(PART_NAMES), dtype=np.int64)
    if found.how == "new":
        return counts
    first = 0
    for group in range(len(foot.groups)):
        rows = judged.row_group(group).read([*found.columns] or [history.run.split.label.column])
        codes = found.codes(rows, first)
        counts += np.bincount(codes[codes >= 0], minlength=len(PART_NAMES))
        first += len(rows)
    return counts

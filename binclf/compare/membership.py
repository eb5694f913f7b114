"""Which rows a run was fitted on, known for certain or refused by name.

Rows that a run trained on would flatter it, and so would rows that it stopped, calibrated or chose its
threshold on: both are refused. What is known of a row follows from how the run was split:

- A part file that the run has too (the same id: the same content, path and settings) has the same rows.
- Methods hash and time (and random with data.group) decide by the row's own values, whatever file it is in.
  So a row counts as seen if the run's rule would have it in training, also if the run never had that file.
- Methods random, column and none decide by the file. Where the run had a file of this content, under any
  name, its deal is worked out again from the content. A file that is new to the run has rows that are new to
  it: files are what binclf tells rows by, here as in a split. A file that the run had with other content is
  refused: which of its rows were seen cannot be known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from binclf import artifact
from binclf.compare.history import History
from binclf.errors import DataError, together
from binclf.parquet import Rows
from binclf.scored import RowGroup
from binclf.split import PART_NAMES, deal
from binclf.split.again import slot_of, starts
from binclf.split.checks import null_times
from binclf.split.plan import selection_of
from binclf.split.run import keys_of
from binclf.storage import Place, Stamp, fingerprint_of

I8 = npt.NDArray[np.int8]

How = Literal["same_part", "same_content", "by_value", "new"]


@dataclass(frozen=True, slots=True)
class Judged:
    """A file whose rows are to be judged: a part file of a run, or other data."""

    path: Place
    name: str  # relative path of the input file
    groups: tuple[int, ...]  # rows of each row group
    digest: str  # of its footer; empty: any
    stamp: Stamp | None
    part_id: str = ""  # empty: other data

    def row_group(self, group: int) -> RowGroup:
        """One of its row groups."""
        return RowGroup(self.path, self.name, group, self.digest, self.stamp)


@dataclass(frozen=True, slots=True)
class Seen:
    """Which rows of a judged file a run has seen."""

    how: How
    columns: tuple[str, ...]  # that `codes` looks at
    codes: Callable[[Rows, int], I8]
    """Rows of a row group, and the number of the first in its file, to places in `PART_NAMES`; -1: none."""


def seen(history: History, judged: Judged, owner: History | None) -> Seen:
    """Which rows of a judged file a run has seen.

    Args:
        history: of the run.
        judged: the file.
        owner: the run whose part the file is; None for other data.

    Raises:
        DataError: it cannot be known.
    """
    if judged.part_id and (history.is_by_value or not history.has_duplicates):
        name, slot = slot_of(judged.part_id)
        if name in history.files:
            code = PART_NAMES.index(history.files[name].parts.get(slot, "test"))
            return Seen("same_part", (), lambda rows, _: np.full(len(rows), code, dtype=np.int8))
    if history.is_by_value:
        return _by_value(history.run)
    return _by_content(history, judged, owner)


def _by_value(run: artifact.Run) -> Seen:
    """By the rule of the run's split, which looks at a row's own values."""
    config = run.config
    if config.split.method == "time":
        cuts = starts(config, run.split)
        moments = np.array([moment for moment, _ in cuts], dtype=np.int64)
        parts = np.array([0, *(PART_NAMES.index(part) for _, part in cuts)], dtype=np.int8)

        def by_time(rows: Rows, _: int) -> I8:
            found, missing = rows.moments(config.data.time)
            if wrong := null_times(missing, config.data.time, rows.place):
                raise together(wrong)
            return parts[np.searchsorted(moments, found, side="right")]

        return Seen("by_value", (config.data.time,), by_time)
    selection = selection_of(config, "", is_alone=False)

    def by_hash(rows: Rows, _: int) -> I8:
        labels = np.zeros(len(rows), dtype=np.int8)  # none is left out
        return deal.by_hash(keys_of(rows, selection), labels, fractions=tuple(selection["fractions"]))

    return Seen("by_value", tuple(selection["columns"]), by_hash)


def _by_content(history: History, judged: Judged, owner: History | None) -> Seen:
    """By the deal of the run's own file of the same content, whatever its name."""
    place: Place | None = judged.path
    if owner is None:
        fingerprint = fingerprint_of(judged.path)
    else:
        file = owner.files[slot_of(judged.part_id)[0]]
        place, fingerprint = owner.places.get(file.relative), owner.fingerprint(file)
    files = history.made_of(fingerprint, judged.name)
    if not files:
        _refuse_altered(history, judged, place, is_part=owner is not None)
        return Seen("new", (), lambda rows, _: np.full(len(rows), -1, dtype=np.int8))
    if place is None:
        raise DataError(
            f"{judged.name} is gone, and only it tells which of its rows {history.run.id} has seen: "
            "bring it back as it was, or compare on other labelled data."
        )
    codes = history.codes(files, place, fingerprint)
    if owner is not None:
        codes = codes[owner.codes([file], place, fingerprint) == deal.TEST]
    return Seen("same_content", (), lambda rows, first: codes[first : first + len(rows)])


def _refuse_altered(history: History, judged: Judged, place: Place | None, *, is_part: bool) -> None:
    """A file that the run had in this place (of a part: or under this name), and with other content."""
    own = {place.resolve() for name, place in history.places.items() if name in history.by_name}
    is_there = place is not None and place.resolve() in own
    if is_there or (is_part and judged.name in history.by_name):
        raise DataError(
            f"{judged.name} has other content than when {history.run.id} was trained (or that was split by "
            "another version of binclf), so which of its rows were trained on cannot be known. Compare on "
            "labelled data that neither has seen, or split by hash or time, which go by the rows themselves."
        )

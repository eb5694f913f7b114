"""A file's deal worked out again from what a run recorded, to know which of its rows went where.

The id of a part is a digest of the file's path, its content and all that decides its rows. So whoever has a
content can tell whether a run's part was made of it, by computing the id; neither the run's source files nor
its parts need be there any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from binclf.config import Config
from binclf.errors import DataError
from binclf.parquet import parse_moment
from binclf.split.plan import common_selection, selection_of, task_id
from binclf.split.records import PART_NAMES, Split
from binclf.split.run import I8, deal_by, read_columns
from binclf.storage import Place, fingerprint_of, stamp_if_there


@dataclass(frozen=True, slots=True)
class DealtFile:
    """One input file of a split, and which part each of its slots is."""

    relative: str
    id: str  # of its task
    parts: dict[int, str]  # of the slots that have rows


def dealt_files(split: Split) -> dict[str, DealtFile]:
    """The input files of a split by the ids of their tasks, in canonical order within each part."""
    found: dict[str, DealtFile] = {}
    for part, files in split.parts.items():
        for file in files:
            name, slot = slot_of(file.id)
            found.setdefault(name, DealtFile(file.relative, name, {})).parts[slot] = part
    return found


def slot_of(part_id: str) -> tuple[str, int]:
    """The task and the slot that the id of a part file names.

    >>> slot_of("0a1b-2")
    ('0a1b', 2)
    """
    name, _, slot = part_id.rpartition("-")
    return name, int(slot)


def selection_made_of(
    config: Config, split: Split, file: DealtFile, fingerprint: str
) -> dict[str, Any] | None:
    """What decided the rows of a file, if that file had this content; else None.

    Args:
        config: of the run.
        split: of the run.
        file: of that split.
        fingerprint: of the content, which may lie under another name today.
    """
    common = common_selection(config, split.label)
    for selection in _selections(config, split, file):
        if task_id(file.relative, fingerprint, common | selection) == file.id:
            return common | selection
    return None


def _selections(config: Config, split: Split, file: DealtFile) -> Iterator[dict[str, Any]]:
    """What may have decided: not recorded are whether a file was alone, and which cuts are inside it."""
    if split.method == "time":
        moments = [moment for moment, _ in starts(config, split)]
        for first, last in combinations(range(len(moments) + 1), 2):
            yield {"method": "time", "column": config.data.time, "cuts": moments[first:last]}
        yield {"method": "time", "column": config.data.time, "cuts": []}
    else:
        for is_alone in (False, True):
            yield selection_of(config, file.relative, is_alone=is_alone)


def starts(config: Config, split: Split) -> list[tuple[int, str]]:
    """Method time: from which moment on each part but the first is, ascending."""
    arrow_type = next(column.type for column in split.columns if column.name == config.data.time)
    return [(parse_moment(text, arrow_type, "split.json"), part) for part, text in split.cuts.items()]


def slots_again(place: Place, name: str, selection: dict[str, Any], fingerprint: str) -> I8:
    """The slot of each row of a file, int8 [N], dealt as it once was; -1 was left out.

    Raises:
        DataError: the file is gone, or has other content than the fingerprint says.
    """
    stamp = stamp_if_there(place)
    if stamp is None or fingerprint_of(place) != fingerprint:
        raise DataError(f"{name} changed or went since it was split: bring it back as it was.")
    slots = deal_by(selection, read_columns(place, name, selection))
    if stamp_if_there(place) != stamp:
        raise DataError(f"{name} changed or went while it was read: try again.")
    return slots


def part_codes(file: DealtFile, slots: I8) -> I8:
    """For each row the place of its part in `PART_NAMES`, int8 [N]; -1 was left out."""
    codes = np.full(max(file.parts, default=0) + 2, -1, dtype=np.int8)  # the last is for slot -1
    for slot, part in file.parts.items():
        codes[slot] = PART_NAMES.index(part)
    return codes[slots]

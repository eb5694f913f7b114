"""How many rows each part would get, where no fraction says it: counted, and nothing written."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from binclf.config import Config
from binclf.labels import LabelRule
from binclf.parquet import Footer
from binclf.split.plan import by_time, common_selection, selection_of
from binclf.split.records import PART_NAMES
from binclf.split.run import deal_by, read_columns


def goes_by_data(config: Config) -> bool:
    """Whether the data alone say how many rows a part gets: by a column, or from a stated moment on."""
    split = config.split
    return split.method == "column" or bool(split.test_from or split.validation_from)


def counted(config: Config, feet: Sequence[Footer], label: LabelRule) -> dict[str, list[int]]:
    """The rows of each file that each part would get, as the split deals them; those that decide are read.

    Raises:
        DataError: as the split would.
        ConfigError: the stated moments are in no order.
    """
    if config.split.method == "time":
        dealt = by_time(config, feet, label)[0]
    else:
        dealt = [(selection_of(config, foot.relative, is_alone=False), PART_NAMES) for foot in feet]
    common = common_selection(config, label)

    def slots_of(place: int) -> list[int]:
        (selection, slots), foot = dealt[place], feet[place]
        all_of_it = common | selection
        found = deal_by(all_of_it, read_columns(foot.path, foot.relative, all_of_it))
        rows = np.bincount(found[found >= 0], minlength=len(slots)).tolist()
        return [rows[slots.index(part)] if part in slots else 0 for part in PART_NAMES]

    with ThreadPoolExecutor(thread_name_prefix="count") as pool:
        rows_of = list(pool.map(slots_of, range(len(feet))))
    return {part: [rows[place] for rows in rows_of] for place, part in enumerate(PART_NAMES)}

"""What is to be done about features that tell the label alone: before training, and when rows are scored."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from binclf import artifact, commit
from binclf.config import Config
from binclf.errors import DataError
from binclf.features import Roles, roles
from binclf.leaks.looking import look
from binclf.leaks.records import ALONE, Looked
from binclf.profile import Skew
from binclf.scored import RowGroup, row_groups
from binclf.split import Split

log = logging.getLogger(__name__)

BETTER = 10.0  # times fewer pairs out of order than in training: the column is not what it was


def before_training(config: Config, split: Split) -> Looked | None:
    """Look at the training rows of a split; None where `data.on_leak` is "ignore".

    Raises:
        DataError: a feature tells the label alone, and `data.on_leak` is "error".
    """
    if config.data.on_leak == "ignore":
        return None
    files = split.parts["train"]
    sizes = [rows for file in files for rows in file.groups]
    looked = look(row_groups(files), sizes, roles(config, split.columns), split.label)
    sentences = looked.told(config.data)
    if sentences and config.data.on_leak == "error":
        raise DataError("\n".join(sentences))
    for sentence in sentences:
        log.warning("%s", sentence)
    return looked


def beside_training(run: artifact.Run, places: Sequence[RowGroup], sizes: Sequence[int]) -> list[Skew]:
    """Features that tell the label alone in some labelled rows, and did not in training.

    None of a run that has not looked at its training rows. Nor where the label of these rows is not what it
    was, which is said in the log: who scores rows does not ask about their labels.

    Args:
        run: that is to score the rows.
        places: row groups that have the run's label.
        sizes: their rows.
    """
    content, data = run.contents.get(ALONE), run.config.data
    if content is None or data.on_leak == "ignore" or not places:
        return []
    before = {
        own.column: own.area for own in Looked.from_json(commit.parse_json(content, run.path / ALONE)).columns
    }
    features = run.features
    used = Roles(tuple(c.column for c in features.numeric), tuple(c.column for c in features.categorical))
    try:
        looked = look(places, sizes, used, run.split.label)
    except DataError as error:
        log.warning("not looked whether a column tells the label of these rows: %s", error)
        return []
    return [
        Skew(
            own.column,
            own.rows,
            f"'{own.column}' tells the label '{data.label}' of these rows alone, by {own.words} (ROC-AUC "
            f"{own.area:.4f} on {own.rows:,} rows; in training {before[own.column]:.4f}): was it filled in "
            "after the outcome was known?",
        )
        for own in looked.leaks(data)
        if own.column in before and (1 - own.area) * BETTER <= 1 - before[own.column]
    ]

"""What a plan refuses: names that are not there, folders that say something, groups in two parts."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import numpy as np

from binclf.config import Config
from binclf.errors import DataError
from binclf.parquet import Footer, Reader


def check_names(config: Config, known: set[str]) -> None:
    """Each column that the config names must be there; one to exclude may be in some files only."""
    found = [
        f"{setting} names column '{name}', which the data lack{_hint(name, known)}."
        for setting, names in _named(config)
        for name in names
        if name and name not in known
    ]
    if found:
        raise DataError("\n".join(found))


def _named(config: Config) -> Iterable[tuple[str, Sequence[str]]]:
    data, split, features = config.data, config.split, config.features
    return (
        ("data.label", (data.label,)),
        ("data.weight", (data.weight,)),
        ("data.ids", data.ids),
        ("data.time", (data.time,)),
        ("data.group", (data.group,)),
        ("data.exclude", data.exclude),
        ("split.key", split.key),
        ("split.column", (split.column,)),
        ("features.numeric", features.numeric),
        ("features.categorical", features.categorical),
        ("features.log1p", features.log1p),
    )


def _hint(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def refuse_partitions(config: Config, feet: Sequence[Footer], known: set[str]) -> None:
    """Folders such as year=2013 say something of each row, and are not read: never drop it in silence."""
    for foot in feet:
        for folder in foot.relative.split("/")[:-1]:
            name, equals, _ = folder.partition("=")
            if equals and name not in known and name not in config.data.exclude:
                raise DataError(
                    f"{foot.relative} lies in a partition folder '{folder}', and partition columns are not "
                    f"read: write '{name}' as a column into the files, or list it in data.exclude."
                )


def refuse_straddling_groups(config: Config, feet: Sequence[Footer]) -> None:
    """With method column, the data must keep each group in one part."""
    part_of: dict[int, set[str]] = {}
    for foot in feet:
        with Reader(foot.path, foot.relative) as reader:
            for group in range(len(foot.groups)):
                rows = reader.read(group, [config.data.group, config.split.column])
                codes, parts = rows.codes(config.split.column)
                pairs = np.stack([rows.hashes(config.data.group, 0), codes.astype(np.int64).view(np.uint64)])
                for value, code in np.unique(pairs, axis=1).T.tolist():
                    part_of.setdefault(value, set()).add(parts[int(np.uint64(code).view(np.int64))])
    straddling = sum(len(parts) > 1 for parts in part_of.values())
    if straddling:
        raise DataError(
            f"{straddling} of {len(part_of)} values of data.group = '{config.data.group}' have rows in "
            f"more than one part of split.column = '{config.split.column}': a group must not straddle "
            "parts. Mend the column, or leave data.group empty."
        )

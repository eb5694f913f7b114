"""What a plan refuses: names that are not there, folders that say something, groups in two parts.

Most return the problems they find: a plan raises them, `binclf check` lists them with all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from binclf.config import Config
from binclf.errors import BinclfError, DataError
from binclf.labels import shown
from binclf.parquet import Footer, Reader, closest, part_of

NAMED = {  # settings that name columns which must be there
    "data": ("label", "weight", "ids", "time", "group", "exclude", "not_leaks"),
    "split": ("key", "column"),
    "features": ("numeric", "categorical", "log1p"),
}


def unknown_names(config: Config, known: set[str]) -> list[BinclfError]:
    """Each column that the config names must be there; one to exclude may be in some files only.

    A feature may be a part of a moment column, such as `departure:hour`.
    """
    return [
        DataError(f"{setting} names column '{name}', which the data lack{_hint(name, known)}.")
        for setting, names in _named(config)
        for name in names
        if name and name not in known and not (_is_of_features(setting) and part_of(name)[0] in known)
    ]


def _is_of_features(setting: str) -> bool:
    return setting.startswith("features.") or setting == "data.not_leaks"


def as_meant(config: Config, known: set[str]) -> Config:
    """The config as if columns that are not there had the names that were meant, or were not named.

    So that what is wrong with one name is told once, and not again in what follows from it.
    """

    def meant(name: str) -> str:
        if not name or name in known or part_of(name)[0] in known:
            return name
        return closest(name, known) or ""

    changed = {}
    for section, keys in NAMED.items():
        own = getattr(config, section)
        values = {key: getattr(own, key) for key in keys}
        changed[section] = own.model_copy(
            update={
                key: meant(value)
                if isinstance(value, str)
                else tuple(dict.fromkeys(filter(None, map(meant, value))))
                for key, value in values.items()
            }
        )
    return config.model_copy(update=changed)


def _named(config: Config) -> Iterable[tuple[str, Sequence[str]]]:
    for section, keys in NAMED.items():
        for key in keys:
            value = getattr(getattr(config, section), key)
            yield f"{section}.{key}", (value,) if isinstance(value, str) else value


def _hint(name: str, known: Iterable[str]) -> str:
    close = closest(name, known)
    return f" (did you mean '{close}'?)" if close else ""


def unread_partitions(config: Config, feet: Sequence[Footer], known: set[str]) -> list[BinclfError]:
    """Folders such as year=2013 say something of each row, and are not read: never drop it in silence."""
    found: dict[str, BinclfError] = {}
    for foot in feet:
        for folder in foot.relative.split("/")[:-1]:
            name, equals, _ = folder.partition("=")
            if equals and name not in known and name not in config.data.exclude:
                found.setdefault(
                    name,
                    DataError(
                        f"{foot.relative} lies in a partition folder '{folder}', and partition columns are "
                        f"not read: write '{name}' as a column into the files, or list it in data.exclude."
                    ),
                )
    return list(found.values())


def null_labels(labels: npt.NDArray[np.int8], column: str, place: str) -> list[BinclfError]:
    """Rows without a label, where the config does not let them be dropped."""
    missing = labels < 0
    if not missing.any():
        return []
    return [
        DataError(
            f"label '{column}' of {place} holds {int(missing.sum())} nulls, the "
            f"first in row {int(missing.argmax())}: each row needs a label. "
            'Set data.on_null_label = "drop" to leave such rows out (they are counted).'
        )
    ]


def null_times(missing: npt.NDArray[np.bool_], column: str, place: str) -> list[BinclfError]:
    """Rows without a time, where the split is by time."""
    if not missing.any():
        return []
    return [
        DataError(
            f"time column '{column}' of {place} holds {int(missing.sum())} nulls, the first "
            f"in row {int(missing.argmax())}: each row needs a time to be split by it."
        )
    ]


def third_values(label: str, values_of: Iterable[tuple[str, Sequence[str]]]) -> list[BinclfError]:
    """The first file whose label values, as text, bring a third one over all files.

    Args:
        label: the column.
        values_of: relative path and label values of each file, in order.
    """
    seen: list[str] = []
    for relative, values in values_of:
        for value in values:
            if value not in seen:
                seen.append(value)
            if len(seen) > 2:
                return [
                    DataError(
                        f"label '{label}' of {relative} holds '{shown([value])}', a third "
                        f"value beside {shown(seen[:2])}: a binary label has two. "
                        "Map them to two, or choose another column."
                    )
                ]
    return []


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

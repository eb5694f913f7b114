"""Which columns are features, and of which sort: by declaration, else by type; never by guess.

A declaration names a column, or a part of a moment column behind a colon (`departure:hour`); a column whose
full name is that text comes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from binclf.config import Config
from binclf.errors import BinclfError, ConfigError, DataError, together
from binclf.parquet import CATEGORICAL_PARTS, PARTS, Column, as_read, part_of, zone_of

NUMERIC_KINDS = ("boolean", "integer", "number", "moment", "duration")
CATEGORICAL_KINDS = ("boolean", "integer", "text")


@dataclass(frozen=True, slots=True)
class Roles:
    """The feature columns: the data's own in their order, then derived parts in the order of declaration."""

    numeric: tuple[Column, ...]
    categorical: tuple[Column, ...]


def roles(config: Config, columns: Sequence[Column]) -> Roles:
    """Sort the columns that have no other role into numeric and categorical.

    Raises:
        DataError: a column is neither by its type and is not declared; or no feature is left.
        ConfigError: a declaration does not fit the column's type.
    """
    found, problems = sort_columns(config, columns)
    if problems:
        raise together(problems)
    return found


def sort_columns(config: Config, columns: Sequence[Column]) -> tuple[Roles, list[BinclfError]]:
    """`roles`, and everything that is wrong with them."""
    declared = config.features
    numeric: list[Column] = []
    categorical: list[Column] = []
    problems: list[BinclfError] = []
    derived = _derived(config, columns, problems)
    others = _other_roles(config) | {name for column in derived.values() for name in column.reads}
    undecided: list[str] = []
    for column in columns:
        if column.name in declared.numeric:
            problems += _misdeclared(column, "numeric", NUMERIC_KINDS)
            numeric.append(column)
        elif column.name in declared.categorical:
            problems += _misdeclared(column, "categorical", CATEGORICAL_KINDS)
            categorical.append(column)
        elif column.name in others:
            continue
        elif column.name.startswith("__index_level_"):
            problems.append(_index(column))
        elif column.kind in ("boolean", "integer", "number"):
            numeric.append(column)
        elif column.kind == "text":
            categorical.append(column)
        else:
            undecided.append(f"'{column.name}' ({column.type})")
    numeric += [derived[name] for name in declared.numeric if name in derived]
    categorical += [derived[name] for name in declared.categorical if name in derived]
    if undecided:
        problems.append(_undecided(undecided))
    if not numeric and not categorical and not problems:
        problems.append(
            DataError("no column is left to be a feature: see data.exclude and the columns' roles.")
        )
    problems += _strangers(
        ("features.log1p", config.features.log1p, "numeric feature", numeric),
        ("data.not_leaks", config.data.not_leaks, "feature", [*numeric, *categorical]),
    )
    problems += slice_columns(config, columns)[1]
    return Roles(tuple(map(as_read, numeric)), tuple(map(as_read, categorical))), problems


def slice_columns(config: Config, columns: Sequence[Column]) -> tuple[tuple[Column, ...], list[BinclfError]]:
    """The columns of `evaluate.slices`, and what is wrong with them."""
    known = {column.name: column for column in columns}
    told = {name: _slice(name, known) for name in config.evaluate.slices}
    problems: list[BinclfError] = [
        ConfigError(f"evaluate.slices names '{name}', {wrong}.")
        for name, wrong in told.items()
        if isinstance(wrong, str)
    ]
    return tuple(column for column in told.values() if isinstance(column, Column)), problems


def _slice(name: str, known: Mapping[str, Column]) -> Column | str:
    """A column with few values, or why it is none."""
    if name in known:
        if known[name].kind in CATEGORICAL_KINDS:
            return as_read(known[name])
        part = f", and of a moment a part such as '{name}:month'" if known[name].kind == "moment" else ""
        return f"which is {known[name].type}: {', '.join(CATEGORICAL_KINDS)} columns can be slices{part}"
    source, part = part_of(name)
    if source not in known:
        return "a column that is not in all of the files"
    moment = known[source]
    if moment.kind != "moment" or (part == "hour" and moment.type.startswith("date")):
        return f"and column '{source}' is {moment.type}, which has no {part}"
    if part not in CATEGORICAL_PARTS:
        return f"and the parts of a moment that can be slices are {', '.join(CATEGORICAL_PARTS)}"
    return Column(name, "moment", moment.type, source, part)


def _other_roles(config: Config) -> set[str]:
    data = config.data
    return {
        data.label, data.weight, data.time, data.group, config.split.column,
        *data.ids, *data.exclude,
    }  # fmt: skip


def _derived(config: Config, columns: Sequence[Column], problems: list[BinclfError]) -> dict[str, Column]:
    """The declared parts of moments, by their full names."""
    known = {column.name: column for column in columns}
    found: dict[str, Column] = {}
    for sort, names in (
        ("numeric", config.features.numeric),
        ("categorical", config.features.categorical),
    ):
        for name in names:
            source, part = part_of(name)
            if name in known:
                continue  # a column of its own
            if source not in known:
                problems.append(
                    ConfigError(f"features.{sort} names column '{name}', which is not in all of the files.")
                )
                continue
            wrong = _wrong_part(config, sort, known[source], part, known)
            if wrong:
                problems.append(ConfigError(f"features.{sort} names '{name}', {wrong}."))
                continue
            against = config.data.time if part == "age_days" else ""
            found[name] = Column(name, "moment", known[source].type, source, part, against)
    return found


def _wrong_part(config: Config, sort: str, source: Column, part: str, known: Mapping[str, Column]) -> str:
    """Why a part of a column cannot be had; empty if it can."""
    if part not in PARTS:
        return f"and the parts of a moment are {', '.join(PARTS)}"
    if source.kind != "moment":
        return f"a part of a moment, and column '{source.name}' is {source.type}"
    if source.name in config.data.exclude:
        return (
            f"and data.exclude names '{source.name}': remove it from there (a moment whose parts are named "
            "is itself no feature)"
        )
    if part == "hour" and source.type.startswith("date"):
        return f"and column '{source.name}' is {source.type}, which has no hour"
    if part == "age_days":
        if sort == "categorical":
            return f"and an age is a number: {', '.join(CATEGORICAL_PARTS)} can be categorical"
        time = known.get(config.data.time)
        if time is None:
            return "the days up to the row's time: name the column with that time in data.time"
        if time.kind != "moment" or bool(zone_of(time.type)) != bool(zone_of(source.type)):
            return (
                f"the days from a {source.type} to data.time = '{time.name}', which is {time.type}: both "
                "must be moments, with a time zone or without"
            )
    return ""


def _misdeclared(column: Column, sort: str, kinds: tuple[str, ...]) -> list[BinclfError]:
    if column.kind in kinds:
        return []
    parts = f"; name parts of it, such as '{column.name}:weekday'" if column.kind == "moment" else ""
    return [
        ConfigError(
            f"features.{sort} names column '{column.name}', which is {column.type}: "
            f"{', '.join(kinds)} columns can be {sort}{parts}."
        )
    ]


def _index(column: Column) -> DataError:
    return DataError(
        f"column '{column.name}' is an index that pandas wrote: write the files with index=False, or "
        "list it in data.exclude."
    )


def _undecided(columns: list[str]) -> DataError:
    return DataError(
        f"columns {', '.join(columns)} are neither numbers nor categories by their type: list them "
        "in data.exclude, or moments and durations in features.numeric (in seconds) or data.time; of "
        "moments, features may name parts, such as 'when:hour'."
    )


def _strangers(*told: tuple[str, Sequence[str], str, Sequence[Column]]) -> list[BinclfError]:
    """Names in settings that are to name features of a sort, and do not."""
    return [
        ConfigError(f"{setting} names column '{name}', which is no {sort}.")
        for setting, names, sort, columns in told
        for name in names
        if name not in {column.name for column in columns}
    ]

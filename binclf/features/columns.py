"""Which columns are features, and of which sort: by declaration, else by type; never by guess."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from binclf.config import Config
from binclf.errors import ConfigError, DataError
from binclf.parquet import Column


@dataclass(frozen=True, slots=True)
class Roles:
    """The feature columns, in the data's order."""

    numeric: tuple[Column, ...]
    categorical: tuple[Column, ...]


def roles(config: Config, columns: Sequence[Column]) -> Roles:
    """Sort the columns that have no other role into numeric and categorical.

    Raises:
        DataError: a column is neither by its type and is not declared; or no feature is left.
        ConfigError: a declaration does not fit the column's type.
    """
    data, declared = config.data, config.features
    other_roles = {
        data.label, data.weight, data.time, data.group, config.split.column,
        *data.ids, *data.exclude,
    }  # fmt: skip
    numeric: list[Column] = []
    categorical: list[Column] = []
    undecided: list[str] = []
    for column in columns:
        if column.name in declared.numeric:
            _check(column, "numeric", ("boolean", "integer", "number", "moment"))
            numeric.append(column)
        elif column.name in declared.categorical:
            _check(column, "categorical", ("boolean", "integer", "text"))
            categorical.append(column)
        elif column.name in other_roles:
            continue
        elif column.name.startswith("__index_level_"):
            raise DataError(
                f"column '{column.name}' is an index that pandas wrote: write the files with index=False, or "
                "list it in data.exclude."
            )
        elif column.kind in ("boolean", "integer", "number"):
            numeric.append(column)
        elif column.kind == "text":
            categorical.append(column)
        else:
            undecided.append(f"'{column.name}' ({column.type})")
    if undecided:
        raise DataError(
            f"columns {', '.join(undecided)} are neither numbers nor categories by their type: list them "
            "in data.exclude, or moments in features.numeric (as seconds since 1970) or data.time."
        )
    if not numeric and not categorical:
        raise DataError("no column is left to be a feature: see data.exclude and the columns' roles.")
    _check_log1p(config, {column.name for column in numeric})
    return Roles(tuple(numeric), tuple(categorical))


def _check(column: Column, sort: str, kinds: tuple[str, ...]) -> None:
    if column.kind not in kinds:
        raise ConfigError(
            f"features.{sort} names column '{column.name}', which is {column.type}: "
            f"{', '.join(kinds)} columns can be {sort}."
        )


def _check_log1p(config: Config, numeric: set[str]) -> None:
    for name in config.features.log1p:
        if name not in numeric:
            raise ConfigError(f"features.log1p names column '{name}', which is no numeric feature.")

"""TOML and overrides to a `Config`, with errors that name the key."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from binclf.config.sections import Config
from binclf.errors import ConfigError, StorageError
from binclf.storage import Place, check_uri, is_uri, place_of, without_secrets

MOST_SHOWN = 200  # characters of a value that a message repeats
# of readers of TOML and JSON: for what is none, for integers of thousands of digits, for lists in lists
# without end
UNREADABLE = (ValueError, RecursionError)


def load(path: str | Place, overrides: Iterable[str] = ()) -> Config:
    """Read a config from TOML (or the `config.json` of a run).

    Relative paths in the file are relative to the file, so that a job runs from anywhere; those in
    overrides are relative to the working directory, as a shell user expects.

    Raises:
        ConfigError: the file is missing or not TOML, or a setting is unknown, out of bounds,
            contradictory or without effect; all of them are named at once.
    """
    path = place_of(path)
    try:
        text = path.read_text(encoding="utf-8")
    except StorageError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"config {path} cannot be read: {error}. Name a TOML file.") from error
    if path.suffix == ".json":
        settings = _read_json(text, path)
    else:
        try:
            settings = tomllib.loads(text)
        except UNREADABLE as error:
            raise ConfigError(f"config {path} is not TOML: {error}. Text stands in quotes.") from error
    settings.setdefault("store", Config.model_fields["store"].default)
    _resolve(settings, path.resolve().parent)
    return parse(settings, overrides, origin=str(path))


def parse(settings: Mapping[str, Any], overrides: Iterable[str] = (), *, origin: str = "config") -> Config:
    """Make a config from nested settings and `section.key=value` overrides.

    Raises:
        ConfigError: as `load`.
    """
    merged: dict[str, Any] = {
        key: dict(value) if isinstance(value, Mapping) else value for key, value in settings.items()
    }
    changes: dict[str, Any] = {}
    for override in overrides:
        _apply(changes, override)
    _resolve(changes, Path.cwd())
    for key, value in changes.items():
        if isinstance(value, dict):
            section = merged.setdefault(key, {})
            if isinstance(section, dict):
                section.update(value)
        else:
            merged[key] = value
    merged.setdefault("store", Config.model_fields["store"].default)
    _resolve(merged, Path.cwd())
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(_in_words(error, origin)) from error


def _read_json(text: str, path: Place) -> dict[str, Any]:
    try:
        settings = json.loads(text)
    except UNREADABLE as error:
        raise ConfigError(f"config {path} is not JSON: {error}.") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"config {path} holds no settings: a JSON object is needed.")
    return settings


def _apply(changes: dict[str, Any], override: str) -> None:
    """Put one `section.key=value` into the nested changes; the value is TOML, or else plain text."""
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts) or len(parts) > 2:
        raise ConfigError(
            f"override '{override}' is not of the form section.key=value, such as train.epochs=5."
        )
    try:
        read = tomllib.loads(f"value = {text}")
    except UNREADABLE:
        read = {}
    value = read["value"] if set(read) == {"value"} else text  # a line break could bring in other keys
    if len(parts) == 1:
        changes[parts[0]] = value
    else:
        section = changes.setdefault(parts[0], {})
        if not isinstance(section, dict):
            raise ConfigError(f"override '{override}' beside {parts[0]} = {section!r}: drop one of them.")
        section[parts[1]] = value


def _resolve(settings: dict[str, Any], base: Place) -> None:
    """Make data.path, store and a sqlite file's path absolute, in place."""
    holders = [(settings, "store"), (settings.get("data"), "path")]
    for holder, key in holders:
        if isinstance(holder, dict) and isinstance(holder.get(key), str) and holder[key]:
            if is_uri(holder[key]):
                check_uri(holder[key], "data.path" if key == "path" else key)
                holder[key] = str(place_of(holder[key]))
            else:
                local = _local(holder[key], "data.path" if key == "path" else key)
                holder[key] = str(local if local.is_absolute() else base / str(local))
    registry = settings.get("registry")
    if isinstance(registry, dict):
        path = re.fullmatch(r"sqlite:///([^/].*)", str(registry.get("uri", "")))
        if path:
            settings["registry"] = {**registry, "uri": f"sqlite:///{base / path[1]}"}


def _local(text: str, setting: str) -> Path:
    """A local path; `~` is the user's home.

    Raises:
        ConfigError: there is no such user, or no path has such characters.
    """
    if "\0" in text:
        raise ConfigError(f"{setting} = {_short(repr(text))}: no path has a null character.")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{setting} = {_short(repr(text))}: there is no such user's home.") from error


def _in_words(error: ValidationError, origin: str) -> str:
    lines = [f"{origin}: {_one(detail)}" for detail in error.errors()]
    return "\n".join(dict.fromkeys(lines))


def _one(detail: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    key = ".".join(str(part) for part in detail["loc"])
    value = _shown(detail["input"])
    if detail["type"] == "extra_forbidden":
        return f"unknown setting '{key}'{_suggestion(key)}"
    if detail["type"] == "tuple_type":
        return f"{key} = {value} must be a list, such as [{value}]"
    if detail["loc"] == ("evaluate", "threshold"):
        return (
            f"{key} = {value}: it is a probability, 0 to 1, or one of max_f1, precision>=0.9, "
            "recall>=0.8, cost(fp=1,fn=5)"
        )
    if detail["type"] == "missing":
        return f"'{key}' is missing: it has no default"
    if detail["type"] == "value_error" and not key:
        return str(detail["ctx"]["error"])
    return f"{key} = {value}: {detail['msg']}"


def _shown(value: object) -> str:
    """A value as a message repeats it."""
    try:
        return _short(without_secrets(repr(value)))
    except ValueError:  # Python spells no integers of thousands of digits
        return "a number of thousands of digits"


def _short(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…"


def _suggestion(key: str) -> str:
    section, _, name = key.rpartition(".")
    fields = Config.model_fields
    if section:
        holder = fields[section].annotation if section in fields else None
        known = list(getattr(holder, "model_fields", {}))
    else:
        known = list(fields)
    elsewhere = [other for other in fields if name in getattr(fields[other].annotation, "model_fields", {})]
    if elsewhere:
        return f": did you mean '{elsewhere[0]}.{name}'?"
    close = difflib.get_close_matches(name, known, n=1)
    return f": did you mean '{(section + '.') if section else ''}{close[0]}'?" if close else ""

"""Addresses of models, and where the registry is that they speak of."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from binclf.config import Config
from binclf.errors import ConfigError
from binclf.storage import Place, Remote, place_of

SCHEME = "models:"
DATABASE = "mlflow.db"
SQLITE = "sqlite:///"
FORM = "models:/NAME@ALIAS or models:/NAME/VERSION"

# what a name may be, not what it may not: names become parts of paths and of queries
_ADDRESS = re.compile(
    r"models:/(?P<name>[a-z0-9][a-z0-9._-]{0,63})(?:@(?P<alias>[A-Za-z][A-Za-z0-9_-]{0,63})|/(?P<version>[1-9]\d{0,8}))"
)


@dataclass(frozen=True, slots=True)
class Address:
    """One version of a model, by its number or by an alias."""

    name: str
    alias: str = ""  # empty: by number
    version: str = ""

    def __str__(self) -> str:
        return f"{SCHEME}/{self.name}" + (f"@{self.alias}" if self.alias else f"/{self.version}")


def is_address(model: object) -> bool:
    """Whether a text speaks of a registry's model rather than of a run directory."""
    return isinstance(model, str) and model.startswith(SCHEME)


def parse(text: str) -> Address:
    """Read an address.

    >>> parse("models:/churn@champion")
    Address(name='churn', alias='champion', version='')

    Raises:
        ConfigError: it is none.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise ConfigError(f"'{text}' is no model's address: write {FORM}, such as models:/churn@champion.")
    return Address(found["name"], found["alias"] or "", found["version"] or "")


def check_name(name: str) -> str:
    """A model's name, unchanged.

    Raises:
        ConfigError: it cannot be one.
    """
    parse(f"{SCHEME}/{name}@champion")
    return name


def tracking_uri(config: Config) -> str:
    """Where a config's models are registered; empty if they are not.

    Raises:
        ConfigError: it would be a sqlite file in an object store.
    """
    if not config.registry.is_on:
        return ""
    return config.registry.uri or uri_of_store(place_of(config.store))


def uri_of_store(store: Place) -> str:
    """The registry that lies in a store.

    Raises:
        ConfigError: the store is no local directory, or its path cannot stand in a database's address.
    """
    if isinstance(store, Remote):
        raise ConfigError(
            f"registry.uri is empty, which means {DATABASE} in the store, and {store} cannot hold a "
            "database: set registry.uri to an MLflow tracking server (http://…), or to 'off'."
        )
    path = store.expanduser().absolute()
    if re.search(r"[?#%]", str(path)):
        raise ConfigError(
            f"store {path} has one of '?', '#', '%' in its path, which the address of a database cannot: "
            "choose another path, or set registry.uri."
        )
    return f"{SQLITE}{path / DATABASE}"


def known(registry: str) -> str:
    """The tracking URI that a person or the environment names, or that of the store `runs`.

    Args:
        registry: a URI, or the path of a store; empty: $MLFLOW_TRACKING_URI, else `runs`.
    """
    registry = registry or os.environ.get("MLFLOW_TRACKING_URI", "") or "runs"
    if (database := database_of(registry)) is not None:
        return f"{SQLITE}{database.absolute()}"
    if "://" in registry or registry == "databricks":
        return registry
    path = Path(registry)
    return uri_of_store(path.parent if path.name == DATABASE else path)


def database_of(uri: str) -> Path | None:
    """The sqlite file of a tracking URI; None for a server."""
    return Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None


def page_of(registered: Mapping[str, Any], served: str = "") -> str:
    """The page of a version in MLflow's UI; empty where the registry is a file that nobody is known to serve.

    Args:
        registered: what `register` told.
        served: where MLflow's pages are, such as http://127.0.0.1:5000; empty: where the registry itself is.
    """
    place = served or str(registered["registry"])
    if not place.startswith(("http://", "https://")):
        return ""
    name, version = str(registered["model"]).removeprefix(f"{SCHEME}/").split("/")
    return f"{place.rstrip('/')}/#/models/{name}/versions/{version}"

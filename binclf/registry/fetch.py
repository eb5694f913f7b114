"""A registered version to a verified run on this machine.

MLflow's model directory is not believed: which module it names to load it with is not looked at. What is
taken from it is the run that lies in it, whose manifest must be the one that was registered, and every file
as the manifest says.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import tempfile
from pathlib import Path
from typing import Any

from binclf import artifact
from binclf.errors import SHOWN, ArtifactError
from binclf.registry.address import Address, known, parse
from binclf.registry.log import RUN_FOLDER
from binclf.registry.server import Server, tag_of
from binclf.storage import local_home, remove_tree

log = logging.getLogger(__name__)

MOST_MODELS = 1000  # that are looked at for a message
FOLDER = f"data/{RUN_FOLDER}"  # of a logged model: where save_model puts what it loads from


def fetch(text: str, registry: str) -> artifact.Run:
    """The run that an address means.

    Raises:
        ConfigError: the address is none.
        ArtifactError: there is no such version, it was not registered by binclf, or it was altered.
        StorageError: the registry cannot be reached.
    """
    address, server = parse(text), Server(known(registry))
    server.check()
    version = server.version_of(address)
    if version is None:
        raise ArtifactError(
            f"{address} is not in the registry {server.shown}. {_what_there_is(server, address)}"
        )
    return run_of(server, version)


def _what_there_is(server: Server, address: Address) -> str:
    """The versions and aliases of a model that is there; else the models there are."""
    with server.asked() as client:
        models = {model.name: model for model in client.search_registered_models(max_results=MOST_MODELS)}
    if address.name not in models:
        names = ", ".join(sorted(models)[:SHOWN]) + (", ..." if len(models) > SHOWN else "")
        return (
            f"It has {names}."
            if names
            else "It has no models yet: register a run with `binclf register RUN`."
        )
    versions = [str(version.version) for version in server.versions(address.name)]
    aliases = [f"@{alias} is {version}" for alias, version in sorted(models[address.name].aliases.items())]
    several = f"{versions[0]} to {versions[-1]}" if len(versions) > 1 else "".join(versions) or "none"
    return f"Of {address.name} it has versions {several}{''.join(f'; {alias}' for alias in aliases)}."


def champion_of(name: str, registry: str) -> artifact.Run | None:
    """The champion's run; None where there is no registry yet, no model or no champion."""
    server = Server(registry)
    if server.database is not None and not server.database.exists():
        return None
    version = server.version_of(Address(name, "champion"))
    return None if version is None else run_of(server, version)


def run_of(server: Server, version: Any) -> artifact.Run:  # noqa: ANN401 - mlflow ModelVersion
    """The run of a version: downloaded once, and verified each time."""
    digest = tag_of(version, "manifest")
    if not re.fullmatch(r"[0-9a-f]{16,128}", digest):
        raise ArtifactError(
            f"version {version.version} of {version.name} was not registered by binclf: it has no manifest's "
            "digest. Load it with mlflow.pyfunc, or register a run."
        )
    kept = local_home() / "models" / hashlib.sha256(digest.encode()).hexdigest()
    run = _kept(kept)
    if run is None:
        _download(server, version, kept)
        run = artifact.open_run(kept)
    if json.loads(run.contents[artifact.MANIFEST])["digest"] != digest:
        remove_tree(kept)
        raise ArtifactError(
            f"version {version.version} of {version.name} is not what was registered: its manifest "
            "is another. Roll back, or register the run again."
        )
    return run


def _kept(path: Path) -> artifact.Run | None:
    """What was downloaded before, if it is whole; it goes if it was damaged since, to be downloaded again."""
    if not artifact.is_sealed(path):
        return None
    try:
        return artifact.open_run(path)
    except ArtifactError as error:
        log.warning("what was kept of a model is damaged (%s): it is fetched again", error)
        remove_tree(path)
        return None


def _download(server: Server, version: Any, target: Path) -> None:  # noqa: ANN401
    """The run's files beside the target, and renamed: it appears whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=target.parent, prefix=".download-") as folder,
        server.asked() as client,
    ):
        from mlflow.artifacts import download_artifacts

        source = client.get_model_version_download_uri(version.name, version.version)
        uri = f"{source.rstrip('/')}/{FOLDER}"
        found = Path(download_artifacts(artifact_uri=uri, dst_path=folder, tracking_uri=server.uri))
        if not artifact.is_sealed(target):  # another process may have been sooner
            remove_tree(target)
            found.rename(target)

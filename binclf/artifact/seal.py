"""Writing into a run, and the seal that ends it."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save as save_safetensors

from binclf import commit, hashing
from binclf.config import Config, parse
from binclf.errors import ArtifactError
from binclf.features import Features
from binclf.split import Split
from binclf.storage import Place, Remote, remove_tree, sha256_of

FORMAT = 1
MANIFEST = "manifest.json"
CHECKPOINTS = "checkpoints"

Weights = Mapping[str, npt.NDArray[np.float64]]


def read_config(path: Place) -> Config:
    """The config of a run, sealed or not.

    Raises:
        ArtifactError: there is none, so this is no run.
    """
    return parse(commit.read_json(path / "config.json"), origin=str(path / "config.json"))


def read_split(path: Place) -> Split:
    """The split of a run, sealed or not."""
    return Split.from_json(commit.read_json(path / "split.json"))


@contextmanager
def working(path: Place) -> Iterator[None]:
    """Be the only process that writes into an unsealed run.

    Raises:
        BusyError: another one does.
        ArtifactError: the run is finished.
    """
    with commit.locked(path / ".lock", wait=False):
        if is_sealed(path):
            raise ArtifactError(f"{path} is finished: there is nothing to resume.")
        try:
            yield
        finally:
            if is_sealed(path):
                (path / ".lock").unlink(missing_ok=True)


def is_sealed(path: Place) -> bool:
    """Whether the run is finished."""
    return (path / MANIFEST).exists()


def write_model(path: Place, features: Features, weights: Weights, record: Mapping[str, Any]) -> None:
    """Write features, weights and the model's record into an unsealed run."""
    commit.write_json(path / "features.json", features.as_json())
    arrays = {name: np.ascontiguousarray(array) for name, array in weights.items()}
    commit.write_bytes(path / "model.safetensors", save_safetensors(arrays))
    commit.write_json(
        path / "model.json",
        {
            "format": FORMAT,
            "run": path.name,
            "name": read_config(path).name,
            "binclf": package_version(),
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            **record,
        },
    )


def write_covariance(path: Place, matrix: npt.NDArray[np.float64], names: str) -> None:
    """Write the covariance of coefficients [K, K] into an unsealed run, with its rows' names."""
    content = save_safetensors({"covariance": np.ascontiguousarray(matrix)}, {"names": names})
    commit.write_bytes(path / "covariance.safetensors", content)


def write_threshold(path: Place, told: Mapping[str, Any]) -> None:
    """Set the threshold of an unsealed run's model: {threshold, rule, reason}, as evaluation found it."""
    record = commit.read_json(path / "model.json")
    changed = {
        "threshold": told["threshold"], "threshold_rule": told["rule"], "threshold_amiss": told["reason"]
    }  # fmt: skip
    commit.write_json(path / "model.json", record | changed)


def seal(path: Place) -> None:
    """Finish a run: checkpoints go, and the manifest with every file's SHA-256 is written last."""
    remove_tree(path / CHECKPOINTS)
    files = {name: sha256_of(path / name) for name in _sealed_files(path)}
    manifest = {"format": FORMAT, "binclf": package_version(), "run": path.name, "files": files}
    commit.write_json(path / MANIFEST, {**manifest, "digest": hashing.digest(manifest)})


def verified(path: Place) -> dict[str, bytes]:
    """The content of every file of a sealed run, each read once and found as the manifest says; and that."""
    content = (path / MANIFEST).read_bytes()
    manifest = commit.parse_json(content, path / MANIFEST)
    if not isinstance(manifest, dict) or manifest.pop("digest", "") != hashing.digest(manifest):
        raise ArtifactError(
            f"{path / MANIFEST} was altered since it was written: restore it, or train again."
        )
    listed = manifest.get("files")
    if not isinstance(listed, dict):
        raise ArtifactError(f"{path / MANIFEST} lists no files: restore it, or train again.")
    contents: dict[str, bytes] = {}
    for name, expected in listed.items():
        file = path / name
        if not file.resolve().is_relative_to(path.resolve()) or not file.is_file():
            raise ArtifactError(f"{path} lacks {name}, which its manifest lists: train again.")
        contents[name] = file.read_bytes()
        found = hashlib.sha256(contents[name]).hexdigest()
        if found != expected:
            raise ArtifactError(
                f"{file} was altered since the run was sealed (SHA-256 {found[:12]}, sealed as "
                f"{expected[:12]}): restore it, or train again."
            )
    added = sorted(set(_sealed_files(path)) - set(contents))
    if added:
        raise ArtifactError(f"{path / added[0]} was added since the run was sealed: move it elsewhere.")
    contents[MANIFEST] = content
    return contents


def package_version() -> str:
    """The version of binclf that is installed."""
    try:
        return version("binclf")
    except PackageNotFoundError:
        return "not installed"


def _sealed_files(path: Place) -> list[str]:
    """What a seal covers: every file but hidden ones and the manifest."""
    found = path.files() if isinstance(path, Remote) else (f for f in path.rglob("*") if f.is_file())
    names = [f.relative_to(path).as_posix() for f in found if not f.name.startswith(".")]  # type: ignore[arg-type]
    return sorted(name for name in names if name.rpartition("/")[2] != MANIFEST)

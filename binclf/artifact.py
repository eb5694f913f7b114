"""The run directory: what a training leaves behind, sealed by a manifest that is written last.

``` config.json split.json features.json model.safetensors model.json metrics.json report.md *.svg
receipts.json manifest.json ``` No manifest, no run: a directory without one is a training that goes on, or
one that can be resumed from its `checkpoints/`. The manifest has the SHA-256 of every other file, and each
file is read once: what was verified is what is used. Only JSON, safetensors, Markdown and SVG; nothing that
executes on loading.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from binclf import commit
from binclf.config import Config, parse
from binclf.errors import ArtifactError
from binclf.features import Features
from binclf.split import Split, ensure

FORMAT = 1
MANIFEST = "manifest.json"
CHECKPOINTS = "checkpoints"
SHAPES = {"weight": "width", "table": "table_size"}  # what features say of each array's length

Weights = Mapping[str, npt.NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Run:
    """A finished training, read back and verified."""

    path: Path
    config: Config
    features: Features
    weights: Weights  # weight [F], table [V], bias [1]; float64
    record: Mapping[str, Any]  # model.json

    @property
    def id(self) -> str:
        """The run's name, which is that of its directory."""
        return str(self.record["run"])

    def split(self) -> Split:
        """Its split, from `split.json`."""
        return read_split(self.path)


def begin(config: Config, resume: Path | None = None) -> Path:
    """Bring the split about and begin a run, or find that one can be resumed.

    Returns:
        The run directory, with its config and its split.

    Raises:
        ArtifactError: the run to resume is finished, or is of another config or other data.
    """
    split = ensure(config)
    if resume is not None:
        _check_resumable(resume, config, split)
        return resume
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
    path = Path(config.store) / f"{config.name}-{stamp}-{secrets.token_hex(3)}"
    path.mkdir(parents=True)
    commit.write_json(path / "split.json", split.as_json())
    commit.write_json(path / "config.json", config.model_dump(mode="json"))
    return path


def read_config(path: Path) -> Config:
    """The config of a run, sealed or not.

    Raises:
        ArtifactError: there is none, so this is no run.
    """
    return parse(commit.read_json(path / "config.json"), origin=str(path / "config.json"))


def read_split(path: Path) -> Split:
    """The split of a run, sealed or not."""
    return Split.from_json(commit.read_json(path / "split.json"))


def is_sealed(path: Path) -> bool:
    """Whether the run is finished."""
    return (path / MANIFEST).exists()


def write_model(path: Path, features: Features, weights: Weights, record: Mapping[str, Any]) -> None:
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


def seal(path: Path) -> None:
    """Finish a run: checkpoints go, and the manifest with every file's SHA-256 is written last."""
    shutil.rmtree(path / CHECKPOINTS, ignore_errors=True)
    files = {
        file.relative_to(path).as_posix(): commit.sha256(file)
        for file in sorted(path.rglob("*"))
        if file.is_file() and not file.name.startswith(".") and file.name != MANIFEST
    }
    manifest = {"format": FORMAT, "binclf": package_version(), "run": path.name, "files": files}
    commit.write_json(path / MANIFEST, manifest)


def open_run(path: str | Path, *, sealed: bool = True) -> Run:
    """Read a run and verify every file against the manifest.

    Args:
        path: the run directory.
        sealed: False reads a run that is about to be sealed, which has nothing to verify against.

    Raises:
        ArtifactError: there is no run, it is not finished, or a file was altered, added or lost.
    """
    path = Path(path)
    if str(path).startswith("models:"):
        raise ArtifactError(f"{path} is a registry's address: this version takes run directories.")
    if not (path / "config.json").exists():
        raise ArtifactError(f"{path} is no run: it has no config.json. Name a run directory.")
    if sealed and not is_sealed(path):
        raise ArtifactError(
            f"{path} has no {MANIFEST}: it was never finished. "
            f"Resume it with `binclf train CONFIG --resume {path}`."
        )
    contents = _verified(path) if sealed else {}

    def content(name: str) -> bytes:
        return contents[name] if sealed else (path / name).read_bytes()

    try:
        record = json.loads(content("model.json"))
        features = Features.from_json(json.loads(content("features.json")))
        weights = load_safetensors(content("model.safetensors"))
    except (KeyError, FileNotFoundError) as error:
        raise ArtifactError(f"{path} lacks {error}: it holds no model. Train again.") from error
    except (ValueError, SafetensorError) as error:
        raise ArtifactError(f"{path} is damaged ({error}): train again.") from error
    if record.get("format") != FORMAT:
        raise ArtifactError(
            f"{path} is of format {record.get('format')}, and this binclf reads {FORMAT}: "
            f"use binclf {record.get('binclf')}, or train again."
        )
    _check_weights(path, features, weights)
    return Run(path, read_config(path), features, weights, record)


def package_version() -> str:
    """The version of binclf that is installed."""
    try:
        return version("binclf")
    except PackageNotFoundError:
        return "not installed"


def _verified(path: Path) -> dict[str, bytes]:
    """The content of every file of a sealed run, each read once and found as the manifest says."""
    manifest = commit.read_json(path / MANIFEST)
    contents: dict[str, bytes] = {}
    for name, expected in manifest.get("files", {}).items():
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
    return contents


def _check_weights(path: Path, features: Features, weights: Weights) -> None:
    expected = {name: getattr(features, field) for name, field in SHAPES.items()}
    expected = {name: size for name, size in expected.items() if size} | {"bias": 1}
    found = {name: len(array) for name, array in weights.items()}
    if found != expected or not all(np.isfinite(array).all() for array in weights.values()):
        raise ArtifactError(
            f"model.safetensors of {path} does not fit features.json "
            f"(lengths {found}, needed {expected}, all finite): train again."
        )


def _check_resumable(path: Path, config: Config, split: Split) -> None:
    began = read_config(path)
    if is_sealed(path):
        raise ArtifactError(f"{path} is finished: there is nothing to resume.")
    changed = _differences(began, config)
    if changed:
        raise ArtifactError(
            f"{path} was begun with other settings ({', '.join(changed)}): resume it with its own, "
            "or start a new run. (train.ranks and train.workers may differ.)"
        )
    if read_split(path).digest != split.digest:
        raise ArtifactError(
            f"{path} was begun on other data than {config.data.path} holds now: start a new run."
        )


def _differences(one: Config, other: Config) -> list[str]:
    """Keys whose values differ, but for those that cannot change the result."""
    mine, theirs = settings_of_result(one), settings_of_result(other)
    return sorted(key for key in mine if mine[key] != theirs[key])


def settings_of_result(config: Config) -> dict[str, Any]:
    """All settings that the result may depend on, by their keys: not the store, ranks or workers."""
    flat: dict[str, Any] = {}
    for section, settings in config.model_dump(mode="json").items():
        nested = settings if isinstance(settings, dict) else {"": settings}
        flat |= {f"{section}.{key}".rstrip("."): value for key, value in nested.items()}
    for key in ("store", "train.ranks", "train.workers"):
        del flat[key]
    return flat

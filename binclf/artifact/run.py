"""A finished run, read back: every file once, and found as it was sealed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors

from binclf.artifact.seal import FORMAT, MANIFEST, Weights, is_sealed, verified
from binclf.config import Config, parse
from binclf.errors import ArtifactError
from binclf.features import Features
from binclf.split import Split
from binclf.storage import Place, place_of

SHAPES = {"weight": "width", "table": "table_size"}  # what features say of each array's length


@dataclass(frozen=True, slots=True)
class Run:
    """A finished training, read back and verified."""

    path: Place
    config: Config
    split: Split
    features: Features
    weights: Weights  # weight [F], table [V], bias [1]; float64
    record: Mapping[str, Any]  # model.json
    contents: Mapping[str, bytes]  # every file, as it was verified

    @property
    def id(self) -> str:
        """The run's name, which is that of its directory."""
        return str(self.record["run"])


def open_run(path: str | Place, *, sealed: bool = True) -> Run:
    """Read a run and verify every file against the manifest.

    Args:
        path: the run directory.
        sealed: False reads a run that is about to be sealed, which has nothing to verify against.

    Raises:
        ArtifactError: there is no run, it is not finished, or a file was altered, added or lost.
    """
    if str(path).startswith("models:"):
        raise ArtifactError(f"{path} is a registry's address: a run directory is needed here.")
    path = place_of(path)
    if not (path / "config.json").exists():
        raise ArtifactError(f"{path} is no run: it has no config.json. Name a run directory.")
    if sealed and not is_sealed(path):
        raise ArtifactError(
            f"{path} has no {MANIFEST}: it was never finished. "
            f"Resume it with `binclf train CONFIG --resume {path}`."
        )
    names = ("config.json", "split.json", "features.json", "model.safetensors", "model.json")
    try:
        contents = verified(path) if sealed else {name: (path / name).read_bytes() for name in names}
        run = Run(
            path=path,
            config=parse(json.loads(contents["config.json"]), origin=str(path / "config.json")),
            split=Split.from_json(json.loads(contents["split.json"])),
            features=Features.from_json(json.loads(contents["features.json"])),
            weights=load_safetensors(contents["model.safetensors"]),
            record=json.loads(contents["model.json"]),
            contents=contents,
        )
    except (KeyError, FileNotFoundError) as error:
        raise ArtifactError(f"{path} lacks {error}: it holds no model. Train again.") from error
    except (ValueError, SafetensorError) as error:
        raise ArtifactError(f"{path} is damaged ({error}): train again.") from error
    if run.record.get("format") != FORMAT:
        raise ArtifactError(
            f"{path} is of format {run.record.get('format')}, and this binclf reads {FORMAT}: "
            f"use binclf {run.record.get('binclf')}, or train again."
        )
    _check_weights(run)
    return run


def _check_weights(run: Run) -> None:
    expected = {name: getattr(run.features, field) for name, field in SHAPES.items()}
    expected = {name: size for name, size in expected.items() if size} | {"bias": 1}
    found = {name: len(array) for name, array in run.weights.items()}
    if found != expected or not all(np.isfinite(array).all() for array in run.weights.values()):
        raise ArtifactError(
            f"model.safetensors of {run.path} does not fit features.json "
            f"(lengths {found}, needed {expected}, all finite): train again."
        )

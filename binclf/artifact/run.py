"""A finished run, read back: every file once, and found as it was sealed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors

from binclf import commit
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
            config=parse(_object(contents, path / "config.json"), origin=str(path / "config.json")),
            split=Split.from_json(_object(contents, path / "split.json")),
            features=Features.from_json(_object(contents, path / "features.json")),
            weights=load_safetensors(contents["model.safetensors"]),
            record=_object(contents, path / "model.json"),
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
    if not isinstance(run.record.get("run"), str):
        raise ArtifactError(f"model.json of {path} does not say of which run it is: train again.")
    _check_weights(run)
    return run


def _object(contents: Mapping[str, bytes], file: Place) -> dict[str, Any]:
    """A file of JSON that holds one object.

    Raises:
        ArtifactError: it is no JSON.
        ValueError: it holds something else.
    """
    value = commit.parse_json(contents[file.name], file)
    if not isinstance(value, dict):
        raise ValueError(f"{file.name} holds no object")
    return value


def _check_weights(run: Run) -> None:
    expected = {name: getattr(run.features, field) for name, field in SHAPES.items()}
    expected = {name: (size,) for name, size in expected.items() if size} | {"bias": (1,)}
    found = {name: array.shape for name, array in run.weights.items()}
    are_numbers = all(a.dtype == np.float64 and np.isfinite(a).all() for a in run.weights.values())
    if found != expected or not are_numbers:
        raise ArtifactError(
            f"model.safetensors of {run.path} does not fit features.json "
            f"(shapes {found}, needed {expected}, float64 and finite): train again."
        )

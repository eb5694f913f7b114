"""Where training got to: arrays and JSON in one safetensors file, whole or not at all; two are kept."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from binclf import commit
from binclf.errors import ArtifactError, RankError
from binclf.storage import Place
from binclf.world import World

log = logging.getLogger(__name__)

Array = npt.NDArray[Any]
KEPT = 2
# what reading says of a file that is not what `write` wrote, whatever is in it
DAMAGE = (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """State at a position of an epoch: all that a run needs to go on, on any number of ranks."""

    epoch: int  # from 0
    position: int  # rows of the epoch that were seen; 0 at its start
    arrays: Mapping[str, Array]
    record: Mapping[str, Any]  # what JSON can hold


def write(folder: Place, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, then remove all but the newest two."""
    path = folder / f"at-{checkpoint.epoch:06d}-{checkpoint.position:015d}.safetensors"
    state = {"epoch": checkpoint.epoch, "position": checkpoint.position}
    commit.write_bytes(path, packed(checkpoint.arrays, {**state, **checkpoint.record}))
    for old in _all(folder)[:-KEPT]:
        old.unlink()


def remove_all(folder: Place) -> None:
    """Remove all checkpoints of a folder."""
    for path in _all(folder):
        path.unlink()


def newest(folder: Place) -> Checkpoint | None:
    """The newest checkpoint that is whole; None if there is none at all.

    Raises:
        ArtifactError: there are checkpoints, and all are damaged.
    """
    paths = _all(folder)
    for path in reversed(paths):
        try:
            return _read(path)
        except DAMAGE as error:
            log.warning("checkpoint %s is damaged (%s): taking the one before", path, error)
    if paths:
        raise ArtifactError(f"all checkpoints in {folder} are damaged: start a new run.")
    return None


def seen_by_all(folder: Place, world: World) -> Checkpoint | None:
    """`newest`, which must be the same one for all ranks: each reads the file for itself.

    Raises:
        ArtifactError: as `newest`.
        RankError: the ranks do not see the same.
    """
    found = newest(folder)
    place = "none" if found is None else f"epoch {found.epoch + 1}, position {found.position}"
    everyone = sorted({words.decode() for words in world.gather(place.encode())})
    if everyone != [place]:
        raise RankError(
            f"the ranks do not see the same newest checkpoint in {folder} ({'; '.join(everyone)}): one of "
            "them has a damaged disk or another folder. Mend that, or remove the newest one."
        )
    return found


def _all(folder: Place) -> list[Place]:
    """The checkpoints of a folder, oldest first."""
    return sorted(folder.glob("at-*.safetensors"), key=lambda path: path.name)


def packed(arrays: Mapping[str, Array], record: Mapping[str, Any]) -> bytes:
    """Arrays and what JSON can hold, as a safetensors file with its own checksum."""
    text = json.dumps(record, allow_nan=False)
    # safetensors cannot tell what NumPy's scalars are: arrays of at least one axis only
    own = {name: np.ascontiguousarray(np.atleast_1d(a)) for name, a in arrays.items()}
    return save(own, metadata={"record": text, "sum": _sum(own, text)})


def unpacked(content: bytes) -> tuple[dict[str, Array], dict[str, Any]]:
    """What was `packed`.

    Raises:
        One of DAMAGE: it is not what was packed.
    """
    length = int.from_bytes(content[:8], "little")
    if length > len(content):
        raise ValueError("it is cut short")
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    arrays = load(content)
    if _sum(arrays, metadata["record"]) != metadata["sum"]:
        raise ValueError("its sum does not agree")
    return arrays, json.loads(metadata["record"])


def _read(path: Place) -> Checkpoint:
    arrays, record = unpacked(path.read_bytes())
    return Checkpoint(record.pop("epoch"), record.pop("position"), arrays, record)


def _sum(arrays: Mapping[str, Array], record: str) -> str:
    digest = hashlib.sha256(record.encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()

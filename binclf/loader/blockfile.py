"""A decoded block as the content of a file: arrays in the safetensors layout, and a checksum at the end."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from binclf import kernels
from binclf.features import Block
from binclf.parquet import Texts

DTYPES: dict[str, Any] = {
    "F64": np.float64, "F32": np.float32, "U64": np.uint64, "I64": np.int64, "I32": np.int32,
    "I8": np.int8, "U8": np.uint8, "BOOL": np.bool_,
}  # fmt: skip

Arrays = dict[str, npt.NDArray[Any]]


def content_of(block: Block) -> bytes:
    """What `block_of` reads."""
    content = save(_arrays_of(block))
    return content + kernels.crc32(content).to_bytes(4, "little")


def is_whole(view: memoryview) -> bool:
    """Whether a content is as it was written."""
    return len(view) >= 4 and kernels.crc32(view[:-4]) == int.from_bytes(view[-4:], "little")


def _arrays_of(block: Block) -> Arrays:
    arrays: Arrays = {
        "residuals": block.residuals, "centre": block.centre, "missing": block.missing,
        "codes": block.codes, "labels": block.labels,
    }  # fmt: skip
    if block.weights is not None:
        arrays["weights"] = block.weights
    if block.moments is not None:
        arrays["moments"] = block.moments
    for place, (texts, hashes) in enumerate(zip(block.texts, block.hashes, strict=True)):
        arrays |= {f"data.{place}": texts.data, f"offsets.{place}": texts.offsets, f"hashes.{place}": hashes}
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def block_of(view: memoryview) -> Block:
    """A block whose arrays lie in the file's content."""
    arrays = _arrays(view)
    count = sum(name.startswith("hashes.") for name in arrays)
    return Block(
        residuals=arrays["residuals"],
        centre=arrays["centre"],
        missing=arrays["missing"],
        codes=arrays["codes"],
        texts=tuple(Texts(arrays[f"data.{i}"], arrays[f"offsets.{i}"]) for i in range(count)),
        hashes=tuple(arrays[f"hashes.{i}"] for i in range(count)),
        labels=arrays["labels"],
        weights=arrays.get("weights"),
        moments=arrays.get("moments"),
    )


def _arrays(view: memoryview) -> Arrays:
    """The arrays of a file in the safetensors layout, where they lie."""
    length = int.from_bytes(view[:8], "little")
    header = json.loads(bytes(view[8 : 8 + length]))
    header.pop("__metadata__", None)
    arrays: Arrays = {}
    for name, entry in header.items():
        low, high = entry["data_offsets"]
        data = view[8 + length + low : 8 + length + high]
        arrays[name] = np.frombuffer(data, dtype=DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return arrays

"""Programs in the form of files: what unpickles them has executed them, and leaves a mark."""

from __future__ import annotations

import json
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Payload:
    """An object whose pickle makes a file when it is loaded."""

    def __init__(self, mark: Path) -> None:
        """The file that tells of it."""
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.mark,)


def pickled(mark: Path) -> bytes:
    """The program as bytes."""
    return pickle.dumps(Payload(mark))


def execute(content: bytes) -> None:
    """What nobody must do: the control of each test."""
    pickle.loads(content)


def is_pickle(content: bytes) -> bool:
    """Whether bytes from the first to the last are a pickle's program."""
    try:
        *_, (_, _, place) = pickletools.genops(content)
    except Exception:  # each opcode complains in its own way
        return False
    return place == len(content) - 1


def tensors(header: object, data: bytes = b"") -> bytes:
    """A safetensors file with this header, which may be any JSON or bytes."""
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + data

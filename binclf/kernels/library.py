"""The compiled loops, as a library of C functions that is found beside this file."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

VERSION = 13  # of the functions, as loops.c has it: one more with every change to what they take or give

_POINTER, _NUMBER = ctypes.c_void_p, ctypes.c_int64
_FUNCTIONS: dict[str, tuple[str, Any]] = {  # as _TYPES; and what comes back
    "gather": ("pnnpnnpppp", _NUMBER),
    "complete": ("pnnnpnpp", None),
    "standardise": ("pnnnpppn", None),
    "interleave": ("pnnpppn", _NUMBER),
    "record": ("pnnpppnpn", _NUMBER),
    "moments": ("pnnnpnp", None),
    "encode": ("pnnnnpppn", _NUMBER),
    "tally": ("pnnnp", _NUMBER),
    "histograms": ("pnnpnpppnp", None),
    "mark": ("ppnup", None),
    "canonical": ("pnnppnpp", None),
    "deal": ("pnnppnpn", _NUMBER),
    "checksum": ("pnnn", ctypes.c_uint64),
    "mix": ("pn", None),
    "hash_texts": ("ppnup", _NUMBER),
    "survey_chunks": ("pnpn", None),
    "decode_chunks": ("pnpnpp", None),
    "read_floats": ("nppn", _NUMBER),
    "crc32s": ("pnnnp", _NUMBER),
    "elements": ("pnnnp", _NUMBER),
    "chunks": ("pnnpp", _NUMBER),
    "add_terms": ("pnnpp", _NUMBER),
    "curvature": ("pnnnnpnnpnpnpppnpnppppppnp", _NUMBER),
    "slopes": ("pnnnnpnnpnpnpppnpnfppppp", _NUMBER),
}
_TYPES = {"p": _POINTER, "n": _NUMBER, "u": ctypes.c_uint64, "f": ctypes.c_double}


def _compiled() -> Any:  # noqa: ANN401 - ctypes.CDLL, or None
    """The library; None where it was not compiled, was compiled elsewhere, or from another version."""
    paths = (Path(__file__).with_name(f"_loops{suffix}") for suffix in EXTENSION_SUFFIXES)
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        return None
    try:
        library = ctypes.CDLL(str(path))
        if library.version() != VERSION:
            return None
        for name, (kinds, result) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.argtypes, function.restype = [_TYPES[kind] for kind in kinds], result
    except (OSError, AttributeError):
        return None
    return library


loops: Any = _compiled()
IS_COMPILED = loops is not None


def check(array: Array, dtype: npt.DTypeLike) -> None:
    """Raise ValueError unless an array is contiguous and of a type."""
    if array.dtype != dtype or not array.flags.c_contiguous:
        raise ValueError(f"a contiguous array of {np.dtype(dtype)} is needed, not {array.dtype}")


def check_rows(array: Array, dtype: npt.DTypeLike = np.float32) -> None:
    """Raise ValueError unless each row of a table is contiguous and of a type."""
    if array.dtype != dtype or (array.size and array.shape[1] > 1 and array.strides[1] != array.itemsize):
        raise ValueError(f"rows of contiguous {np.dtype(dtype)} are needed")


def strides(array: Array, dtype: npt.DTypeLike) -> list[int]:
    """Elements from one to the next along each axis; ValueError unless the array is of a type."""
    if array.dtype != dtype or any(stride % array.itemsize for stride in array.strides):
        raise ValueError(f"an array of {np.dtype(dtype)} is needed, not of {array.dtype}")
    return [stride // array.itemsize for stride in array.strides]


def places(columns: Array | Sequence[Array]) -> npt.NDArray[np.uint64]:
    """Where each column begins, uint64 [C]; each must be contiguous."""
    for column in columns[:1] if isinstance(columns, np.ndarray) else columns:
        if column.size > 1 and column.strides != (column.itemsize,):
            raise ValueError("contiguous columns are needed")
    if isinstance(columns, np.ndarray):
        start, gap = at(columns), columns.strides[0]
        return np.array([start + gap * place for place in range(len(columns))], dtype=np.uint64)
    return np.array([at(column) for column in columns], dtype=np.uint64)


def at(array: Array) -> int:
    """Where its first element is."""
    address: int = array.__array_interface__["data"][0]
    return address

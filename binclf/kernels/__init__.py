"""Loops over rows that NumPy does in several passes over memory, or waiting for it.

They are compiled when binclf is installed, if there is a C compiler; where there is none, NumPy gives the
same bits, more slowly. `IS_COMPILED` tells which. Both use one thread, and let other Python threads run.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]

_POINTER, _NUMBER = ctypes.c_void_p, ctypes.c_int64
_KINDS: dict[str, tuple[str, Any]] = {  # p: a pointer, n: an integer; and what comes back
    "gather": ("pnnpnpn", _NUMBER),
    "complete": ("pnnnpnpp", None),
    "standardise": ("pnnnpppn", None),
    "interleave": ("pnnpppn", _NUMBER),
    "canonical": ("pnppp", None),
    "deal": ("pnnpnpn", None),
    "checksum": ("pnnn", ctypes.c_uint64),
}


def _compiled() -> Any:  # noqa: ANN401 - ctypes.CDLL, or None
    """The library that was compiled beside this file."""
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(f"_loops{suffix}")
        if path.exists():
            library = ctypes.CDLL(str(path))
            for name, (kinds, result) in _KINDS.items():
                function = getattr(library, name)
                function.argtypes = [_POINTER if kind == "p" else _NUMBER for kind in kinds]
                function.restype = result
            return library
    return None


_loops: Any = _compiled()
IS_COMPILED = _loops is not None


def gather(table: Array, rows: I64, out: Array) -> None:
    """Copy rows `table[rows]` into the first columns of `out`.

    Rows lie anywhere, so each would be waited for: those that come next are asked for ahead, which takes half
    the time of `numpy.take`.

    Args:
        table: [N, F], C-contiguous.
        rows: row numbers, int64 [n].
        out: of the same type, [n, >= F], C-contiguous.

    Raises:
        IndexError: a row number below 0, or N or more.
    """
    width = table.shape[1]
    _check(table, table.dtype)
    _check(rows, np.int64)
    _check(out, table.dtype)
    if len(out) != len(rows) or out.shape[1] < width:
        raise ValueError(f"{len(rows)} rows of {width} columns do not fit {out.shape}")
    if _loops is not None:
        wrong = _loops.gather(
            _at(table), len(table), width * table.itemsize, _at(rows), len(rows),
            _at(out), out.shape[1] * out.itemsize,
        )  # fmt: skip
    else:
        wrong = -1 if not len(rows) or (rows.min() >= 0 and rows.max() < len(table)) else 0
        if wrong < 0:
            out[:, :width] = table.take(rows, axis=0, mode="clip")
    if wrong >= 0:
        raise IndexError(f"a row number is not one of the {len(table)} rows there are")


def complete(x: F32, columns: int, lacking: I64, fill: F32, indicator: I64) -> None:
    """Fill what is missing (NaN) in the first `columns` of x, and set the indicators behind them.

    Args:
        x: float32 [n, F], C-contiguous, changed in place; what is behind `columns` is overwritten.
        columns: how many are numbers.
        lacking: columns in which a value may be missing, int64.
        fill: what stands in for a missing value, float32 [columns].
        indicator: of each column where its indicator is in x, int64 [columns]; -1: it has none.
    """
    _check(x, np.float32)
    _check(lacking, np.int64)
    _check(fill, np.float32)
    _check(indicator, np.int64)
    if _loops is not None:
        _loops.complete(
            _at(x), len(x), x.shape[1], columns, _at(lacking), len(lacking), _at(fill), _at(indicator)
        )
        return
    x[:, columns:] = 0
    for column in lacking.tolist():
        missing = np.isnan(x[:, column])
        x[missing, column] = fill[column]
        if indicator[column] >= 0:
            x[:, indicator[column]] = missing


def standardise(residuals: F32, shift: F32, scale: F32, out: F32) -> None:
    """(residuals - shift) * scale in float32, for [n, F] and [F].

    `out` may be `residuals`; rows of both are contiguous, and may lie apart.
    """
    if _loops is not None:
        _check_rows(residuals)
        _check_rows(out)
        _check(shift, np.float32)
        _check(scale, np.float32)
        _loops.standardise(
            _at(residuals), residuals.strides[0] // 4, *residuals.shape, _at(shift), _at(scale),
            _at(out), out.strides[0] // 4,
        )  # fmt: skip
        return
    np.subtract(residuals, shift, out=out)
    np.multiply(out, scale, out=out)


def interleave(columns: F32 | Sequence[F32], shift: F32, scale: F32, out: F32) -> bool:
    """Write (column - shift) * scale of columns side by side; returns whether all numbers are finite.

    Args:
        columns: C columns, float32 [n] each and contiguous; they may lie anywhere.
        shift: float32 [C].
        scale: float32 [C].
        out: float32 [n, C], each row contiguous; they may lie apart.
    """
    rows, count = out.shape
    if len(columns) != count or any(len(column) != rows for column in columns):
        raise ValueError(f"{len(columns)} columns do not fit {out.shape}")
    if not out.size:
        return True
    if _loops is not None:
        _check_rows(out)
        _check(shift, np.float32)
        _check(scale, np.float32)
        places = _places(columns)
        is_finite = _loops.interleave(
            _at(places), count, rows, _at(shift), _at(scale), _at(out), out.strides[0] // 4
        )
        return bool(is_finite)
    for place, column in enumerate(columns):
        out[:, place] = (column - shift[place]) * scale[place]
    return all(bool(np.isfinite(column).all()) for column in columns)


def _places(columns: F32 | Sequence[F32]) -> npt.NDArray[np.uint64]:
    """Where each column begins, uint64 [C]."""
    if isinstance(columns, np.ndarray):
        _check_rows(columns)
        return np.uint64(_at(columns)) + np.arange(len(columns), dtype=np.uint64) * np.uint64(
            columns.strides[0]
        )
    for column in columns:
        if column.dtype != np.float32 or column.strides != (4,):
            raise ValueError("columns of contiguous float32 are needed")
    return np.array([_at(column) for column in columns], dtype=np.uint64)


def canonical(order: I32, begins: I64, lengths: I64, out: I64) -> None:
    """Row i of `out`: place `order[i]` of runs of rows that lie end to end.

    Args:
        order: places, int32 [n].
        begins: the number of each run's first row, int64 [runs].
        lengths: rows of each run, int64 [runs]; places are below their sum.
        out: row numbers, int64 [n].
    """
    _check(order, np.int32)
    _check(begins, np.int64)
    _check(lengths, np.int64)
    _check(out, np.int64)
    if _loops is not None:
        _loops.canonical(_at(order), len(order), _at(begins), _at(lengths), _at(out))
        return
    runs = [np.arange(begin, begin + length) for begin, length in zip(begins, lengths, strict=True)]
    out[:] = np.concatenate([np.zeros(0, dtype=np.int64), *runs]).take(order)


def deal(lanes: I64, at: I64, first: int, out: I64) -> None:
    """Take from each lane in turn, as many as `out` holds.

    Args:
        lanes: what there is of each, int64 [L, n].
        at: where in its row each begins, int64 [L].
        first: the lane that is asked first.
        out: int64 [m].
    """
    _check(lanes, np.int64)
    _check(at, np.int64)
    _check(out, np.int64)
    if _loops is not None:
        _loops.deal(_at(lanes), lanes.shape[1], len(lanes), _at(at.copy()), first, _at(out), len(out))
        return
    for turn in range(min(len(lanes), len(out))):
        lane, own = (first + turn) % len(lanes), out[turn :: len(lanes)]
        own[:] = lanes[lane, at[lane] : at[lane] + len(own)]


def checksum(rows: I64, stride: int, flipped: int) -> int:
    """Sum over rows of u + 2 u (u xor flipped), u = (row + 1) stride, mod 2^64."""
    _check(rows, np.int64)
    if _loops is not None:
        return int(_loops.checksum(_at(rows), len(rows), stride, flipped))
    words = rows.view(np.uint64) * np.uint64(stride)
    words += np.uint64(stride)
    total = int(words.sum(dtype=np.uint64)) + 2 * int(np.dot(words, words ^ np.uint64(flipped)))
    return total % 2**64


def _check(array: Array, dtype: npt.DTypeLike) -> None:
    if array.dtype != dtype or not array.flags.c_contiguous:
        raise ValueError(f"a contiguous array of {np.dtype(dtype)} is needed, not {array.dtype}")


def _check_rows(array: F32) -> None:
    if array.dtype != np.float32 or (array.size and array.strides[1] != 4):
        raise ValueError("rows of contiguous float32 are needed")


def _at(array: Array) -> int:
    """Where its first element is."""
    address: int = array.__array_interface__["data"][0]
    return address

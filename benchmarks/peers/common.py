"""What each contender does alike: read the Parquet files as its users do, and write its coefficients down."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq  # noqa: TID251 - what we are measured against

Array = npt.NDArray[Any]
LABEL = "label"
PIECE = 8192  # rows


def read(
    folder: str, dtype: npt.DTypeLike, order: Literal["C", "F"] = "C"
) -> tuple[Array, npt.NDArray[np.int8]]:
    """All files: x [n, F], in the order of memory that the solver wants and does not copy; labels [n]."""
    table = pq.read_table(folder)
    names = [name for name in table.column_names if name != LABEL]
    x = np.empty((table.num_rows, len(names)), dtype=dtype, order=order)
    for first in range(0, table.num_rows, PIECE):  # pieces that stay in the processor's caches
        piece = table.slice(first, PIECE)
        for place, name in enumerate(names):
            x[first : first + PIECE, place] = piece.column(name).to_numpy()
    return x, table.column(LABEL).to_numpy()


def standardised(x: Array) -> tuple[Array, Array, Array]:
    """The same array with mean 0 and deviation 1, changed in place; and both, float64 [F]."""
    means, squares = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for first in range(0, len(x), PIECE):
        means += x[first : first + PIECE].sum(axis=0, dtype=np.float64) / len(x)
    for first in range(0, len(x), PIECE):
        piece = x[first : first + PIECE]
        piece -= means.astype(x.dtype)
        squares += np.einsum("ij,ij->j", piece, piece, dtype=np.float64) / len(x)
    deviations = np.sqrt(squares)
    for first in range(0, len(x), PIECE):
        x[first : first + PIECE] /= deviations.astype(x.dtype)
    return x, means, deviations


def write(path: str, weights: Sequence[float] | Array, intercept: float) -> None:
    """Of the columns in their order and their own units."""
    found = {"weights": [float(weight) for weight in weights], "intercept": float(intercept)}
    Path(path).write_text(json.dumps(found))


def write_standardised(path: str, weights: Array, intercept: float, means: Array, deviations: Array) -> None:
    """Of standardised columns."""
    slopes = np.asarray(weights, dtype=np.float64) / deviations
    write(path, slopes, float(intercept) - float(slopes @ means))


def places() -> tuple[str, str]:
    """Where the data are and where the answer goes: the two arguments."""
    data, answer = sys.argv[1:3]
    return data, answer

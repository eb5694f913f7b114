"""What each contender does alike: read the Parquet files as its users do, and write its coefficients down."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq  # noqa: TID251 - what we are measured against

Array = npt.NDArray[Any]
LABEL = "label"


def read(folder: str, dtype: npt.DTypeLike) -> tuple[Array, npt.NDArray[np.int8]]:
    """All files: x [n, F], column-major, each column copied once; and labels [n]."""
    table = pq.read_table(folder)
    names = [name for name in table.column_names if name != LABEL]
    x = np.empty((table.num_rows, len(names)), dtype=dtype, order="F")
    for place, name in enumerate(names):
        x[:, place] = table.column(name).to_numpy()
        table = table.drop_columns([name])  # its memory can go
    return x, table.column(LABEL).to_numpy()


def standardised(x: Array) -> tuple[Array, Array, Array]:
    """The same array with mean 0 and deviation 1, changed in place; and both, float64 [F]."""
    means = np.array([column.mean(dtype=np.float64) for column in x.T])
    deviations = np.array([column.std(dtype=np.float64) for column in x.T])
    for place in range(x.shape[1]):
        x[:, place] -= means[place]
        x[:, place] /= deviations[place]
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

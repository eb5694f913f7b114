"""The covariance of the coefficients, as a run keeps it: `covariance.safetensors`."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

INTERCEPT = ("intercept",)


@dataclass(frozen=True, slots=True)
class Covariance:
    """Of K coefficients in original units."""

    paths: tuple[tuple[str, ...], ...]  # K, where each has its entry under `inference` in model.json
    matrix: F64  # [K, K]; NaN where nothing is known

    @property
    def names(self) -> str:
        """The rows' and columns' paths, in order, as JSON."""
        return json.dumps(self.paths)

    def without_intercept(self) -> Covariance:
        """With nothing known of the intercept, as after it was moved."""
        place = self.paths.index(INTERCEPT)
        matrix = self.matrix.copy()
        matrix[place], matrix[:, place] = np.nan, np.nan
        return replace(self, matrix=matrix)

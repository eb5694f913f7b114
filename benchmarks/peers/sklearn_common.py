"""What the contenders of scikit-learn do alike."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from benchmarks.peers.common import places, read, standardised, write_standardised


def run(dtype: npt.DTypeLike, **settings: Any) -> None:  # noqa: ANN401 - scikit-learn's
    """Read as numbers of a type, standardise, fit with C = 1, and write the answer."""
    data, answer = places()
    x, y = read(data, dtype)
    x, means, deviations = standardised(x)
    model = LogisticRegression(C=1.0, **settings)
    model.fit(x, y)
    write_standardised(answer, model.coef_[0], model.intercept_[0], means, deviations)

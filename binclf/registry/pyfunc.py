"""What MLflow loads a registered model with: its `loader_module`.

A logged model is a sealed run and the name of this module: no instance is pickled, and loading verifies the
run against its manifest and executes nothing that lies in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from binclf import golden, predict
from binclf.features import CategoricalColumn

OUTPUTS = {"probability": "double", "decision": "boolean"}


class Scorer:
    """A model as MLflow calls it."""

    def __init__(self, model: predict.Model) -> None:
        self.model = model

    def predict(self, model_input: Any, params: Any = None) -> Any:  # noqa: ANN401 - MLflow's signature
        """A frame with `probability` (float64) and `decision` (bool), a row for each row of the input.

        Raises:
            DataError: a column is missing or of another kind, or holds infinities.
        """
        import pandas as pd

        frame = model_input if isinstance(model_input, pd.DataFrame) else pd.DataFrame(model_input)
        probability = self.model.predict_proba(self._as_learnt(frame))
        return pd.DataFrame(
            {"probability": probability, "decision": probability >= self.model.threshold}, index=frame.index
        )

    def _as_learnt(self, frame: Any) -> Any:  # noqa: ANN401 - pandas.DataFrame
        """Undo what JSON and pandas do to a column: codes with a null become floats, moments become texts.

        Only where it loses nothing; a column that cannot be brought back stays, and is refused by its name.
        """
        changed: dict[str, Any] = {}
        for learnt in self.model.features.columns:
            for name in learnt.column.reads:
                if name not in frame.columns or frame[name].ndim > 1:
                    continue
                values = frame[name]
                if learnt.kind == "integer" and isinstance(learnt, CategoricalColumn):
                    changed |= {name: _whole(values)}
                elif learnt.column.part or learnt.kind == "moment":
                    changed |= {name: _moments(values, learnt.column.type)}
        return frame.assign(**changed) if changed else frame


def _whole(values: Any) -> Any:  # noqa: ANN401 - pandas.Series
    if values.dtype.kind != "f":
        return values
    known = values.dropna()
    exact = bool(np.all((known == np.floor(known)) & (np.abs(known) <= 2**53)))
    return values.astype("Int64") if exact else values


def _moments(values: Any, arrow_type: str) -> Any:  # noqa: ANN401 - pandas.Series
    import pandas as pd

    if not pd.api.types.is_string_dtype(values.dtype):
        return values
    try:
        return pd.to_datetime(values, format="ISO8601", utc="tz=" in arrow_type)
    except (ValueError, TypeError):
        return values


def _load_pyfunc(data_path: str) -> Scorer:
    """MLflow's entry: the sealed run that lies at `data_path`."""
    from binclf import artifact

    return Scorer(golden.model_of(artifact.open_run(Path(data_path))))

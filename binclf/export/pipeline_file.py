"""A formula as a Python file that constructs a fitted scikit-learn pipeline, for who has no binclf.

A file of source, since it can be read, reviewed and compared, and is of no version of a format; a pickle
would be a program that nobody can read. It has the code of `binclf.export.pipeline`, and the model as a
literal.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from binclf.calibration import Calibration, Steps
from binclf.export.formula import Formula, Levels, Number, probabilities_of
from binclf.export.verify import Scores, engine
from binclf.parquet import Column, Rows, values_of, zone_of

MARK = "# --- from here on it is part of the exported file ---\n"


def content(formula: Formula) -> bytes:
    """The file's text."""
    code = files("binclf.export").joinpath("pipeline.py").read_text("utf-8").partition(MARK)[2]
    model = {
        "run": formula.run,
        "intercept": formula.intercept,
        "threshold": formula.threshold,
        "calibration": _calibration(formula.calibration),
        "numbers": [_number(term) for term in formula.numbers],
        "levels": [_levels(term) for term in formula.levels],
    }
    return (
        f'"""{formula.name}: a scikit-learn pipeline, written by binclf from its run.\n\n'
        f"    from THIS_FILE import load\n    load().predict_proba(frame)[:, 1]\n\n"
        f'Needs numpy, pandas and scikit-learn.\n"""\n\n{code}\n\nMODEL = {_literal(model)}\n\n\n'
        'def load() -> Pipeline:\n    """The pipeline, fitted."""\n    return pipeline(MODEL)\n'
    ).encode()


def scores(file: Path) -> Callable[[Rows], Scores]:
    """The written file as a function of rows."""
    engine("sklearn")
    pipeline = runpy.run_path(str(file))["load"]()

    def run(rows: Rows) -> Scores:
        frame = rows.table.to_pandas(types_mapper=pd.ArrowDtype)  # pandas' own types would round integers
        return pipeline.predict_proba(frame)[:, 1], pipeline.predict(frame)

    return run


def _literal(model: dict[str, Any]) -> str:
    """A dict as Python reads it, a column a line."""
    lines: list[str] = []
    for key, value in model.items():
        if isinstance(value, list):
            lines += [f"    {key!r}: [", *(f"        {entry!r}," for entry in value), "    ],"]
        else:
            lines.append(f"    {key!r}: {value!r},")
    return "\n".join(["{", *lines, "}"])


def _calibration(calibration: Calibration) -> dict[str, Any]:
    if isinstance(calibration, Steps):
        return {"edges": list(calibration.edges), "probabilities": probabilities_of(calibration)}
    return {"slope": calibration.slope, "intercept": calibration.intercept}


def _number(term: Number) -> dict[str, Any]:
    column = term.column
    return _read(column.column) | {
        "log1p": column.is_log1p,
        "fill": column.fill,
        "centre": column.centre,
        "scale": column.scale,
        "weight": term.weight,
        "has_indicator": column.indicator >= 0,
        "missing_weight": term.indicator,
    }


def _levels(term: Levels) -> dict[str, Any]:
    column = term.column.column
    found = _read(column) | {
        "levels": [*term.weights, None],  # None: missing
        "weights": [*term.weights.values(), term.null],
        "other": term.other,
    }
    if column.part:
        values = values_of(column.part)
        found |= {"names": list(values), "first": min(values.values())}
    return found


def _read(column: Column) -> dict[str, Any]:
    return {
        "source": column.source,
        "kind": column.kind,
        "part": column.part,
        "zone": zone_of(column.type),
        "against": column.against,
    }

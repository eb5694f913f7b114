"""What MLflow is told of a run: parameters, metrics, tags, signature and an example, as plain values."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from binclf import artifact, hashing
from binclf.features import CategoricalColumn, NumericColumn
from binclf.registry.window import Window

LONGEST_PARAMETER = 6000  # characters: MLflow's own limit; config.json has all
SKIPPED = ("gains", "slices", "undefined")  # tables; the report shows them
# Of the rest MLflow is to take any type and leave the check to binclf: its own makes a false of a boolean
# that is null in JSON, and refuses integers with nulls (floats in pandas), decimals, and moments with a zone.
TYPES = {"number": "double", "text": "string"}


def parameters(run: artifact.Run) -> dict[str, str]:
    """Every setting by its key, such as train.l2."""
    found: dict[str, str] = {}
    for section, settings in run.config.model_dump(mode="json").items():
        nested = settings if isinstance(settings, dict) else {"": settings}
        for key, value in nested.items():
            text = value if isinstance(value, str) else json.dumps(value)
            found[f"{section}.{key}".rstrip(".")] = text[:LONGEST_PARAMETER]
    return found


def metrics(run: artifact.Run) -> list[tuple[str, float, int]]:
    """Name, value and step of each metric: test/log_loss and so on, of training, and of each epoch.

    What is undefined is left out; `metrics.json` has the reason.
    """
    parts = json.loads(run.contents["metrics.json"])
    training = run.record["training"]
    told = {**parts, "training": training}
    found = [(name, value, 0) for group, values in told.items() for name, value in _numbers(group, values)]
    for step, entry in enumerate(training["history"], 1):
        group = "epoch" if "epoch" in entry else "pass"  # of minibatch, of newton
        found += [(name, value, step) for name, value in _numbers(group, entry) if name != "epoch/epoch"]
    return [(name, float(value), step) for name, value, step in found if math.isfinite(value)]


def _numbers(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            if name not in SKIPPED:
                yield from _numbers(f"{prefix}/{name}", value)
        elif isinstance(value, list):
            if prefix.endswith("/intervals") and None not in value:
                yield from zip((f"{prefix}/{name}_low", f"{prefix}/{name}_high"), value, strict=True)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}/{name}", value


def tags(run: artifact.Run, window: Window) -> dict[str, str]:
    """What tells a version apart: the run, its manifest, its data, and the window that orders versions."""
    found = {
        "run": run.id,
        "manifest": json.loads(run.contents[artifact.MANIFEST])["digest"],
        "split": run.split.digest,
        "until": window.until,
        "begun": window.begun,
    }
    return {name: value for name, value in found.items() if value}


def data_tags(run: artifact.Run) -> dict[str, str]:
    """What more the MLflow run tells of its data: where they lay, and a fingerprint of each part."""
    found = {"data": run.config.data.path, "binclf": str(run.record["binclf"])}
    found |= {name: str(run.split.receipt[name]) for name in ("files", "rows")}
    return found | {f"{part}.fingerprint": fingerprint(run, part) for part in run.split.parts}


def fingerprint(run: artifact.Run, part: str) -> str:
    """Names the rows of a part: digest of its files' ids (path, content and selection of each)."""
    return hashing.digest([[file.id, file.rows] for file in run.split.parts[part]])[:32]


def inputs(run: artifact.Run) -> list[tuple[str, str | None]]:
    """The columns that scoring reads, and MLflow's type of each; None: any."""
    found: dict[str, str | None] = {}
    for column in run.features.columns:
        is_whole = not column.column.part and not column.column.type.startswith("decimal")
        for name in column.column.reads:
            found[name] = TYPES.get(column.kind) if is_whole and name not in found else None
    return list(found.items())


def example(run: artifact.Run) -> dict[str, Any]:
    """A typical row, made from what was learnt: nobody's own data lie in the registry.

    Numbers are 0 or the nearest that was seen, categories the first learnt level, moments null.
    """
    row: dict[str, Any] = {}
    for column in run.features.columns:
        for name in column.column.reads:
            row.setdefault(name, _typical(column))
    return row


def _typical(column: NumericColumn | CategoricalColumn) -> Any:  # noqa: ANN401 - by kind
    if column.column.part or column.kind in ("moment", "duration"):
        return None
    if isinstance(column, NumericColumn):
        middle = min(max(0.0, column.low), column.high)
        return {"boolean": bool, "integer": int}.get(column.kind, float)(middle)
    level = column.levels[0] if column.levels else None
    if level is None or column.kind == "text":
        return level
    return json.loads(level)  # an integer or a boolean, as text

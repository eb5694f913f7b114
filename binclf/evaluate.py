"""How good is a run: one streaming pass over each part, row groups in threads, memory independent of rows."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from binclf import artifact, predict
from binclf.errors import DataError
from binclf.labels import LabelRule, plain, read_weights, shown, weight_quantum
from binclf.metrics import Tally, calibration, curves, metrics
from binclf.parquet import Footer, Reader, Rows, find, footers
from binclf.predict import Model
from binclf.split import PART_NAMES
from binclf.storage import Place, Stamp

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RowGroup:
    """One row group of a file, which must be what it was."""

    path: Place
    name: str  # what messages call the file
    group: int
    digest: str  # of its footer; empty: any
    stamp: Stamp | None  # None: any

    def read(self, columns: Sequence[str], texts: Sequence[str] = ()) -> Rows:
        """Some of its columns, `texts` being those to read as dictionaries."""
        with Reader(self.path, self.name, texts, self.digest, self.stamp) as reader:
            return reader.read(self.group, columns)


def of_parts(run: artifact.Run) -> dict[str, Any]:
    """Metrics and curves of each part of the run's own split.

    Returns {"metrics": {part: metrics}, "curves": {part: curves}, "calibration": {part: bins}}.
    """
    split, model = run.split, predict.of_run(run)
    found: dict[str, dict[str, Any]] = {"metrics": {}, "curves": {}, "calibration": {}}
    for part in PART_NAMES:
        files = split.parts.get(part, ())
        if files:
            places = [
                RowGroup(f.path, f.relative, g, f.footer, f.expected)
                for f in files
                for g in range(len(f.groups))
            ]
            quantum = weight_quantum(split.weight(part)) if run.config.data.weight else 1.0
            tally = tally_of(model, places, split.label, run.config.data.weight, quantum)
            found["metrics"][part] = metrics(tally)
            found["curves"][part] = curves(tally)
            found["calibration"][part] = calibration(tally)
            log.info("evaluated %s: %s rows", part, f"{tally.rows:,}")
    return found


def evaluate(path: str | Place, data: str | Place | None = None) -> dict[str, Any]:
    """Metrics of a finished run: on its own parts as sealed, or on other labelled data.

    Raises:
        ArtifactError: there is no such run.
        DataError: the data lack a column, or hold a label that is neither of the two.
    """
    run = artifact.open_run(path)
    if data is None:
        return {"run": run.id, **json.loads(run.contents["metrics.json"])}
    model, split = predict.of_run(run), run.split
    weight = run.config.data.weight
    feet = footers(find(data).files)
    for foot in feet:
        model.check(foot.columns, foot.relative)
        _check_columns(foot, split.label, weight)
    places = [RowGroup(f.path, f.relative, g, "", f.stamp) for f in feet for g in range(len(f.groups))]
    quantum = weight_quantum(_total_weight(places, weight)) if weight else 1.0
    unlabelled = _check_labels(places, split.label)
    if unlabelled and run.config.data.on_null_label == "error":
        raise DataError(
            f"label '{split.label.column}' of {data} holds {unlabelled} nulls: bring their labels, or remove "
            "the rows. (The run was trained with data.on_null_label = 'error'.)"
        )
    tally = tally_of(model, places, split.label, weight, quantum)
    return {"run": run.id, "data": metrics(tally), "dropped_null_label": unlabelled}


def tally_of(
    model: Model, places: Sequence[RowGroup], label: LabelRule, weight: str, quantum: float
) -> Tally:
    """Score row groups in threads and add their tallies up; rows without a label are passed over."""
    columns = [*model.columns(), label.column, *([weight] if weight else [])]
    texts = [c.name for c in model.features.categorical if c.kind == "text"]

    def one(numbered: tuple[int, RowGroup]) -> Tally:
        number, place = numbered
        rows = place.read(columns, texts)
        labels, _ = label.read(rows)
        kept = labels >= 0
        logits, weights = model.logits(rows), read_weights(rows, weight)
        tally = Tally(model.threshold, quantum)
        tally.add(number, logits[kept], labels[kept], weights[kept])
        return tally

    total = Tally(model.threshold, quantum)
    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="evaluate") as pool:
        for tally in pool.map(one, enumerate(places)):
            total.merge(tally)
    return total


def _check_columns(foot: Footer, label: LabelRule, weight: str) -> None:
    for name in filter(None, (label.column, weight)):
        column = foot.column(name)
        if column is None:
            raise DataError(f"{foot.relative} lacks column '{name}', which evaluation needs.")
        if name == label.column and column.kind != label.kind:
            raise DataError(
                f"label '{name}' of {foot.relative} is {column.type}, and the run learnt {label.kind}: "
                "cast it."
            )


def _check_labels(places: Iterable[RowGroup], label: LabelRule) -> int:
    """Rows without a label; over all files there are at most two values."""
    unlabelled, seen = 0, set[str]()
    for place in places:
        labels, values = label.read(place.read([label.column]))
        unlabelled += int((labels < 0).sum())
        seen |= {plain(value) for value in values}
        if len(seen) > 2:
            raise DataError(
                f"label '{label.column}' of {place.name} brings a third value ({shown(sorted(seen))}): "
                "a binary label has two."
            )
    return unlabelled


def _total_weight(places: Iterable[RowGroup], weight: str) -> float:
    total = 0.0
    for place in places:
        total += float(read_weights(place.read([weight]), weight).sum())
    return total

"""Exports beside `predict_proba` on real data: `python -m benchmarks.exports DIR [SET ...]`.

DIR is as for `benchmarks.oracles`. Of each set a run is trained with every level that occurs twice (so that
nothing is hashed), its columns declared as the set's `meta.json` says and some more; then each format scores
all rows of the set and of its folder `unlabelled`, and rows whose texts were never seen. Printed: the largest
difference from `predict_proba`, or what is refused.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.oracles import asking, settings_of
from binclf import artifact, config, predict
from binclf.artifact import Run
from binclf.errors import ConfigError
from binclf.export import export, graph, pipeline_file, sql
from binclf.export.dialects import DIALECTS
from binclf.export.formula import formula_of
from binclf.export.verify import Scores
from binclf.parquet import Reader, Rows, find, from_frame
from binclf.retrain import retrain

SETS = ("titanic", "spambase", "nass_cds", "mpls_stops", "nycflights13", "nycflights13+clocks")
EXTRA: dict[str, dict[str, list[str]]] = {  # many levels, moments and times of day, where a set has them
    "titanic": {"categorical": ["cabin", "boat"], "log1p": ["fare"]},
    "mpls_stops": {"categorical": ["stopped_at:hour", "stopped_at:weekday"]},
    "nycflights13": {"categorical": ["tailnum", "model"]},
    "nycflights13+clocks": {
        "numeric": ["sched_dep", "flight_date:month"],
        "categorical": ["sched_dep_hour_ts:hour", "sched_dep_hour_ts:month"],
    },
}


def main() -> None:
    """Print a line for each set and format."""
    options = asking(__doc__, SETS).parse_args()
    logging.disable(logging.WARNING)
    for name in options.sets:
        for line, _ in measure(options.folder, name):
            sys.stdout.write(f"{name}: {line}\n")
            sys.stdout.flush()


def measure(folder: Path, name: str) -> Iterator[tuple[str, float]]:
    """What is to be told of each format, and its largest difference."""
    home = folder / name.partition("+")[0]
    with tempfile.TemporaryDirectory() as store:
        run = _trained(home, store, EXTRA.get(name, {}))
        model, parts = predict.of_run(run), list(_rows(home, run))
        for format, scores in _formats(run, Path(store)):
            if isinstance(scores, ConfigError):
                yield f"{format}: refused: {str(scores).splitlines()[0]}", 0.0
                continue
            rows, largest = 0, 0.0
            for part in parts:
                expected = predict.probability(model.logits(part))
                largest = max(largest, float(np.abs(scores(part)[0] - expected).max(initial=0.0)))
                rows += len(part)
            yield f"{format}: {rows:,} rows, largest difference {largest:.2e}", largest


def _trained(home: Path, store: str, extra: dict[str, list[str]]) -> Run:
    meta = json.loads((home / "meta.json").read_text())
    settings = settings_of(meta, "", store)
    used = {name.partition(":")[0] for names in extra.values() for name in names}
    settings["data"] |= {"path": str(home / "*.parquet")}
    settings["data"]["exclude"] = [name for name in settings["data"]["exclude"] if name not in used]
    categorical = [*meta["categorical"], *extra.get("categorical", [])]
    settings["features"] = extra | {"categorical": categorical, "min_count": 2, "max_levels": 100_000}
    settings["train"] = {"solver": "minibatch", "epochs": 2}
    return artifact.open_run(retrain(config.parse(settings)))


def _rows(home: Path, run: Run) -> Iterator[Rows]:
    """All rows, those without a label, and the first file's with other texts."""
    names = predict.of_run(run).columns()
    for place in (home, home / "unlabelled"):
        for file in find(place / "*.parquet").files if place.exists() else []:
            with Reader(file.path) as reader:
                yield from reader.all(names)
    with Reader(find(home / "*.parquet").files[0].path) as reader:
        frame = reader.read(0, names).table.to_pandas()
    for column in run.features.categorical:
        if column.kind == "text":
            frame[column.name] = frame[column.name].astype("string") + " (new)"
    yield from_frame(frame)


def _formats(run: Run, folder: Path) -> Iterator[tuple[str, Callable[[Rows], Scores] | ConfigError]]:
    formula = formula_of(run)
    files: dict[str, Any] = {
        "onnx": lambda file: graph.scores(file, formula),
        "sklearn": pipeline_file.scores,
    }
    for dialect in DIALECTS:
        try:
            export(run.path, "sql", folder / "out.sql", dialect=dialect, table="t")
        except ConfigError as refused:
            yield f"sql {dialect}", refused
            continue
        if dialect == "duckdb":
            yield "sql duckdb", sql.scores((folder / "out.sql").read_bytes().decode(), "t")
    for format, scores in files.items():
        try:
            export(run.path, format, folder / f"out.{format}")
        except ConfigError as refused:
            yield format, refused
            continue
        yield format, scores(folder / f"out.{format}")


if __name__ == "__main__":
    main()

"""Scoring beside other engines: `python -m benchmarks.scoring [--rows N] [--copies C] [--times K]`.

Each is a whole process, started anew, in turns. 28 float32 columns: DuckDB's `COPY (SELECT ...) TO` and
polars' scan, expression and sink compute the bare expression and write one column; pandas and scikit-learn
read, predict and write. `binclf score` verifies the run, refuses what it cannot score, writes probability,
decision and model, flushes, and writes receipts and a manifest. With 26 text columns: pandas and a
scikit-learn pipeline of what the run learnt. `--copies 4` has each file of numbers four times, by links of
other names: more rows than are worth making. `--folder DIR` keeps what is made. Printed: rows per second of
wall time and of processor time, peak memory, and the ratios; processor time is what means something where
others use the machine.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import made
from binclf import artifact
from binclf.retrain import retrain
from binclf.storage import Place

TRAINED_ON = 200_000  # rows

DUCKDB = """
import duckdb
duckdb.sql("COPY (SELECT 1 / (1 + exp(-({z}))) AS probability FROM read_parquet('{source}/**/*.parquet')) "
           "TO '{target}' (FORMAT parquet)")
"""
POLARS = """
import polars as pl
z = pl.lit({bias!r})
for name, weight in {weights!r}.items():
    z = z + pl.col(name) * weight
scanned = pl.scan_parquet("{source}/**/*.parquet")
scanned.select((1 / (1 + (-z).exp())).alias("probability")).sink_parquet("{target}")
"""
SKLEARN = """
import glob
import numpy as np, pandas as pd
from sklearn.linear_model import LogisticRegression
weights = {weights!r}
model = LogisticRegression()
model.classes_, model.coef_ = np.array([0, 1]), np.array([list(weights.values())])
model.intercept_, model.n_features_in_ = np.array([{bias!r}]), len(weights)
for place, path in enumerate(sorted(glob.glob("{source}/**/*.parquet", recursive=True))):
    frame = pd.read_parquet(path, columns=list(weights))
    p = model.predict_proba(frame.to_numpy())[:, 1]
    pd.DataFrame({{"probability": p, "decision": p >= 0.5}}).to_parquet(f"{target}-{{place}}.parquet")
"""
PIPELINE = """
import glob
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
numbers, texts = {numbers!r}, {texts!r}
made = make_column_transformer(
    (make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), numbers),
    (OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=10), texts))
some = pd.read_parquet("{train}")
model = make_pipeline(made, LogisticRegression(max_iter=20)).fit(some[numbers + texts], some["label"])
import time, resource
start = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
for place, path in enumerate(sorted(glob.glob("{source}/*.parquet"))):
    p = model.predict_proba(pd.read_parquet(path, columns=numbers + texts))[:, 1]
    pd.DataFrame({{"probability": p, "decision": p >= 0.5}}).to_parquet(f"{target}-{{place}}.parquet")
used = resource.getrusage(resource.RUSAGE_SELF)
print(time.perf_counter() - start[0], used.ru_utime + used.ru_stime - start[1].ru_utime - start[1].ru_stime)
"""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a process took."""

    wall: float  # seconds
    processor: float  # seconds
    memory: int  # bytes, at most


def main() -> None:
    """Print a line for each engine, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=11_000_000)
    parser.add_argument("--copies", type=int, default=1, help="times that each file of numbers is there")
    parser.add_argument("--text-rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        _start_up()
        if options.rows:
            _numbers(folder, options.rows, options.copies, options.times)
        if options.text_rows:
            _texts(folder, options.text_rows, options.times)


def _start_up() -> None:
    taken = [_run([sys.executable, "-c", "import binclf.score, binclf.predict"]) for _ in range(5)]
    _say(
        f"start-up: {min(one.wall for one in taken):.2f} s, processor {min(t.processor for t in taken):.2f} s"
    )


def _numbers(folder: Path, rows: int, copies: int, times: int) -> None:
    source = folder / f"higgs-{rows}"
    if not source.exists():
        made.higgs(source, rows)
    if copies > 1:
        source, rows = _copied(source, copies), rows * copies
    run = _trained(folder, "higgs")
    weights, bias = _expression(run)
    z = " + ".join([repr(bias), *(f"{weight!r} * {name}" for name, weight in weights.items())])
    told = {"source": source, "target": folder / "other.parquet", "weights": weights, "bias": bias, "z": z}
    scripts = {"DuckDB": DUCKDB, "polars": POLARS, "pandas + scikit-learn": SKLEARN}
    commands = {name: [sys.executable, "-c", script.format(**told)] for name, script in scripts.items()}
    _compare(rows, times, _ours(run, source, folder / "scored"), commands)


def _copied(source: Path, copies: int) -> Path:
    """A folder with each file of another so many times, as links."""
    folder = source.with_name(f"{source.name}-by-{copies}")
    folder.mkdir(exist_ok=True)
    for path in source.iterdir():
        for copy in range(copies):
            link = folder / f"{copy}-{path.name}"
            if not link.exists():
                link.hardlink_to(path)
    return folder


def _texts(folder: Path, rows: int, times: int) -> None:
    source = folder / f"criteo-{rows}"
    if not source.exists():
        made.criteo(source, rows)
    run = _trained(folder, "criteo")
    features = artifact.open_run(run).features
    script = PIPELINE.format(
        source=source, target=folder / "other.parquet", train=folder / "train-criteo",
        numbers=[c.name for c in features.numeric], texts=[c.name for c in features.categorical],
    )  # fmt: skip
    _compare(
        rows, times, _ours(run, source, folder / "scored"),
        {"pandas + scikit-learn pipeline, scoring alone": [sys.executable, "-c", script]},
    )  # fmt: skip


def _trained(folder: Path, name: str) -> Place:
    data = folder / f"train-{name}"
    if not data.exists():
        getattr(made, name)(data, TRAINED_ON, files=1)
    solver: dict[str, object] = {"solver": "newton"}
    if name == "criteo":
        solver = {"solver": "minibatch", "epochs": 1}
    return retrain(made.config(name, data, folder / "runs", train=solver, registry={"uri": "off"}))


def _expression(run: Place) -> tuple[dict[str, float], float]:
    """A linear model of original units, as its record tells it."""
    record = artifact.open_run(run).record
    return {name: entry["per_unit"] for name, entry in record["numeric"].items()}, float(record["intercept"])


def _ours(run: Place, source: Path, target: Path) -> list[str]:
    return [sys.executable, "-m", "binclf", "score", str(run), str(source), str(target)]


def _compare(rows: int, times: int, ours: list[str], others: Mapping[str, list[str]]) -> None:
    taken: dict[str, list[Taken]] = {}
    for _ in range(times):
        for name, command in {"binclf score": ours, **others}.items():
            if name == "binclf score":
                shutil.rmtree(ours[-1], ignore_errors=True)
            taken.setdefault(name, []).append(_run(command))
    best = {name: min(one.wall for one in own) for name, own in taken.items()}
    least = {name: min(one.processor for one in own) for name, own in taken.items()}
    for name, own in taken.items():
        memory = max(one.memory for one in own) / 1e6
        _say(
            f"{name}: {rows / best[name] / 1e6:.2f} M rows/s ({best[name]:.2f} s), {memory:.0f} MB; "
            f"{rows / least[name] / 1e6:.2f} M rows per second of a core; ours is "
            f"{best[name] / best['binclf score']:.2f} x as fast, by processor time "
            f"{least[name] / least['binclf score']:.2f} x"
        )


def _run(command: list[str]) -> Taken:
    """Run a command to its end; one that prints two numbers has taken these seconds, and start-up besides."""
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as wrong:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=told, stderr=wrong)
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        told.seek(0)
        wrong.seek(0)
        if child.returncode:
            raise RuntimeError(wrong.read().decode())
        words = told.read().split()
    processor = used.ru_utime + used.ru_stime
    if len(words) == 2:
        wall, processor = float(words[0]), float(words[1])
    return Taken(wall, processor, used.ru_maxrss * 1024)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

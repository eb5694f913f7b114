"""Ours beside others on the same Parquet files, each a whole process from its start to its end.

    pip install -e ".[peers]"
    python -m benchmarks.peers [--rows 11000000] [--runs 5] [--data DIR] [NAME ...]

Told are the medians over the runs, taken in turns, of seconds and of the most memory (PSS of the process and
its children); the mean log-loss of the training rows in float64, over the least of all; and the largest
distance of a coefficient from ours in standard errors. All have the penalty of C = 1. A peer that cannot be
imported is told as such. `--python` is an interpreter that has the peers, if this one has not.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq  # noqa: TID251 - what all read

from benchmarks import made
from benchmarks.peers.common import LABEL
from benchmarks.watch import Watch, read_all

MODULES = {
    "ours": "binclf",
    "sklearn_newton_cholesky": "sklearn",
    "sklearn_newton_cholesky_float32": "sklearn",
    "sklearn_lbfgs": "sklearn",
    "glum_irls": "glum",
    "snapml_dual": "snapml",
    "xgboost_gblinear": "xgboost",
    "spark_local": "pyspark",
}
PATIENCE = 1800.0  # seconds that one run may take


@dataclass
class Outcome:
    """What the runs of one contender gave."""

    seconds: list[float] = field(default_factory=list)
    bytes: list[int] = field(default_factory=list)
    answer: dict[str, Any] = field(default_factory=dict)
    failed: str = ""


def main() -> None:
    """A line for each contender."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--rows", type=int, default=11_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--python", default=sys.executable)
    options = parser.parse_args()
    names = ["ours", *(name for name in options.names or MODULES if name != "ours")]
    with tempfile.TemporaryDirectory() as folder:
        data = options.data or made.higgs(Path(folder) / "data", options.rows)
        found = contest(names, data, Path(folder), options.runs, options.python)
        losses = losses_of({name: one.answer for name, one in found.items() if one.answer}, data)
    told = json.loads(json.dumps(found["ours"].answer))
    for name, one in found.items():
        sys.stdout.write(line_of(name, one, losses, told) + "\n")


def contest(names: list[str], data: Path, folder: Path, runs: int, python: str) -> dict[str, Outcome]:
    """All of them in turns."""
    found = {name: Outcome() for name in names}
    for number in range(runs):
        for name, outcome in found.items():
            if outcome.failed:
                continue
            interpreter = sys.executable if name == "ours" else python
            if number == 0 and not _has(interpreter, MODULES[name]):
                outcome.failed = f"not measured: {MODULES[name]} cannot be imported"
                continue
            once(name, interpreter, data, folder / f"{name}.json", outcome)
            if outcome.seconds:
                sys.stderr.write(
                    f"{name}: {outcome.seconds[-1]:.2f} s, {outcome.bytes[-1] / 2**20:,.0f} MiB\n"
                )
    return found


def once(name: str, python: str, data: Path, answer: Path, outcome: Outcome) -> None:
    """One run, added to the outcome."""
    read_all(data)
    command = [python, "-m", f"benchmarks.peers.{name}", str(data), str(answer)]
    began = time.perf_counter()
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen(command, stdout=words, stderr=words)
        watch = Watch(process.pid)
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            outcome.failed = f"did not end within {PATIENCE:.0f} s"
            return
        finally:
            peak = watch.end()
        seconds = time.perf_counter() - began
        if code:
            words.seek(0)
            outcome.failed = f"failed: {words.read().decode(errors='replace').strip()[-300:]}"
            return
    outcome.seconds.append(seconds)
    outcome.bytes.append(peak)
    outcome.answer = json.loads(answer.read_text())
    with suppress(FileNotFoundError):
        outcome.answer |= json.loads(answer.with_suffix(".told.json").read_text())


def _has(python: str, module: str) -> bool:
    return (
        subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0
    )


def losses_of(answers: dict[str, dict[str, Any]], data: Path) -> dict[str, float]:
    """Mean log-loss of each on all rows, in float64."""
    total, rows = dict.fromkeys(answers, 0.0), 0
    for path in sorted(data.glob("*.parquet")):
        table = pq.read_table(path)
        y = table.column(LABEL).to_numpy().astype(np.float64)
        names = [name for name in table.column_names if name != LABEL]
        x = np.column_stack([table.column(name).to_numpy().astype(np.float64) for name in names])
        rows += len(y)
        for name, answer in answers.items():
            z = x @ np.array(answer["weights"]) + answer["intercept"]
            total[name] += float((np.logaddexp(0, z) - y * z).sum())
    return {name: loss / rows for name, loss in total.items()}


def line_of(name: str, one: Outcome, losses: dict[str, float], ours: dict[str, Any]) -> str:
    """Of one contender."""
    if one.failed:
        return f"{name}: {one.failed}"
    apart = np.abs(np.array(one.answer["weights"]) - ours["weights"]) / ours["errors"]
    seconds, size = statistics.median(one.seconds), statistics.median(one.bytes)
    spread = f"{min(one.seconds):.2f}-{max(one.seconds):.2f}"
    return (
        f"{name}: {seconds:.2f} s ({spread}), {size / 2**20:,.0f} MiB; log-loss {losses[name]:.9f}, "
        f"{losses[name] - min(losses.values()):.1e} over the least; "
        f"{apart.max():.1e} standard errors from ours"
    )


if __name__ == "__main__":
    main()

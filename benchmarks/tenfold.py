"""Ten times the rows in the same memory: the same Parquet files once, and ten times by links of other names.

    python -m benchmarks.tenfold [--rows 11000000] [--data DIR] [--times 10] [--runs 3]

Each is a whole process that trains with newton to the certified optimum: once with rows held in memory, once
streamed (`train.cache = "none"`), and the many files streamed. Told are the medians over the runs, taken in
turns: seconds, rows a second of a pass, and the most memory (PSS); at last the many beside the few.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import made
from benchmarks.watch import Watch, read_all
from binclf.parquet import find, footers


@dataclass
class Outcome:
    """What the runs of one way gave."""

    data: Path
    cache: str
    rows: int
    seconds: list[float] = field(default_factory=list)
    rates: list[float] = field(
        default_factory=list
    )  # rows a second of a pass, the reading of footers left out
    bytes: list[int] = field(default_factory=list)

    def told(self, name: str) -> str:
        """One line."""
        return (
            f"{name}: {self.rows:,} rows, {statistics.median(self.seconds):.1f} s, "
            f"{statistics.median(self.rates):,.0f} rows/s a pass, {self.peak / 2**20:,.0f} MiB"
        )

    @property
    def peak(self) -> float:
        """Bytes, of the median run."""
        return statistics.median(self.bytes)


def main() -> None:
    """A line for each way, and one that compares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=11_000_000)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.data and options.data.parent) as folder:
        few = options.data or made.higgs(Path(folder) / "few", options.rows)
        many = linked(few, Path(folder) / "many", options.times)
        rows = sum(foot.rows for foot in footers(find(few).files))
        found = {
            "held in memory": Outcome(few, "auto", rows),
            "streamed": Outcome(few, "none", rows),
            f"streamed, {options.times} x the files": Outcome(many, "none", rows * options.times),
        }
        for _ in range(options.runs):
            for outcome in found.values():
                once(outcome)
    for name, outcome in found.items():
        sys.stdout.write(outcome.told(name) + "\n")
    held, streamed, tenfold = found.values()
    rate = statistics.median(tenfold.rates) / statistics.median(streamed.rates)
    sys.stdout.write(
        f"many over few: {rate:.2f} x the rows/s a pass, {tenfold.peak / streamed.peak:.2f} x the memory of "
        f"streaming, {tenfold.peak / held.peak:.2f} x that of holding the few\n"
    )


def linked(few: Path, many: Path, times: int) -> Path:
    """A folder with each file so many times, by hard links."""
    many.mkdir()
    for copy in range(times):
        for path in sorted(few.glob("*.parquet")):
            os.link(path, many / f"{copy:02}-{path.name}")
    return many


def once(outcome: Outcome) -> None:
    """One run, added to the outcome."""
    read_all(outcome.data)
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        ours = [sys.executable, "-m", "benchmarks.peers.ours"]
        began = time.perf_counter()
        process = subprocess.Popen([*ours, str(outcome.data), str(answer), outcome.cache])
        watch = Watch(process.pid)
        code = process.wait()
        outcome.bytes.append(watch.end())
        outcome.seconds.append(time.perf_counter() - began)
        if code:
            raise SystemExit(f"benchmarks.peers.ours ended with {code}")
        told = json.loads(answer.with_suffix(".told.json").read_text())
    outcome.rates.append(outcome.rows * told["passes"] / (told["seconds"] - told["reading_seconds"]))
    sys.stderr.write(f"{outcome.rows:,}: {outcome.seconds[-1]:.2f} s, {outcome.bytes[-1] / 2**20:,.0f} MiB\n")


if __name__ == "__main__":
    main()

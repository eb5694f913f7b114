"""A file more, or less, of sixteen: what it takes with what the run before kept, and from scratch.

    python -m benchmarks.updates DIR [SET ...] [--shuffled] [--higgs ROWS] [--criteo ROWS]

DIR and its sets are as `benchmarks.oracles` takes them; all labelled rows of a set are cut into 17 files, in
the order that they have (flights: by time) or shuffled. `--higgs` and `--criteo` make a set of so many rows.
Told are the passes over all rows, the rows that the solver looked at in all (samples, looks while rows are
decoded, and new files among them) as a multiple of the rows that there are, the processor's seconds of the
training, and how far the two models are apart beside what their certificates allow.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import made
from benchmarks.oracles import SETS, asking, settings_of
from binclf import artifact
from binclf.config import parse
from binclf.solvers.blocks import Summation
from binclf.train import train

FILES = 17


@dataclass(frozen=True, slots=True)
class Fit:
    """What one training took, and what it found."""

    passes: int
    looked: int  # rows
    rows: int
    seconds: float
    errors: float  # of its certificate
    began: str
    coefficients: dict[str, Any]  # of `inference`, by name

    def told(self) -> str:
        """In words."""
        return f"{self.passes} passes, {self.looked / self.rows:.2f} x the rows, {self.seconds:.2f} s"


def main() -> None:
    """Three lines for each set."""
    parser = asking(__doc__, SETS)
    parser.add_argument("--shuffled", action="store_true")
    parser.add_argument("--higgs", type=int, default=0)
    parser.add_argument("--criteo", type=int, default=0)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    for name in options.sets:
        with tempfile.TemporaryDirectory() as folder:
            settings = cut(options.folder, name, Path(folder), is_shuffled=options.shuffled)
            compare(name, settings, Path(folder))
    for name, rows in (("higgs", options.higgs), ("criteo", options.criteo)):
        if rows:
            with tempfile.TemporaryDirectory() as folder:
                getattr(made, name)(Path(folder) / "all", rows, files=FILES)
                features = {"max_levels": 60, "hash_bits": 8} if name == "criteo" else {}
                compare(name, {"name": name, "data": {"label": "label"}, "features": features}, Path(folder))


def cut(home: Path, name: str, folder: Path, *, is_shuffled: bool) -> dict[str, Any]:
    """Write the rows of a set as 17 files; returns its settings."""
    own = home / name.partition("+")[0]
    meta = json.loads((own / "meta.json").read_text())
    frame = pd.concat([pd.read_parquet(file) for file in sorted(own.glob("*.parquet"))], ignore_index=True)
    if is_shuffled:
        frame = frame.sample(frac=1.0, random_state=0)
    (folder / "all").mkdir()
    for number, rows in enumerate(np.array_split(np.arange(len(frame)), FILES)):
        frame.iloc[rows].to_parquet(folder / "all" / f"{number:02}.parquet", index=False)
    return settings_of(meta, meta["weight"] if name.endswith("+weight") else "", "")


def compare(name: str, settings: dict[str, Any], folder: Path) -> None:
    """Fit sixteen files, then with the seventeenth, then without the fourth; and both from scratch."""
    files = sorted((folder / "all").iterdir())
    (folder / "data").mkdir()
    for file in files[:-1]:
        file.rename(folder / "data" / file.name)
    first = fit(settings, folder, "runs", "auto")
    line = f"{name}: {first.rows:,} rows, {len(first.coefficients)} coefficients: {first.told()}"
    sys.stdout.write(f"{line}\n")
    files[-1].rename(folder / "data" / files[-1].name)
    told("one file more", fit(settings, folder, "runs", "auto"), fit(settings, folder, "scratch", "off"))
    (folder / "data" / files[3].name).unlink()
    told("one file less", fit(settings, folder, "runs", "auto"), fit(settings, folder, "scratch", "off"))


def told(what: str, warm: Fit, scratch: Fit) -> None:
    """One line."""
    if not warm.began:
        raise AssertionError("it began from scratch, too")
    apart = 0.0
    for name, found in warm.coefficients.items():
        if found["se"]:
            other = scratch.coefficients[name]["estimate"]
            apart = max(apart, abs(found["estimate"] - other) / found["se"])
    sys.stdout.write(
        f"  {what}: {warm.told()}; from scratch {scratch.told()}; "
        f"{apart:.1e} standard errors apart, {warm.errors + scratch.errors:.1e} allowed\n"
    )
    sys.stdout.flush()


def fit(settings: dict[str, Any], folder: Path, store: str, warm_start: str) -> Fit:
    """Train in this process, and seal, so that the next one finds it."""
    config = parse(
        {
            **settings,
            "store": str(folder / store),
            "registry": {"uri": "off"},
            "data": {**settings["data"], "path": str(folder / "data")},
            "split": {"method": "none"},
            "train": {"solver": "newton", "warm_start": warm_start},
        }
    )
    run_dir = artifact.begin(config)
    looked, add = 0, Summation.add

    def counted(self: Summation, count: int, *rest: Any) -> None:  # noqa: ANN401 - as it is called
        nonlocal looked
        looked += count
        add(self, count, *rest)

    Summation.add = counted  # type: ignore[method-assign, assignment]
    began = time.process_time()
    try:
        train(run_dir)
    finally:
        Summation.add = add  # type: ignore[method-assign]
    seconds = time.process_time() - began
    artifact.seal(run_dir)
    model = json.loads((run_dir / "model.json").read_bytes())
    training = model["training"]
    return Fit(
        training["passes"],
        looked,
        artifact.read_split(run_dir).rows("train"),
        seconds,
        training["certificate"]["errors"],
        training.get("warm_start", {}).get("from", ""),
        dict(entries(model["inference"])),
    )


def entries(tree: dict[str, Any], name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The coefficients of a model's `inference`, by name."""
    for key, value in tree.items():
        if isinstance(value, dict) and "estimate" in value:
            yield f"{name}/{key}", value
        elif isinstance(value, dict):
            yield from entries(value, f"{name}/{key}")


if __name__ == "__main__":
    main()

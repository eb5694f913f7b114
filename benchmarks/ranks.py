"""Where more ranks pay: `OMP_NUM_THREADS=1 python -m benchmarks.ranks [--cores 1] [--cells 220000000]`.

For each width and batch size the same training on 1 and on 2 ranks: rows a second of the first epoch
(reading, decoding and learning statistics included) and of cached epochs. With `--cores 1` each rank gets
one core, its prefetch thread too; without it a lone rank may use a second core for that thread.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import made

CELLS = 220_000_000  # rows x columns of a set, where --rows does not say
WIDTHS = (28, 300)
BATCHES = (2048, 8192, 32768)
EPOCHS = 4


def main() -> None:
    """Print one line for each width and batch size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int, default=0, help="cores of each rank; 0: not bound")
    parser.add_argument("--cells", type=int, default=CELLS)
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    options = parser.parse_args()
    tell("columns", "batch", "first, 1 rank", "2 ranks", "x", "cached, 1 rank", "2 ranks", "x")
    for width in options.widths:
        with tempfile.TemporaryDirectory() as folder:
            data = made.higgs(Path(folder, "data"), options.cells // width, columns=width)
            for batch in options.batches:
                one, two = (train(Path(folder), data, batch, ranks, options.cores) for ranks in (1, 2))
                tell(
                    width, batch, f"{one[0]:,.0f}", f"{two[0]:,.0f}", f"{two[0] / one[0]:.2f}",
                    f"{one[1]:,.0f}", f"{two[1]:,.0f}", f"{two[1] / one[1]:.2f}",
                )  # fmt: skip


def train(folder: Path, data: Path, batch: int, ranks: int, cores: int) -> tuple[float, float]:
    """Rows a second of the first epoch and of the fastest later one."""
    store = folder / "store"
    config = made.config("bench", data, store, train={"batch_rows": batch, "epochs": EPOCHS, "patience": 0})
    path = folder / "bench.json"
    path.write_text(config.model_dump_json())
    command = [sys.executable, "-m", "binclf", "train", str(path), "--ranks", str(ranks)]
    if cores:
        command = ["taskset", "-c", f"0-{cores * ranks - 1}", *command]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    run = next(store.glob("bench-*"))
    training = json.loads((run / "model.json").read_text())["training"]
    rows, epochs = training["rows"] / training["epochs"], [e["seconds"] for e in training["history"]]
    shutil.rmtree(run)
    return rows / (training["reading_seconds"] + epochs[0]), rows / min(epochs[1:])


def tell(*cells: object) -> None:
    """One line of the table."""
    sys.stdout.write("".join(f"{cell!s:>16}" for cell in cells) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

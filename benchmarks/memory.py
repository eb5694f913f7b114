"""Peak memory of a streaming rank at two sizes: `python -m benchmarks.memory [--rows 1100000 11000000]`.

Each size is trained and evaluated by the command line with `train.cache = "none"` and 256 MiB allowed by
`train.memory_bytes`; what was predicted and what it took, beside Python and torch, is read from the receipts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import made

ALLOWED = 256 * 2**20
TOO_LITTLE = 64 * 2**20


def main() -> None:
    """Print one line for each size, and how the peaks compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_100_000, 11_000_000])
    peaks: list[int] = []
    sys.stdout.write(f"{'rows':>12}{'allowed MiB':>14}{'predicted MiB':>16}{'peak MiB':>12}")
    sys.stdout.write(f"{'to evaluate':>16}{'peak MiB':>12}\n")
    for rows in parser.parse_args().rows:
        with tempfile.TemporaryDirectory() as folder:
            peaks.append(peak(Path(folder), rows))
    sys.stdout.write(f"largest over smallest peak: {max(peaks) / min(peaks):.3f}\n")


def peak(folder: Path, rows: int) -> int:
    """Train; returns the peak in bytes."""
    data, store = made.higgs(folder / "data", rows), folder / "store"
    train = {"cache": "none", "memory_bytes": ALLOWED, "epochs": 2, "batch_rows": 8192}
    path = folder / "bench.json"
    path.write_text(made.config("bench", data, store, train=train).model_dump_json())
    command = [sys.executable, "-m", "binclf"]
    subprocess.run([*command, "split", str(path)], check=True, capture_output=True)
    subprocess.run([*command, "train", str(path)], check=True, capture_output=True)
    receipts = json.loads(next(store.glob("bench-*/receipts.json")).read_text())
    actual, predicted = receipts["actual"], receipts["predicted"]
    told = (actual["memory_allowed_bytes"], actual["memory_predicted_bytes"], actual["memory_bytes"],
            predicted["memory_evaluate_bytes"], actual["memory_evaluate_bytes"])  # fmt: skip
    cells = [size / 2**20 for size in told]
    sys.stdout.write(f"{rows:>12,}{cells[0]:>14.0f}{cells[1]:>16.0f}{cells[2]:>12.0f}")
    sys.stdout.write(f"{cells[3]:>16.0f}{cells[4]:>12.0f}\n")
    refused = subprocess.run(
        [*command, "train", str(path), f"train.memory_bytes={TOO_LITTLE}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    sys.stdout.write(f"  64 MiB: exit {refused.returncode}: {refused.stderr.strip().splitlines()[-1]}\n")
    return int(actual["memory_bytes"])


if __name__ == "__main__":
    main()

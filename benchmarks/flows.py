"""What a Prefect flow adds to the same work without one, and what a thousand mapped parts cost.

    python -m benchmarks.flows overhead CONFIG [DIR]     the command, the flow, and where the time went
    python -m benchmarks.flows parts [DIR] [--parts 1000] [--runner threads|processes|dask]

A server is started on 127.0.0.1 with a home of its own, stopped at the end. Wall times are whole processes.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.ranks import small_job
from tests.servers import environment, real_server


def main(arguments: Sequence[str]) -> None:
    """Measure what the arguments ask for, and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flows", description=__doc__)
    asked = parser.add_subparsers(dest="what", required=True)
    added = asked.add_parser("overhead")
    added.add_argument("config")
    added.add_argument("directory", nargs="?")
    added = asked.add_parser("parts")
    added.add_argument("directory", nargs="?")
    added.add_argument("--parts", type=int, default=1000)
    added.add_argument("--runner", default="threads")
    given = parser.parse_args(arguments)
    temporary = tempfile.TemporaryDirectory(prefix="flows-", dir=given.directory)
    with temporary as name:
        folder = Path(name)
        with real_server(folder / "server") as url:
            own = environment(folder / "client", PREFECT_API_URL=url)
            if given.what == "overhead":
                overhead(given.config, folder, own)
            else:
                parts(folder, given.parts, own | {"BINCLF_TASK_RUNNER": given.runner})


def overhead(config: str, folder: Path, environment: dict[str, str]) -> None:
    """The same retraining, into a fresh store each, by the command and by the flow."""
    took: dict[str, float] = {}
    for name, command in (("command", ["-m", "binclf", "retrain"]), ("flow", ["-m", "flows.retrain"])):
        store = folder / name
        took[name], _, words = run([*command, config, f"store={store}"], environment)
    shown(f"the flow adds {took['flow'] - took['command']:.1f} s; of the flow, by its log:")
    moments: list[tuple[float, str]] = []
    for line in words.splitlines():
        head, _, rest = line.partition(" | ")
        if "Finished in state" in rest or "Beginning flow run" in rest:
            hours, minutes, seconds = head.split(":")
            moments.append((int(hours) * 3600 + int(minutes) * 60 + float(seconds), rest))
    for (before, _), (after, rest) in pairwise(moments):
        shown(f"  {after - before:6.1f} s  {rest.partition(' | ')[2].partition(' - ')[0]}")
    shown(f"  {took['flow'] - (moments[-1][0] - moments[0][0]):6.1f} s  imports, connecting and leaving")
    hashes = {name: weights(folder / name) for name in took}
    shown(f"SHA-256 of the weights: {hashes}")


def parts(folder: Path, count: int, environment: dict[str, str]) -> None:
    """A split of so many small files, by the command and by mapped tasks of the flow."""
    config = small_job(folder)
    data = Path(config.data.path)
    whole = (data / "part-2.parquet").read_bytes()
    for number in range(count):
        (data / f"more-{number:05}.parquet").write_bytes(whole)
    path = folder / "many.toml"
    path.write_text(
        f'name = "many"\nstore = "{folder}/runs"\n[data]\npath = "{data}"\nlabel = "late"\n'
        'weight = "w"\nids = ["id"]\n[registry]\nuri = "off"\n'
    )
    plain, _, _ = run(["-m", "binclf", "retrain", str(path), f"store={folder}/plain"], environment)
    mapped, peak, words = run(["-m", "flows.retrain", str(path)], environment)
    finished = sum("split part" in line and "Completed()" in line for line in words.splitlines())
    shown(f"{finished} mapped parts; command {plain:.1f} s, flow {mapped:.1f} s: {mapped - plain:.1f} s more")
    shown(f"largest process: {peak / 1e6:.0f} MB")


def run(command: Sequence[str], environment: dict[str, str]) -> tuple[float, float, str]:
    """Seconds, peak bytes of the largest process so far, and what it logged; tells processor time, too."""
    began, before = time.perf_counter(), processor_time()
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    took = time.perf_counter() - began
    shown(f"{' '.join(command[:3])}: {took:.1f} s, {processor_time() - before:.1f} s of processor time")
    return took, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024, done.stderr


def processor_time() -> float:
    """Of all processes that this one has waited for, the server not yet among them."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def weights(store: Path) -> str:
    """SHA-256 of the weights of the only run of a store, as its manifest has it."""
    (manifest,) = store.glob("*/manifest.json")
    found: dict[str, Any] = json.loads(manifest.read_text())
    return str(found["files"]["model.safetensors"])[:16]


def shown(text: str) -> None:
    """Print."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])

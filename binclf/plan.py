"""What a run will read, need and cost, from footers alone; nothing is written.

Rows of the parts are told from the fractions, so they are near, not exact; a run keeps what was predicted and
puts what it took beside it in its receipts.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

from binclf.config import Config
from binclf.errors import together
from binclf.features import Decoding, roles
from binclf.labels import LabelRule
from binclf.loader.memory import Shape, shown
from binclf.loader.tier import Job, Room, choose
from binclf.parquet import find, group_rows
from binclf.solvers import schedule
from binclf.solvers.choice import UNASKED_WEIGHTS
from binclf.split.intake import take_in

EXACT_PASSES = 4  # of newton, as a rule


@dataclass(frozen=True, slots=True)
class Counts:
    """Row groups that do not exist yet."""

    group_rows: tuple[int, ...]

    @property
    def rows(self) -> int:
        """N."""
        return sum(self.group_rows)


def foresee(config: Config, ranks: int) -> dict[str, Any]:
    """What a run of this config on so many ranks of this machine will read, need and cost.

    Returns what JSON can hold: files, rows and bytes of the data; rows of the parts; batch_rows and steps of
    an epoch; tier, memory of a rank in bytes; disk_bytes of the parts and the cache; and passes: how often
    each row is read or decoded, at most.

    Raises:
        DataError, ConfigError: as the split; or the rows do not fit the memory that is allowed.
    """
    listing = find(config.data.path, ignore=config.store)
    intake = take_in(config, listing.files, {})
    if intake.problems or intake.label is None:
        raise together(intake.problems)
    files = [foot.rows for foot in intake.feet]
    columns = len(intake.schema.columns)
    parts = {part: _groups(config, files, share, columns) for part, share in _shares(config).items() if share}
    kept = _groups(config, files, _kept(config) * _shares(config)["train"], columns)
    job = _job(config, intake.schema.columns, intake.label, {**parts, "train": kept}, ranks)
    tier = choose(job)
    size = sum(foot.bytes for foot in intake.feet)
    solver, epochs = config.train.asked, config.train.epochs
    is_stepwise = solver != "newton"
    passes = epochs if solver == "minibatch" else EXACT_PASSES + _telling(config)
    return {
        "files": len(files),
        "rows": sum(files),
        "bytes": size,
        "parts": {part: counts.rows for part, counts in parts.items()},
        "ranks": ranks,
        "solver": solver,
        "batch_rows": job.batch_rows if is_stepwise else None,
        "steps_per_epoch": math.ceil(kept.rows / job.batch_rows) if is_stepwise else None,
        "epochs": epochs if is_stepwise else None,
        "tier": tier.name,
        "memory_bytes": tier.need.total,
        "memory_allowed_bytes": tier.budget,
        "disk_bytes": {
            "parts": 0 if config.split.method == "none" else sum(files) * columns * 4,
            "cache": tier.disk,
        },
        "passes": {
            "fingerprint": 1,  # of files that changed since the last split only, as is
            "split": 0 if config.split.method == "none" else 1,
            "train": passes,
            "decode": 1 if tier.name != "none" else 1 + passes,
            "evaluate": 1,
            **_mending(config),
        },
    }


def text_of(found: dict[str, Any]) -> str:
    """The same for people."""
    parts = ", ".join(f"{part} {rows:,}" for part, rows in found["parts"].items())
    kept = {"ram": "held in memory", "disk": "kept decoded on disk", "none": "decoded in each epoch"}
    disk = found["disk_bytes"]
    steps = (
        f"{found['steps_per_epoch']:,} of {found['batch_rows']:,} rows in each of at most "
        f"{found['epochs']} epochs"
        if found["steps_per_epoch"]
        else ""
    )
    exact = found["passes"]["train"]
    solver = {
        "auto": f"newton up to {UNASKED_WEIGHTS:,} weights, about {exact} passes; minibatch beyond",
        "newton": f"newton, about {exact} passes",
    }
    lines = {
        "reads": f"{found['files']:,} files, {found['rows']:,} rows, {shown(found['bytes'])}",
        "parts": f"about {parts}",
        "solver": f"{solver.get(found['solver'], found['solver'])}, on {found['ranks']} "
        f"{'rank' if found['ranks'] == 1 else 'ranks'}",
        "steps": steps,
        "rows are": kept[found["tier"]],
        "memory": f"{shown(found['memory_bytes'])} a rank of {shown(found['memory_allowed_bytes'])} allowed",
        "disk": f"about {shown(disk['parts'])} for the parts, {shown(disk['cache'])} for decoded rows",
        "passes": ", ".join(f"{name} {count}" for name, count in found["passes"].items()),
    }
    return "\n".join(f"{name:<9} {line}" for name, line in lines.items() if line)


def _shares(config: Config) -> dict[str, float]:
    """Each part's share of the rows; of a split that the data say, unknown: all as if for training."""
    split = config.split
    if split.method in ("none", "column"):
        return {"train": 1.0}
    validation = split.validation_fraction
    return {
        "train": 1 - split.test_fraction - validation,
        "validation": validation,
        "test": split.test_fraction,
    }


def _kept(config: Config) -> float:
    """The most of the training rows that are trained on: the larger class has at least half of them."""
    return (1 + config.data.downsample_majority) / 2


def _telling(config: Config) -> int:
    """Passes over train at the optimum, for what is told of it: files that disagree, and robust errors."""
    return int(config.train.influence) + int(config.train.errors != "model")


def _mending(config: Config) -> dict[str, int]:
    """Passes for honest probabilities: over train to correct the intercept, over validation to calibrate."""
    is_moved = config.train.class_weight != "none" or config.data.downsample_majority < 1
    passes = {"correct": int(is_moved), "calibrate": 2 * (config.train.calibration != "none")}
    return {name: count for name, count in passes.items() if count}


def _groups(config: Config, files: list[int], share: float, columns: int) -> Counts:
    """The row groups of a part: one file for each input file, in groups of a size."""
    size = group_rows(columns)
    sizes: list[int] = []
    for rows in files:
        left = round(rows * share)
        sizes += [size] * (left // size) + ([left % size] if left % size else [])
    return Counts(tuple(sizes))


def _job(config: Config, columns: Any, label: LabelRule, parts: dict[str, Counts], ranks: int) -> Job:  # noqa: ANN401
    how = Decoding(roles(config, columns), label, config.data.weight)
    numbers = len(how.roles.numeric)
    is_curved = config.train.asked == "newton"
    shape = Shape(numbers, numbers, len(how.roles.categorical), bool(config.data.weight), is_curved=is_curved)
    rows = config.train.batch_rows or schedule.batch_rows(parts["train"].rows)
    sources = {part: counts for part, counts in parts.items() if part != "test"}
    local = min(ranks, int(os.environ.get("LOCAL_WORLD_SIZE", ranks)))
    return Job(config, Room.found(config), sources, shape, rows, 0, ranks, local)

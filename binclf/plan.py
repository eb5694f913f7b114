"""What a run will read, need and cost, from footers; nothing is written.

Rows of the parts are told from the fractions, so they are near, not exact. Where a split goes by moments that
are stated, or by a column, no fraction says them: the columns that decide are read, and rows are counted. A
run keeps what was predicted and puts what it took beside it in its receipts.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from binclf.config import Config
from binclf.errors import ConfigError, DamageError, together
from binclf.features import Decoding, roles
from binclf.labels import LabelRule
from binclf.loader.memory import scoring, shown
from binclf.loader.source import threads
from binclf.loader.tier import Job, Room, choose
from binclf.metrics import judging
from binclf.parquet import find, group_rows
from binclf.solvers import schedule
from binclf.solvers.choice import UNASKED_WEIGHTS, shape_of
from binclf.solvers.penalties import PASSES, strengths
from binclf.split import PART_NAMES, Split, counted, goes_by_data
from binclf.split.intake import Intake, found_damaged, take_in

EXACT_PASSES = {"newton": 4, "lbfgs": 60}  # as a rule


@dataclass(frozen=True, slots=True)
class Counts:
    """Row groups that do not exist yet."""

    group_rows: tuple[int, ...]

    @property
    def rows(self) -> int:
        """N."""
        return sum(self.group_rows)


def foresee(config: Config, ranks: int, split: Split | None = None) -> dict[str, Any]:
    """What a run of this config on so many ranks of this machine will read, need and cost.

    Returns what JSON can hold: files, rows and bytes of the data; rows of the parts, and whether they are
    counted or follow from the fractions (`parts_by`); batch_rows and steps of an epoch; tier, memory of a
    rank in bytes, and of evaluating the parts afterwards; disk_bytes of the parts and the cache; and passes:
    how often each row is read or decoded, at most. With the config's own split nothing need be counted.

    Raises:
        DataError, ConfigError: as the split; or the rows do not fit the memory that is allowed.
    """
    intake, label, rows_of = _taken_in(config, split)
    files, columns = [foot.rows for foot in intake.feet], len(intake.schema.columns)
    parts = {part: _groups(rows, columns) for part, rows in rows_of.items()}
    kept = _groups([round(rows * _kept(config)) for rows in rows_of["train"]], columns)
    job = _job(config, intake.schema.columns, label, {**parts, "train": kept}, ranks)
    tier = choose(job)
    solver, epochs = config.train.asked, config.train.epochs
    is_stepwise = "minibatch" in config.train.able
    exact = {"newton": EXACT_PASSES["newton"] + _telling(config), "lbfgs": EXACT_PASSES["lbfgs"]}
    passes = {**exact, "minibatch": epochs, "auto": exact["newton"]}[solver]
    return {
        "files": len(files),
        "rows": sum(files),
        "bytes": sum(foot.bytes for foot in intake.feet),
        "parts": {part: counts.rows for part, counts in parts.items()},
        "parts_by": "count" if goes_by_data(config) else "fractions",
        "ranks": ranks,
        "solver": solver,
        "batch_rows": job.batch_rows if is_stepwise else None,
        "steps_per_epoch": math.ceil(kept.rows / job.batch_rows) if is_stepwise else None,
        "epochs": epochs if is_stepwise else None,
        "tier": tier.name,
        "memory_bytes": tier.need.total,
        "memory_evaluate_bytes": _evaluating(job, parts),
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
            **_asked_for(config, kept.rows),
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
        "auto": f"newton up to {UNASKED_WEIGHTS:,} weights, about {exact} passes; beyond, "
        f"lbfgs, about {EXACT_PASSES['lbfgs']}, where rows are kept and memory allows",
        **{name: f"{name}, about {exact} passes" for name in EXACT_PASSES},
    }
    lines = {
        "reads": f"{found['files']:,} files, {found['rows']:,} rows, {shown(found['bytes'])}",
        "parts": parts if found["parts_by"] == "count" else f"about {parts}",
        "solver": f"{solver.get(found['solver'], found['solver'])}, on {found['ranks']} "
        f"{'rank' if found['ranks'] == 1 else 'ranks'}",
        "steps": steps,
        "rows are": kept[found["tier"]],
        "memory": f"{shown(found['memory_bytes'])} a rank of {shown(found['memory_allowed_bytes'])} allowed; "
        f"afterwards up to {shown(found['memory_evaluate_bytes'])} to evaluate",
        "disk": f"about {shown(disk['parts'])} for the parts, {shown(disk['cache'])} for decoded rows",
        "passes": ", ".join(f"{name} {count}" for name, count in found["passes"].items()),
    }
    return "\n".join(f"{name:<9} {line}" for name, line in lines.items() if line)


def _taken_in(config: Config, split: Split | None) -> tuple[Intake, LabelRule, Mapping[str, Sequence[int]]]:
    """The files, how their label is read, and the rows of each that each part gets."""
    listing, damaged = find(config.data.path, ignore=config.store), dict[str, str]()
    while True:  # again without the files that turn out damaged, as the split does
        intake = take_in(config, listing.files, damaged)
        if intake.problems or intake.label is None:
            raise together(intake.problems)
        try:
            return intake, intake.label, _rows_of(config, intake, intake.label, split)
        except DamageError as error:
            found_damaged(config, [error], damaged)


def _rows_of(
    config: Config, intake: Intake, label: LabelRule, split: Split | None
) -> Mapping[str, Sequence[int]]:
    """The rows of each file in each part that is not empty; train is there in any case."""
    if not goes_by_data(config):
        shares = _shares(config)
        found = {p: [round(foot.rows * shares[p]) for foot in intake.feet] for p in shares if shares[p]}
    elif split is None:
        found = counted(config, intake.feet, label)
    else:
        found = {part: [file.rows for file in split.parts.get(part, ())] for part in PART_NAMES}
    return {part: rows for part, rows in found.items() if part == "train" or any(rows)}


def _shares(config: Config) -> dict[str, float]:
    """Each part's share of the rows, by the fractions."""
    split = config.split
    if split.method == "none":
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
    """Passes of newton at the optimum, for what is told of it: files that disagree, and robust errors."""
    return int(config.train.influence) + int(config.train.errors != "model")


def _asked_for(config: Config, rows: int) -> dict[str, int]:
    """Passes for what only some ask for, at most.

    Each penalty of a path over train, and over validation to judge it; over train to correct the intercept;
    over validation to calibrate.
    """
    train = config.train
    is_wide = train.asked == "lbfgs" and train.leaves_l2 and _shares(config)["validation"] > 0
    tried = len(strengths(rows)) if train.choose_l2 or is_wide else 0
    each = PASSES["lbfgs" if train.asked == "lbfgs" else "newton"]
    is_moved = config.train.class_weight != "none" or config.data.downsample_majority < 1
    passes = {
        "choose_l2": each * tried, "judge_l2": tried, "correct": int(is_moved),
        "calibrate": 2 * (config.train.calibration != "none"),
    }  # fmt: skip
    return {name: count for name, count in passes.items() if count}


def _evaluating(job: Job, parts: dict[str, Counts]) -> int:
    """Bytes of judging the parts one after the other, by one process, when training has let go of its own.

    Raises:
        ConfigError: it is more than is allowed.
    """
    slices, allowed = job.config.evaluate.slices, job.config.train.memory_bytes or job.room.memory
    largest = max((rows for counts in parts.values() for rows in counts.group_rows), default=0)
    rows, many = max(counts.rows for counts in parts.values()), threads()
    need = scoring(job.shape, largest, many) + judging(
        rows, is_weighted=job.shape.is_weighted, slices=len(slices), group_rows=largest, threads=many
    )
    if need > allowed:
        least = -(-need // 2**20)
        raise ConfigError(
            f"train.memory_bytes allows {shown(allowed)}, and to evaluate parts of up to {rows:,} rows after "
            f"training up to {least} MiB are needed: set train.memory_bytes to {least * 2**20} or more"
            f"{', or name fewer columns in evaluate.slices' if slices else ''}."
        )
    return need


def _groups(files: Sequence[int], columns: int) -> Counts:
    """The row groups of a part: one file for each input file, of which it has so many rows."""
    size = group_rows(columns)
    sizes: list[int] = []
    for rows in files:
        sizes += [size] * (rows // size) + ([rows % size] if rows % size else [])
    return Counts(tuple(sizes))


def _job(config: Config, columns: Any, label: LabelRule, parts: dict[str, Counts], ranks: int) -> Job:  # noqa: ANN401
    how = Decoding(roles(config, columns), label, config.data.weight)
    shape = shape_of(config, how.roles)
    rows = config.train.batch_rows or schedule.batch_rows(parts["train"].rows)
    sources = {part: counts for part, counts in parts.items() if part != "test"}
    local = min(ranks, int(os.environ.get("LOCAL_WORLD_SIZE", ranks)))
    return Job(config, Room.found(config), sources, shape, rows, 0, ranks, local)

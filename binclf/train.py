"""The verb `train`, as each rank runs it: from an unsealed run directory to a model in it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from binclf import artifact, commit, hashing
from binclf.config import Config, Train
from binclf.epoch import check_ranks
from binclf.errors import ConfigError
from binclf.features import Decoding, Features, learn, roles, tell
from binclf.loader import Order, Source
from binclf.loader.downsampled import downsampled
from binclf.loader.process import Peak
from binclf.loader.source import Look
from binclf.loader.tier import AnyStore, Job, Room, Tier, attach, choose, open_stores, told
from binclf.plan import foresee
from binclf.probabilities import mend
from binclf.solvers import schedule
from binclf.solvers.bundles import SUMS
from binclf.solvers.choice import choice_of, needed, shape_of
from binclf.solvers.pilot import pilot_of
from binclf.solvers.problem import Solution, problem_of
from binclf.solvers.solve import solved
from binclf.solvers.units import coefficients
from binclf.solvers.warm import WarmStart
from binclf.split import Split
from binclf.storage import Place
from binclf.world import World, doing, join

log = logging.getLogger(__name__)

STEPS = (
    "batch_rows",
    "steps_per_epoch",
    "epochs",
    "passes",
)  # of what was read, told beside what was foreseen


def train(run_dir: Place) -> None:
    """Be one rank of a training: learn features, fit, and (rank 0) write the model into the run.

    Raises:
        DataError: the data are damaged or not what the split saw.
        RankError: the ranks do not agree on what they are to do.
    """
    config = artifact.read_config(run_dir)
    with join(config.train.device, stall=config.train.stall_seconds) as world:
        train_in(world, config, run_dir)


def train_in(world: World, config: Config, run_dir: Place) -> None:
    """`train` in a world that is already met."""
    began = time.perf_counter()
    split = _agreed_split(world, config, run_dir)
    foreseen = foresee(config, world.size, split) if world.rank == 0 else {}
    how = Decoding(
        roles(config, split.columns), split.label, config.data.weight, tuple(config.features.log1p)
    )
    kept, how_kept = downsampled(config, split, how, world)
    sources = {"train": Source(kept.parts["train"], how_kept)}
    if "validation" in split.parts:
        sources["validation"] = Source(split.parts["validation"], how)
    room = Room.found(config).agreed(world)
    job = job_of(config, sources, world, room)
    peak, tier = Peak(), choose(job)
    world.agree({"tier (see train.cache)": tier.name})
    if world.rank == 0:
        log.info("%s", told(tier))
    reading = time.perf_counter()
    stores = open_stores(job, tier, sources, world)
    checkpoints = run_dir / artifact.CHECKPOINTS
    warm = WarmStart(config, sources["train"], checkpoints, world)
    pilot = None if warm.is_there else pilot_of(config, kept, stores["train"], checkpoints, world)
    features = learn_features(world, config, how, kept, stores["train"], pilot.look if pilot else None)
    world.agree({"features": hashing.digest(features.as_json())})
    job = job_of(config, sources, world, room, features)  # now that all widths are known
    solver = choice_of(job, tier, features, checkpoints, world)
    world.agree({"solver": solver.name})
    if world.rank == 0:
        log.info("solver: %s, as %s", solver.name, solver.why)
    tier = needed(job, tier, solver)
    attach(stores, features, world)
    reading = time.perf_counter() - reading
    problem = problem_of(config, stores, features, split, kept)
    if pilot and solver.name == "newton":
        problem = replace(problem, seen=pilot.seen(features))
    problem = warm.begun(problem)
    solution = solved(solver, problem, world, checkpoints, peak)
    sums = warm.kept(solution, problem, run_dir.name)
    solution = mend(config, split, problem, solution, world)
    doing.stage("writing the model")
    if world.rank == 0:
        seconds = {"seconds": time.perf_counter() - began, "reading_seconds": reading}
        if sums is not None:
            commit.write_bytes(run_dir / SUMS, sums)
        solution = replace(solution, record={**solution.record, **warm.told()})
        _write(run_dir, config, split, features, solution, world.size, seconds)
        _write_receipts(run_dir, (split, kept), solution, foreseen, tier, peak)


def _agreed_split(world: World, config: Config, run_dir: Place) -> Split:
    """The split of the run, if the ranks are as many as the config says and all are at the same job."""
    check_ranks(world.size, config.train.lanes)
    if config.train.ranks not in (0, world.size):
        raise ConfigError(
            f"train.ranks = {config.train.ranks}, and {world.size} ranks were started: leave it at 0."
        )
    split = artifact.read_split(run_dir)
    facts = {
        "config": hashing.digest(artifact.settings_of_result(config)),
        "split": split.digest,
        "binclf": artifact.package_version(),
    }
    world.agree(facts)
    return split


def order_of(settings: Train) -> Order:
    """The order of the rows, as the settings have it."""
    return Order(settings.seed, settings.lanes, settings.window_rows, settings.shuffle, 1)


def job_of(
    config: Config,
    sources: Mapping[str, Source],
    world: World,
    room: Room,
    features: Features | None = None,
) -> Job:
    """What the choice of a tier depends on; before features are learnt, as if nothing were missing."""
    shape = shape_of(config, sources["train"].how.roles, features)
    rows = config.train.batch_rows or schedule.batch_rows(sources["train"].rows)
    return Job(config, room, sources, shape, rows, world.rank, world.size, world.local_size)


def learn_features(
    world: World, config: Config, how: Decoding, split: Split, store: AnyStore, look: Look | None = None
) -> Features:
    """Column statistics of train; each rank decodes the row groups that its first epoch will need."""
    doing.stage("learning the columns of train")
    source = store.source
    owners = order_of(config.train).plan(source.group_rows, 0).owners(world.size)
    owned = np.flatnonzero(owners == world.rank).tolist()
    blocks = partial(store.blocks, owned, look)
    features = learn(config, how.roles, blocks, len(owners), split.weight("train"), world)
    tell(features)
    if world.rank == 0:
        log.info(
            "learnt %d numeric and %d categorical columns from %s rows: %d weights",
            len(features.numeric), len(features.categorical), f"{features.rows:,}",
            features.width + features.table_size + 1,
        )  # fmt: skip
    return features


def _write(
    run_dir: Place,
    config: Config,
    split: Split,
    features: Features,
    solution: Solution,
    ranks: int,
    seconds: Mapping[str, float],
) -> None:
    took = {name: round(value, 3) for name, value in seconds.items()}
    training = {**solution.record, "ranks": ranks, **took}
    if (found := solution.covariance) is not None:
        artifact.write_covariance(run_dir, found.matrix, found.names)
    artifact.write_model(
        run_dir,
        features,
        solution.weights,
        {
            "threshold": None,  # evaluation sets it
            "label": config.data.label,
            "positive": str(split.label.positive),
            "base_rate": split.base_rate("train"),
            **coefficients(features, solution.weights),
            "inference": solution.inference,
            "influence": solution.influence,
            **solution.probabilities,
            "training": training,
        },
    )


def _write_receipts(
    run_dir: Place,
    splits: tuple[Split, Split],
    solution: Solution,
    foreseen: Mapping[str, Any],
    tier: Tier,
    peak: Peak,
) -> None:
    """Rows in and rows out, and what was predicted beside what it took."""
    split, kept = splits  # as it is, and as it was trained on
    rows, rows_kept = split.rows("train"), kept.rows("train")
    receipt = {
        "split": dict(split.receipt),
        "train": {
            "rows": rows,
            "rows_trained_on": rows_kept,
            "rows_left_out": rows - rows_kept,  # by data.downsample_majority
            **solution.receipt,
        },
        "predicted": foreseen,
        "actual": {
            "parts": {part: split.rows(part) for part in split.parts},
            **{key: solution.receipt[key] for key in STEPS if key in solution.receipt},
            "tier": tier.name,
            "memory_predicted_bytes": tier.need.total,
            "memory_bytes": peak.bytes(),  # of rank 0, beside what it held before; null where not known
            "memory_allowed_bytes": tier.budget,
        },
    }
    commit.write_json(run_dir / "receipts.json", receipt)

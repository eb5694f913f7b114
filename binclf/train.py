"""The verb `train`, as each rank runs it: from an unsealed run directory to a model in it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from binclf import artifact, commit, hashing
from binclf.config import Config, Train
from binclf.epoch import check_ranks
from binclf.errors import ConfigError, RankError
from binclf.features import Decoding, Features, learn, roles
from binclf.features.records import FIRST_LEVEL, NULL, OTHER
from binclf.loader import Order, Source
from binclf.loader.memory import Peak, Shape
from binclf.loader.tier import AnyStore, Job, Room, Tier, attach, choose, open_stores, told
from binclf.plan import foresee
from binclf.solvers import minibatch, newton, schedule
from binclf.solvers.problem import Problem, Solution
from binclf.split import Split
from binclf.storage import Place
from binclf.world import World, join

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
    with join(config.train.device) as world:
        train_in(world, config, run_dir)


def train_in(world: World, config: Config, run_dir: Place) -> None:
    """`train` in a world that is already met."""
    began = time.perf_counter()
    check_ranks(world.size, config.train.lanes)
    if config.train.ranks not in (0, world.size):
        raise ConfigError(
            f"train.ranks = {config.train.ranks}, and {world.size} ranks were started: leave it at 0."
        )
    foreseen = foresee(config, world.size) if world.rank == 0 else {}
    split = artifact.read_split(run_dir)
    used = roles(config, split.columns)
    _agree(
        world,
        {
            "config": hashing.digest(artifact.settings_of_result(config)),
            "split": split.digest,
            "binclf": artifact.package_version(),
        },
    )
    how = Decoding(used, split.label, config.data.weight, tuple(config.features.log1p))
    sources = {part: Source(files, how) for part, files in split.parts.items() if part != "test"}
    room = Room.found(config).agreed(world)
    job = job_of(config, sources, world, room)
    world.parallel(torch.nn.Linear(1, 1))  # DDP imports 80 MB when it is first used: torch's own
    peak, tier = Peak(), choose(job)
    _agree(world, {"tier (see train.cache)": tier.name})
    if world.rank == 0:
        log.info("%s", told(tier))
    reading = time.perf_counter()
    stores = open_stores(job, tier, sources, world)
    features = learn_features(world, config, how, split, stores["train"])
    _agree(world, {"features": hashing.digest(features.as_json())})
    known = choose(job_of(config, sources, world, room, features))  # now that all widths are known
    tier = replace(tier, need=known.need)
    attach(stores, features, world)
    reading = time.perf_counter() - reading
    problem = Problem(
        train=stores["train"],
        validation=stores.get("validation"),
        features=features,
        weight=split.weight("train"),
        base_rate=split.base_rate("train"),
        settings=config.train,
    )
    solver = newton if config.train.solver == "newton" else minibatch
    solution = solver.fit(problem, world, checkpoints=run_dir / artifact.CHECKPOINTS)
    if world.rank == 0:
        seconds = {"seconds": time.perf_counter() - began, "reading_seconds": reading}
        _write(run_dir, config, split, features, solution, world.size, seconds)
        _write_receipts(run_dir, split, solution, foreseen, tier, peak)


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
    known, weight = sources["train"].how.roles, config.data.weight
    numbers = len(known.numeric)
    shape = Shape(
        numbers=numbers,
        width=features.width if features else numbers,
        categories=len(known.categorical),
        is_weighted=bool(weight),
        table=features.table_size if features else 0,
        is_curved=config.train.solver == "newton",
    )
    rows = config.train.batch_rows or schedule.batch_rows(sources["train"].rows)
    return Job(config, room, sources, shape, rows, world.rank, world.size, world.local_size)


def learn_features(world: World, config: Config, how: Decoding, split: Split, store: AnyStore) -> Features:
    """Column statistics of train; each rank looks at the row groups that its first epoch will need."""
    source = store.source
    owners = order_of(config.train).plan(source.group_rows, 0).owners(world.size)
    owned = np.flatnonzero(owners == world.rank).tolist()
    blocks = partial(store.blocks, owned)
    features = learn(config, how.roles, blocks, len(owners), split.weight("train"), world)
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
    artifact.write_model(
        run_dir,
        features,
        solution.weights,
        {
            "threshold": float(config.evaluate.threshold),
            "label": config.data.label,
            "positive": str(split.label.positive),
            "base_rate": split.base_rate("train"),
            **coefficients(features, solution),
            "inference": solution.inference,
            "training": training,
        },
    )


def _write_receipts(
    run_dir: Place, split: Split, solution: Solution, foreseen: Mapping[str, Any], tier: Tier, peak: Peak
) -> None:
    """Rows in and rows out, and what was predicted beside what it took."""
    receipt = {
        "split": dict(split.receipt),
        "train": {
            "rows": split.rows("train"),
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


def coefficients(features: Features, solution: Solution) -> dict[str, Any]:
    """Weights in original units: of a number per unit, of a missing value and of a level as they are."""
    weight = solution.weights.get("weight", np.zeros(0))
    table = solution.weights.get("table", np.zeros(0))
    numeric: dict[str, Any] = {}
    intercept = float(solution.weights["bias"][0])
    for place, column in enumerate(features.numeric):
        slope = float(weight[place]) / column.scale
        intercept -= slope * column.centre
        entry = {"per_unit": slope, "log1p": column.is_log1p}
        if column.indicator >= 0:
            entry["missing"] = slope * column.fill + float(weight[column.indicator])
        numeric[column.name] = entry
    levels: dict[str, Any] = {}
    for categorical in features.categorical:
        if categorical.is_hashed:
            levels[categorical.name] = {"hashed": True}
            continue
        first = categorical.offset + FIRST_LEVEL
        weights = table[first : first + len(categorical.levels)].tolist()
        entry = dict(zip(categorical.levels, weights, strict=True))
        levels[categorical.name] = {
            "levels": entry,
            "missing": float(table[categorical.offset + NULL]),
            "other": float(table[categorical.offset + OTHER]),
        }
    return {"intercept": intercept, "numeric": numeric, "categorical": levels}


def _agree(world: World, facts: dict[str, str]) -> None:
    """All ranks must say the same, else they would compute garbage together without an error."""
    everyone = [json.loads(content) for content in world.gather(json.dumps(facts).encode())]
    for rank, theirs in enumerate(everyone):
        for fact, value in theirs.items():
            if value != everyone[0][fact]:
                raise RankError(
                    f"rank {rank} and rank 0 do not have the same {fact} "
                    f"({value[:12]} and {everyone[0][fact][:12]}): start all ranks alike."
                )

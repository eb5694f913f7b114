"""The verb `train`, as each rank runs it: from an unsealed run directory to a model in it."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np

from binclf import artifact, commit, hashing
from binclf.config import Config
from binclf.epoch import check_ranks
from binclf.errors import ConfigError, RankError
from binclf.features import Features, Roles, learn, roles
from binclf.loader import Order, RamStore
from binclf.solvers.minibatch import fit
from binclf.solvers.problem import Problem, Solution
from binclf.split import Split
from binclf.world import World, join

log = logging.getLogger(__name__)


def train(run_dir: Path) -> None:
    """Be one rank of a training: learn features, fit, and (rank 0) write the model into the run.

    Raises:
        DataError: the data are damaged or not what the split saw.
        RankError: the ranks do not agree on what they are to do.
    """
    config = artifact.read_config(run_dir)
    with join(config.train.device) as world:
        train_in(world, config, run_dir)


def train_in(world: World, config: Config, run_dir: Path) -> None:
    """`train` in a world that is already met."""
    began = time.perf_counter()
    check_ranks(world.size, config.train.lanes)
    if config.train.ranks not in (0, world.size):
        raise ConfigError(
            f"train.ranks = {config.train.ranks}, and {world.size} ranks were started: leave it at 0."
        )
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
    stores = {
        part: RamStore(files, used, split.label, config.data.weight)
        for part, files in split.parts.items()
        if part != "test"
    }
    features = learn_features(world, config, used, split, stores["train"])
    _agree(world, {"features": hashing.digest(features.as_json())})
    for store in stores.values():
        store.attach(features)
    problem = Problem(
        train=stores["train"],
        validation=stores.get("validation"),
        weight=split.weight("train"),
        base_rate=split.base_rate("train"),
        settings=config.train,
    )
    solution = fit(problem, world, checkpoints=run_dir / artifact.CHECKPOINTS)
    if world.rank == 0:
        _write(run_dir, config, split, features, solution, world.size, time.perf_counter() - began)


def learn_features(world: World, config: Config, used: Roles, split: Split, store: RamStore) -> Features:
    """Column statistics of train; each rank looks at the row groups that its first epoch will need."""
    settings = config.train
    order = Order(settings.seed, settings.lanes, settings.window_rows, settings.shuffle, 1)
    owners = order.plan(store.group_rows, 0).owners(world.size)
    owned = np.flatnonzero(owners == world.rank).tolist()
    store.decode(owned)
    features = learn(config, used, store.block, owned, len(owners), split.weight("train"), world)
    if world.rank == 0:
        log.info(
            "learnt %d numeric and %d categorical columns from %s rows: %d weights",
            len(features.numeric), len(features.categorical), f"{features.rows:,}",
            features.width + features.table_size + 1,
        )  # fmt: skip
    return features


def _write(
    run_dir: Path,
    config: Config,
    split: Split,
    features: Features,
    solution: Solution,
    ranks: int,
    seconds: float,
) -> None:
    training = {**solution.record, "ranks": ranks, "seconds": round(seconds, 3)}
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
            "training": training,
        },
    )
    receipt = {
        "split": dict(split.receipt),
        "train": {
            "rows": split.rows("train"),
            "epochs": training["epochs"],
            "rows_seen": training["rows"],
            "each_row_once_an_epoch": True,  # asserted after each epoch, over all ranks
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
    for place, categorical in enumerate(features.categorical):
        if categorical.is_hashed:
            levels[categorical.name] = {"hashed": True}
            continue
        ids = features.ids(place, categorical.levels)
        entry = dict(zip(categorical.levels, table[ids[:-1]].tolist(), strict=True))
        levels[categorical.name] = {
            "levels": entry,
            "missing": float(table[ids[-1]]),
            "other": float(table[categorical.offset]),
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

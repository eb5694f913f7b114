"""What a solver is given and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.config import Config, Train
from binclf.features import Features
from binclf.loader import Balanced, Store
from binclf.objective import logit
from binclf.solvers.blocks import Sums
from binclf.solvers.covariance import Covariance
from binclf.solvers.known import Known
from binclf.split import Split

Weights = dict[str, npt.NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of the log-loss at a point, but for rounding, before the solver begins."""

    point: npt.NDArray[np.float64]  # [p]
    sums: Sums  # over all rows of train


@dataclass(frozen=True, slots=True)
class Problem:
    """What is to be fitted, as this rank sees it."""

    train: Store
    validation: Store | None
    features: Features
    weight: float  # sum of the weights of train, as it is trained on
    base_rate: float  # weighted share of positives, likewise
    settings: Train
    shift: float = 0.0  # from the log-odds of what is trained on to those of the data
    is_moved: bool = False  # whether class weights or down-sampling have made them others
    seen: Seen | Known | None = None  # in the units of the features; Known: of lbfgs
    group: str = ""  # column whose groups are independent, where rows may not be


def problem_of(
    config: Config, stores: Mapping[str, Store], features: Features, split: Split, kept: Split
) -> Problem:
    """What is to be fitted: the rows of train that were kept, weighed as the config says."""
    train: Store = stores["train"]
    weight, base_rate, natural = kept.weight("train"), kept.base_rate("train"), split.base_rate("train")
    if config.train.class_weight == "balanced":
        train = Balanced(train, weight, base_rate)
        weight, base_rate = train.weight, train.base_rate
    return Problem(
        train=train,
        validation=stores.get("validation"),
        features=features,
        weight=weight,
        base_rate=base_rate,
        settings=config.train,
        shift=logit(natural) - logit(base_rate),
        is_moved=kept is not split or isinstance(train, Balanced),
        group=config.data.group,
    )


@dataclass
class Progress:
    """What happened, epoch by epoch: the record that goes into the model's file."""

    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_loss: float | None = None
    stale: int = 0
    steps: int = 0
    rows: int = 0
    part_loss: float = 0.0  # of the epoch that goes on: sum of w * loss,
    part_rows: int = 0  # rows and
    part_checksum: int = 0  # their checksum, over all ranks
    part_seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """For the checkpoint."""
        return dict(vars(self))

    def record(self) -> dict[str, Any]:
        """For `model.json`: of whole epochs."""
        return {name: value for name, value in vars(self).items() if not name.startswith("part_")}


@dataclass(frozen=True, slots=True)
class Solution:
    """The weights in the encoder's units, float64, and how they came about."""

    weights: Weights  # weight [F], table [V], bias [1]
    record: Mapping[str, Any]
    receipt: Mapping[str, Any]  # what was read of train
    inference: Mapping[str, Any] = field(default_factory=dict)  # of coefficients, where the solver knows it
    covariance: Covariance | None = None  # of the same coefficients
    influence: Mapping[str, Any] = field(default_factory=dict)  # files that disagree with the model
    probabilities: Mapping[str, Any] = field(default_factory=dict)  # what was done to make them honest
    seen: Seen | None = None  # what is known of the last point that was looked at

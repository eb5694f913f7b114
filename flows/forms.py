"""The forms of the flows: a config as the UI shows it, the few settings that everybody sets first.

A form is the config itself, in another order: `name` and `[data]` stand first, and all other sections are
below `advanced`. Bounds, choices, defaults and help are the config's own; here is none. What a form cannot
check (settings that contradict each other) `config_of` checks in the first second of a run.
"""

from __future__ import annotations

import json
from copy import copy
from typing import Annotated, Any, Literal

from pydantic import Field

from binclf.config import (
    Config,
    Data,
    Drift,
    Evaluate,
    Features,
    Registry,
    Score,
    Split,
    Train,
    parse,
)
from binclf.config.section import Section
from binclf.stages import When


def _as_in_config(name: str) -> Any:  # noqa: ANN401 - a pydantic field stands for its value
    return copy(Config.model_fields[name])


class Advanced(Section):
    """What is mostly left as it is: each default is a good one."""

    split: Split = _as_in_config("split")
    features: Features = _as_in_config("features")
    train: Train = _as_in_config("train")
    evaluate: Evaluate = _as_in_config("evaluate")
    score: Score = _as_in_config("score")
    registry: Registry = _as_in_config("registry")
    drift: Drift = _as_in_config("drift")
    store: str = _as_in_config("store")


class Retraining(Section):
    """When the champion is retrained."""

    days: float = Field(7.0, ge=0.0, le=3650.0, description="When it is so many days old: 0 to 3650.")
    new_files: int = Field(
        1,
        ge=0,
        le=1_000_000,
        description="When it has not seen so many files: 0 to 1000000. 0: whatever it has seen.",
    )
    when: When = Field(
        "changed",
        description="What else a retraining that is due needs. changed: other settings or data than those of "
        "a finished run. new_data: data that the champion has not seen. worthwhile: that a refit on those "
        "would lower log-loss, beyond chance and by drift.retrain_gain. always: nothing.",
    )


# Prefect takes bounds from here, and help from the docstring of the flow
Given = Annotated[str, Field(min_length=1)]
Hours = Annotated[float, Field(ge=0.0, le=1000.0)]
Parts = Annotated[int, Field(ge=1, le=1000)]
ScoreSettings = tuple[Annotated[str, Field(pattern=r"^score\.[a-z_]+=")], ...]
Period = Literal["", "day", "week", "month", "batch"]


def config_of(name: str, data: Data, advanced: Advanced) -> Config:
    """The config that a form was filled in for.

    Raises:
        ConfigError: settings contradict each other or have no effect; each is named.
    """
    return parse({"name": name, "data": data.model_dump(), **advanced.model_dump()}, origin="form")


def parameters_of(config: Config) -> dict[str, Any]:
    """The form filled in for a config, every default spelled out: a deployment's parameters."""
    settings = config.model_dump(mode="json")
    first = {field: settings.pop(field) for field in ("name", "data")}
    return {**first, "advanced": settings}


def score_settings_of(config: Config) -> list[str]:
    """The section [score] of a config, as settings of the flow `score`."""
    values = config.score.model_dump(mode="json")
    return [f"score.{name}={json.dumps(value, ensure_ascii=False)}" for name, value in values.items()]

"""Parameters of deployments by reference to TOML: whoever deploys names a config, and copies no settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from binclf.config import load
from binclf.errors import ConfigError
from flows.forms import parameters_of as filled_in


def parameters_of(path: str | Path) -> dict[str, Any]:
    """What the flow `retrain` takes for the config in a TOML file, every default spelled out for the form.

    Also a build step of prefect.yaml, where `{{ ID.NAME }}` is the parameter NAME.

    Raises:
        ConfigError: the file is missing, or a setting is wrong: nothing is deployed that could not run.
    """
    return filled_in(load(str(path)))


def night_of(source: str = "", output: str = "") -> dict[str, Any]:
    """What the flow `nightly` scores, and where to: a build step of prefect.yaml.

    Args:
        source: the Parquet; empty: nothing is scored, and what is on schedule is a retraining alone.
        output: a directory; empty as well.

    Returns:
        Which of the two schedules is to be active, `scores` or `only_retrains`; and what was given.

    Raises:
        ConfigError: one is given without the other.
    """
    if bool(source) != bool(output):
        given, lacking = ("BINCLF_INPUT", "BINCLF_OUTPUT")[:: 1 if source else -1]
        raise ConfigError(
            f"{given} is set and {lacking} is not: name what is to be scored and where to, or neither."
        )
    named = {"source": source, "output": output} if source else {}
    return {"scores": bool(named), "only_retrains": not named, **named}

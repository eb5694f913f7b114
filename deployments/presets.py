"""Parameters of deployments by reference to TOML: whoever deploys names a config, and copies no settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from binclf.config import load
from flows.forms import parameters_of as filled_in


def parameters_of(path: str | Path) -> dict[str, Any]:
    """What the flow `retrain` takes for the config in a TOML file, every default spelled out for the form.

    Also a build step of prefect.yaml, where `{{ ID.NAME }}` is the parameter NAME.

    Raises:
        ConfigError: the file is missing, or a setting is wrong: nothing is deployed that could not run.
    """
    return filled_in(load(str(path)))

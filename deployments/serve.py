"""One machine, no work pool, no worker: this process waits for runs and starts each in a process of its own.

    python -m deployments.serve [PRESET.toml ...] [--cron "0 2 * * *"] [--limit N]

Each preset becomes two deployments of the flow retrain, named after its file: `NAME-nightly`, on a schedule,
and `NAME`, to be run by hand. Without presets there is `retrain/by-hand`, whose form starts empty.
PREFECT_API_URL says where the server is. Start it from the project's root.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from prefect import Flow, serve
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron

from binclf.errors import BinclfError, ConfigError
from deployments.presets import parameters_of
from deployments.zombies import ENVIRONMENT, TAG, settle, watch
from flows.backtest import backtest
from flows.retrain import retrain
from flows.score import score

NIGHTLY = "0 2 * * *"

# two retrainings of a model never run at once: who asked by hand waits; a schedule asks again tomorrow, and
# after an outage one of the runs that are late is enough
WAIT = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE)
GIVE_WAY = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
BY_HAND: list[tuple[Flow[..., Any], str]] = [
    (score, "Score Parquet with a finished run or a registered model."),
    (backtest, "Judge scores that were given out by the labels that have come since."),
]


def deployments_of(presets: Sequence[Path], cron: str, timezone: str) -> list[RunnerDeployment]:
    """The deployments: two for each preset, one to score, one for labels.

    Raises:
        ConfigError: a preset cannot be read, what it says is wrong, or two have the same name.
    """
    found: list[RunnerDeployment] = []
    names = [preset.name for preset in presets]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"two presets are named {twice[0]}, and so would be their deployments: rename one.")
    for preset in presets:
        parameters = parameters_of(preset)
        found.append(_by_hand(preset.stem, parameters, f"Retrain by hand, as {preset.name} says."))
        if cron:
            found.append(_nightly(preset, parameters, cron, timezone))
    if not presets:
        found.append(_by_hand("by-hand", {}, "Retrain: name the data and the label."))
    for flow, described in BY_HAND:
        made = flow.to_deployment("by-hand", description=described, tags=[TAG])
        found.append(cast(RunnerDeployment, made))
    return found


def _by_hand(name: str, parameters: dict[str, Any], described: str) -> RunnerDeployment:
    deployment = retrain.to_deployment(
        name, parameters=parameters, description=described, tags=[TAG], concurrency_limit=WAIT
    )
    return cast(RunnerDeployment, deployment)  # (a coroutine only where it is called from one)


def _nightly(preset: Path, parameters: dict[str, Any], cron: str, timezone: str) -> RunnerDeployment:
    deployment = retrain.to_deployment(
        f"{preset.stem}-nightly",
        schedule=Cron(cron, timezone=timezone),
        parameters=parameters,
        description=f"Retrain on the newest data, as {preset.name} says: {cron} {timezone}.",
        tags=[TAG, "scheduled"],
        concurrency_limit=GIVE_WAY,
    )
    return cast(RunnerDeployment, deployment)


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM or Ctrl-C; returns the exit code."""
    options = _options().parse_args(arguments)
    if not os.environ.get("PREFECT_API_URL"):
        sys.stderr.write(
            "PREFECT_API_URL is not set: start a server (`prefect server start --host 127.0.0.1`) and "
            "export PREFECT_API_URL=http://127.0.0.1:4200/api; or `make ui` does all of it.\n"
        )
        return 2
    try:
        served = deployments_of(options.presets, options.cron, options.timezone)
    except BinclfError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    names = [f"{deployment.flow_name}/{deployment.name}" for deployment in served]
    watch()
    settle(names)
    try:
        # not paused: a run that falls due meanwhile is late then, and not left out
        serve(*served, limit=options.limit, pause_on_shutdown=False)
    finally:
        settle(names)
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deployments.serve", description=__doc__.split("\n")[0])
    parser.add_argument("presets", nargs="*", type=Path, metavar="PRESET.toml", help="configs to retrain by")
    parser.add_argument("--cron", default=NIGHTLY, help=f"when to retrain: '{NIGHTLY}'; empty: never")
    parser.add_argument("--timezone", default="UTC", help="of --cron: UTC")
    parser.add_argument("--limit", type=int, default=2, help="runs at a time: 2")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""One machine, no work pool, no worker: this process waits for runs and starts each in a process of its own.

    python -m deployments.serve [PRESET.toml ...] [--cron "0 2 * * *"] [--score NAME INPUT OUTPUT] [--limit N]

Each preset becomes deployments that are named after its file. To be run by hand: `retrain/NAME`, and
`nightly/NAME`, which scores too. On a schedule: `retrain/NAME-nightly`, or, where --score names what is to be
scored and where to, `nightly/NAME-nightly` in its stead. Without presets there are `retrain/by-hand` and
`nightly/by-hand`, whose forms start empty. PREFECT_API_URL says where the server is. Start it from the
project's root.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from prefect import Flow, serve
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron

from binclf.config import load
from binclf.errors import BinclfError, ConfigError
from binclf.stages import When
from binclf.storage import is_uri
from deployments.zombies import ENVIRONMENT, settle, watch
from flows import command
from flows.backtest import backtest
from flows.flow import TAG
from flows.forms import Retraining, parameters_of
from flows.nightly import nightly
from flows.retrain import retrain
from flows.score import score

NIGHTLY = "0 2 * * *"

# two retrainings of a model never run at once: who asked by hand waits; a schedule asks again tomorrow, and
# after an outage one of the runs that are late is enough
WAIT = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE)
GIVE_WAY = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
ALWAYS: list[tuple[Flow[..., Any], str]] = [
    (score, "Score Parquet with a finished run or a registered model."),
    (backtest, "Judge scores that were given out by the labels that have come since."),
]
NIGHT = "Score what arrived by the champion, then retrain it if that is due"


@dataclass(frozen=True, slots=True)
class Night:
    """What is done on schedule."""

    cron: str = NIGHTLY  # empty: nothing
    timezone: str = "UTC"
    when: When = "changed"  # of a retraining
    scored: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # by preset: input and output


def deployments_of(presets: Sequence[Path], night: Night) -> list[RunnerDeployment]:
    """The deployments: some for each preset, one to score, one for labels.

    Raises:
        ConfigError: a preset cannot be read, what it says is wrong, two have the same name, or scores are
            asked of what is no preset or has no champion.
    """
    names = [preset.stem for preset in presets]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(
            f"two presets are named {twice[0]}.toml, and so would be their deployments: rename one."
        )
    for name in night.scored:
        if name not in names:
            raise ConfigError(f"--score {name}: it is none of the presets, {', '.join(names) or 'none'}.")
    found = [made for preset in presets for made in _of_preset(preset, night)]
    if not presets:
        found.append(_made(retrain, "by-hand", "Retrain: name the data and the label."))
        found.append(_made(nightly, "by-hand", f"{NIGHT}."))
    return found + [_made(flow, "by-hand", described, limit=None) for flow, described in ALWAYS]


def _of_preset(preset: Path, night: Night) -> list[RunnerDeployment]:
    """By hand and on schedule; to score as well, where there is a registry to know the champion."""
    config, name = load(str(preset)), preset.stem
    form = parameters_of(config)
    found = [_made(retrain, name, f"Retrain by hand, as {preset.name} says.", form)]
    scored = night.scored.get(name)
    if scored and not config.registry.is_on:
        raise ConfigError(f"--score {name} asks for a champion, and {preset} says registry.uri = 'off'.")
    named = dict(zip(("source", "output"), map(absolute, scored), strict=True)) if scored else {}
    if config.registry.is_on:
        found.append(_made(nightly, name, f"{NIGHT}, by hand, as {preset.name} says.", form | named))
    if not night.cron:
        return found
    told = f"as {preset.name} says: {night.cron} {night.timezone}"
    if named:
        asked = form | named | {"retraining": Retraining(when=night.when).model_dump()}
        found.append(_made(nightly, f"{name}-nightly", f"{NIGHT}, {told}.", asked, night=night))
    else:
        asked = form | {"when": night.when}
        found.append(_made(retrain, f"{name}-nightly", f"Retrain, {told}.", asked, night=night))
    return found


def _made(
    flow: Flow[..., Any],
    name: str,
    described: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    night: Night | None = None,
    limit: ConcurrencyLimitConfig | None = WAIT,
) -> RunnerDeployment:
    """A deployment: by hand, or on the schedule of a night."""
    deployment = flow.to_deployment(
        name,
        schedule=Cron(night.cron, timezone=night.timezone) if night else None,
        parameters=dict(parameters or {}),
        description=described,
        tags=[TAG, "scheduled"] if night else [TAG],
        concurrency_limit=GIVE_WAY if night else limit,
    )
    return cast(RunnerDeployment, deployment)  # (a coroutine only where it is called from one)


def absolute(path: str) -> str:
    """From the working directory on, as runs may work in another."""
    return path if is_uri(path) else str(Path(path).resolve())


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
        scored = scored_of(options.score)
        served = deployments_of(options.presets, Night(options.cron, options.timezone, options.when, scored))
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
    parser.add_argument("--cron", default=NIGHTLY, help=f"what is on schedule: '{NIGHTLY}'; empty: nothing")
    parser.add_argument("--timezone", default="UTC", help="of --cron: UTC")
    add_score(parser)
    command.add_when(parser)
    parser.add_argument("--limit", type=int, default=2, help="runs at a time: 2")
    return parser


def add_score(parser: argparse.ArgumentParser) -> None:
    """The option --score."""
    text = "what is to be scored on schedule by the champion of the preset NAME.toml, and where to"
    parser.add_argument(
        "--score", nargs=3, action="append", default=[], metavar=("NAME", "INPUT", "OUTPUT"), help=text
    )


def scored_of(asked: Sequence[Sequence[str]]) -> dict[str, tuple[str, str]]:
    """What the option --score was given, by preset.

    Raises:
        ConfigError: one is named twice.
    """
    found: dict[str, tuple[str, str]] = {}
    for name, source, output in asked:
        if name in found:
            raise ConfigError(f"--score {name} is given twice: a preset has one input and one output.")
        found[name] = (source, output)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The scheduled job: check, split, train, evaluate, compare, register: tasks around stages of the library.

    python -m flows.retrain CONFIG [section.key=value ...] [--when changed|new_data|worthwhile|always]

needs no server: without PREFECT_API_URL Prefect starts a temporary one. The ranks are child processes, so
this process imports no torch, and a cancelled flow leaves no rank behind. What is done is never lost and not
done again: the stages look for it in the store, whatever Prefect remembers.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import RUN_ID, TASK_SOURCE
from prefect.runtime import flow_run as present

from binclf import launch, stages
from binclf.config import Config, Data, Name
from binclf.retrain import alone, register, summary
from binclf.stages import When
from binclf.storage import place_of
from flows import command, events, parts
from flows.artifacts import last_of, show_run
from flows.flow import FLOW
from flows.forms import Advanced, Hours, config_of, parameters_of
from flows.retries import ONCE, SAFE
from flows.runners import runner
from flows.watch import Stage, heard, label, trigger, unless_unreachable


@task(name="check", timeout_seconds=3600, **SAFE)
def check(config: Config) -> dict[str, Any]:
    """Everything that would stop the run, of all files at once, before anything is written."""
    with heard():
        return stages.ready(config)


# of one flow run, so that a retry goes on with the run that was begun, even where `when` is always
@task(name="split", timeout_seconds=24 * 3600, **(SAFE | {"cache_policy": RUN_ID + TASK_SOURCE}))
def split_data(config: Config, when: When) -> dict[str, Any]:
    """Raw Parquet to parts, each file a mapped task; then a run that is begun, taken up, or found done."""
    with heard(), Stage(config.name, "split") as stage:
        return asdict(stages.begin(config, when, parts.splitting(stage)))


@task(name="train", **ONCE)
def train(run_dir: str, name: str, epochs: int) -> None:
    """Fit the model in child processes; what rank 0 logs appears here, and its loss as progress."""
    tell = get_run_logger().info

    def on_line(line: str) -> None:
        tell("%s", line)
        if found := launch.progress_of(line, epochs):
            stage.tell(found.share, found.words)

    with heard(), Stage(name, "train") as stage:
        stages.train(place_of(run_dir), on_line)


@task(name="evaluate", timeout_seconds=6 * 3600, **SAFE)
def evaluate(run_dir: str, name: str) -> None:
    """Metrics of each part."""
    with heard(), Stage(name, "evaluate"):
        stages.evaluate(place_of(run_dir))


@task(name="compare", timeout_seconds=6 * 3600, **SAFE)
def compare(run_dir: str) -> dict[str, Any]:
    """How the run stands against the champion; its report, and the seal."""
    with heard():
        return stages.compare(place_of(run_dir))


@task(name="register", timeout_seconds=1800, **SAFE)
def register_run(run_dir: str) -> dict[str, Any]:
    """A version in the registry, and champion if it deserves that; a repeat does it once."""
    with heard():
        return register(place_of(run_dir))


@task(name="show", retries=1, retry_delay_seconds=5)
def show(config: Config, result: dict[str, Any]) -> None:
    """The report, the metrics and the last runs as artifacts."""
    with unless_unreachable("the report"):
        show_run(config.name, config.store, result)


def outcome_of(result: dict[str, Any]) -> str:
    """In a word, as a tag."""
    if result["nothing_new"]:
        return "nothing-new"
    registered = result.get("registry")
    return "trained" if registered is None else "promoted" if registered["is_champion"] else "kept"


def named() -> str:
    """The name of the present flow run: its model, its data, and who asked."""
    given = present.parameters
    data = given["data"] if isinstance(given["data"], dict) else given["data"].model_dump()
    return f"{given['name']} of {last_of(data['path'])} ({trigger()})"


@flow(name="retrain", flow_run_name=named, task_runner=runner(), **FLOW)
def retrain(
    name: Name,
    data: Data,
    when: When = "changed",
    limit_hours: Hours = 24.0,
    advanced: Advanced = Advanced(),  # noqa: B008 - frozen
) -> dict[str, Any]:
    """Train on the newest data, evaluate, compare with the champion, and register the model.

    Args:
        name: The model's name: a-z, 0-9, '.', '_' and '-', at most 64.
        data: Which Parquet, and what its columns are for.
        when: changed: unless a finished run of the same settings and data is there. new_data: only if there
            are data that the champion has not seen. worthwhile: only if a refit on those would lower
            log-loss, beyond chance and by drift.retrain_gain. always: in any case.
        limit_hours: A training that takes longer is stopped, and goes on when the run is retried: hours, 0
            to 1000. 0: no limit.
        advanced: All other settings; each default is a good one.
    """
    config = config_of(name, data, advanced)
    label("retrain", name)
    with alone(config):
        return carry_out(config, when, limit_hours)


def carry_out(config: Config, when: When, limit_hours: float) -> dict[str, Any]:
    """The stages, one after the other; each finds what was done before."""
    check(config)
    begun = split_data(config, when)
    run_dir = begun["run"]
    if begun["reason"]:
        get_run_logger().info("%s", begun["reason"])
    else:
        limited = train.with_options(timeout_seconds=3600 * limit_hours or None)
        limited(run_dir, config.name, config.train.epochs)
        evaluate(run_dir, config.name)
    result = compare(run_dir) if not begun["reason"] else summary(place_of(run_dir))
    result |= {"nothing_new": begun["reason"], **register_run(run_dir)}
    show(config, result)
    until = f" until {result['until'][:16]}" if result["until"] else ""
    label(outcome_of(result), subject=f"{config.name}{until}")
    events.tell_outcome(config.name, result)
    get_run_logger().info("%s", result["verdict"])
    return result


def main(arguments: Sequence[str]) -> int:
    """`python -m flows.retrain CONFIG [section.key=value ...] [--when WHEN]`; returns the exit code."""
    return command.retrain(arguments, lambda config, when: retrain(**parameters_of(config), when=when))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

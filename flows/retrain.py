"""The scheduled job: split, train, evaluate, report and register, each a task around one call of the library.

    python -m flows.retrain CONFIG [section.key=value ...]

needs no server: without PREFECT_API_URL Prefect starts a temporary one. The ranks are child processes, so
this process imports no torch, and a cancelled flow leaves no rank behind.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from prefect import flow, get_run_logger, task

from binclf.config import Config, load
from binclf.errors import BinclfError
from binclf.retrain import begin, finish, fit, register, summary
from binclf.storage import place_of
from flows.artifacts import show_run


@task(name="split")
def split_data(config: Config) -> str:
    """Raw Parquet to parts; on unchanged input nothing is written. Returns the run directory."""
    run_dir = begin(config)
    get_run_logger().info("run directory: %s", run_dir)
    return str(run_dir)


@task(name="train")
def train(run_dir: str) -> str:
    """Fit the model in child processes; what rank 0 logs appears here."""
    fit(place_of(run_dir), in_process=False, on_line=get_run_logger().info)
    return run_dir


@task(name="evaluate")
def evaluate(run_dir: str) -> dict[str, Any]:
    """Metrics of each part, the report, and the seal."""
    finish(place_of(run_dir))
    return summary(place_of(run_dir))


@task(name="register")
def register_run(result: dict[str, Any]) -> dict[str, Any]:
    """A version in the registry, and champion if it deserves that; a retry does it once."""
    registered = register(place_of(result["run"]))
    get_run_logger().info("%s", registered or "registry.uri is off: not registered")
    return result | registered


@task(name="show")
def show(name: str, result: dict[str, Any]) -> None:
    """The report and the metrics as artifacts."""
    show_run(name, result)


@flow(name="retrain", flow_run_name="retrain {config.name}", validate_parameters=True)
def retrain(config: Config) -> dict[str, Any]:
    """Train on the newest data, evaluate, store the run, and register the model.

    Args:
        config: the whole job; the same settings as in the TOML file.
    """
    run_dir = train(split_data(config))
    result = register_run(evaluate(run_dir))
    show(config.name, result)
    get_run_logger().info("%s", result["verdict"])
    return result


def main(arguments: list[str]) -> int:
    """`python -m flows.retrain CONFIG [section.key=value ...]`; returns the exit code."""
    if not arguments:
        sys.stderr.write("usage: python -m flows.retrain CONFIG [section.key=value ...]\n")
        return 2
    try:
        retrain(load(arguments[0], arguments[1:]))
    except BinclfError as error:
        logging.getLogger(__name__).error("%s", "\n".join([str(error), *getattr(error, "__notes__", [])]))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

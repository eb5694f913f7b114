"""When labels have come: how the scores that were given out did, beside what training promised.

python -m flows.backtest RUN|MODEL SCORED LABELS [--by day|week|month|batch] [--registry URI]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, get_args

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run as present

from binclf.backtest import backtest as judged
from binclf.registry import open_run
from flows import command
from flows.artifacts import key_of, last_of
from flows.flow import FLOW
from flows.forms import Given, Period
from flows.retries import SAFE
from flows.watch import heard, label, trigger, unless_unreachable


@task(name="judge", timeout_seconds=6 * 3600, **SAFE)
def judge(model: str, scored: str, labels: str, by: str, registry: str) -> dict[str, Any]:
    """Scores and labels joined by their ids, and judged by period."""
    with heard():
        run = open_run(model, registry)
        return judged(run, scored, labels, by=by) | {"model": run.config.name}


def named() -> str:
    """The name of the present flow run: its model, its labels, and who asked."""
    given = present.parameters
    return f"{last_of(given['model'])} against {last_of(given['labels'])} ({trigger()})"


@flow(name="backtest", flow_run_name=named, **FLOW)
def backtest(
    model: Given, scored: Given, labels: Given, by: Period = "", registry: str = ""
) -> dict[str, Any]:
    """Judge scores that were given out by the labels that have come since.

    Args:
        model: What gave the scores: a registered model, such as models:/churn/3, or a run directory.
        scored: What the flow score has written: a directory, a file or a glob; a path or a URI.
        labels: Parquet with the id columns and the label, and the weight and the time where the model has
            them.
        by: day, week or month of data.time, or batch, which is a scored file. Empty: month, or batch where
            the labels have no time.
        registry: Of a registered model: MLflow tracking URI, or the store that has mlflow.db. Empty:
            MLFLOW_TRACKING_URI of the worker, else the store `runs`.
    """
    found = judge(model, scored, labels, by, registry)
    name, text = found.pop("model"), found.pop("text")
    label("backtest", name)
    headline = text.partition("\n")[0].removeprefix("# ")
    with unless_unreachable("the backtest"):
        create_markdown_artifact(text, key=key_of(name, "backtest"), description=headline)
    get_run_logger().info("%s", headline)
    return found


def main(arguments: Sequence[str]) -> int:
    """`python -m flows.backtest MODEL SCORED LABELS [--by PERIOD]`; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.backtest", description="Backtest as a flow.")
    parser.add_argument("model", metavar="RUN|MODEL", help="a run directory, or models:/NAME/VERSION")
    parser.add_argument("scored", metavar="SCORED", help="what `score` has written")
    parser.add_argument("labels", metavar="LABELS", help="Parquet with ids and labels")
    parser.add_argument("--by", choices=list(filter(None, get_args(Period))), default="", help="period")
    parser.add_argument("--registry", metavar="URI", default="", help="MLflow tracking URI, or a store")
    return command.ended(parser, arguments, lambda given: backtest(**vars(given)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

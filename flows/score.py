"""The scoring job: new Parquet to scored Parquet, in mapped parts.

    python -m flows.score RUN|MODEL INPUT OUTPUT [--registry URI]

What was scored before is left as it is, so that a schedule scores what arrived since: the newest files.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from prefect import flow, get_run_logger, task, unmapped
from prefect.artifacts import create_markdown_artifact
from prefect.futures import as_completed
from prefect.runtime import flow_run as present

import binclf
from binclf.artifact import package_version
from binclf.parquet import find
from binclf.registry import open_run
from binclf.score import conclude
from flows import command
from flows.artifacts import key_of, receipt_of
from flows.failures import failed
from flows.forms import Given, Parts
from flows.parts import PART
from flows.retries import SAFE
from flows.runners import runner
from flows.watch import Stage, heard, heard_from_part, label, trigger, unless_unreachable


@task(name="look", timeout_seconds=3600, **SAFE)
def look(model: str, source: str, registry: str) -> dict[str, Any]:
    """What is to be scored and by what; a wrong address or path is told here, before anything runs."""
    with heard():
        run = open_run(model, registry)
        return {"model": run.config.name, "run": run.id, "files": len(find(source).files)}


@task(name="score part", timeout_seconds=24 * 3600, **PART)
def score_part(part: str, model: str, source: str, output: str, registry: str) -> str:
    """Score some of the files; returns which."""
    with heard_from_part():
        binclf.score(model, source, output, part=part, registry=registry)
        return part


@task(name="conclude", timeout_seconds=3600, **SAFE)
def conclude_score(model: str, source: str, output: str, registry: str) -> dict[str, Any]:
    """Rows in are rows out, over all parts."""
    with heard():
        return conclude(model, source, output, registry=registry)


def named() -> str:
    """The name of the present flow run: its model, its data, and who asked."""
    given = present.parameters
    return f"{given['model']} on {given['source'].rstrip('/').rpartition('/')[2]} ({trigger()})"


@flow(
    name="score",
    flow_run_name=named,
    version=package_version(),
    task_runner=runner(),
    persist_result=True,
    result_serializer="json",
    on_failure=[failed],
    on_crashed=[failed],
)
def score(model: Given, source: Given, output: Given, registry: str = "", parts: Parts = 4) -> dict[str, Any]:
    """Score every Parquet file of a path that this model has not scored yet.

    Args:
        model: What scores: a registered model, such as models:/churn@champion, or a run directory.
        source: The Parquet to score: a file, a directory or a glob; a path or a URI.
        output: Directory for the scored files; what it has already of this model is left as it is.
        registry: Of a registered model: MLflow tracking URI, or the store that has mlflow.db. Empty:
            MLFLOW_TRACKING_URI of the worker, else the store `runs`.
        parts: Mapped tasks that the files are shared among: 1 to 1000. On one machine few do, since each
            takes all cores; of Dask or Ray as many as there are machines.
    """
    label("score")
    found = look(model, source, registry)
    shares = min(found["files"], parts)
    with Stage(found["model"], "score") as stage:
        names = [f"{number}/{shares}" for number in range(1, shares + 1)]
        futures = score_part.map(names, *map(unmapped, (model, source, output, registry)))
        for done, future in enumerate(as_completed(list(futures)), 1):
            stage.tell(done / shares, f"{future.result()} done, {done} of {shares} parts")
        receipt = conclude_score(model, source, output, registry)
        stage.tell(1.0, f"{receipt['rows']:,} rows")
    with unless_unreachable("the receipt"):
        create_markdown_artifact(
            receipt_of(receipt),
            key=key_of("score", "receipt"),
            description=f"{receipt['rows']:,} rows by {receipt['model']}",
        )
    get_run_logger().info("%s rows scored", f"{receipt['rows']:,}")
    return receipt


def main(arguments: Sequence[str]) -> int:
    """`python -m flows.score MODEL INPUT OUTPUT [--registry URI]`; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.score", description="Score as a flow.")
    parser.add_argument("model", metavar="RUN|MODEL", help="a run directory, or models:/NAME@champion")
    parser.add_argument("source", metavar="INPUT")
    parser.add_argument("output", metavar="OUTPUT")
    parser.add_argument("--registry", metavar="URI", default="", help="MLflow tracking URI, or a store")
    return command.ended(parser, arguments, lambda given: score(**vars(given)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

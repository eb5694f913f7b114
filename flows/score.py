"""The scoring job: new Parquet to scored Parquet, as a whole, or in mapped parts.

    python -m flows.score RUN|MODEL INPUT OUTPUT [score.key=value ...] [--registry URI] [--parts N]

What was scored before is left as it is, so that a schedule scores what arrived since: the newest files.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence
from typing import Any

from prefect import flow, get_run_logger, task, unmapped
from prefect.futures import as_completed
from prefect.runtime import flow_run as present

import binclf
from binclf.drift import of_watch, told_of
from binclf.parquet import find
from binclf.profile import Watch
from binclf.registry import open_run
from binclf.score import conclude
from flows import command, events
from flows.artifacts import last_of, show_scores
from flows.flow import FLOW
from flows.forms import Given, Parts, ScoreSettings
from flows.parts import PART
from flows.retries import SAFE
from flows.runners import runner
from flows.watch import Stage, heard, heard_from_part, label, trigger, unless_unreachable


class Shown(Watch):
    """Rows watched while they are scored, and told as progress."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage, self.rows, self.one_at_a_time = stage, 0, threading.Lock()

    def begin(self, *job: Any) -> None:  # noqa: ANN401 - as a Watch begins
        """Of a job of so many rows, which is its last argument."""
        super().begin(*job)
        self.whole = job[-1]

    def see(self, number: int, rows: Any, logits: Any) -> None:  # noqa: ANN401 - as a Watch sees
        """A row group, by any of several threads."""
        super().see(number, rows, logits)
        with self.one_at_a_time:
            self.rows += len(rows)
            self.stage.tell(self.rows / self.whole, f"{self.rows:,} of {self.whole:,} rows")


@task(name="look", timeout_seconds=3600, **SAFE)
def look(model: str, source: str, registry: str) -> dict[str, Any]:
    """What is to be scored and by what; a wrong address or path is told here, before anything runs."""
    with heard():
        run = open_run(model, registry)
        return {"model": run.config.name, "run": run.id, "files": len(find(source).files)}


@task(name="score all", timeout_seconds=24 * 3600, **SAFE)
def score_all(
    name: str, model: str, source: str, output: str, settings: Sequence[str], registry: str
) -> dict[str, Any]:
    """Score everything, and see how these rows differ from those of training."""
    with heard(), Stage(name, "score") as stage:
        watch = Shown(stage)
        receipt = binclf.score(model, source, output, settings, registry=registry, observers=[watch])
        return receipt | {"drift": told_of(of_watch(watch, source))}


@task(name="score part", **PART)  # (in a thread, a limit of time would stop nothing)
def score_part(
    part: str, model: str, source: str, output: str, settings: Sequence[str], registry: str
) -> dict[str, Any]:
    """Score some of the files; the last of them commits, and returns the drift of all that is new."""
    with heard_from_part():
        watch = Watch(is_sample=True)
        told = binclf.score(model, source, output, settings, part=part, registry=registry, observers=[watch])
        return {} if "waiting_for" in told else told_of(of_watch(watch, source))


@task(name="conclude", timeout_seconds=3600, **SAFE)
def conclude_score(
    model: str, source: str, output: str, settings: Sequence[str], registry: str
) -> dict[str, Any]:
    """Rows in are rows out, over all parts; the commit, and the drift, where no part came to that."""
    with heard():
        watch = Watch(is_sample=True)
        receipt = conclude(model, source, output, settings, registry, watch)
        return receipt | {"drift": told_of(of_watch(watch, source))}


def score_in_parts(name: str, shares: int, *job: Any) -> dict[str, Any]:  # noqa: ANN401 - of `score_part`
    """Shares of the files as mapped tasks, then the commit."""
    with Stage(name, "score") as stage:
        shares_of = [f"{number}/{shares}" for number in range(1, shares + 1)]
        futures = list(score_part.map(shares_of, *map(unmapped, job)))
        for done, future in enumerate(as_completed(futures), 1):
            future.result()  # the first that failed ends the stage
            stage.tell(done / shares, f"{done} of {shares} parts")
        receipt = conclude_score(*job)
        stage.tell(1.0, f"{receipt['rows']:,} rows")
    drifts = [receipt["drift"], *(future.result() for future in futures)]
    return receipt | {"drift": next(filter(None, drifts), {})}


def named() -> str:
    """The name of the present flow run: its model, its data, and who asked."""
    given = present.parameters
    return f"{last_of(given['model'])} on {last_of(given['source'])} ({trigger()})"


@flow(name="score", flow_run_name=named, task_runner=runner(), **FLOW)
def score(
    model: Given,
    source: Given,
    output: Given,
    registry: str = "",
    settings: ScoreSettings = (),
    parts: Parts = 1,
) -> dict[str, Any]:
    """Score every Parquet file of a path that this model has not scored yet.

    Args:
        model: What scores: a registered model, such as models:/churn@champion, or a run directory.
        source: The Parquet to score: a file, a directory or a glob; a path or a URI.
        output: Directory for the scored files; what it has already of this model is left as it is.
        registry: Of a registered model: MLflow tracking URI, or the store that has mlflow.db. Empty:
            MLFLOW_TRACKING_URI of the worker, else the store `runs`.
        settings: What is to differ from the section [score] that the model was trained with, one a line,
            such as score.contributions=3 or score.on_bad_row=quarantine.
        parts: Mapped tasks that the files are shared among: 1 to 1000. One uses all cores of its machine, and
            tells the drift of all rows; several that of a million or so. Of Dask or Ray as many as there are
            machines.
    """
    label("score")
    found = look(model, source, registry)
    name, shares = found["model"], min(found["files"], parts)
    job = (model, source, output, list(settings), registry)
    receipt = score_all(name, *job) if shares == 1 else score_in_parts(name, shares, *job)
    with unless_unreachable("the receipt"):
        show_scores(name, receipt)
    events.tell_drift(name, receipt["drift"])
    get_run_logger().info("%s rows scored", f"{receipt['rows']:,}")
    return receipt


def main(arguments: Sequence[str]) -> int:
    """`python -m flows.score MODEL INPUT OUTPUT [score.key=value ...]`; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.score", description="Score as a flow.")
    parser.add_argument("model", metavar="RUN|MODEL", help="a run directory, or models:/NAME@champion")
    parser.add_argument("source", metavar="INPUT")
    parser.add_argument("output", metavar="OUTPUT")
    parser.add_argument("settings", metavar="score.key=value", nargs="*", help="other than the model's own")
    parser.add_argument("--registry", metavar="URI", default="", help="MLflow tracking URI, or a store")
    parser.add_argument("--parts", metavar="N", type=int, default=1, help="mapped tasks: 1")
    return command.ended(parser, arguments, lambda given: score(**vars(given)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

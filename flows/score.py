"""The scoring job: new Parquet to scored Parquet.

python -m flows.score RUN INPUT OUTPUT
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any

from prefect import flow, get_run_logger, task, unmapped
from prefect.artifacts import create_markdown_artifact

import binclf
from binclf.errors import BinclfError
from binclf.score import conclude
from flows.artifacts import key_of


@task(name="score")
def score_files(
    run: str, source: str, output: str, overrides: Sequence[str] = (), part: str = ""
) -> dict[str, Any]:
    """One scored file for each input; files that were scored before are left as they are."""
    return binclf.score(run, source, output, overrides, part=part)


@task(name="commit scores")
def commit_scores(run: str, source: str, output: str, overrides: Sequence[str]) -> dict[str, Any]:
    """The parts of all machines get their names; one that did so already is no harm."""
    return conclude(run, source, output, overrides)


@flow(name="score", flow_run_name="score {source}")
def score(
    run: str, source: str, output: str, overrides: Sequence[str] = (), machines: int = 1
) -> dict[str, Any]:
    """Score every Parquet file of a path with a finished run.

    Args:
        run: the run directory of the model, or an address such as models:/churn@champion.
        source: the Parquet to score: a file, a directory or a glob.
        output: the directory for the scored files.
        overrides: settings, such as score.contributions=3.
        machines: the work is shared among so many tasks, each of which takes all cores of its machine.
    """
    if machines > 1:
        shares = [f"{place}/{machines}" for place in range(1, machines + 1)]
        score_files.map(run, source, output, unmapped(overrides), shares).result()
        receipt = commit_scores(run, source, output, overrides)
    else:
        receipt = score_files(run, source, output, overrides)
    table = "\n".join(f"| {key} | {value} |" for key, value in receipt.items())
    create_markdown_artifact(
        f"# Scored\n\n| | |\n|---|---|\n{table}\n",
        key=key_of("score", "receipt"),
        description=f"{receipt['rows']:,} rows by {receipt['model']}",
    )
    get_run_logger().info("%s rows scored", f"{receipt['rows']:,}")
    return receipt


def main(arguments: list[str]) -> int:
    """`python -m flows.score RUN INPUT OUTPUT`; returns the exit code."""
    if len(arguments) != 3:
        sys.stderr.write("usage: python -m flows.score RUN INPUT OUTPUT\n")
        return 2
    run, source, output = arguments
    try:
        score(run, source, output)
    except BinclfError as error:
        logging.getLogger(__name__).error("%s", "\n".join([str(error), *getattr(error, "__notes__", [])]))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

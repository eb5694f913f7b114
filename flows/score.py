"""The scoring job: new Parquet to scored Parquet.

python -m flows.score RUN INPUT OUTPUT
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact

import binclf
from binclf.errors import BinclfError
from flows.artifacts import key_of


@task(name="score")
def score_files(run: str, source: str, output: str) -> dict[str, Any]:
    """One scored file for each input; files that were scored before are left as they are."""
    return binclf.score(run, source, output)


@flow(name="score", flow_run_name="score {source}")
def score(run: str, source: str, output: str) -> dict[str, Any]:
    """Score every Parquet file of a path with a finished run.

    Args:
        run: the run directory of the model.
        source: the Parquet to score: a file, a directory or a glob.
        output: the directory for the scored files.
    """
    receipt = score_files(run, source, output)
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
    try:
        score(*arguments)
    except BinclfError as error:
        logging.getLogger(__name__).error("%s", "\n".join([str(error), *getattr(error, "__notes__", [])]))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

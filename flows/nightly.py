"""The night's job: score what arrived, by the champion; then retrain, if that is due.

python -m flows.nightly CONFIG INPUT OUTPUT [section.key=value ...] [--when WHEN]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from prefect import flow, get_run_logger, tags, task
from prefect.runtime import flow_run as present

from binclf import stages
from binclf.config import Config, Data, Name, load
from binclf.errors import BusyError
from binclf.registry import tracking_uri
from flows import command
from flows.flow import FLOW, TAG
from flows.forms import Advanced, Given, Retraining, config_of, parameters_of, score_settings_of
from flows.retrain import retrain
from flows.retries import SAFE
from flows.score import score
from flows.watch import heard, label, trigger


@task(name="due", timeout_seconds=3600, **SAFE)
def due(config: Config, retraining: Retraining) -> str:
    """Why a retraining is due; empty: it is not."""
    with heard():
        return stages.due(config, retraining.days, retraining.new_files)


def named() -> str:
    """The name of the present flow run: its model, and who asked."""
    return f"{present.parameters['name']}'s night ({trigger()})"


@flow(name="nightly", flow_run_name=named, **FLOW)
def nightly(
    name: Name,
    source: Given,
    output: Given,
    data: Data,
    retraining: Retraining = Retraining(),  # noqa: B008 - frozen
    advanced: Advanced = Advanced(),  # noqa: B008
) -> dict[str, Any]:
    """Score what arrived, by the champion, then retrain it if that is due; a first champion is trained first.

    Args:
        name: The model's name: a-z, 0-9, '.', '_' and '-', at most 64.
        source: The Parquet to score: a file, a directory or a glob; a path or a URI.
        output: Directory for the scored files; what it has already of this model is left as it is.
        data: Which Parquet to learn from, and what its columns are for.
        retraining: When the champion is retrained; the defaults: once a week, and for each new file.
        advanced: All other settings; each default is a good one.
    """
    config = config_of(name, data, advanced)
    label("nightly", name)
    reason = due(config, retraining)
    asked: dict[str, Any] = {"model": f"models:/{name}@champion", "source": source, "output": output}
    asked |= {"registry": tracking_uri(config), "settings": score_settings_of(config)}
    job = parameters_of(config) | {"when": retraining.when}
    # what is called is watched as its caller is: the server settles it, should its heartbeats end
    with tags(*{TAG}.intersection(present.tags or ())):
        return {"due": reason, **carry_out(reason, asked, job)}


def carry_out(reason: str, asked: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    """Score first, that nobody waits for a training; but by whom, if there is no champion yet?"""
    if reason.endswith("no champion yet"):
        return {"retrained": retrain(**job), "scored": score(**asked)}
    log = get_run_logger()
    result = {"scored": score(**asked)}
    log.info("%s", reason or "a retraining is not due")
    if reason:
        try:
            result["retrained"] = retrain(**job)
        except BusyError as error:  # somebody does it by hand at this moment, which is all that was wanted
            log.warning("%s", error)
    return result


def main(arguments: Sequence[str]) -> int:
    """`python -m flows.nightly CONFIG INPUT OUTPUT [section.key=value ...] [--when WHEN]`; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.nightly", description="A night's work as a flow.")
    parser.add_argument("config", metavar="CONFIG", help="TOML file (or a run's config.json)")
    parser.add_argument("source", metavar="INPUT", help="Parquet to score")
    parser.add_argument("output", metavar="OUTPUT", help="directory for the scored files")
    parser.add_argument("overrides", metavar="section.key=value", nargs="*", help="settings that override it")
    command.add_when(parser)

    def run(given: argparse.Namespace) -> Any:  # noqa: ANN401 - what the flow returns
        parameters = parameters_of(load(given.config, given.overrides))
        retraining = Retraining(when=given.when)
        return nightly(**parameters, source=given.source, output=given.output, retraining=retraining)

    return command.ended(parser, arguments, run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

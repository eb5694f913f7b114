"""Flows from a shell: arguments, and the library's exit codes."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from typing import Any, get_args

from binclf.config import Config, load
from binclf.errors import BinclfError
from binclf.stages import When


def retrain(arguments: Sequence[str], run: Callable[[Config, When], Any]) -> int:
    """CONFIG, overrides and when; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.retrain", description="Retrain, as a Prefect flow."
    )
    parser.add_argument("config", metavar="CONFIG", help="TOML file (or a run's config.json)")
    parser.add_argument("overrides", metavar="section.key=value", nargs="*", help="settings that override it")
    add_when(parser)
    return ended(parser, arguments, lambda given: run(load(given.config, given.overrides), given.when))


def add_when(parser: argparse.ArgumentParser) -> None:
    """The option --when."""
    choices = get_args(When)
    parser.add_argument(
        "--when", choices=choices, default=choices[0], help="whether to train where little or nothing is new"
    )


def ended(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str],
    run: Callable[[argparse.Namespace], Any],
) -> int:
    """Run a flow with what the arguments say; returns the exit code, after words about what went wrong."""
    try:
        given = parser.parse_intermixed_args(arguments)
        run(given)
    except SystemExit as error:  # argparse: help, or usage
        return int(error.code or 0)
    except BinclfError as error:
        logging.getLogger(__name__).error("%s", "\n".join([str(error), *getattr(error, "__notes__", [])]))
        return error.exit_code
    return 0

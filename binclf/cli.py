"""The command line: arguments and TOML to a verb, and its outcome to an exit code.

Progress and logs go to stderr; with --json one JSON object goes to stdout and nothing else does.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

from binclf import artifact, launch
from binclf.config import Config, load
from binclf.errors import BinclfError
from binclf.storage import place_of

OUR_FAULT = 70
CODES = (
    "Exit codes: 0 done, 2 usage or config, 10 data at fault, 12 run untrusted, 13 storage, "
    "14 a rank failed, 70 our own fault, 75 busy, 130/143 signals."
)

Result = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its code."""
    options = _options(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    computes = options.verb in ("rank", "train", "retrain")
    is_rank = launch.is_rank() and computes
    if computes:
        launch.one_heap()
    try:
        if is_rank:
            launch.die_with_launcher()
        result = options.run(options)
    except KeyboardInterrupt as error:
        _notes(error)
        _leave(130, is_rank=is_rank)
    except Exception as error:
        _leave(_tell(error, is_rank=is_rank), is_rank=is_rank)
    code = 0
    if result is not None:
        code = result.pop("exit_code", 0)
        _show(result, as_json=options.json)
    _leave(code, is_rank=is_rank)


def _tell(error: Exception, *, is_rank: bool) -> int:
    """Say what went wrong; returns the exit code."""
    trace = "".join(traceback.format_exception(error))
    if is_rank and launch.write_error(error, trace):
        return getattr(error, "exit_code", OUR_FAULT)  # the launcher tells it, once, of the guilty rank
    if not isinstance(error, BinclfError):
        sys.stderr.write(f"{trace}binclf: this is our own fault; please report it with the above\n")
        return OUR_FAULT
    sys.stderr.write(f"binclf: error: {error}\n")
    _notes(error)
    return error.exit_code


def _notes(error: BaseException) -> None:
    for note in getattr(error, "__notes__", ()):
        sys.stderr.write(f"binclf: {note}\n")


def _leave(code: int, *, is_rank: bool) -> NoReturn:
    """Exit; a rank that failed does so at once, for gloo may abort on the way out with another code."""
    sys.stdout.flush()
    sys.stderr.flush()
    if is_rank and code:
        os._exit(code)
    sys.exit(code)


def _show(result: Result, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(result, allow_nan=False) + "\n")
    elif "text" in result:
        sys.stdout.write(result["text"] + "\n")
    else:
        told = {key: value for key, value in result.items() if key != "metrics"}  # the report has them
        width = max(map(len, told))
        for key, value in told.items():
            shown = json.dumps(value) if isinstance(value, dict | list) else value
            sys.stdout.write(f"{key:<{width}}  {shown}\n")


def _config(options: argparse.Namespace) -> Config:
    overrides = list(options.overrides)
    if getattr(options, "ranks", None) is not None:
        overrides.append(f"train.ranks={options.ranks}")
    return load(options.config, overrides)


def _demo(options: argparse.Namespace) -> Result:
    from binclf.demo import demo

    return demo(Path(options.directory))


def _check(options: argparse.Namespace) -> Result:
    from binclf.check import check, text_of

    found = check(_config(options))
    return found if options.json else {"text": text_of(found), "exit_code": found["exit_code"]}


def _plan(options: argparse.Namespace) -> Result:
    from binclf.plan import foresee, text_of
    from binclf.retrain import ranks_that_pay

    config = _config(options)
    found = foresee(config, config.train.ranks or ranks_that_pay(config))
    return found if options.json else {"text": text_of(found)}


def _split(options: argparse.Namespace) -> Result:
    from binclf.split import ensure

    split = ensure(_config(options))
    parts = {part: split.rows(part) for part in split.parts}
    return {
        "split": split.digest,
        "parts": parts,
        "cuts": dict(split.cuts),
        "receipt": dict(split.receipt),
    }


def _train(options: argparse.Namespace) -> Result | None:
    """Split if need be, train, evaluate and seal; or, started by torchrun, be one rank of that."""
    from binclf.retrain import finish, retrain, summary

    config = _config(options)
    resume = place_of(options.resume) if options.resume else None
    if not launch.is_rank():
        return summary(retrain(config, resume=resume))
    from binclf import train
    from binclf.world import join

    with join(config.train.device, lambda: str(artifact.begin(config, resume))) as world:
        run_dir = place_of(world.prepared)
        with artifact.working(run_dir) if world.rank == 0 else nullcontext():
            train.train_in(world, config, run_dir)
    if world.rank != 0:
        return None
    finish(place_of(world.prepared))
    return summary(place_of(world.prepared))


def _rank(options: argparse.Namespace) -> None:
    from binclf import train

    train.train(place_of(options.run_dir))


def _evaluate(options: argparse.Namespace) -> Result:
    from binclf.evaluate import evaluate

    return evaluate(options.run_dir, options.data)


def _report(options: argparse.Namespace) -> Result:
    from binclf import report

    text = report.read(options.run_dir)
    return {
        "run": options.run_dir,
        "report": str(place_of(options.run_dir) / "report.md"),
        "text": text,
    }


def _score(options: argparse.Namespace) -> Result:
    from binclf.score import score

    return score(options.run_dir, options.input, options.output)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Options and overrides in any order: argparse takes overrides only in one run, right after CONFIG."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and ("overrides" not in options or any(text.startswith("-") for text in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.overrides = [*options.overrides, *rest]
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="binclf",
        description="Retrain, judge and apply binary classifiers on Parquet.",
        epilog=CODES,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(
        name: str, run: Callable[[argparse.Namespace], Result | None], text: str
    ) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=text, description=text)
        added.add_argument("--json", action="store_true", help="one JSON object on stdout")
        added.set_defaults(run=run)
        return added

    def with_config(added: argparse.ArgumentParser) -> None:
        added.add_argument("config", metavar="CONFIG", help="TOML file (or a run's config.json)")
        added.add_argument(
            "overrides",
            metavar="section.key=value",
            nargs="*",
            help="settings that override the file's",
        )

    added = verb("demo", _demo, "Real data in, everything run, and where to look next.")
    added.add_argument("directory", metavar="DIR", nargs="?", default="demo")
    with_config(verb("check", _check, "What would stop a run, of all files at once; nothing is written."))
    with_config(verb("plan", _plan, "What a run would read, need and cost; nothing is written."))
    with_config(verb("split", _split, "Raw Parquet to train, validation and test Parquet."))
    for name, text in (
        ("retrain", "The whole job: split, train, evaluate, report."),
        ("train", "As retrain; also what torchrun starts: torchrun -m binclf train CONFIG."),
    ):
        added = verb(name, _train, text)
        with_config(added)
        added.add_argument("--ranks", type=int, metavar="N", help="processes on this machine")
        added.add_argument("--resume", metavar="RUN", help="go on with an unfinished run")
    added = verb("evaluate", _evaluate, "Metrics of a run, on its own parts or on other labelled data.")
    added.add_argument("run_dir", metavar="RUN")
    added.add_argument("data", metavar="DATA", nargs="?")
    verb("report", _report, "The report of a run.").add_argument("run_dir", metavar="RUN")
    added = verb("score", _score, "New Parquet to scored Parquet.")
    added.add_argument("run_dir", metavar="RUN")
    added.add_argument("input", metavar="INPUT")
    added.add_argument("output", metavar="OUTPUT")
    added = verbs.add_parser("rank")  # what `launch` starts: not for people, so not in the help
    added.add_argument("run_dir")
    added.set_defaults(run=_rank, json=False)
    return parser

"""What can be said on the command line, and what its help says."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeAlias

from binclf.cli import verbs
from binclf.errors import ConfigError

Verbs: TypeAlias = "argparse._SubParsersAction[Parser]"

CODES = (
    "Exit codes: 0 done, 2 usage or config, 10 data at fault, 11 gate refused (--strict), 12 run untrusted, "
    "13 storage, 14 a rank failed, 70 our own fault, 75 busy, 130/143 signals."
)


class Usage(ConfigError):
    """The command line cannot be understood; `usage` says what can be said."""

    def __init__(self, message: str, usage: str) -> None:
        super().__init__(message)
        self.usage = usage


class Parser(argparse.ArgumentParser):
    """Raises what it does not understand, so that it is told in the shape of every error."""

    def error(self, message: str) -> NoReturn:
        """Raise Usage."""
        raise Usage(message, self.format_usage())


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Options and overrides in any order: argparse takes overrides only in one run, right after CONFIG."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and ("overrides" not in options or any(text.startswith("-") for text in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.overrides = [*options.overrides, *rest]
    return options


def _parser() -> Parser:
    parser = Parser(
        prog="binclf",
        description="Retrain, judge and apply binary classifiers on Parquet.",
        epilog=CODES,
    )
    named = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _on_configs(named)
    _on_runs(named)
    _on_rows(named)
    _on_models(named)
    added = named.add_parser("rank")  # what `launch` starts: not for people, so not in the help
    added.add_argument("run_dir")
    added.set_defaults(run=verbs.rank, json=False)
    return parser


def _on_configs(named: Verbs) -> None:
    """The verbs that begin with a config."""
    added = _verb(named, "demo", verbs.demo, "Real data in, everything run, and where to look next.")
    added.add_argument("directory", metavar="DIR", nargs="?", default="demo")
    for name, run, text in (
        ("check", verbs.check, "What would stop a run, of all files at once; nothing is written."),
        ("plan", verbs.plan, "What a run would read, need and cost; nothing is written."),
        ("split", verbs.split, "Raw Parquet to train, validation and test Parquet."),
        ("retrain", verbs.train, "The whole job: split, train, evaluate, report, register."),
        (
            "train",
            verbs.train,
            "As retrain; also what torchrun starts: torchrun -m binclf train CONFIG.",
        ),
    ):
        added = _verb(named, name, run, text)
        added.add_argument("config", metavar="CONFIG", help="TOML file (or a run's config.json)")
        added.add_argument(
            "overrides",
            metavar="section.key=value",
            nargs="*",
            default=[],  # else argparse says that they are required
            help="settings that override the file's",
        )
        if run is verbs.train:
            added.add_argument("--ranks", type=int, metavar="N", help="processes on this machine")
            added.add_argument("--resume", metavar="RUN", help="go on with an unfinished run")
            _strict(added)


def _on_runs(named: Verbs) -> None:
    """The verbs that begin with a run, or with a registered model."""
    text = "Metrics of a run, on its own parts or on other labelled data."
    added = _verb(named, "evaluate", verbs.evaluate, text)
    _model(added)
    added.add_argument("data", metavar="DATA", nargs="?", help="labelled Parquet, or what `score` wrote")
    added.add_argument("labels", metavar="LABELS", nargs="?", help="of scored rows: joined by data.ids")
    added.add_argument("--by", default="", choices=("day", "week", "month", "batch"), help="with LABELS")
    added.add_argument(
        "--output", metavar="FILE", default="", help="with LABELS: a page (.html), Markdown or JSON"
    )
    text = "Where the report of a run is, and what it says."
    _verb(named, "report", verbs.report, text).add_argument("run_dir", metavar="RUN")
    text = "Is the first run (challenger) better than the second (champion), beyond noise?"
    added = _verb(named, "compare", verbs.compare, text)
    added.add_argument("run_dir", metavar="RUN", help="the challenger")
    added.add_argument("champion", metavar="RUN|MODEL", help="what it is compared with")
    added.add_argument("data", metavar="DATA", nargs="?", help="labelled Parquet; else RUN's test part")
    _registry(added, "that of RUN's own config, else the store `runs`")
    _strict(added)


def _on_rows(named: Verbs) -> None:
    """The verbs that take a model to new rows, or elsewhere."""
    added = _verb(named, "score", verbs.score, "New Parquet to scored Parquet.")
    _model(added)
    added.add_argument("input", metavar="INPUT")
    added.add_argument("output", metavar="OUTPUT")
    added.add_argument(
        "--drift", metavar="FILE", default="", help="how the rows differ from training's: .html, .md or .json"
    )
    added.add_argument(
        "overrides", metavar="score.key=value", nargs="*", help="settings that override the run's [score]"
    )
    text = "only every n-th part, from the i-th on, as one of n machines; the last of them commits"
    added.add_argument("--part", metavar="I/N", default="", help=text)
    text = "score nothing; commit what several --part have scored"
    added.add_argument("--commit", action="store_true", help=text)
    text = "How rows differ from those of training, in units of the score; with labels, whether to retrain."
    added = _verb(named, "drift", verbs.drift, text)
    _model(added)
    added.add_argument("data", metavar="DATA", help="Parquet, with labels or without")
    added.add_argument("--output", metavar="FILE", default="", help="a page (.html), Markdown or JSON")
    added.add_argument("--strict", action="store_true", help="exit with 11 if there is an alarm")
    text = "The model as a SQL query, an ONNX graph or a scikit-learn pipeline, run before it is handed over."
    added = _verb(named, "export", verbs.export, text)
    _model(added)
    added.add_argument("--format", required=True, choices=("sql", "onnx", "sklearn"))
    added.add_argument("--output", required=True, metavar="FILE")
    added.add_argument(
        "--dialect", default="", metavar="NAME", help="sql: duckdb (unless named), postgres, bigquery, spark"
    )
    added.add_argument(
        "--table", default="", metavar="NAME", help="sql: the table to score; else the model's name"
    )


def _on_models(named: Verbs) -> None:
    """The verbs on a store and its registry."""
    text = "A sealed run as a version of its model, and champion if it deserves that; once."
    added = _verb(named, "register", verbs.register, text)
    added.add_argument("run_dir", metavar="RUN")
    added.add_argument("--registry", metavar="URI", default="", help="else as the run's config says")
    _strict(added)
    text = "What a store no longer needs: old runs, parts and decoded rows. Shows it; with --yes removes it."
    added = _verb(named, "prune", verbs.prune, text)
    added.add_argument("store", metavar="STORE|CONFIG", help="a store, or a config: its model's runs alone")
    added.add_argument("--keep", metavar="N", type=int, default=5, help="newest runs of each model (5)")
    added.add_argument("--yes", action="store_true", help="remove what is shown")
    text = "Make the model that the champion replaced champion again; twice goes back two."
    added = _verb(named, "rollback", verbs.rollback, text)
    added.add_argument("name", metavar="NAME", help="of the model")
    _registry(added)


def _model(added: Parser) -> None:
    added.add_argument("run_dir", metavar="RUN|MODEL", help="a run directory, or models:/NAME@champion")
    _registry(added)


def _registry(added: Parser, last: str = "the store `runs`") -> None:
    text = f"of a model: MLflow tracking URI, or a store; else $MLFLOW_TRACKING_URI, else {last}"
    added.add_argument("--registry", metavar="URI", default="", help=text)


def _strict(added: Parser) -> None:
    added.add_argument("--strict", action="store_true", help="exit with 11 if the model is not promoted")


def _verb(
    named: Verbs, name: str, run: Callable[[argparse.Namespace], verbs.Result | None], text: str
) -> Parser:
    added = named.add_parser(name, help=text, description=text)
    added.add_argument("--json", action="store_true", help="one JSON object on stdout")
    added.set_defaults(run=run)
    return added

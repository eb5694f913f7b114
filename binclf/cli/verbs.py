"""What each verb of the command line runs; a verb imports what it needs only when it is called."""

from __future__ import annotations

import argparse
import logging
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from binclf import artifact
from binclf.config import Config, load
from binclf.errors import ConfigError
from binclf.storage import place_of
from binclf.world import is_rank, join

log = logging.getLogger(__name__)

Result = dict[str, Any]
REFUSED = 11  # by the gate


def _config(options: argparse.Namespace) -> Config:
    overrides = list(options.overrides)
    if getattr(options, "ranks", None) is not None:
        overrides.append(f"train.ranks={options.ranks}")
    return load(options.config, overrides)


def demo(options: argparse.Namespace) -> Result:
    """Real data in, everything run."""
    from binclf.demo import demo

    return demo(Path(options.directory))


def check(options: argparse.Namespace) -> Result:
    """Problems of all files, as JSON or as text."""
    from binclf.check import check, text_of

    found = check(_config(options))
    return found if options.json else {"text": text_of(found), "exit_code": found["exit_code"]}


def plan(options: argparse.Namespace) -> Result:
    """What a run would read, need and cost."""
    from binclf.plan import foresee, text_of
    from binclf.retrain import ranks_that_pay

    config = _config(options)
    found = foresee(config, config.train.ranks or ranks_that_pay(config))
    return found if options.json else {"text": text_of(found)}


def split(options: argparse.Namespace) -> Result:
    """Parts of the data, and what the split read."""
    from binclf.split import ensure

    split = ensure(_config(options))
    parts = {part: split.rows(part) for part in split.parts}
    return {
        "split": split.digest,
        "parts": parts,
        "cuts": dict(split.cuts),
        "receipt": dict(split.receipt),
    }


def train(options: argparse.Namespace) -> Result | None:
    """Split if need be, train, evaluate, seal and register; or, started by torchrun, be one rank of that."""
    from binclf.retrain import begin, carry_out, conclude, summary

    config = _config(options)
    resume = place_of(options.resume) if options.resume else None
    if options.strict and (is_rank() or not config.registry.is_on):
        raise ConfigError(
            "--strict has no effect where nothing is registered (registry.uri = 'off', or under torchrun): "
            "remove it."
        )
    if not is_rank():
        return _gated(carry_out(config, resume=resume), is_strict=options.strict)
    from binclf import train
    from binclf.evaluate import measured

    settings = config.train
    with join(settings.device, lambda: str(begin(config, resume)), settings.stall_seconds) as world:
        run_dir = place_of(world.prepared)
        with artifact.working(run_dir) if world.rank == 0 else nullcontext():
            train.train_in(world, config, run_dir)
            world.meet()  # the model is written
            found = measured(artifact.open_run(run_dir, sealed=False), world)
            if world.rank == 0:
                conclude(run_dir, found)
    if world.rank != 0:
        return None
    if config.registry.is_on:  # ranks know nothing of MLflow, and need not have it
        log.info("torchrun's ranks do not speak to a registry: binclf register %s", run_dir)
    return summary(run_dir)


def register(options: argparse.Namespace) -> Result:
    """A sealed run as a version of its model, and champion if it deserves that."""
    from binclf.retrain import register

    found = register(place_of(options.run_dir), options.registry)
    if not found:
        raise ConfigError(f"{options.run_dir} says registry.uri = 'off': say where, by --registry URI.")
    return _gated({"run": options.run_dir, **found}, is_strict=options.strict)


def rollback(options: argparse.Namespace) -> Result:
    """The model that the champion replaced is champion again."""
    from binclf import registry

    return registry.roll_back(options.name, options.registry)


def prune(options: argparse.Namespace) -> Result:
    """What a store no longer needs; with --yes it is removed."""
    from binclf.prune import prune, text_of

    store, name = place_of(options.store), ""
    if not store.is_dir():
        config = load(options.store)
        store, name = place_of(config.store), config.name
    found = prune(store, keep=options.keep, name=name, is_meant=options.yes)
    return found if options.json else {"text": text_of(found)}


def _gated(result: Result, *, is_strict: bool) -> Result:
    """With the exit code of a gate that refused, where that is asked for."""
    is_refused = is_strict and not result["registry"]["is_champion"]
    return result | {"exit_code": REFUSED} if is_refused else result


def rank(options: argparse.Namespace) -> None:
    """Be one rank of a begun run: what `launch` starts."""
    from binclf import train

    train.train(place_of(options.run_dir))


def evaluate(options: argparse.Namespace) -> Result:
    """Metrics of a run, on its own parts or on other data; with labels, of the scores that it gave."""
    from binclf import registry
    from binclf.backtest import backtest
    from binclf.evaluate import evaluate

    if options.labels is not None:
        run = registry.open_run(options.run_dir, options.registry)
        found = backtest(run, options.data, options.labels, by=options.by, output=options.output)
        text = found.pop("text")
        return found if options.json else {"text": text}
    for name in filter(options.__dict__.get, ("by", "output")):
        raise ConfigError(f"--{name} has no effect without LABELS: remove it.")
    found = evaluate(registry.open_run(options.run_dir, options.registry), options.data)
    if options.json:
        return found
    from binclf.cli.told import evaluation

    return {"text": evaluation(found)}


def report(options: argparse.Namespace) -> Result:
    """Where the report of a run is, and what it says."""
    from binclf import report

    return report.read(options.run_dir)


def compare(options: argparse.Namespace) -> Result:
    """Champion and challenger on the same rows; with --strict, 11 where the challenger is not promoted."""
    from binclf import registry
    from binclf.compare import compare

    challenger = artifact.open_run(options.run_dir)
    where = options.registry or os.environ.get("MLFLOW_TRACKING_URI", "")
    champion = registry.open_run(options.champion, where or registry.tracking_uri(challenger.config))
    rule, margin = challenger.config.registry.promote, challenger.config.registry.margin
    found = compare(champion, challenger, margin=margin, data=options.data)
    is_promoted = found.is_promoted(rule)
    told = {"promote": rule, "is_promoted": is_promoted, **found.as_json()} if options.json else {}
    return {
        **(told or {"text": found.text()}),
        "exit_code": REFUSED if options.strict and not is_promoted else 0,
    }


def score(options: argparse.Namespace) -> Result:
    """New Parquet to scored Parquet."""
    from binclf.score import conclude, score

    asked = (options.run_dir, options.input, options.output, options.overrides)
    if (options.commit or options.part) and options.drift:
        raise ConfigError("--drift tells of whole jobs: run `binclf drift` beside --part and --commit.")
    if options.commit:
        if options.part:
            raise ConfigError("--part has no effect beside --commit: remove one of them.")
        return conclude(*asked, registry=options.registry)
    if not options.drift:
        return score(*asked, part=options.part, registry=options.registry)
    from binclf.drift import check_form, of_watch, sentence, write
    from binclf.profile import Watch

    report, watch = check_form(options.drift), Watch()
    receipt = score(*asked, registry=options.registry, observers=[watch])
    found = of_watch(watch, options.input)
    if found is None:
        log.warning("%s is not written: no file is new to the output, or the run has no profile", report)
    else:
        write(found, report)
    return receipt | {"drift": None if found is None else sentence(found)}


def drift(options: argparse.Namespace) -> Result:
    """Rows beside those of training; with --strict, 11 where there is an alarm or retraining is advised."""
    from binclf import registry
    from binclf.drift import drift

    found = drift(registry.open_run(options.run_dir, options.registry), options.data, options.output)
    is_alarm = found["is_alarm"] or (found["retrain"] or {}).get("is_advised", False)
    text = found.pop("text")
    told = found if options.json else {"text": text}
    return {**told, "exit_code": REFUSED if options.strict and is_alarm else 0}


def export(options: argparse.Namespace) -> Result:
    """The model for another engine."""
    from binclf import registry
    from binclf.export import export

    run = registry.open_run(options.run_dir, options.registry)
    return export(run, options.format, options.output, dialect=options.dialect, table=options.table)

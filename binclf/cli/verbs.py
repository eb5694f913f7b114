"""What each verb of the command line runs; a verb imports what it needs only when it is called."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from binclf import artifact, launch
from binclf.config import Config, load
from binclf.storage import place_of

Result = dict[str, Any]


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
    """Split if need be, train, evaluate and seal; or, started by torchrun, be one rank of that."""
    from binclf.retrain import conclude, retrain, summary

    config = _config(options)
    resume = place_of(options.resume) if options.resume else None
    if not launch.is_rank():
        return summary(retrain(config, resume=resume))
    from binclf import train
    from binclf.evaluate import of_parts
    from binclf.world import join

    with join(config.train.device, lambda: str(artifact.begin(config, resume))) as world:
        run_dir = place_of(world.prepared)
        with artifact.working(run_dir) if world.rank == 0 else nullcontext():
            train.train_in(world, config, run_dir)
            world.gather(b"")  # the model is written
            found = of_parts(artifact.open_run(run_dir, sealed=False), world)
            if world.rank == 0:
                conclude(run_dir, found)
    return summary(run_dir) if world.rank == 0 else None


def rank(options: argparse.Namespace) -> None:
    """Be one rank of a begun run: what `launch` starts."""
    from binclf import train

    train.train(place_of(options.run_dir))


def evaluate(options: argparse.Namespace) -> Result:
    """Metrics of a run, on its own parts or on other data."""
    from binclf.evaluate import evaluate

    return evaluate(options.run_dir, options.data)


def report(options: argparse.Namespace) -> Result:
    """Where the report of a run is, and what it says."""
    from binclf import report

    return report.read(options.run_dir)


def compare(options: argparse.Namespace) -> Result:
    """Champion and challenger on the same rows; with --strict, 11 where the challenger is not promoted."""
    from binclf.compare import compare

    champion, challenger = _run_of(options.champion), _run_of(options.run_dir)
    registry = getattr(challenger.config, "registry", None)
    found = compare(
        champion,
        challenger,
        margin=getattr(registry, "margin", 0.0),
        data=options.data,
    )
    rule = getattr(registry, "promote", "if_better")
    is_promoted = found.is_promoted(rule)
    told = {"promote": rule, "is_promoted": is_promoted, **found.as_json()} if options.json else {}
    return {**(told or {"text": found.text()}), "exit_code": 11 if options.strict and not is_promoted else 0}


def _run_of(address: str) -> artifact.Run:
    """A run by its directory; the one place where a registry's address is to be looked up."""
    return artifact.open_run(address)


def score(options: argparse.Namespace) -> Result:
    """New Parquet to scored Parquet."""
    from binclf.score import score

    return score(options.run_dir, options.input, options.output)

"""How near the optimum it is, what was read and what it took, and how to do it again."""

from __future__ import annotations

import hashlib
import platform
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from binclf import artifact
from binclf.report import numbers
from binclf.report.blocks import Cell, Command, Section, Table, Terms, Words
from binclf.report.facts import Facts
from binclf.report.source import listed
from binclf.report.text import plain


def optimum(run: artifact.Run) -> Section:
    """The certificate, and columns that depend on each other."""
    training = run.record["training"]
    return Section("optimum", "How near the optimum", [Words([certificate(training), *_dependent(training)])])


def certificate(training: Mapping[str, Any]) -> str:
    """How far the optimum is, in a sentence."""
    found = training["certificate"]
    if found is None:
        return f"How far the optimum of the training rows is remains unknown: {training['no_certificate']}."
    if found["gap"] is None:
        return (
            f"The least objective on the training rows is about {found['model_gap']:.1e} lower, and the "
            f"optimum {found['model_errors']:.1e} standard errors away, as the curvature here has it."
        )
    if found["errors"] is None:
        return (
            f"Proven: within {found['gap']:.1e} of the least objective on the training rows. By the "
            f"curvature seen on the way it is about {found['model_gap']:.1e}, and each coefficient within "
            f"about {found['model_errors']:.1e} standard errors of the optimum's."
        )
    proven = "Proven: within" if found["is_proven"] else "By the curvature here, within"
    return (
        f"{proven} {found['gap']:.1e} of the least objective on the training rows; each coefficient within "
        f"{found['errors']:.1e} standard errors of the optimum's."
    )


def _dependent(training: Mapping[str, Any]) -> Iterator[str]:
    for names in training.get("dependent_columns", ()):
        yield (
            f"{listed(names)} is constant, or nearly so beside its size: it has no effect of its own."
            if len(names) == 1
            else f"{listed(names)} depend on each other: their coefficients share one effect."
        )


def receipts(facts: Facts) -> Section:
    """Rows in and rows out, and what was predicted beside what it took."""
    split, train = facts.receipts["split"], facts.receipts["train"]
    rows = [
        ("read", split["rows"]), *((part, split[part]) for part in ("train", "validation", "test")),
        ("dropped, as they have no label", split["dropped_null_label"]),
        ("in files that were left out", split.get("quarantined_rows", 0)),
        ("seen in training, all passes", train.get("rows_seen")),
    ]  # fmt: skip
    accounts = Table(
        "rows-table",
        "No row was lost: parts and dropped rows add up to the rows read.",
        ("Rows", "Count"),
        [[Cell(name), Cell(numbers.count(value))] for name, value in rows],
    )
    return Section("receipts", "Receipts", [accounts, _costs(facts.receipts)])


def _costs(receipts: Mapping[str, Any]) -> Table:
    told, took = receipts.get("predicted", {}), receipts.get("actual", {})
    memory = numbers.size(took.get("memory_predicted_bytes"))
    tiers = (str(record.get("tier", numbers.UNKNOWN)) for record in (told, took))
    rows = [
        ("Decoded rows are kept in", *tiers),
        ("Memory of a rank", memory, numbers.size(took.get("memory_bytes"))),
        ("Memory to evaluate", *(numbers.size(of.get("memory_evaluate_bytes")) for of in (told, took))),
        *(
            (name, numbers.count(told.get(key)), numbers.count(took.get(key)))
            for key, name in (("batch_rows", "Rows of a step"), ("steps_per_epoch", "Steps of an epoch"),
                              ("epochs", "Epochs"), ("passes", "Passes"))
            if isinstance(took.get(key), int | float) and not isinstance(told.get(key), dict)
        ),
    ]  # fmt: skip
    cells = [[Cell(name), Cell(before), Cell(after)] for name, before, after in rows]
    return Table("costs-table", "What was predicted beside what it took.", ("", "Predicted", "Took"), cells)


def again(run: artifact.Run) -> Section:
    """The command, what it needs, and how to tell that the result is the same."""
    weights = hashlib.sha256((run.path / "model.safetensors").read_bytes()).hexdigest()
    training = run.record["training"]
    same = (
        "With the same data, build and kind of processor the weights have the same bits, on any number of "
        "ranks."
        if training["solver"] in ("newton", "lbfgs")
        else "With the same data the weights are the same up to rounding, on any number of ranks."
    )
    made = f"binclf {run.record['binclf']}, Python {platform.python_version()}, NumPy {np.__version__}"
    terms = [
        ("Split", Cell(run.split.digest, note="digest of files, settings and label")),
        ("Weights", Cell(weights, note="SHA-256 of model.safetensors")),
        ("Made by", Cell(made, note=f"{platform.machine()}, {run.record['created']}")),
    ]
    return Section("again", "Do it again", [Command(command(run)), Words([same]), Terms(terms)])


def command(run: artifact.Run) -> str:
    """The command that makes this run again from its own settings, in one line."""
    return plain(shlex.join(["binclf", "retrain", str(run.path / "config.json")]), 2000)

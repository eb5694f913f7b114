"""What was trained on what, and the columns: types, nulls, levels, and what changed since the run before."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from typing import Any

from binclf import artifact
from binclf.features import CategoricalColumn, NumericColumn
from binclf.report import numbers
from binclf.report.blocks import Block, Cell, Section, Table, Terms, Words, cut
from binclf.report.facts import Facts
from binclf.report.text import plain

MOST_ROWS = 300
EPOCH = datetime.datetime(1970, 1, 1)
NAMED = 8  # files, columns or levels that are named in a sentence


def section(facts: Facts) -> Section:
    """Data, label, split and rows."""
    run = facts.run
    data, split, receipt = run.config.data, run.split, run.split.receipt
    parts = ", ".join(f"{split.rows(part):,} {part}" for part in split.parts)
    read = f"{receipt['files']:,} files, {receipt['rows']:,} rows"
    terms = [
        ("Data", Cell(plain(data.path, 200), note=read, is_data=True)),
        ("Label", Cell(f"{plain(data.label)} = {plain(run.record['positive'])}", is_data=True)),
        ("Parts", Cell(parts, note=_dropped(receipt))),
        ("Split", Cell(_method(run), note=_cuts(run))),
        ("Solver", Cell(solver(run.record["training"]), note=_penalty(run.record["training"]))),
    ]
    if data.weight:
        weight = Cell(
            plain(data.weight), note=f"{numbers.count(split.weight('train'))} in train", is_data=True
        )
        terms.append(("Row weight", weight))
    if data.exclude:
        terms.append(("Left out", Cell(listed(data.exclude), is_data=True)))
    blocks: list[Block] = [Terms(terms)]
    lines = [*_troubles(receipt), *best_epoch(run.record["training"])]
    return Section("trained", "What was trained on what", [*blocks, *([Words(lines)] if lines else [])])


def _method(run: artifact.Run) -> str:
    settings = run.config.split
    more = {
        "random": f", seed {settings.seed}{', stratified' if settings.stratify else ''}",
        "hash": f" of {listed(settings.key)}, seed {settings.seed}",
        "time": f" on {plain(run.config.data.time)}",
        "column": f" {plain(settings.column)}",
        "none": ": everything is for training",
    }
    return run.split.method + more.get(run.split.method, "")


def _cuts(run: artifact.Run) -> str:
    return ", ".join(f"{part} from {plain(start)}" for part, start in run.split.cuts.items())


def _dropped(receipt: Mapping[str, Any]) -> str:
    dropped = receipt["dropped_null_label"]
    return f"{dropped:,} dropped, as they have no label" if dropped else ""


def solver(training: Mapping[str, Any]) -> str:
    """The solver, how far it went, and what that took."""
    ranks = "1 rank" if training["ranks"] == 1 else f"{training['ranks']} ranks"
    took = f"on {ranks}, {training['seconds']:.1f} s"
    if training["solver"] == "minibatch":
        return (
            f"minibatch ({plain(training['optimizer'])}), {training['epochs']} epochs of "
            f"{training['steps_per_epoch']:,} steps of {training['batch_rows']:,} rows {took}"
        )
    return f"{plain(training['solver'])}, {training['passes']} passes {took}"


def _penalty(training: Mapping[str, Any]) -> str:
    told = [f"{name} {training[name]:.3g}" for name in ("l1", "l2") if training.get(name)]
    return "penalty " + ", ".join(told) if told else ""


def best_epoch(training: Mapping[str, Any]) -> Iterator[str]:
    """Which epoch's weights were kept, where validation chose."""
    best = training.get("best_epoch")
    if best:
        yield f"Best on validation, of the epochs judged, after epoch {best}: those weights were kept."


def _troubles(receipt: Mapping[str, Any]) -> Iterator[str]:
    """What of the data was not taken as it was."""
    for key, words in (
        ("quarantined_files", "left out, as they are damaged or do not fit the others"),
        ("skipped_files", "passed over by their names"),
        ("duplicate_files", "with the same content as another, and taken twice"),
    ):
        files = receipt.get(key) or []
        if files:
            names = [entry["file"] if isinstance(entry, dict) else entry for entry in files]
            yield f"{len(files):,} files were {words}: {listed(names)}."
    widened = receipt.get("widened_columns") or []
    if widened:
        yield f"Read as a wider type than some files have: {listed([entry['column'] for entry in widened])}."


def listed(names: Any) -> str:  # noqa: ANN401 - names, or pairs of them
    """Names in a sentence, the first few."""
    told = [plain(" and ".join(map(str, n)) if isinstance(n, list | tuple) else n, 60) for n in names]
    more = f" and {len(told) - NAMED:,} more" if len(told) > NAMED else ""
    return ", ".join(told[:NAMED]) + more


def columns(facts: Facts) -> Section:
    """The feature columns, and what changed."""
    features = facts.run.features
    numeric = [_number(column, features.rows) for column in features.numeric]
    categorical = [_category(column, features.rows) for column in features.categorical]
    shown, hidden = cut([*numeric, *categorical], MOST_ROWS)
    heads = ("Column", "Type", "Missing", "Values", "Mean", "Standard deviation")
    table = Table(
        id="columns-table",
        caption=f"The {features.rows:,} training rows.",
        heads=heads,
        rows=shown,
        words=2,
        hidden=hidden,
        elsewhere="features.json",
        is_long=len(shown) > 12,
    )
    return Section("columns", "The columns", [table])


def missing(rows: int, whole: int) -> Cell:
    """How many rows lack a value."""
    if not rows:
        return Cell("none", order=0)
    return Cell(numbers.share(rows / whole), note=f"{rows:,} rows", order=rows / whole)


def _number(column: NumericColumn, rows: int) -> list[Cell]:
    unit = " (log1p)" if column.is_log1p else ""
    return [
        Cell(plain(column.name), is_data=True),
        Cell(f"number{unit}", note=plain(column.column.type)),
        missing(column.missing, rows),
        Cell(
            f"{_value(column, column.low)} to {_value(column, column.high)}", order=column.high - column.low
        ),
        Cell(
            numbers.number(column.mean) if column.is_log1p else _value(column, column.mean), order=column.mean
        ),
        Cell(
            numbers.number(column.deviation),
            order=column.deviation,
            note="" if column.deviation else "constant",
        ),
    ]


def _value(column: NumericColumn, value: float) -> str:
    """A moment as its day, which is what its seconds since 1970 mean; any other number as such."""
    if column.kind == "moment" and not column.column.part:
        return str((EPOCH + datetime.timedelta(seconds=value)).date())
    return numbers.within(value)


def _category(column: CategoricalColumn, rows: int) -> list[Cell]:
    if column.is_hashed:
        levels, note = f"about {column.distinct:,} levels", f"hashed into {column.buckets:,} buckets"
    else:
        levels = f"{len(column.levels):,} levels"
        note = f"and {column.rare_levels:,} rare, {column.rare_rows:,} rows" if column.rare_levels else ""
    return [
        Cell(plain(column.name), is_data=True),
        Cell("category", note=plain(column.column.type)),
        missing(column.missing, rows),
        Cell(levels, note=note, order=column.distinct),
        Cell("", order=0),
        Cell("", order=0),
    ]

"""Receipts added up: no row is lost, every part is fit for its use, and the split is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from binclf import commit as committing
from binclf import hashing
from binclf.config import Config
from binclf.errors import DataError, together
from binclf.split.checks import third_values
from binclf.split.plan import Plan
from binclf.split.records import PART_NAMES, PartFile, Split, part_file
from binclf.storage import Place, place_of


def home(config: Config) -> Place:
    """Where parts, receipts and splits are kept: shared by all models of a store."""
    return place_of(config.store) / "split"


def commit(config: Config, todo: Plan, receipts: Sequence[Mapping[str, Any]]) -> Split:
    """Add the receipts up, check that no row was lost, and write the split.

    Raises:
        DataError: the label has more than two values in all, a part is empty, or train has one class.
    """
    thirds = third_values(todo.label.column, ((r["relative"], r["label_values"]) for r in receipts))
    if thirds:
        raise together(thirds)
    parts: dict[str, list[PartFile]] = {name: [] for name in PART_NAMES}
    for task, receipt in zip(todo.tasks, receipts, strict=True):
        for part, record in zip(task.slots, receipt["slots"], strict=True):
            if record["rows"]:
                parts[part].append(part_file(record))
    split = Split(
        digest=_digest(todo),
        method=config.split.method,
        columns=todo.columns,
        label=todo.label,
        cuts=todo.cuts,
        parts={part: tuple(files) for part, files in parts.items() if files},
        receipt=_receipt(todo, receipts, parts),
    )
    _refuse_useless(config, split)
    path = home(config) / f"{split.digest}.json"
    if not path.exists():
        committing.write_json(path, split.as_json())
    return split


def _digest(todo: Plan) -> str:
    """Names a split: what each file is dealt into, and which files are left out."""
    facts: list[Any] = [[task.id, task.slots] for task in todo.tasks]
    if todo.quarantined:
        facts.append({"quarantined": [file.relative for file in todo.quarantined]})
    return hashing.digest(facts)[:24]


def _receipt(
    todo: Plan, receipts: Sequence[Mapping[str, Any]], parts: Mapping[str, Iterable[PartFile]]
) -> dict[str, Any]:
    """Rows in and where they went; the sums must agree."""
    rows = sum(receipt["rows"] for receipt in receipts)
    dropped = sum(receipt["dropped_null_label"] for receipt in receipts)
    dealt = {part: sum(file.rows for file in files) for part, files in parts.items()}
    if rows != dropped + sum(dealt.values()):
        raise AssertionError(f"{rows} rows were read; {dealt} were dealt and {dropped} dropped")
    return {
        "files": len(receipts),
        "rows": rows,
        "dropped_null_label": dropped,
        **dealt,
        "duplicate_files": list(todo.duplicates),
        "skipped_files": [list(pair) for pair in todo.skipped],
        "quarantined_files": [
            {"file": file.relative, "reason": file.reason, "rows": file.rows} for file in todo.quarantined
        ],
        "quarantined_rows": sum(file.rows or 0 for file in todo.quarantined),
        "widened_columns": [
            {"column": w.column, "from": w.narrow, "to": w.wide, "files": w.files, "first": w.first}
            for w in todo.widened
        ],
    }


def _refuse_useless(config: Config, split: Split) -> None:
    wanted = {"train"}
    if split.method in ("random", "hash", "time"):
        wanted.add("test")
        if config.split.validation_fraction or config.split.validation_from:
            wanted.add("validation")
    for part in PART_NAMES:
        if part in wanted and not split.rows(part):
            raise DataError(
                f"the {part} part is empty: {split.receipt['rows']} rows in "
                f"{split.receipt['files']} files are too few for these fractions or cuts. "
                "Change [split], or bring more data."
            )
        if part in split.parts and not split.weight(part) > 0:
            raise DataError(f"the {part} rows weigh nothing ('{config.data.weight}'): they cannot be judged.")
    positives, rows = split.positives("train"), split.rows("train")
    if positives in (0, rows):
        raise DataError(
            f"all {rows} training rows have {'a positive' if positives else 'no positive'} label "
            f"('{config.data.label}'): both classes are needed. Check data.positive and the split."
        )
    if not 0 < sum(f.positive_weight for f in split.parts["train"]) < split.weight("train"):
        raise DataError(
            f"the training rows of one class weigh nothing ('{config.data.weight}'): "
            "both classes need weight."
        )

"""A split carried out: each input file dealt into its parts, once."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf import commit as committing
from binclf import hashing
from binclf.errors import DataError, together
from binclf.labels import LabelRule, plain, read_weights, shown
from binclf.parquet import Reader, Rows, deal_rows, footer, footer_digest, group_rows
from binclf.parquet.files import Found
from binclf.split import deal
from binclf.split.checks import null_labels
from binclf.split.records import PART_NAMES, Task
from binclf.storage import Place, place_of, stamp_if_there

log = logging.getLogger(__name__)

I8 = npt.NDArray[np.int8]
F64 = npt.NDArray[np.float64]

OLD_SECONDS = 3600.0  # of a receipt; a rerun leaves a younger one as it is


def perform(task: Task, where: Place) -> dict[str, Any]:
    """Deal one input file into its parts; if that was done before, only its receipt is read.

    Returns the receipt, which JSON can hold: rows read, dropped, and of each slot a `PartFile` (as a
    mapping), and the label values seen.

    Raises:
        DataError: the file is damaged, or labels, weights, keys or times are not what they must be.
    """
    receipt_path = where / "parts" / f"{task.id}.json"
    outputs: list[Place] = [task.path]
    if not task.in_place:
        outputs = [where / "parts" / f"{task.id}-{slot}.parquet" for slot in range(len(task.slots))]
    if receipt_path.exists():
        receipt: dict[str, Any] = committing.read_json(receipt_path)
        for record, path in zip(receipt["slots"], outputs, strict=True):
            record["path"] = str(path.resolve())  # the data or the store may have moved since
            record["stamp"] = _stamp(task)
        if all(_is_there(slot) for slot in receipt["slots"]):
            _renew(receipt_path)
            return receipt
    columns = read_columns(task.path, task.relative, task.selection)
    slots = deal_by(task.selection, columns)
    _refuse_changed(task)
    if not task.in_place:
        _write(task, slots, outputs)
    receipt = {
        "relative": task.relative,
        "fingerprint": task.fingerprint,
        "rows": task.rows,
        "dropped_null_label": int((columns.labels < 0).sum()),
        "label_values": sorted({plain(value) for value in columns.label_values}),
        "slots": [_part_record(task, slot, path, slots, columns) for slot, path in enumerate(outputs)],
    }
    committing.write_json(receipt_path, receipt)
    log.info("split %s: %s rows", task.relative, f"{task.rows:,}")
    return receipt


def _renew(receipt: Place) -> None:
    """Date an old receipt anew: its parts are in use again, and `prune` leaves them for a day."""
    if isinstance(receipt, Path) and time.time() - receipt.stat().st_mtime > OLD_SECONDS:
        os.utime(receipt)


class Deciding:
    """The few columns that decide a file's split, for all its rows."""

    def __init__(self, labels: I8, label_values: list[Any], weights: F64, keys: Any) -> None:  # noqa: ANN401
        self.labels, self.label_values, self.weights, self.keys = (
            labels,
            label_values,
            weights,
            keys,
        )


def read_columns(path: Place, relative: str, selection: Mapping[str, Any]) -> Deciding:
    """The columns that decide which of a file's rows goes where, for all of them.

    Raises:
        DataError: the file is damaged, or labels, weights, keys or times are not what they must be.
    """
    label = LabelRule(**selection["label"])
    weight = selection["weight"]
    names = [*selection.get("columns", ()), selection.get("column", ""), label.column, weight]
    names = list(dict.fromkeys(filter(None, names)))
    labels: list[I8] = []
    weights: list[F64] = []
    keys: list[Any] = []
    values: set[Any] = set()
    with Reader(path, relative) as reader:
        for group in range(reader.groups):
            rows = reader.read(group, names)
            if selection.get("verify"):
                reader.read(group, reader.file.schema_arrow.names)
            found, seen = label.read(rows)
            values.update(seen)
            if selection["on_null_label"] == "error" and (
                wrong := null_labels(found, label.column, rows.place)
            ):
                raise together(wrong)
            labels.append(found)
            weights.append(read_weights(rows, weight))
            keys.append(keys_of(rows, selection))
    return Deciding(
        np.concatenate(labels) if labels else np.zeros(0, np.int8),
        list(values),
        np.concatenate(weights) if weights else np.zeros(0),
        np.concatenate(keys) if keys and keys[0] is not None else None,
    )


def keys_of(rows: Rows, selection: Mapping[str, Any]) -> Any:  # noqa: ANN401 - by method
    """What the method looks at in each row."""
    method = selection["method"]
    if method == "hash":
        state = np.full(len(rows), hashing.key(selection["seed"]), dtype=np.uint64)
        for column in selection["columns"]:
            state = hashing.mix(state ^ rows.hashes(column, selection["seed"]))
        return state
    if method == "time":
        return rows.moments(selection["column"])[0]
    if method == "column":
        codes, texts = rows.codes(selection["column"])
        wrong = sorted({texts[code] for code in np.unique(codes[codes >= 0])} - set(PART_NAMES))
        if wrong or (codes < 0).any():
            raise DataError(
                f"split.column '{selection['column']}' of {rows.place} holds "
                f"{shown(wrong) if wrong else 'nulls'}: each row says train, validation or test."
            )
        slot_of = np.array([PART_NAMES.index(text) for text in texts] or [0], dtype=np.int8)
        return slot_of[codes]
    return None


def deal_by(selection: Mapping[str, Any], columns: Deciding) -> I8:
    """The slot of each row of a file, int8 [N]; -1 is left out."""
    labels = columns.labels
    if not len(labels) or selection["method"] == "none":
        return np.where(labels < 0, -1, 0).astype(np.int8)
    if selection["method"] == "random":
        return deal.at_random(
            labels,
            selection["key"],
            fractions=tuple(selection["fractions"]),
            is_alone=selection["is_alone"],
            stratify=selection["stratify"],
        )
    if selection["method"] == "hash":
        return deal.by_hash(columns.keys, labels, fractions=tuple(selection["fractions"]))
    if selection["method"] == "time":
        return deal.by_time(columns.keys, labels, tuple(selection["cuts"]))
    return np.where(labels < 0, np.int8(-1), columns.keys).astype(np.int8)


def _write(task: Task, slots: I8, outputs: Sequence[Place]) -> None:
    """All outputs of a file, each written beside and renamed; empty ones are not written."""
    with ExitStack() as stack:
        targets = {
            slot: stack.enter_context(committing.beside(path))
            for slot, path in enumerate(outputs)
            if (slots == slot).any()
        }
        deal_rows(task.path, task.relative, slots, targets, group_rows(task.columns))
        _refuse_changed(task)  # while the outputs have no name yet


def _stamp(task: Task) -> list[int]:
    """Of a part that is the user's own file; our own are named by their content and checksummed."""
    return list(task.stamp) if task.in_place else [0, 0, 0]


def _refuse_changed(task: Task) -> None:
    """What was read must be what was fingerprinted, or parts would stand under another content's name."""
    if stamp_if_there(task.path) != task.stamp:
        raise DataError(f"{task.relative} changed or went while it was being split: split again.")


def _part_record(task: Task, slot: int, path: Place, slots: I8, columns: Deciding) -> dict[str, Any]:
    mask = slots == slot
    rows = int(mask.sum())
    positive = mask & (columns.labels == 1)
    return {
        "path": str(path.resolve()),
        "relative": task.relative,
        "id": f"{task.id}-{slot}",
        "rows": rows,
        "positives": int(positive.sum()),
        "weight": float(columns.weights[mask].sum()),
        "positive_weight": float(columns.weights[positive].sum()),
        "groups": _groups(task, path, mask) if rows else [],
        "stamp": _stamp(task),
        "footer": footer_digest(path) if rows else "",
    }


def _groups(task: Task, path: Place, mask: npt.NDArray[np.bool_]) -> list[int]:
    feet = footer(Found(task.relative, path)).groups
    if not task.in_place:
        return list(feet)
    ends = np.cumsum(feet)
    return [int(mask[end - rows : end].sum()) for rows, end in zip(feet, ends, strict=True)]


def _is_there(record: Mapping[str, Any]) -> bool:
    return not record["rows"] or place_of(record["path"]).exists()

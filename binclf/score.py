"""New Parquet to scored Parquet: one output file for each input, every row once and in order, without torch.

All files are compared with what the model learnt before the first is scored. Each output is written beside
and renamed, then its receipt; a file that was scored before by the same model from the same bytes is left
as it is.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from binclf import artifact, commit, golden, registry
from binclf.errors import ArtifactError, DataError
from binclf.parquet import ColumnWriter, Footer, Reader, find, footers
from binclf.predict import Model, probability
from binclf.profile import Observer, Watch
from binclf.storage import Place, fingerprint_of, place_of, sha256_of

log = logging.getLogger(__name__)

RECEIPTS = "_receipts"  # readers of Parquet directories pass over names with '_'
ADDED = ("probability", "decision", "model")


def score(
    run: str | Place | artifact.Run,
    source: str | Place,
    output: str | Place,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Score all Parquet files of `source` into the directory `output`.

    An output has the id columns of the run's config, then `probability` (float64), `decision` (bool) and
    `model` (the run's id, dictionary-encoded), in the input's order. The run is a directory, or an address
    such as models:/churn@champion. A `watch` of the run's is shown what is scored now, for its drift to
    be told afterwards. Returns the receipt: files, rows, files scored before, columns with skew.

    Raises:
        ArtifactError: the run is not finished or was altered, or `output` holds another model's scores.
        DataError: a file lacks a column or has it of another kind, or is damaged, or the rows are beyond the
            limits of the run's [drift]; nothing of this call is left behind.
        BusyError: another process scores into `output`.
    """
    opened = registry.open_run(run)
    model, ids = golden.model_of(opened), opened.config.data.ids
    watch = watch or Watch(opened, model)
    feet = footers(find(source).files)
    _check(model, ids, feet)
    output = place_of(output)
    with commit.locked(output / RECEIPTS / ".lock", wait=False):
        written: list[Place] = []
        try:
            with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="score") as pool:
                first = accumulate((len(foot.groups) for foot in feet), initial=0)
                work = _Work(model, ids, output, written, watch)
                done = list(pool.map(work.one, feet, first))
            skewed = watch.check()
        except BaseException:
            for path in written:
                path.unlink(missing_ok=True)
            raise
    rows, expected = sum(receipt["rows"] for receipt in done), sum(foot.rows for foot in feet)
    if rows != expected:
        raise AssertionError(f"{rows} rows were scored of {expected}")
    return {
        "model": model.id,
        "files": len(done),
        "rows": rows,
        "scored_before": sum(receipt["scored_before"] for receipt in done),
        "positive_decisions": sum(receipt["positive_decisions"] for receipt in done),
        "skewed": [skew.as_json() for skew in skewed],
        "output": str(output),
    }


def _check(model: Model, ids: Sequence[str], feet: Sequence[Footer]) -> None:
    """Every problem of every file at once, before anything is written."""
    problems: list[str] = []
    for foot in feet:
        try:
            model.check(foot.columns, foot.relative)
        except DataError as error:
            problems.append(str(error))
        problems += [
            f"{foot.relative} lacks id column '{name}': each scored row needs its id."
            for name in ids
            if foot.column(name) is None
        ]
    taken = sorted(set(ids) & set(ADDED))
    if taken:
        problems.append(f"id column '{taken[0]}' has the name of a column that scoring adds: rename it.")
    if problems:
        raise DataError("\n".join(problems[:20]))


@dataclass(frozen=True, slots=True)
class _Work:
    """What is done to each file."""

    model: Model
    ids: Sequence[str]
    output: Place
    written: list[Place]
    observer: Observer

    def one(self, foot: Footer, number: int) -> dict[str, Any]:
        """Score one file, unless that was done before; its first row group has this number."""
        target = self.output / foot.relative
        receipt_path = self.output / RECEIPTS / f"{foot.relative}.json"
        fingerprint = fingerprint_of(foot.path)
        if receipt_path.exists() and target.exists():
            receipt: dict[str, Any] = commit.read_json(receipt_path)
            _refuse_foreign(receipt, self.model, fingerprint, target)
            return receipt | {"scored_before": 1}
        if target.exists():
            raise ArtifactError(
                f"{target} exists and has no receipt, so it is not this model's: choose another output."
            )
        self.written.extend([target, receipt_path])
        with commit.beside(target) as temporary:
            done, decisions = self._write(foot, number, temporary)
            receipt = {
                "model": self.model.id,
                "input": foot.relative,
                "input_fingerprint": fingerprint,
                "output_sha256": sha256_of(temporary),
                "rows": done,
                "positive_decisions": decisions,
            }
            # before the output takes its name: a crash in between leaves a receipt without an output, which
            # the next call redoes, and never an output without a receipt
            commit.write_json(receipt_path, receipt)
        log.info("scored %s: %s rows", foot.relative, f"{foot.rows:,}")
        return receipt | {"scored_before": 0}

    def _write(self, foot: Footer, number: int, temporary: Path) -> tuple[int, int]:
        """Write the scores of a file's rows; returns how many, and how many are decided yes."""
        model, done, decisions = self.model, 0, 0
        writer = ColumnWriter(temporary)
        texts = [c.name for c in model.features.categorical if c.kind == "text"]
        columns = list(dict.fromkeys([*self.ids, *model.columns()]))
        with Reader(foot.path, foot.relative, texts, stamp=foot.stamp) as reader:
            for place, rows in enumerate(reader.all(columns), number):
                logits = model.logits(rows)
                self.observer.see(place, rows, logits)
                p = probability(logits)
                decided = p >= model.threshold
                done, decisions = done + len(rows), decisions + int(decided.sum())
                writer.append(rows, self.ids, {"probability": p, "decision": decided}, model.id)
        writer.close()
        return done, decisions


def _refuse_foreign(receipt: Mapping[str, Any], model: Model, fingerprint: str, target: Place) -> None:
    if receipt["model"] != model.id:
        raise ArtifactError(
            f"{target} was scored by {receipt['model']}, not by {model.id}: choose another output."
        )
    if receipt["input_fingerprint"] != fingerprint:
        raise ArtifactError(
            f"{target} was scored from other content than its input has now: choose another output."
        )
    if sha256_of(target) != receipt["output_sha256"]:
        raise ArtifactError(f"{target} was altered since it was scored: remove it and score again.")

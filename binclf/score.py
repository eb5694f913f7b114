"""New Parquet to scored Parquet: one output file for each input, every row once and in order, without torch.

All files are compared with what the model learnt before the first is scored. Each output is written beside
and renamed, then its receipt; a file that was scored before by the same model from the same bytes is left
as it is.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from binclf import artifact, commit, predict
from binclf.errors import ArtifactError, ConfigError, DataError
from binclf.parquet import ColumnWriter, Footer, Reader, find, footers
from binclf.predict import Model, probability
from binclf.registry import open_run
from binclf.storage import Place, fingerprint_of, place_of, sha256_of

log = logging.getLogger(__name__)

RECEIPTS = "_receipts"  # readers of Parquet directories pass over names with '_'
ADDED = ("probability", "decision", "model")


def score(
    run: str | Place | artifact.Run,
    source: str | Place,
    output: str | Place,
    *,
    part: str = "",
    registry: str = "",
) -> dict[str, Any]:
    """Score all Parquet files of `source` into the directory `output`.

    An output has the id columns of the run's config, then `probability` (float64), `decision` (bool) and
    `model` (the run's id, dictionary-encoded), in the input's order. The run is a directory, or an address
    such as models:/churn@champion.

    Args:
        run: a run directory, a model's address, or a run that is open.
        source: the Parquet: a file, a directory or a glob; a path or a URI.
        output: a directory.
        part: "2/5": only every fifth file from the second on; `conclude` adds them up. Empty: all.
        registry: as in `registry.open_run`.

    Returns the receipt: files, rows, files that had been scored before.

    Raises:
        ArtifactError: the run is not finished or was altered, or `output` holds another model's scores.
        ConfigError: the part is none.
        DataError: a file lacks a column or has it of another kind, or is damaged; nothing of this call
            is left behind.
        BusyError: another process scores into `output`, or the same part of it.
    """
    opened = open_run(run, registry)
    model, ids = predict.of_run(opened), opened.config.data.ids
    share, output = _share(part), place_of(output)
    feet = footers(find(source).files)
    _check(model, ids, feet)
    lock = f".lock-{share[0]}-of-{share[1]}" if part else ".lock"
    with commit.locked(output / RECEIPTS / lock, wait=False):
        written: list[Place] = []
        mine = feet[share[0] :: share[1]]
        try:
            with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="score") as pool:
                done = list(pool.map(lambda foot: _one(model, ids, foot, output, written), mine))
        except BaseException:
            for path in written:
                path.unlink(missing_ok=True)
            raise
    return _added_up(model, mine, done, output)


def conclude(
    run: str | Place | artifact.Run, source: str | Place, output: str | Place, *, registry: str = ""
) -> dict[str, Any]:
    """Add up what several calls of `score` with `part` have scored; the same arguments as theirs.

    Raises:
        DataError: a file is not scored yet.
    """
    model, output = predict.of_run(open_run(run, registry)), place_of(output)
    feet = footers(find(source).files)
    receipts = [output / RECEIPTS / f"{foot.relative}.json" for foot in feet]
    lacking = [foot.relative for foot, path in zip(feet, receipts, strict=True) if not path.exists()]
    if lacking:
        raise DataError(f"{len(lacking)} files are not scored yet, such as {lacking[0]}: score them first.")
    return _added_up(
        model, feet, [commit.read_json(path) | {"scored_before": 0} for path in receipts], output
    )


def _added_up(
    model: Model, feet: Sequence[Footer], done: Sequence[Mapping[str, Any]], output: Place
) -> dict[str, Any]:
    rows = sum(receipt["rows"] for receipt in done)
    if rows != sum(foot.rows for foot in feet):
        raise AssertionError(f"{rows} rows were scored of {sum(foot.rows for foot in feet)}")
    return {
        "model": model.id,
        "files": len(done),
        "rows": rows,
        "scored_before": sum(receipt["scored_before"] for receipt in done),
        "positive_decisions": sum(receipt["positive_decisions"] for receipt in done),
        "output": str(output),
    }


def _share(part: str) -> tuple[int, int]:
    """Which of how many, from 0."""
    if not part:
        return 0, 1
    found = re.fullmatch(r"([1-9]\d{0,5})/([1-9]\d{0,5})", part)
    if found is None or int(found[1]) > int(found[2]):
        raise ConfigError(f"part '{part}' is none: write which of how many, such as 2/5.")
    return int(found[1]) - 1, int(found[2])


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


def _one(
    model: Model, ids: Sequence[str], foot: Footer, output: Place, written: list[Place]
) -> dict[str, Any]:
    """Score one file, unless that was done before."""
    target = output / foot.relative
    receipt_path = output / RECEIPTS / f"{foot.relative}.json"
    fingerprint = fingerprint_of(foot.path)
    if receipt_path.exists() and target.exists():
        receipt: dict[str, Any] = commit.read_json(receipt_path)
        _refuse_foreign(receipt, model, fingerprint, target)
        return receipt | {"scored_before": 1}
    if target.exists():
        raise ArtifactError(
            f"{target} exists and has no receipt, so it is not this model's: choose another output."
        )
    written += [target, receipt_path]
    done, decisions = 0, 0
    with commit.beside(target) as temporary:
        writer = ColumnWriter(temporary)
        texts = [c.name for c in model.features.categorical if c.kind == "text"]
        columns = list(dict.fromkeys([*ids, *model.columns()]))
        with Reader(foot.path, foot.relative, texts, stamp=foot.stamp) as reader:
            for rows in reader.all(columns):
                p = probability(model.logits(rows))
                decided = p >= model.threshold
                done, decisions = done + len(rows), decisions + int(decided.sum())
                writer.append(rows, ids, {"probability": p, "decision": decided}, model.id)
        writer.close()
        receipt = {
            "model": model.id,
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

"""Scored rows and their labels, joined by ids and judged by period; every row is accounted for."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf import artifact, commit, registry
from binclf.backtest.words import html, markdown_of
from binclf.errors import ArtifactError, ConfigError, DataError
from binclf.labels import read_weights, weight_quantum
from binclf.metrics import NEVER, Tally, metrics
from binclf.parquet import PERIODS, Rows, find, footers, join, periods, read_all
from binclf.report import judged_part
from binclf.storage import Place, place_of

log = logging.getLogger(__name__)

F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]

BY = ("", *PERIODS, "batch")
FORMS = (".html", ".md", ".json")
LEAST, MOST = 1e-300, 1 - 2.0**-53  # probabilities whose log-odds are finite
UNTIMED = "without a time"


@dataclass(frozen=True, slots=True)
class Matched:
    """Rows that have a score and a label."""

    logits: F64  # [n]
    labels: npt.NDArray[np.int8]  # [n]
    weights: F64  # [n]
    period: I32  # [n], into names; -1: none
    names: tuple[str, ...]
    counts: dict[str, int]


def backtest(
    run: str | Place | artifact.Run,
    scored: str | Place,
    labels: str | Place,
    *,
    by: str = "",
    output: str | Place = "",
) -> dict[str, Any]:
    """How scores that were given out did, period by period, against what the run promised.

    Args:
        run: that gave the scores.
        scored: what `score` wrote.
        labels: Parquet with the id columns and the label, and the weight and the time where the run has them.
        by: day, week or month of `data.time`, or batch (the scored file); empty: month, or batch where the
            labels have no time.
        output: a page (.html), Markdown (.md) or JSON (.json); empty: none.

    Returns:
        What `binclf evaluate --json` tells; `text` is the same as Markdown.

    Raises:
        ArtifactError: no score is of this model. (Those of others are counted, and not judged.)
        ConfigError: the run has no ids, or no time where one is asked for.
        DataError: ids come twice, nothing matches, or a column is missing.
    """
    if by not in BY:
        raise ConfigError(f"--by {by}: it is one of {', '.join(filter(None, BY))}.")
    if output and place_of(output).suffix not in FORMS:
        raise ConfigError(f"{output} is to end in {', '.join(FORMS)}: that says what is written.")
    opened = registry.open_run(run)
    if not opened.config.data.ids:
        raise ConfigError(f"{opened.path} has no data.ids: labels cannot be joined with its scores.")
    matched, by = _matched(opened, scored, labels, by)
    promised = json.loads(opened.contents["metrics.json"])
    part = judged_part(promised)
    found = {
        "run": opened.id,
        "by": by,
        "counts": matched.counts,
        "promised_by": part,
        "promised": promised[part],
        "whole": _judged(opened, matched, np.ones(len(matched.labels), dtype=np.bool_)),
        "periods": _by_period(opened, matched, promised[part]),
    }
    if output:
        _write(found, place_of(output))
    return found | {"text": markdown_of(found)}


def _write(found: dict[str, Any], place: Place) -> None:
    if place.suffix == ".json":
        commit.write_json(place, found)
    else:
        commit.write_bytes(place, (html if place.suffix == ".html" else markdown_of)(found).encode())


def _matched(run: artifact.Run, scored: str | Place, labels: str | Place, by: str) -> tuple[Matched, str]:
    """The rows that have both, and what they are told by."""
    data, ids = run.config.data, list(run.config.data.ids)
    files = find(scored).files
    scores, batch = read_all(files, [*ids, "probability", "model"], f"scores {scored}")
    mine = _mine(run, scores)
    by, truths = _truths(run, labels, by)
    left, right = _pairs(scores, truths, ids)
    values, _ = run.split.label.read(truths)
    own = values[right]
    is_own = mine[left]
    kept = is_own & (own >= 0)
    if by == "batch":
        period, names = batch[left], [file.relative for file in files]
    else:
        codes, names = periods(truths, data.time, by)
        period = codes[right]
    counts = {
        "scored": len(scores),
        "labels": int((values >= 0).sum()),
        "labels_null": int((values < 0).sum()),
        "matched": len(own),
        "scored_without_label": len(scores) - len(own),
        "labels_without_score": int((values >= 0).sum() - (own >= 0).sum()),
        "matched_other_model": int((~is_own).sum()),
        "matched_null_label": int((is_own & (own < 0)).sum()),
        "judged": int(kept.sum()),
    }
    p = np.clip(scores.numbers("probability")[left][kept], LEAST, MOST)
    weights = read_weights(truths, data.weight)[right][kept]
    logits = np.log(p) - np.log1p(-p)
    return Matched(logits, own[kept], weights, period[kept], tuple(names), counts), by


def _truths(run: artifact.Run, labels: str | Place, by: str) -> tuple[str, Rows]:
    """What the rows are told by, and the ids, labels, weights and times."""
    data, files = run.config.data, find(labels).files
    has_time = bool(data.time) and all(foot.column(data.time) for foot in footers(files))
    by = by or ("month" if has_time else "batch")
    if by != "batch" and not has_time:
        lacks = f"{labels} has no column '{data.time}'" if data.time else "the run's config sets no data.time"
        raise ConfigError(f"--by {by} needs a time of each row, and {lacks}: use --by batch.")
    wanted = [*data.ids, data.label, *filter(None, [data.weight]), *([] if by == "batch" else [data.time])]
    return by, read_all(files, list(dict.fromkeys(wanted)), f"labels {labels}")[0]


def _pairs(scores: Rows, truths: Rows, ids: list[str]) -> tuple[I64, I64]:
    """The numbers of the rows that have the same ids, on each side int64 [n]."""
    pairs = join(scores, truths, ids)
    for rows, count in zip((scores, truths), pairs.duplicates, strict=True):
        if count:
            raise DataError(
                f"{count:,} rows of {rows.place} have the ids ({', '.join(ids)}) of another: which of them "
                "counts cannot be known. Remove them, or name more columns in data.ids."
            )
    if not len(pairs.left):
        raise DataError(f"no row of {truths.place} has the ids ({', '.join(ids)}) of one of {scores.place}.")
    return pairs.left, pairs.right


def _mine(run: artifact.Run, scores: Rows) -> npt.NDArray[np.bool_]:
    """Which rows the run has scored, bool [N]: an output of an alias has those of earlier champions, too."""
    codes, names = scores.codes("model")
    mine = np.array([*(name == run.id for name in names), False])[codes]
    if (codes < 0).any():
        raise ArtifactError(f"{scores.place} has scores of no model: it is not what `score` wrote.")
    if len(mine) and not mine.any():
        raise ArtifactError(f"{scores.place} are of {names[codes[0]]}, not of {run.id}: name its run.")
    return mine


def _judged(run: artifact.Run, matched: Matched, chosen: npt.NDArray[np.bool_]) -> dict[str, Any]:
    threshold = run.record["threshold"]
    weights = matched.weights[chosen]
    quantum = weight_quantum(float(matched.weights.sum())) if run.config.data.weight else 0.0
    tally = Tally(NEVER if threshold is None else float(threshold), quantum)
    tally.add(matched.logits[chosen], matched.labels[chosen], weights)
    return metrics(tally)


def _by_period(run: artifact.Run, matched: Matched, promised: dict[str, Any]) -> list[dict[str, Any]]:
    """Metrics of each period, in order, and whether its log-loss is shown to be above what was promised."""
    found: list[dict[str, Any]] = []
    names: Sequence[tuple[int, str]] = [*enumerate(matched.names), (-1, UNTIMED)]
    for code, name in names:
        chosen = matched.period == code
        if chosen.any():
            own = _judged(run, matched, chosen)
            found.append({"period": name, "is_worse": _is_worse(own, promised), **own})
    return found


def _is_worse(own: dict[str, Any], promised: dict[str, Any]) -> bool:
    """Whether the two intervals of log-loss do not meet, and the promise is the lower one."""
    spans = [told["intervals"].get("log_loss") for told in (own, promised)]
    return bool(all(spans) and spans[0][0] > spans[1][1])

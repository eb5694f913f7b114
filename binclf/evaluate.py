"""How good is a run: each part judged in one streaming pass, in memory independent of the rows.

A threshold that a rule chooses is chosen on validation, which is then gone over once more with it.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from binclf import artifact, golden, predict, registry
from binclf.compare.overlap import flattered, overlap
from binclf.config import Rule
from binclf.errors import together
from binclf.features import slice_columns
from binclf.judgement import Judge, Judgement
from binclf.labelled import Needed, refuse_unlabelled
from binclf.loader.process import Peak
from binclf.metrics import choose, pictures
from binclf.parquet import find, footers
from binclf.scored import places_of, row_groups, total_weight, unlabelled_rows
from binclf.split import PART_NAMES, Split
from binclf.storage import Place
from binclf.world import Lone, World

log = logging.getLogger(__name__)


def of_parts(run: artifact.Run, world: World | None = None) -> dict[str, Any]:
    """Metrics of each part of the run's own split, and what is drawn of them.

    Args:
        run: a fitted run.
        world: the ranks that share the work; all get the result.

    Returns:
        {"threshold": {threshold, rule, reason}, "metrics": {part: metrics}, "pictures": {part: points},
        "profile": what the training rows look like}; reason is what is amiss with a threshold that
        validation was to choose, else empty.
    """
    split, needed = run.split, _needed(run)
    judge = Judge(predict.of_run(run), needed, needed.clusters(split.columns), world or Lone())
    rule = run.config.evaluate.threshold
    threshold, reason = _threshold(judge, split, rule)
    judge = judge.with_threshold(threshold)
    found: dict[str, Any] = {"metrics": {}, "pictures": {}}
    for part in PART_NAMES:
        if split.parts.get(part):
            found["metrics"][part], found["pictures"][part], profile = _of_part(judge, split, part)
            found |= profile
    return {"threshold": {"threshold": threshold, "rule": rule, "reason": reason}, **found}


def measured(run: artifact.Run, world: World | None = None) -> dict[str, Any]:
    """`of_parts`, and as `memory_bytes` the most that it took in this process; null where not known."""
    peak = Peak()
    return {**of_parts(run, world), "memory_bytes": peak.bytes()}


def _threshold(judge: Judge, split: Split, text: str) -> tuple[float, str]:
    """The threshold by a rule, and what is amiss with it."""
    rule = Rule.parse(text)
    histogram = _judged(judge, split, "validation").whole.histogram() if rule.is_chosen else None
    threshold, reason = choose(rule, histogram)
    if judge.world.rank == 0 and reason:
        log.warning("no row is decided yes, for no threshold can be chosen: %s", reason)
    elif judge.world.rank == 0 and rule.is_chosen:
        log.info("threshold %.6g, by %s on validation", threshold, text)
    return threshold, reason


def _of_part(judge: Judge, split: Split, part: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Metrics, pictures, and of train the profile; what was added up of the rows goes with the call."""
    judged = _judged(judge, split, part)
    watched = judged.observation
    profile = {} if watched is None else {"profile": watched.profile().as_json()}
    if judged.whole.rows != split.rows(part):
        raise AssertionError(f"{judged.whole.rows} {part} rows were judged of {split.rows(part)}")
    told, drawn = judged.told(), pictures(judged.whole)
    if judge.world.rank == 0:
        log.info("evaluated %s: %s rows", part, f"{judged.whole.rows:,}")
    return told, drawn, profile


def _judged(judge: Judge, split: Split, part: str) -> Judgement:
    places = row_groups(split.parts[part])
    return judge.of(places, split.rows(part), split.weight(part), is_watched=part == "train")


def evaluate(path: str | Place | artifact.Run, data: str | Place | None = None) -> dict[str, Any]:
    """Metrics of a finished run: on its own parts as sealed, or on other labelled data.

    Of other data `fitted_on` counts the rows that the run was fitted on, whose metrics flatter it.

    Raises:
        ArtifactError: there is no such run.
        DataError: the data lack a column, or hold a label that is neither of the two.
    """
    run = registry.open_run(path)
    if data is None:
        return {"run": run.id, **json.loads(run.contents["metrics.json"])}
    model, split = golden.model_of(run), run.split
    needed = _needed(run)
    feet = footers(find(data).files)
    for foot in feet:
        model.check(foot.columns, foot.relative)
        if problems := needed.lacking(foot.columns, foot.relative, "evaluation"):
            raise together(problems)
    places = places_of(feet)
    unlabelled = unlabelled_rows(places, split.label)
    refuse_unlabelled(run.config, unlabelled, str(data))
    total = total_weight(places, needed.weight) if needed.weight else 0.0
    clusters = needed.clusters(feet[0].columns if feet else ())
    judged = Judge(model, needed, clusters, Lone()).of(places, sum(foot.rows for foot in feet), total)
    fitted_on = overlap(run, feet)
    if words := flattered(run.id, fitted_on, judged.whole.rows):
        log.warning("%s", words)
    return {"run": run.id, "data": judged.told(), "dropped_null_label": unlabelled, "fitted_on": fitted_on}


def _needed(run: artifact.Run) -> Needed:
    data, split = run.config.data, run.split
    return Needed(split.label, data.weight, data.group, slice_columns(run.config, split.columns)[0])

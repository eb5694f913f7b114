"""How good is a run: one streaming pass over each part, in memory independent of the rows.

Row groups are dealt to ranks and threads, and what each adds up is put together to the same bits whoever did
it. A threshold that a rule chooses is chosen on validation, which is then gone over once more with it.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from binclf import artifact, golden, hashing, predict, registry
from binclf.compare.overlap import flattered, overlap
from binclf.config import Rule
from binclf.errors import together
from binclf.features import slice_columns
from binclf.labelled import Needed, refuse_unlabelled
from binclf.labels import weight_quantum
from binclf.metrics import (
    BINS,
    BLOCKS,
    MOST_BINS,
    MOST_LEVELS,
    Clusters,
    Histogram,
    Slices,
    Tally,
    choose,
    edges_of,
    left_open,
    metrics,
    pictures,
)
from binclf.parquet import Column, feature_codes, find, footers
from binclf.predict import Model
from binclf.profile import Observation
from binclf.scored import Labels, RowGroup, Scored, each, rounds, row_groups, total_weight, unlabelled_rows
from binclf.split import PART_NAMES
from binclf.storage import Place
from binclf.world import Lone, World

log = logging.getLogger(__name__)

LEFT_OPEN = 1e-6  # of an area, by scores that were joined: more is gone over again
LOOK_ROWS, LOOK_GROUPS = 2**18, 4  # at least
RANKS, SLICE_BLOCKS = 512, 128  # cells of the score that clusters are counted in; blocks of clusters
GROUPS = hashing.key("evaluate")


@dataclass(frozen=True, slots=True)
class Judge:
    """What rows are judged by, and what of them is told."""

    model: Model
    needed: Needed
    group: Column | None
    world: World

    def of(
        self, places: Sequence[RowGroup], rows: int, weight: float, *, is_watched: bool = False
    ) -> Judgement:
        """The judgement of row groups, with so many rows of such weight together; all ranks get it.

        One pass. Only where scores may have to be joined some row groups are looked at before, and only if
        joining left more open of an area than is stated there is another pass.
        """
        quantum = weight_quantum(weight) if self.needed.weight else 0.0
        known, left, before = self._look(places, rows, quantum), 0.0, math.inf
        while True:
            judged = self._pass(places, Judgement.empty(self, quantum, known, is_watched=is_watched))
            known, before = judged.whole.histogram(), left or before
            left = left_open(known)
            if left < LEFT_OPEN or left > before / 2:  # a pass that gains little is the last
                return judged
            if self.world.rank == 0:
                log.info("going over the rows once more: of their crowded scores too many were joined")

    def _look(self, places: Sequence[RowGroup], rows: int, quantum: float) -> Histogram | None:
        """The scores of some row groups, evenly chosen; of more while these have one class, or no label.

        None where nothing is to be learnt from them.
        """
        if not rows or (rows <= MOST_BINS and not self.group and not (self.needed.slices and rows > BINS)):
            return None
        chosen = max(-(-LOOK_ROWS * len(places) // rows), LOOK_GROUPS)
        plain = replace(self, needed=replace(self.needed, slices=()), group=None)
        found = Judgement.empty(plain, quantum, None).whole
        for some in rounds(places, chosen):
            found.merge(plain._pass(some, Judgement.empty(plain, quantum, None)).whole)
            if (known := found.histogram()).has_both or found.rows > MOST_BINS:
                break
        return known if len(known.scores) else None

    def _pass(self, places: Sequence[RowGroup], mine: Judgement) -> Judgement:
        """All row groups, each by one of the ranks."""
        share = (self.world.rank, self.world.size)
        also = (*self.needed.slices, *([self.group] if self.group else []))
        answer = Labels(self.needed.label, self.needed.weight)
        each(self.model, places, answer, mine.add, also=also, share=share)
        if self.world.size == 1:
            return mine
        self.world.meet()
        total = mine.none()
        if mine.observation is not None and total.observation is not None:
            own = mine.observation
            total.observation.merge_packed(self.world.fold(own.pack, own.merge_packed))
        total.whole.merge_packed(self.world.fold(mine.whole.pack, mine.whole.merge_packed))
        total.slices.merge_packed(self.world.fold(mine.slices.pack, mine.slices.merge_packed))
        return total

    def with_threshold(self, threshold: float) -> Judge:
        """The same with another threshold."""
        return replace(self, model=replace(self.model, threshold=threshold))


@dataclass(slots=True)
class Judgement:
    """What was added up of some rows, and of their slices."""

    columns: tuple[Column, ...]  # of the slices
    group: Column | None
    whole: Tally
    slices: Slices
    observation: Observation | None  # of the columns, where they are watched

    @classmethod
    def empty(
        cls, judge: Judge, quantum: float, known: Histogram | None, *, is_watched: bool = False
    ) -> Judgement:
        """Of no rows; cells are laid by what is known of the scores."""
        edges = {size: None if known is None else edges_of(known, size) for size in (MOST_BINS, BINS, RANKS)}
        of_whole, of_slice = None, None
        if judge.group:
            of_whole, of_slice = Clusters(BLOCKS, edges[RANKS]), Clusters(SLICE_BLOCKS, None)
        threshold = judge.model.threshold
        whole = Tally(threshold, quantum, MOST_BINS, edges[MOST_BINS], of_whole)
        sliced = Tally(threshold, quantum, BINS, edges[BINS], of_slice)
        slices = Slices([column.name for column in judge.needed.slices], sliced)
        observation = Observation(judge.model) if is_watched else None
        return cls(judge.needed.slices, judge.group, whole, slices, observation)

    def none(self) -> Judgement:
        """The same of no rows, to add up what ranks have."""
        observation = Observation(self.observation.model) if self.observation else None
        empty = replace(self, whole=self.whole.empty(), slices=self.slices.empty())
        return replace(empty, observation=observation)

    def add(self, scored: Scored) -> None:
        """Add the rows of a row group."""
        own = (scored.logits, scored.labels, scored.weights)
        groups = scored.rows.hashes(self.group.name, GROUPS) if self.group else None
        self.whole.add(*own, groups)
        for column in self.columns:
            codes, texts = feature_codes(scored.rows, column)
            self.slices.add(column.name, (codes, texts), own, groups)
        if self.observation is not None:
            self.observation.see(scored.number, scored.rows, scored.logits)

    def told(self) -> dict[str, Any]:
        """Metrics as `metrics.json` has them, slices within."""
        found, slices = metrics(self.whole), self.slices.told()
        crowded = {
            f"slices.{name}": f"it has more than {MOST_LEVELS} values"
            for name, own in slices.items()
            if own is None
        }
        return found | {"slices": slices, "undefined": found["undefined"] | crowded}


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
    rule, histogram = Rule.parse(run.config.evaluate.threshold), None
    if rule.is_chosen:
        validation = judge.of(
            row_groups(split.parts["validation"]), split.rows("validation"), split.weight("validation")
        )
        histogram = validation.whole.histogram()
    threshold, reason = choose(rule, histogram)
    judge = judge.with_threshold(threshold)
    if rule.is_chosen and not reason and judge.world.rank == 0:
        log.info("threshold %.6g, by %s on validation", threshold, run.config.evaluate.threshold)
    if reason and judge.world.rank == 0:
        log.warning("no row is decided yes, for no threshold can be chosen: %s", reason)
    found: dict[str, Any] = {"metrics": {}, "pictures": {}}
    for part in PART_NAMES:
        if split.parts.get(part):
            places, rows, weight = row_groups(split.parts[part]), split.rows(part), split.weight(part)
            judged = judge.of(places, rows, weight, is_watched=part == "train")
            if judged.observation is not None:
                found["profile"] = judged.observation.profile().as_json()
            if judged.whole.rows != split.rows(part):
                raise AssertionError(f"{judged.whole.rows} {part} rows were judged of {split.rows(part)}")
            found["metrics"][part] = judged.told()
            found["pictures"][part] = pictures(judged.whole)
            if judge.world.rank == 0:
                log.info("evaluated %s: %s rows", part, f"{judged.whole.rows:,}")
    told = {"threshold": judge.model.threshold, "rule": run.config.evaluate.threshold, "reason": reason}
    return {"threshold": told, **found}


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
    places = [RowGroup(f.path, f.relative, g, "", f.stamp) for f in feet for g in range(len(f.groups))]
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

"""How good is a run: one streaming pass over each part, in memory independent of the rows.

Row groups are dealt to ranks and threads, and what each adds up is put together to the same bits whoever did
it. A threshold that a rule chooses is chosen on validation, which is then gone over once more with it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from binclf import artifact, golden, predict, registry
from binclf.config import Rule
from binclf.errors import DataError
from binclf.features import slice_columns
from binclf.labels import LabelRule, plain, read_weights, shown, weight_quantum
from binclf.metrics import MOST_LEVELS, Slices, Tally, choose, metrics, pictures
from binclf.parquet import Column, Footer, feature_codes, find, footers
from binclf.predict import Model
from binclf.profile import Observation
from binclf.scored import Labels, RowGroup, Scored, each, row_groups
from binclf.split import PART_NAMES
from binclf.storage import Place
from binclf.world import Lone, World

log = logging.getLogger(__name__)

UNSLICED = ("moment", "duration", "other")  # kinds that no levels are read from


@dataclass(frozen=True, slots=True)
class Judge:
    """What rows are judged by, and what of them is told."""

    model: Model
    answer: Labels
    slices: tuple[Column, ...]
    world: World

    def of(self, places: Sequence[RowGroup], weight: float, *, is_watched: bool = False) -> Judgement:
        """The judgement of row groups, whose rows weigh so much together; all ranks get it."""
        quantum = weight_quantum(weight) if self.answer.weight else 0.0
        mine = Judgement.empty(self, quantum, is_watched=is_watched)
        share = (self.world.rank, self.world.size)
        each(self.model, places, self.answer, mine.add, also=self.slices, share=share)
        if self.world.size == 1:
            return mine
        total = Judgement.empty(self, quantum, is_watched=is_watched)
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
    whole: Tally
    slices: Slices
    observation: Observation | None  # of the columns, where they are watched

    @classmethod
    def empty(cls, judge: Judge, quantum: float, *, is_watched: bool) -> Judgement:
        """Of no rows."""
        threshold, names = judge.model.threshold, [column.name for column in judge.slices]
        return cls(
            judge.slices,
            Tally(threshold, quantum),
            Slices(names, threshold, quantum),
            Observation(judge.model) if is_watched else None,
        )

    def add(self, scored: Scored) -> None:
        """Add the rows of a row group."""
        own = (scored.logits, scored.labels, scored.weights)
        self.whole.add(*own)
        for column in self.columns:
            codes, texts = feature_codes(scored.rows, column)
            self.slices.add(column.name, (codes, texts), own)
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
    split = run.split
    judge = Judge(
        predict.of_run(run),
        Labels(split.label, run.config.data.weight),
        slice_columns(run.config, split.columns)[0],
        world or Lone(),
    )
    rule, histogram = Rule.parse(run.config.evaluate.threshold), None
    if rule.is_chosen:
        validation = judge.of(row_groups(split.parts["validation"]), split.weight("validation"))
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
            places, weight = row_groups(split.parts[part]), split.weight(part)
            judged = judge.of(places, weight, is_watched=part == "train")
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

    Raises:
        ArtifactError: there is no such run.
        DataError: the data lack a column, or hold a label that is neither of the two.
    """
    run = registry.open_run(path)
    if data is None:
        return {"run": run.id, **json.loads(run.contents["metrics.json"])}
    model, split = golden.model_of(run), run.split
    weight = run.config.data.weight
    slices, _ = slice_columns(run.config, split.columns)
    feet = footers(find(data).files)
    needed = [split.label.column, weight]
    for foot in feet:
        model.check(foot.columns, foot.relative)
        _check_columns(foot, split.label, needed)
        _check_slices(foot, slices)
    places = [RowGroup(f.path, f.relative, g, "", f.stamp) for f in feet for g in range(len(f.groups))]
    unlabelled = _check_labels(places, split.label)
    if unlabelled and run.config.data.on_null_label == "error":
        raise DataError(
            f"label '{split.label.column}' of {data} holds {unlabelled} nulls: bring their labels, or remove "
            "the rows. (The run was trained with data.on_null_label = 'error'.)"
        )
    total = _total_weight(places, weight) if weight else 0.0
    judged = Judge(model, Labels(split.label, weight), slices, Lone()).of(places, total)
    return {"run": run.id, "data": judged.told(), "dropped_null_label": unlabelled}


def _check_columns(foot: Footer, label: LabelRule, needed: Iterable[str]) -> None:
    for name in filter(None, needed):
        column = foot.column(name)
        if column is None:
            raise DataError(f"{foot.relative} lacks column '{name}', which evaluation needs.")
        if name == label.column and column.kind != label.kind:
            raise DataError(
                f"label '{name}' of {foot.relative} is {column.type}, and the run learnt {label.kind}: "
                "cast it."
            )


def _check_slices(foot: Footer, slices: Iterable[Column]) -> None:
    for wanted in slices:
        column = foot.column(wanted.source)
        if column is None:
            raise DataError(
                f"{foot.relative} lacks column '{wanted.source}', which the run's evaluate.slices names."
            )
        is_fit = column.kind == "moment" if wanted.part else column.kind not in UNSLICED
        if not is_fit and column.type != "null":
            raise DataError(
                f"column '{column.name}' of {foot.relative} is {column.type}, and the run's evaluate.slices "
                f"has '{wanted.name}', which was {wanted.type}: cast it."
            )


def _check_labels(places: Iterable[RowGroup], label: LabelRule) -> int:
    """Rows without a label; over all files there are at most two values."""
    unlabelled, seen = 0, set[str]()
    for place in places:
        labels, values = label.read(place.read([label.column]))
        unlabelled += int((labels < 0).sum())
        seen |= {plain(value) for value in values}
        if len(seen) > 2:
            raise DataError(
                f"label '{label.column}' of {place.name} brings a third value ({shown(sorted(seen))}): "
                "a binary label has two."
            )
    return unlabelled


def _total_weight(places: Iterable[RowGroup], weight: str) -> float:
    total = 0.0
    for place in places:
        total += float(read_weights(place.read([weight]), weight).sum())
    return total

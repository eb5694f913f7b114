"""Rows through a model into tallies: one pass by ranks and threads, in memory independent of the rows.

Row groups are dealt to ranks and threads, and what each adds up is put together to the same bits whoever did
it. Where there may be more distinct scores than a tally keeps apart, some row groups are looked at before.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf import hashing
from binclf.labelled import Needed
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
    edges_of,
    left_open,
    metrics,
)
from binclf.parquet import Column, feature_codes
from binclf.predict import Model
from binclf.profile import Observation
from binclf.scored import Labels, RowGroup, Scored, each, rounds
from binclf.world import World, doing

log = logging.getLogger(__name__)

F64 = npt.NDArray[np.float64]

LEFT_OPEN = 1e-6  # of an area, by scores that were joined: more is gone over again
LOOK_ROWS, LOOK_GROUPS = 2**18, 4  # at least
RANKS = 512  # cells of the score in which the rows of clusters are counted
SLICE_BLOCKS = 128  # of clusters
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
        laid, left, before = _laid(self._look(places, rows, quantum)), 0.0, math.inf
        while True:
            judged = self._pass(places, Judgement.empty(self, quantum, laid, is_watched=is_watched))
            before, left = left or before, left_open(judged.whole.histogram())
            if left < LEFT_OPEN or left > before / 2:  # a pass that gains little is the last
                return judged
            if self.world.rank == 0:
                log.info("going over the rows once more: of their crowded scores too many were joined")
            laid = _laid(judged.whole.histogram())
            del judged  # the next takes as much memory

    def _look(self, places: Sequence[RowGroup], rows: int, quantum: float) -> Histogram | None:
        """The scores of some row groups, evenly chosen; of more while these have one class, or no label.

        None where nothing is to be learnt from them.
        """
        if not rows or (rows <= MOST_BINS and not self.group and not (self.needed.slices and rows > BINS)):
            return None
        chosen = max(-(-LOOK_ROWS * len(places) // rows), LOOK_GROUPS)
        plain = replace(self, needed=replace(self.needed, slices=()), group=None)
        found = Judgement.empty(plain, quantum, _laid(None)).whole
        for some in rounds(places, chosen):
            found.merge(plain._pass(some, Judgement.empty(plain, quantum, _laid(None))).whole)
            if (known := found.histogram()).has_both or found.rows > MOST_BINS:
                break
        return known if len(known.scores) else None

    def _pass(self, places: Sequence[RowGroup], mine: Judgement) -> Judgement:
        """All row groups, each by one of the ranks."""
        doing.stage("a pass over the rows that are judged")
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
        cls, judge: Judge, quantum: float, edges: Mapping[int, F64 | None], *, is_watched: bool = False
    ) -> Judgement:
        """Of no rows; of so many cells the edges are laid."""
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


def _laid(known: Histogram | None) -> dict[int, F64 | None]:
    """Edges of so many cells, by what is known of the scores."""
    return {size: None if known is None else edges_of(known, size) for size in (MOST_BINS, BINS, RANKS)}

"""The rows of a part with their log-odds: sums over them, exact, by all ranks together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from binclf import hashing
from binclf.parquet import Column
from binclf.predict import Model
from binclf.scored import Labels, RowGroup, Scored, each, row_groups
from binclf.solvers.exact import ExactSum
from binclf.split import Split
from binclf.world import World, doing

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

BUCKETS = 32


@dataclass(frozen=True)
class Part:
    """A part of a split, which the ranks look at together."""

    split: Split
    name: str
    world: World
    weight_column: str  # or empty
    group_column: str = ""  # rows that share a value here share a bucket; empty: each row has its own

    @property
    def weight(self) -> float:
        """Of all rows."""
        return self.split.weight(self.name)

    @property
    def base_rate(self) -> float:
        """Weighted share of positives."""
        return self.split.base_rate(self.name)

    @property
    def rows(self) -> int:
        """N."""
        return self.split.rows(self.name)

    @cached_property
    def places(self) -> list[RowGroup]:
        """Its row groups."""
        return row_groups(self.split.parts[self.name])

    @property
    def groups(self) -> tuple[Column, ...]:
        """The column of groups, if there is one."""
        return tuple(column for column in self.split.columns if column.name == self.group_column)

    def summed(self, model: Model, values: Callable[[Scored], F64], most: F64) -> F64:
        """The sum over all row groups of what `values` gives for one; all ranks must ask.

        Args:
            model: scores the rows.
            values: of a row group's rows, float64 [n]; called by several threads at once.
            most: what a row of weight 1 adds to each at most, float64 [n].

        Returns:
            float64 [n], the same bits for any number of ranks.

        Raises:
            DataError: a file changed, or is damaged.
        """
        doing.stage(f"a pass over the {self.name} rows, for their probabilities")
        total = ExactSum(self.weight * most, len(self.places))
        lock, seen = threading.Lock(), 0

        def add(scored: Scored) -> None:
            nonlocal seen
            found, share = values(scored), float(scored.weights.sum()) / self.weight
            with lock:
                total.add(found, share)
                seen += len(scored.labels)

        answer, share = Labels(self.split.label, self.weight_column), (self.world.rank, self.world.size)
        each(model, self.places, answer, add, also=self.groups, share=share)
        self.world.meet()
        rows = int(self.world.sum_integers(np.array([seen]))[0])
        if rows != self.rows:
            raise AssertionError(f"{rows} {self.name} rows were scored of {self.rows}")
        return total.total(self.world)

    def buckets(self, scored: Scored) -> I64:
        """Each row's lot of BUCKETS, int64 [n]: its own, or its group's."""
        if self.group_column:
            words = scored.rows.hashes(self.group_column, hashing.key("calibration"))
        else:
            place = self.places[scored.number]
            key = hashing.key("calibration", place.name, place.group)
            words = hashing.draws(key, len(scored.labels))
        return np.asarray(words % np.uint64(BUCKETS), dtype=np.int64)

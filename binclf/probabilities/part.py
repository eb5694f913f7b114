"""The rows of a part with their log-odds, row group by row group, from the part's own files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binclf import hashing
from binclf.labels import read_weights
from binclf.loader.readers import Readers
from binclf.loader.source import ahead, threads
from binclf.predict import Model
from binclf.split import Split
from binclf.world import World

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I8 = npt.NDArray[np.int8]

BUCKETS = 32


@dataclass(frozen=True, slots=True)
class Scored:
    """The labelled rows of one row group."""

    logits: F64  # [n]
    labels: I8  # [n], 0 or 1
    weights: F64  # [n]
    buckets: I64  # [n], each row's lot of BUCKETS


@dataclass(frozen=True, slots=True)
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

    @property
    def groups(self) -> int:
        """Row groups."""
        return sum(len(file.groups) for file in self.split.parts[self.name])

    def scored(self, model: Model) -> Iterator[Scored]:
        """This rank's row groups, scored; all ranks must go through to the end.

        Raises:
            DataError: a file changed, or is damaged.
        """
        label, readers = self.split.label, Readers()
        texts = [c.name for c in model.features.categorical if c.kind == "text" and not c.column.part]
        others = filter(None, (label.column, self.weight_column, self.group_column))
        columns = list(dict.fromkeys([*model.columns(), *others]))
        places = [(file, group) for file in self.split.parts[self.name] for group in range(len(file.groups))]

        def score(place: int) -> Scored:
            file, group = places[place]
            with readers.open(file, texts) as reader:
                rows = reader.read(group, columns)
            labels, _ = label.read(rows)
            kept = labels >= 0
            if self.group_column:
                words = rows.hashes(self.group_column, hashing.key("calibration"))
            else:
                words = hashing.draws(hashing.key("calibration", file.relative, group), len(labels))
            buckets = (words % np.uint64(BUCKETS)).astype(np.int64)
            weights = read_weights(rows, self.weight_column)
            return Scored(model.logits(rows)[kept], labels[kept], weights[kept], buckets[kept])

        seen = 0
        for found in ahead(score, range(self.world.rank, len(places), self.world.size), threads()):
            seen += len(found.labels)
            yield found
        rows = int(self.world.sum_integers(np.array([seen]))[0])
        if rows != self.rows:
            raise AssertionError(f"{rows} {self.name} rows were scored of {self.rows}")

"""Which categorical column each place of the table belongs to, from two samples of rows: see `scaling`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binclf.features import Features
from binclf.solvers.blocks import Rows

F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]

SAMPLE_ROWS = 2**17  # of each of the two samples, about


@dataclass(frozen=True, slots=True)
class Columns:
    """Which categorical column each place belongs to, and what rows have of each column's places."""

    owner: I32  # [V], C where no row of the sample has the place
    together: F64  # [C + 1, C + 1], mean of u u', u a row's number of places of each column, and 1

    @classmethod
    def of(cls, store: Rows, features: Features, blocks: list[range]) -> Columns:
        """From some rows, the same whoever asks."""
        size, count = features.table_size, len(features.categorical)
        first, second = _samples(store.source.group_rows, blocks)
        most, owner = np.zeros(size, dtype=np.int64), np.full(size, count, dtype=np.int32)
        ids = [np.array(store.kept(group).ids) for group in first]
        for column in range(count):
            rows = np.bincount(np.concatenate([each[:, column] for each in ids]), minlength=size)
            owner[rows > most] = column
            np.maximum(most, rows, out=most)
        together, seen = np.zeros((count + 1, count + 1)), 0
        for group in second:
            owners = owner[store.kept(group).ids]
            places = owners + np.arange(len(owners))[:, np.newaxis] * (count + 1)
            has = np.bincount(places.ravel(), minlength=len(owners) * (count + 1)).astype(np.float64)
            has = has.reshape(-1, count + 1)
            has[:, count] = 1.0
            together += has.T @ has  # of integers, so exact
            seen += len(owners)
        return cls(owner, together / max(seen, 1))


def _samples(group_rows: Iterable[int], blocks: list[range]) -> tuple[list[int], list[int]]:
    """Row groups of two samples, apart where there are blocks enough; they follow from row counts alone."""
    rows = list(group_rows)
    groups = [[group for block in blocks[start::2] for group in block if rows[group]] for start in (0, 1)]
    first, second = (_some(own, rows) for own in groups)
    return first, second or first


def _some(groups: list[int], rows: list[int]) -> list[int]:
    """Evenly spread, of about as many rows as a sample takes."""
    step = max(sum(rows[group] for group in groups) // SAMPLE_ROWS, 1)
    return groups[::step]

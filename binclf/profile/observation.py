"""What is added up of rows while they are scored: over row groups and threads, in any order, the same bits.

Means and counts are of every row: a row group's sums are rounded once and added up without rounding, counts
are integers. Spreads, variances and sizes are of a sample, at most `MOST_SAMPLED` rows of each row group, one
drawn from each of as many runs of equal length by a hash of its place: so watching costs little beside
scoring, and each sampled row stands for as many as its run has.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load, save

from binclf import kernels
from binclf.features import NumericColumn
from binclf.metrics import Unrounded, probability
from binclf.parquet import Rows, feature_codes
from binclf.predict import Model
from binclf.profile.bins import SIZE, Spread
from binclf.profile.reading import binned, read, sample, sum_of
from binclf.profile.records import LevelProfile, NumberProfile, Profile, ScoreProfile

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

UNIT = 1024  # of a sampled row that stands for itself alone
BUCKETS = 32  # groups of a hashed column's buckets
SUMS, COUNTS = (
    2,
    4,
)  # of a number: t, its squares about train's mean; present, missing, sized, size


class Observer(Protocol):
    """Looks on while rows are scored, so that what is asked of them takes no second pass."""

    def see(self, number: int, rows: Rows, logits: F64) -> None:
        """One row group, as it was scored.

        Called by several threads, in any order; never for rows that are quarantined, nor for parts that an
        earlier call has scored (a `Watch` is shown those, too, that are committed with this call's). Of a
        file whose damage is found on the way, the row groups before it have been seen. Whoever adds up must
        do so in the order of `number`, or exactly.

        Args:
            number: of the row group, counted over all files of the input in canonical order.
            rows: the model's columns, the ids and those carried along; not to be written to. A `Watch` that
                does not lack the row group may be shown the ids and those carried along alone.
            logits: calibrated log-odds, float64 [n].
        """


@dataclass(frozen=True, slots=True)
class _Found:
    """Of one row group."""

    sums: F64
    counts: I64
    sampled: int
    fine: I64  # [columns + 1, SIZE]
    levels: Sequence[I64]


class Observation:
    """Some rows of a model's columns, and their scores."""

    def __init__(self, model: Model) -> None:
        """Nothing seen yet."""
        self.model = model
        numeric, categorical = model.features.numeric, model.features.categorical
        self.rows, self.sampled = 0, 0
        self._sums = Unrounded(SUMS * (len(numeric) + len(categorical)) + 3)
        self._counts = np.zeros((len(numeric), COUNTS), dtype=np.int64)
        self._fine = np.zeros((len(numeric) + 1, SIZE), dtype=np.int64)
        self._levels = [
            np.zeros(1 + BUCKETS if c.is_hashed else 2 + len(c.levels), dtype=np.int64) for c in categorical
        ]
        self._lock = threading.Lock()

    def see(self, number: int, rows: Rows, logits: F64) -> None:
        """Add a row group, as `Observer` says; `number` leaves no trace."""
        if not len(rows):
            return
        with np.errstate(over="ignore", invalid="ignore"):  # sums beyond doubles are told as unknown
            found = self._of(rows, logits)
        with self._lock:
            self.rows += len(rows)
            self.sampled += found.sampled
            self._sums.add(found.sums)
            self._counts += found.counts
            self._fine += found.fine
            for own, more in zip(self._levels, found.levels, strict=True):
                own += more

    def merge(self, other: Observation) -> None:
        """Add what another saw of other row groups; the order does not matter."""
        self.rows += other.rows
        self.sampled += other.sampled
        self._sums.merge(other._sums)
        self._counts += other._counts
        self._fine += other._fine
        for own, more in zip(self._levels, other._levels, strict=True):
            own += more

    def pack(self) -> bytes:
        """For another rank."""
        levels = np.concatenate(self._levels) if self._levels else np.zeros(0, dtype=np.int64)
        rows = np.array([self.rows, self.sampled], dtype=np.int64)
        return save(
            {"rows": rows, "counts": self._counts, "fine": self._fine, "levels": levels, **self._sums.pack()}
        )

    def merge_packed(self, content: bytes) -> None:
        """Add what another rank packed."""
        arrays, other = load(content), Observation(self.model)
        other.rows, other.sampled = arrays["rows"].tolist()
        other._counts, other._fine = arrays["counts"], arrays["fine"]
        other._sums.merge_packed(arrays)
        ends = np.cumsum([len(own) for own in self._levels])[:-1]
        other._levels = np.split(arrays["levels"], ends) if self._levels else []
        self.merge(other)

    def profile(self, reference: Profile | None = None) -> Profile:
        """What was seen; spreads in the bins of a reference, or (None) cut into deciles of these rows."""
        numeric, categorical = self.model.features.numeric, self.model.features.categorical
        sums = self._sums.total()
        of_columns = sums[:-3].reshape(-1, SUMS)
        spreads = [
            Spread.cut(fine) if edges is None else Spread.by(edges, fine)
            for fine, edges in zip(self._fine, self._edges(reference), strict=True)
        ]
        numbers = [
            _number(column, own, counts.tolist(), spread)
            for column, own, counts, spread in zip(numeric, of_columns, self._counts, spreads, strict=False)
        ]
        levels = [
            _level(column.name, own, counts.tolist(), is_hashed=column.is_hashed)
            for column, own, counts in zip(categorical, of_columns[len(numeric) :], self._levels, strict=True)
        ]
        mean, variance = _moments(sums[-3:-1], self.rows, self.model.bias)
        score = ScoreProfile(mean, variance, float(sums[-1] / max(self.rows, 1)), spreads[-1])
        return Profile(self.rows, self.sampled, tuple(numbers), tuple(levels), score)

    def _edges(self, reference: Profile | None) -> Sequence[tuple[int, ...] | None]:
        if reference is None:
            return [None] * len(self._fine)
        return [*(own.spread.edges for own in reference.numbers), reference.score.spread.edges]

    def _of(self, rows: Rows, logits: F64) -> _Found:
        features, bias = self.model.features, self.model.bias
        chosen = sample(len(rows))
        unit = len(rows) * UNIT // len(chosen)
        sums, counts = np.zeros((len(features.columns), SUMS)), np.zeros_like(self._counts)
        fine = np.zeros_like(self._fine)
        for place, column in enumerate(features.numeric):
            own = read(rows, column, chosen)
            exponents = np.frexp(own.raw[(own.raw != 0) & ~np.isnan(own.raw)])[1]
            away = own.sampled - column.mean
            present, total = sum_of(own.values)
            sums[place] = total, np.square(away[~np.isnan(away)]).sum() * unit
            counts[place] = present, len(rows) - present, len(exponents), exponents.sum(dtype=np.int64)
            fine[place] = binned(away / (column.deviation or 1.0)) * unit
        levels: list[I64] = []
        for place in range(len(features.categorical)):
            own_levels, sums[len(features.numeric) + place] = self._of_levels(rows, place)
            levels.append(own_levels)
        fine[-1] = binned(logits[chosen] - bias) * unit
        of_score = [logits.sum(), ((logits - bias) ** 2).sum(), probability(logits).sum()]
        return _Found(np.concatenate([sums.ravel(), of_score]), counts, len(chosen), fine, levels)

    def _of_levels(self, rows: Rows, place: int) -> tuple[I64, tuple[float, float]]:
        """Counts of a categorical column's places; where hashed, sums of its terms and their squares."""
        column, lookup = self.model.features.categorical[place], self.model.lookups[place]
        codes, texts = feature_codes(rows, column.column)
        ids, counts = lookup.ids_of_texts(texts), kernels.tally(codes, len(texts))
        own = np.zeros_like(self._levels[place])
        if not column.is_hashed:
            np.add.at(own, np.roll(ids - lookup.offset, 1), counts)  # null: last id, first count
            return own, (0.0, 0.0)
        terms, present = self.model.table[ids[:-1]], counts[1:]
        np.add.at(own, 1 + (ids[:-1] - lookup.hash_offset) % BUCKETS, present)
        own[0] += counts[0]
        return own, (float((present * terms).sum()), float((present * terms**2).sum()))


def _number(column: NumericColumn, sums: F64, counts: Sequence[int], spread: Spread) -> NumberProfile:
    present, missing, sized, size = counts
    mean = _known(float(sums[0]) / present) if present else 0.0
    square = float(sums[1]) / max(sum(spread.units), 1)
    variance = None if mean is None else _known(square - (mean - column.mean) * (mean - column.mean))
    return NumberProfile(
        column.name, present, missing, mean, variance if variance is None else max(variance, 0.0),
        size / max(sized, 1), sized, spread,
    )  # fmt: skip


def _level(name: str, sums: F64, counts: Sequence[int], *, is_hashed: bool) -> LevelProfile:
    if not is_hashed:
        other, missing, *levels = counts
        return LevelProfile(name, missing, other, tuple(levels), 0.0, 0.0)
    missing, *levels = counts
    return LevelProfile(name, missing, 0, tuple(levels), *_moments(sums, sum(levels), 0.0))


def _moments(sums: F64, count: int, centre: float) -> tuple[float | None, float | None]:
    """Mean and variance from the sums of values and of squares about a centre; None: beyond doubles."""
    if not count:
        return 0.0, 0.0
    mean = _known(float(sums[0]) / count)
    if mean is None:
        return None, None
    variance = _known(float(sums[1]) / count - (mean - centre) * (mean - centre))
    return mean, variance if variance is None else max(variance, 0.0)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None

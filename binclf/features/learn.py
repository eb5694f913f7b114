"""Learn `Features` from the blocks of train, each looked at by one rank."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from binclf import kernels
from binclf.config import Config
from binclf.features import statistics
from binclf.features.block import Block
from binclf.features.collisions import collisions
from binclf.features.columns import Roles
from binclf.features.levels import LevelCounts
from binclf.features.records import FIRST_LEVEL, CategoricalColumn, Features, NumericColumn
from binclf.labels import weight_quantum

log = logging.getLogger(__name__)

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Blocks = Callable[[], Iterable[tuple[int, Block]]]


class Exchange(Protocol):
    """What learning asks of a world of ranks."""

    def meet(self) -> None:
        """Wait for all ranks, however long one works."""

    def sum_floats(self, values: F64) -> F64:
        """Sum over ranks, float64, elementwise."""

    def sum_integers(self, values: I64) -> I64:
        """Sum over ranks, int64, elementwise."""

    def gather(self, content: bytes) -> list[bytes]:
        """Every rank's bytes, in the order of ranks."""


def learn(
    config: Config,
    roles: Roles,
    blocks: Blocks,
    groups: int,
    weight: float,
    exchange: Exchange,
) -> Features:
    """Learn from G row groups, of which this rank looks at some.

    Args:
        config: for [features].
        roles: the feature columns.
        blocks: this rank's row groups with their numbers, decoded with moments; all ranks' together are
            0..groups-1, once each. Called twice where a median is needed.
        groups: G.
        weight: sum of the weights of train.
        exchange: sums over the ranks.

    Returns:
        The same bits for any number of ranks.
    """
    moments_of = np.zeros((groups, len(roles.numeric), kernels.FIELDS))
    limit, bits = config.features.max_levels, config.features.hash_bits
    counts = [LevelCounts(c.name, limit, bits) for c in roles.categorical]
    rows = 0
    for group, block in blocks():
        if block.moments is None:
            raise AssertionError("decode with moments")
        rows += len(block)
        moments_of[group] = block.moments
        for place, count in enumerate(counts):
            count.add(block, place)
    exchange.meet()
    moments = statistics.merge(exchange.sum_floats(moments_of))
    rows = int(exchange.sum_integers(np.array([rows], dtype=np.int64))[0])
    fills = _fills(config, blocks, moments, weight, exchange)
    merged = _merged(counts, exchange)
    categorical, hash_offset = _categorical(config, roles, merged)
    return Features(
        numeric=_numeric(config, roles, moments, fills),
        categorical=categorical,
        hash_bits=bits,
        hash_offset=hash_offset,
        rows=rows,
    )


def _fills(
    config: Config,
    blocks: Blocks,
    moments: statistics.Moments,
    weight: float,
    exchange: Exchange,
) -> F64:
    """What stands in for a missing value of each column; a second pass only where a median is needed."""
    if config.features.impute == "zero":
        return np.zeros(len(moments.mean))
    if config.features.impute == "mean":
        return moments.mean
    fills = moments.mean.copy()
    chosen = np.flatnonzero(moments.missing)
    if len(chosen):
        quantum = weight_quantum(weight)
        counts = np.zeros((len(chosen), statistics.BINS + 2), dtype=np.int64)
        for _, block in blocks():
            statistics.median_counts(
                block.residuals, block.centre, block.weights, chosen, moments, quantum, counts
            )
        exchange.meet()
        fills[chosen] = statistics.medians(exchange.sum_integers(counts), chosen, moments)
    return fills


def _numeric(
    config: Config,
    roles: Roles,
    moments: statistics.Moments,
    fills: F64,
) -> tuple[NumericColumn, ...]:
    columns: list[NumericColumn] = []
    indicator = len(roles.numeric)
    for place, column in enumerate(roles.numeric):
        deviation = float(moments.deviation[place])
        has_indicator = config.features.missing_indicator and moments.missing[place] > 0
        columns.append(
            NumericColumn(
                name=column.name,
                kind=column.kind,
                column=column,
                is_log1p=column.name in config.features.log1p,
                centre=float(moments.mean[place]) if config.features.standardise else 0.0,
                scale=deviation if config.features.standardise and deviation > 0 else 1.0,
                fill=float(fills[place]),
                indicator=indicator if has_indicator else -1,
                missing=int(moments.missing[place]),
                mean=float(moments.mean[place]),
                deviation=deviation,
                low=float(moments.low[place]),
                high=float(moments.high[place]),
            )
        )
        indicator += int(has_indicator)
    return tuple(columns)


def _merged(counts: list[LevelCounts], exchange: Exchange) -> list[LevelCounts]:
    """Every rank's level counts together."""
    own = json.dumps([count.as_json() for count in counts]).encode()
    merged = [LevelCounts(count.name, count.limit, count.bits) for count in counts]
    for content in exchange.gather(own):
        for count, record in zip(merged, json.loads(content), strict=True):
            count.merge(record)
    return merged


def _categorical(
    config: Config, roles: Roles, counts: list[LevelCounts]
) -> tuple[tuple[CategoricalColumn, ...], int]:
    """Lay the columns out in the weight vector; returns them and where the hash buckets begin."""
    offset = 0
    laid: list[CategoricalColumn] = []
    for column, count in zip(roles.categorical, counts, strict=True):
        is_hashed = count.filled is not None
        rows = count.rows
        rare = {v: n for v, n in rows.items() if n < config.features.min_count}
        levels = tuple(sorted(value for value in rows if value not in rare))
        laid.append(
            CategoricalColumn(
                name=column.name,
                kind=column.kind,
                column=column,
                levels=levels,
                offset=0 if is_hashed else offset,
                is_hashed=is_hashed,
                missing=count.missing,
                rare_rows=sum(rare.values()),
                rare_levels=len(rare),
                distinct=count.distinct,
                buckets=int(count.filled.sum()) if count.filled is not None else 0,
                level_rows=tuple(rows[level] for level in levels),
            )
        )
        offset += 0 if is_hashed else FIRST_LEVEL + len(levels)
    return tuple(laid), offset


def tell(features: Features) -> None:
    """What a user would want to know: constant, empty and hashed columns."""
    for column in features.numeric:
        if column.missing == features.rows:
            log.warning("column '%s' is missing in every training row", column.name)
        elif column.deviation == 0:
            log.warning(
                "column '%s' is constant in train: it says nothing that the intercept does not", column.name
            )
    for categorical in features.categorical:
        if categorical.is_hashed:
            log.warning(
                "column '%s' has about %s values, more than features.max_levels: hashed into %s buckets, "
                "of which it fills %s",
                categorical.name,
                f"{categorical.distinct:,}",
                f"{2**features.hash_bits:,}",
                f"{categorical.buckets:,}",
            )
    found = collisions(features)
    if found is not None and found.advised_bits > found.bits:
        log.warning("%s", found.words)

"""Rows that two models have scored, made with or without ties, weights and clusters."""

from __future__ import annotations

from typing import Any

import numpy as np

from binclf.compare.populations import Pairs
from binclf.compare.verdict import Judgement
from tests.gates import pairs


def made(rows: int, seed: int = 0, *, ties: bool = False, weighted: bool = False, clusters: int = 0) -> Pairs:
    """Rows of two models that know something, each in its own way."""
    draw = np.random.default_rng(seed)
    z = draw.normal(size=rows)
    y = (draw.random(rows) < 1 / (1 + np.exp(-z))).astype(np.int8)
    champion, challenger = z + draw.normal(0, 0.5, rows), 0.9 * z + draw.normal(0, 0.4, rows)
    if ties:
        champion, challenger = np.round(champion), np.round(challenger, 1)
    w = draw.integers(1, 4, rows).astype(float) if weighted else None
    which = draw.integers(0, clusters, rows).astype(np.uint64) if clusters else None
    return pairs(champion, challenger, y, w, which)


def at(p: Pairs, places: Any) -> Pairs:
    """Some rows of pairs, in the order of the places."""
    places = np.asarray(places)
    return Pairs(
        p.numbers[places], p.champion[places], p.challenger[places], p.labels[places], p.weights[places],
        None if p.clusters is None else p.clusters[places],
        {name: (codes[places], levels) for name, (codes, levels) in p.slices.items()},
    )  # fmt: skip


def numbers(found: Judgement) -> list[float]:
    """All that the verdict rests on."""
    told: list[float] = [found.rows, found.weight]
    for measured in (found.log_loss, found.roc_auc):
        assert measured.found is not None
        assert measured.champion is not None
        told += [measured.champion, measured.found.difference, measured.found.low, measured.found.high]
    return told


ALTERNATING = np.tile(np.array([0, 1], dtype=np.int8), 100)

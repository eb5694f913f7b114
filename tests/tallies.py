"""Scores of rows, few or crowded, and tallies over them in any partition."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import strategies as st

from binclf.labels import weight_quantum
from binclf.metrics import (
    Histogram,
    Tally,
    edges_of,
)  # fmt: skip

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]


@st.composite
def rows(draw: st.DrawFn, fewest: int = 1) -> Rows:
    """Logits (few values, so that there are ties), labels, weights."""
    count = draw(st.integers(fewest, 60))
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    levels = draw(st.sampled_from([1, 3, 1000]))
    logits = np.round(random.normal(0, 3, count) * levels) / levels
    labels = (random.random(count) < draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))).astype(np.int8)
    weights = random.integers(0, 5, count) / 4 if draw(st.booleans()) else np.ones(count)
    return logits, labels, weights


def tallied(data: Rows, groups: list[int], threshold: float = 0.5) -> Tally:
    """A tally over row groups that end at these rows."""
    logits, labels, weights = data
    total = Tally(threshold, quantum_of(weights))
    edges = [0, *groups, len(logits)]
    for first, end in itertools.pairwise(edges):
        total.add(logits[first:end], labels[first:end], weights[first:end])
    return total


def quantum_of(weights: np.ndarray) -> float:
    return 0.0 if (weights == 1).all() else weight_quantum(float(weights.sum()))


def probabilities(logits: np.ndarray) -> np.ndarray:
    return np.array([1 / (1 + math.exp(-z)) for z in logits])


def many(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are all distinct, and their labels."""
    random = np.random.default_rng(6)
    logits = random.normal(0, 3, count)
    return logits, (random.random(count) < 1 / (1 + np.exp(-logits))).astype(np.int8)


def over(rows: Rows, known: Histogram, most: int) -> Tally:
    """All rows in one pass."""
    logits, labels, weights = rows
    tally = Tally(0.5, quantum_of(weights), most, edges_of(known, most))
    for part in np.array_split(np.arange(len(logits)), 13):
        tally.add(logits[part], labels[part], weights[part])
    return tally

"""Judging takes as much memory as is foreseen, however many the rows."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest

from binclf.config import Rule
from binclf.labels import weight_quantum
from binclf.metrics import (  # fmt: skip
    Tally,
    choose,
    edges,
    edges_of,
    histogram,
    judging,
    left_open,
    memory,
    metrics,
    pictures,
    probability,
    scores,
)

MOST, STRETCH, GROUP = 2**17, 2**12, 4096  # a sixteenth of what they are, each
Rows = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(autouse=True)
def _at_a_sixteenth(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST * 16 == scores.MOST_BINS
    assert STRETCH * 16 == histogram.STRETCH
    monkeypatch.setattr(memory, "MOST_BINS", MOST)
    for module in (histogram, scores, edges, memory):
        monkeypatch.setattr(module, "STRETCH", STRETCH)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_judging_takes_no_more_memory_than_is_foreseen(is_weighted: bool) -> None:
    for rows in (MOST // 2, MOST):
        held_to(rows, is_weighted=is_weighted)


@pytest.mark.slow
@pytest.mark.parametrize("is_weighted", [False, True])
def test_four_times_the_rows_take_no_more_memory(is_weighted: bool) -> None:
    few, many = (held_to(rows, is_weighted=is_weighted) for rows in (MOST * 2, MOST * 8))
    assert many < 1.02 * few


def held_to(rows: int, *, is_weighted: bool) -> int:
    """The peak, which is hardly less than is foreseen and never more."""
    allowed = judging(rows, is_weighted=is_weighted, slices=0, group_rows=GROUP, threads=1)
    peak = peak_of(rows, is_weighted=is_weighted)
    assert 0.6 * allowed < peak < allowed
    return peak


def peak_of(rows: int, *, is_weighted: bool) -> int:
    """Bytes that arrays take at most while rows are judged, from the edges of cells to the pictures."""
    random = np.random.default_rng(3)

    def some() -> Rows:
        logits = random.normal(0, 2, GROUP)
        labels = (random.random(GROUP) < probability(logits)).astype(np.int8)
        return logits, labels, random.random(GROUP) if is_weighted else np.ones(GROUP)

    quantum, look = weight_quantum(float(rows)) if is_weighted else 0.0, Tally(0.5, 0.0)
    for _ in range(8):
        look.add(*some()[:2], np.ones(GROUP))
    known = look.histogram()
    gc.collect()
    tracemalloc.start()
    try:
        tally = Tally(0.5, quantum, MOST, edges_of(known, MOST) if rows > MOST else None)
        for _ in range(rows // GROUP):
            tally.add(*some())
        left_open(tally.histogram())
        for rule in ("max_f1", "precision>=0.9", "cost(fp=1,fn=5)"):
            choose(Rule.parse(rule), tally.histogram())
        assert metrics(tally)["rows"] == rows
        pictures(tally)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

"""Scores that are joined into bins: few, the same bits in any partition, and areas within their bounds."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from binclf.metrics import (
    MOST_BINS,
    Histogram,
    Tally,
    edges_of,
    metrics,
    pictures,
    probability,
)  # fmt: skip
from tests.laws import examples
from tests.tallies import Rows, many, over, quantum_of, rows, tallied


def looked_at(logits: np.ndarray, labels: np.ndarray) -> Histogram:
    """What a look at one row in eleven knows."""
    tally = Tally(0.5, 0.0)
    tally.add(logits[::11], labels[::11], np.ones(len(labels[::11])))
    return tally.histogram()


def in_groups(
    logits: np.ndarray, labels: np.ndarray, numbers: Iterable[int], groups: int, most: int
) -> Tally:
    """A tally of some of so many row groups."""
    tally, count = Tally(0.5, 0.0, most, edges_of(looked_at(logits, labels), most)), len(logits)
    for number in numbers:
        part = slice(number * count // groups, (number + 1) * count // groups)
        tally.add(logits[part], labels[part], np.ones(len(labels[part])))
    return tally


@pytest.mark.parametrize("ranks", [1, 2, 5])
def test_joined_bins_are_few_and_give_the_same_bits_in_any_partition(ranks: int) -> None:
    logits, labels = many(50_000)
    whole = in_groups(logits, labels, range(20), 20, 2**12)
    merged = whole.empty()
    for rank in reversed(range(ranks)):
        part = in_groups(logits, labels, reversed(range(rank, 20, ranks)), 20, 2**12)
        if rank % 2:
            merged.merge_packed(part.pack())
        else:
            merged.merge(part)
    histogram = merged.histogram()
    assert 2**11 < len(histogram.scores) <= 2**12 + 2**8
    assert histogram.joined.any()
    assert (histogram.highest[:-1] < histogram.scores[1:]).all()
    assert int(histogram.units.sum()) == 50_000
    for tell in (metrics, pictures):
        assert json.dumps(tell(merged)) == json.dumps(tell(whole))


def assert_within_bounds(found: dict[str, Any], rows: Rows) -> None:
    """Areas, distance and gains are what scikit-learn and the rows say, but for what is stated."""
    logits, y, w = rows
    area = oracle.roc_auc_score(y, logits, sample_weight=w)
    assert abs(found["roc_auc"] - area) <= found["roc_auc_bound"] + 1e-9
    precision = oracle.average_precision_score(y, logits, sample_weight=w)
    assert abs(found["pr_auc"] - precision) <= found["pr_auc_bound"] + 1e-9
    false, true, _ = oracle.roc_curve(y, logits, sample_weight=w, drop_intermediate=False)
    distance = np.abs(true - false).max()
    assert -1e-9 <= distance - found["ks"] <= found["ks_bound"] + 1e-9
    share = (true * (w * y).sum() + false * (w * (1 - y)).sum()) / w.sum()
    captured = np.interp([row["share"] for row in found["gains"]], share, true)
    off = np.abs(captured - [row["captured"] for row in found["gains"]])
    assert off.max() <= found["gains_bound"] + 1e-9


def shaped(shape: str, count: int, random: np.random.Generator) -> np.ndarray:
    """Scores of which a grid of equal steps would join far too many."""
    normal = random.normal(0, 2, count)
    if shape == "cauchy":
        return random.standard_cauchy(count)
    if shape == "lognormal":
        return np.exp(random.normal(0, 60, count))
    if shape == "point":
        return np.where(random.random(count) < 0.5, 0.25, normal)
    if shape == "near constant":
        return np.where(random.random(count) < 0.9, 1 + 1e-12 * normal, normal)
    if shape == "clusters":
        return random.integers(0, count // 20, count) / 7 + 1e-9 * normal
    return np.sort(normal)  # in the order of the rows, so that a look at some of them misleads


SHAPES = ["cauchy", "lognormal", "point", "near constant", "clusters", "sorted"]


def passes(rows: Rows, most: int, wanted: float) -> tuple[dict[str, Any], int]:
    """Metrics as evaluation works them out: a look at a sixth of the rows, and passes over all; how many."""
    logits, labels, weights = rows
    look, few = Tally(0.5, quantum_of(weights)), len(logits) // 24
    for first in range(0, len(logits), len(logits) // 4):
        part = slice(first, first + few)
        look.add(logits[part], labels[part], weights[part])
    known = look.histogram()
    number, is_known = 0, False
    while not is_known and number < 6:
        tally = over(rows, known, most)
        known, found = tally.histogram(), metrics(tally)
        is_known = max(found["roc_auc_bound"], found["pr_auc_bound"]) < wanted
        number += 1
    return found, number


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("is_weighted", [False, True])
def test_of_scores_of_any_shape_the_areas_are_known_within_twice_the_inverse_of_the_bins(
    shape: str, is_weighted: bool
) -> None:
    random, count, most = np.random.default_rng(13), 60_000, 2**11
    logits = shaped(shape, count, random)
    labels = (random.random(count) < probability(np.clip(logits, -3, 3))).astype(np.int8)
    rows = logits, labels, random.integers(1, 9, count) / 4 if is_weighted else np.ones(count)
    found, number = passes(rows, most, 2 / most)  # for 2^21 bins that is a millionth
    assert 0 < found["roc_auc_bound"] < 2 / most
    assert 0 < found["pr_auc_bound"] < 2 / most
    assert number <= (2 if shape == "sorted" else 1)
    assert_within_bounds(found, rows)


@examples(40)
@given(rows(fewest=20), st.integers(0, 10**6))
def test_the_bounds_hold_whatever_the_edges(data: Rows, seed: int) -> None:
    logits, y, w = data
    if not (w * y).any() or not (w * (1 - y)).any():
        return
    edges = np.unique(np.random.default_rng(seed).normal(0, 3, 6))
    tally = Tally(0.5, quantum_of(w), 3, edges)
    tally.add(logits, y, w)
    assert_within_bounds(metrics(tally), data)


def test_tied_scores_are_exact_however_many_rows_they_have() -> None:
    """As many distinct scores as bins, and hundreds of times as many rows: nothing is joined."""
    random, count = np.random.default_rng(8), 30_000
    logits = random.integers(0, 64, count) / 8
    labels = (random.random(count) < probability(logits - 4)).astype(np.int8)
    for most, is_exact in ((64, True), (63, False)):
        found = metrics(over((logits, labels, np.ones(count)), looked_at(logits[:99], labels[:99]), most))
        assert (found["roc_auc_bound"] == found["pr_auc_bound"] == 0) == is_exact
        assert_within_bounds(found, (logits, labels, np.ones(count)))


@pytest.mark.parametrize("positives_first", [True, False])
def test_the_bounds_are_near_where_joining_hides_an_order(positives_first: bool) -> None:
    random = np.random.default_rng(7)
    count = 4096
    labels = (random.random(count) < 0.3).astype(np.int8)
    within = np.where((labels == 1) == positives_first, 0.75, 0.25) + random.random(count) / 8
    logits = random.integers(-8, 8, count) + within + labels  # cells of width 1 hide who comes first in them
    tally = Tally(0.5, 0.0, 16, np.arange(-9.0, 10.0))
    tally.add(logits, labels, np.ones(count))
    found = metrics(tally)
    for name, truth in (("roc_auc", oracle.roc_auc_score), ("pr_auc", oracle.average_precision_score)):
        off = truth(labels, logits) - found[name]
        assert (off > 0) == positives_first
        assert abs(off) - 1e-12 <= found[f"{name}_bound"] <= 3 * abs(off)


@examples(40)
@given(st.lists(st.floats(-1.7e308, 1.7e308), min_size=1, max_size=60), st.integers(8, 64))
def test_edges_are_few_and_ascending_for_any_scores(scores: list[float], cells: int) -> None:
    tally = Tally(0.5, 0.0)
    tally.add(np.array(scores), (np.arange(len(scores)) % 3 == 0).astype(np.int8), np.ones(len(scores)))
    edges = edges_of(tally.histogram(), cells)
    assert len(edges) < cells
    assert (np.diff(edges) > 0).all()
    assert np.isfinite(edges).all()


@pytest.mark.slow
def test_beyond_two_million_scores_a_look_is_enough_for_areas_within_a_millionth() -> None:
    random, count = np.random.default_rng(6), MOST_BINS * 9 // 8
    logits = random.standard_cauchy(count)
    labels = (random.random(count) < probability(logits / 2)).astype(np.int8)
    rows = logits, labels, random.random(count)
    found, number = passes(rows, MOST_BINS, 1e-6)
    assert number == 1
    assert 0 < found["roc_auc_bound"] < 1e-6
    assert 0 < found["pr_auc_bound"] < 1e-6
    assert_within_bounds(found, rows)


def test_no_rows_are_undefined_and_say_why() -> None:
    found = metrics(Tally(0.5, 0.0))
    assert found["rows"] == 0
    assert found["log_loss"] is None
    assert found["undefined"]["roc_auc"] == "no rows"
    assert pictures(Tally(0.5, 0.0))["roc"] == []
    json.dumps([found, pictures(Tally(0.5, 0.0))], allow_nan=False)


def test_extreme_logits_and_both_zeros_have_finite_metrics() -> None:
    logits = np.array([-1e300, 1e300, -0.0, 0.0, 800.0, -800.0])
    labels = np.array([0, 1, 0, 1, 1, 0], dtype=np.int8)
    found = metrics(tallied((logits, labels, np.ones(6)), []))
    json.dumps(found, allow_nan=False)
    assert found["roc_auc"] == pytest.approx(1 - 0.5 / 9)  # the two zeros are a tie
    assert found["log_loss"] == pytest.approx(2 * math.log(2) / 6)


@pytest.mark.parametrize("logit", [1e160, 1e300, 1.7e308])
def test_a_wrong_score_of_any_size_makes_no_number_that_is_none(logit: float) -> None:
    labels = np.array([0, 1, 0, 0], dtype=np.int8)
    found = metrics(tallied((np.array([logit, 1.0, -1.0, logit]), labels, np.ones(4)), [2]))
    json.dumps(found, allow_nan=False)
    assert {"log_loss", "skill"}.isdisjoint(found["intervals"])
    assert found["brier"] > 0.5
    for name in ("log_loss", "skill"):
        assert (found[name] is None) == (name in found["undefined"]) == (logit > 1e290)


def test_a_class_whose_weight_is_too_small_to_count_does_not_break_the_metrics() -> None:
    data = (np.array([1.0, -1.0]), np.array([1, 0], dtype=np.int8), np.array([1e-20, 1.0]))
    found = metrics(tallied(data, []))
    json.dumps(found, allow_nan=False)
    assert found["roc_auc"] is None
    assert pictures(tallied(data, []))["roc"] == []

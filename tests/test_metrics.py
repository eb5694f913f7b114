"""Tallies in any partition give the same metrics bit for bit, and they are scikit-learn's."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from binclf import metrics as room
from binclf.labels import weight_quantum
from binclf.metrics import Tally, calibration, curves, metrics

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]


@st.composite
def rows(draw: st.DrawFn, fewest: int = 1) -> Rows:
    """Logits (few values, so that there are ties; all of them float32), labels, weights."""
    count = draw(st.integers(fewest, 60))
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    levels = draw(st.sampled_from([1, 3, 1000]))
    logits = np.round(random.normal(0, 3, count) * levels) / levels
    logits = logits.astype(np.float32).astype(np.float64)
    labels = (random.random(count) < draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))).astype(np.int8)
    weights = random.integers(0, 5, count) / 4 if draw(st.booleans()) else np.ones(count)
    return logits, labels, weights


def tallied(data: Rows, groups: list[int], threshold: float = 0.5) -> Tally:
    """A tally over row groups that end at these rows."""
    logits, labels, weights = data
    quantum = weight_quantum(float(weights.sum()))
    total = Tally(threshold, quantum)
    edges = [0, *groups, len(logits)]
    for number, (first, end) in enumerate(itertools.pairwise(edges)):
        total.add(number, logits[first:end], labels[first:end], weights[first:end])
    return total


def probabilities(logits: np.ndarray) -> np.ndarray:
    return np.array([1 / (1 + math.exp(-z)) for z in logits])


@settings(max_examples=80, deadline=None)
@given(rows(), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_agrees_with_scikit_learn(data: Rows, threshold: float) -> None:
    logits, y, w = data
    found = metrics(tallied(data, [], threshold))
    p = probabilities(logits)
    assert found["rows"] == len(y)
    assert found["weight"] == pytest.approx(w.sum(), rel=1e-12)
    if w.sum() == 0:
        assert found["log_loss"] is None
        assert found["undefined"]["log_loss"] == "all rows weigh 0"
        return
    expected = {
        "positive_rate": np.average(y, weights=w),
        "log_loss": oracle.log_loss(y, p, sample_weight=w, labels=[0, 1]),
        "brier": np.average((p - y) ** 2, weights=w),
        "ece": ece(p, y, w),
    }
    rate = float(expected["positive_rate"])
    base = oracle.log_loss(y, np.full(len(y), rate), sample_weight=w, labels=[0, 1]) if 0 < rate < 1 else 0.0
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert found["base_log_loss"] == pytest.approx(base, rel=1e-9, abs=1e-12)
    if 0 < rate < 1:
        assert found["roc_auc"] == pytest.approx(oracle.roc_auc_score(y, logits, sample_weight=w), rel=1e-9)
        ap = oracle.average_precision_score(y, logits, sample_weight=w)
        assert found["pr_auc"] == pytest.approx(ap, rel=1e-9)
    else:
        assert found["roc_auc"] is found["pr_auc"] is None
        assert found["undefined"]["roc_auc"] == "only one class has rows with weight"
    compare_decisions(found, y, p >= threshold, w)


def ece(p: np.ndarray, y: np.ndarray, w: np.ndarray) -> float:
    """Expected calibration error over 15 bins, row by row."""
    bins: dict[int, list[int]] = {}
    for i in range(len(p)):
        bins.setdefault(min(int(p[i] * 15), 14), []).append(i)
    gaps = [abs(sum(w[i] * (p[i] - y[i]) for i in members)) for members in bins.values()]
    return float(sum(gaps) / w.sum())


def compare_decisions(found: dict[str, Any], y: np.ndarray, decided: np.ndarray, w: np.ndarray) -> None:
    matrix = oracle.confusion_matrix(y, decided, sample_weight=w, labels=[0, 1])
    (tn, fp), (fn, tp) = matrix.tolist()
    assert found["confusion"] == pytest.approx({"tn": tn, "fp": fp, "fn": fn, "tp": tp}, rel=1e-12)
    precision, recall, f1, _ = oracle.precision_recall_fscore_support(
        y, decided, sample_weight=w, labels=[1], zero_division=np.nan
    )
    assert found["precision"] == (None if tp + fp == 0 else pytest.approx(precision[0], rel=1e-9))
    assert found["recall"] == (None if tp + fn == 0 else pytest.approx(recall[0], rel=1e-9))
    assert found["f1"] == (None if tp + fn == 0 else pytest.approx(f1[0], rel=1e-9))
    assert ("precision" in found["undefined"]) == (tp + fp == 0)


@settings(max_examples=60, deadline=None)
@given(rows(fewest=4), st.data())
def test_any_partition_and_any_order_of_merging_give_the_same_bits(data: Rows, draw: st.DataObject) -> None:
    logits, labels, weights = data
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(logits)), max_size=6)))
    whole = tallied(data, cuts)
    edges = [0, *cuts, len(logits)]
    groups = list(enumerate(itertools.pairwise(edges)))
    ranks = [Tally(0.5, whole.quantum) for _ in range(draw.draw(st.integers(1, 4)))]
    for number, (first, end) in draw.draw(st.permutations(groups)):
        rank = ranks[draw.draw(st.integers(0, len(ranks) - 1))]
        rank.add(number, logits[first:end], labels[first:end], weights[first:end])
    merged = Tally(0.5, whole.quantum)
    for rank in draw.draw(st.permutations(ranks)):
        if draw.draw(st.booleans()):
            rank.histogram()  # looked at before it is merged
        merged.merge(rank)
    for tell in (metrics, calibration, curves):
        assert json.dumps(tell(merged)) == json.dumps(tell(whole))


@settings(max_examples=30, deadline=None)
@given(rows(fewest=3), st.integers(1, 3))
def test_a_whole_weight_is_the_row_so_many_times(data: Rows, times: int) -> None:
    logits, labels, _ = data
    weighted = metrics(tallied((logits, labels, np.full(len(logits), float(times))), []))
    repeated = metrics(tallied(tuple(np.tile(a, times) for a in (logits, labels, np.ones(len(logits)))), []))  # type: ignore[arg-type]
    for name in ("log_loss", "roc_auc", "pr_auc", "brier", "ece", "f1"):
        same = None if repeated[name] is None else pytest.approx(repeated[name], rel=1e-12)
        assert weighted[name] == same


def test_a_million_rows_agree_with_scikit_learn() -> None:
    random = np.random.default_rng(5)
    logits = random.normal(-1, 2, 10**6)
    labels = (random.random(10**6) < 1 / (1 + np.exp(-0.7 * logits))).astype(np.int8)
    weights = random.random(10**6)
    found = metrics(tallied((logits, labels, weights), list(range(65_536, 10**6, 65_536))))
    assert found["roc_auc"] == pytest.approx(
        oracle.roc_auc_score(labels, logits, sample_weight=weights), abs=1e-6
    )
    expected = oracle.average_precision_score(labels, logits, sample_weight=weights)
    assert found["pr_auc"] == pytest.approx(expected, abs=1e-6)
    p = 1 / (1 + np.exp(-logits))
    assert found["log_loss"] == pytest.approx(oracle.log_loss(labels, p, sample_weight=weights), rel=1e-9)


def many(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are nearly all distinct as float32, and their labels."""
    random = np.random.default_rng(6)
    logits = random.normal(0, 3, count).astype(np.float32).astype(np.float64)
    return logits, (random.random(count) < 1 / (1 + np.exp(-logits))).astype(np.int8)


def in_groups(logits: np.ndarray, labels: np.ndarray, numbers: Iterable[int], groups: int) -> Tally:
    """A tally of some of so many row groups."""
    tally, count = Tally(0.5, 1.0), len(logits)
    for number in numbers:
        part = slice(number * count // groups, (number + 1) * count // groups)
        tally.add(number, logits[part], labels[part], np.ones(len(labels[part])))
    return tally


@pytest.mark.parametrize("ranks", [1, 2, 5])
def test_joined_bins_are_few_and_give_the_same_bits_in_any_partition(
    ranks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_BINS", 2**12)
    logits, labels = many(50_000)
    whole = in_groups(logits, labels, range(20), 20)
    merged = Tally(0.5, 1.0)
    for rank in reversed(range(ranks)):
        merged.merge(in_groups(logits, labels, reversed(range(rank, 20, ranks)), 20))
    assert 0 < len(merged.histogram().keys) <= 2**12
    assert merged.histogram().shift > 0
    assert int(merged.histogram().positive.sum() + merged.histogram().negative.sum()) == 50_000
    for tell in (metrics, calibration, curves):
        assert json.dumps(tell(merged)) == json.dumps(tell(whole))


@pytest.mark.slow
def test_bins_joined_beyond_the_most_keep_the_auc() -> None:
    logits, labels = many(2 * room.MOST_BINS)
    tally = in_groups(logits, labels, range(12), 12)
    assert tally.histogram().shift > 0
    assert metrics(tally)["roc_auc"] == pytest.approx(oracle.roc_auc_score(labels, logits), abs=1e-6)


def test_no_rows_are_undefined_and_say_why() -> None:
    found = metrics(Tally(0.5, 1.0))
    assert found["rows"] == 0
    assert found["log_loss"] is None
    assert found["undefined"]["roc_auc"] == "no rows"
    assert curves(Tally(0.5, 1.0)) == {}


def test_extreme_logits_and_both_zeros_have_finite_metrics() -> None:
    logits = np.array([-1e300, 1e300, -0.0, 0.0, 800.0, -800.0])
    labels = np.array([0, 1, 0, 1, 1, 0], dtype=np.int8)
    found = metrics(tallied((logits, labels, np.ones(6)), []))
    json.dumps(found, allow_nan=False)
    assert found["roc_auc"] == pytest.approx(1 - 0.5 / 9)  # the two zeros are a tie
    assert found["log_loss"] == pytest.approx(2 * math.log(2) / 6)


def test_a_class_whose_weight_is_too_small_to_count_does_not_break_the_metrics() -> None:
    data = (np.array([1.0, -1.0]), np.array([1, 0], dtype=np.int8), np.array([1e-20, 1.0]))
    found = metrics(tallied(data, []))
    json.dumps(found, allow_nan=False)
    assert found["roc_auc"] is None
    assert curves(tallied(data, [])) == {}


@settings(max_examples=30, deadline=None)
@given(rows(fewest=10))
def test_curves_are_short_rising_and_end_where_all_are_decided_yes(data: Rows) -> None:
    tally = tallied(data, [])
    drawn = curves(tally)
    if not drawn:
        assert metrics(tally)["roc_auc"] is None
        return
    for name in ("false_positive_rate", "true_positive_rate", "recall"):
        assert len(drawn[name]) <= room.CURVE_POINTS + 1
        assert (np.diff(drawn[name]) >= 0).all()
        assert drawn[name][-1] == 1.0
    assert (drawn["false_positive_rate"][0], drawn["true_positive_rate"][0]) == (0.0, 0.0)
    area = np.trapezoid(drawn["true_positive_rate"], drawn["false_positive_rate"])
    assert area == pytest.approx(metrics(tally)["roc_auc"], rel=1e-9)


def test_calibration_tells_prediction_and_outcome_of_each_bin() -> None:
    logits = np.array([0.0, 0.0, 0.0, 3.0])
    bins = calibration(tallied((logits, np.array([0, 0, 1, 1], dtype=np.int8), np.ones(4)), []))
    assert bins == [
        {"weight": 3.0, "predicted": 0.5, "observed": pytest.approx(1 / 3)},
        {"weight": 1.0, "predicted": pytest.approx(1 / (1 + math.exp(-3))), "observed": 1.0},
    ]

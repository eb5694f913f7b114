"""Intervals of rows that hang together go by groups, as plain sums over groups say."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from binclf import hashing
from binclf.labels import weight_quantum
from binclf.metrics import Clusters, Tally, metrics, probability
from tests.laws import examples

Rows = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def made(count: int, groups: int, seed: int, spread: float = 1.0) -> Rows:
    """Logits, labels, weights and groups, of which each has a leaning of its own."""
    random = np.random.default_rng(seed)
    own = random.integers(0, groups, count)
    leaning = random.normal(0, spread, groups)[own]
    logits = random.normal(-0.3, 1, count) + leaning
    labels = (random.random(count) < probability(logits + 0.7 * leaning)).astype(np.int8)
    return logits, labels, random.integers(1, 5, count) / 2, own.astype(np.uint64)


def empty(rows: Rows, edges: np.ndarray, blocks: int = 64) -> Tally:
    return Tally(0.5, weight_quantum(float(rows[2].sum())), clusters=Clusters(blocks, edges))


def judged(rows: Rows, edges: np.ndarray) -> dict[str, Any]:
    tally = empty(rows, edges)
    tally.add(*rows)
    return metrics(tally)


def by_group(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    return np.array([values[groups == group].sum() for group in np.unique(groups)])


@pytest.mark.parametrize("seed", range(4))
def test_the_interval_of_a_mean_is_that_of_the_sums_over_groups(seed: int) -> None:
    logits, y, w, groups = rows = made(400, 30, seed)
    p = probability(logits)
    losses, found = -np.log(np.where(y == 1, p, 1 - p)), judged(rows, np.zeros(1))
    rate = found["positive_rate"]
    base = -np.log(np.where(y == 1, rate, 1 - rate))
    units = w.sum() ** 2 / (by_group(w, groups) ** 2).sum()
    assert found["units"] == pytest.approx(units)
    for name, values in (
        ("log_loss", losses), ("brier", (p - y) ** 2), ("excess", p - y), ("skill", base - losses),
    ):  # fmt: skip
        mean = np.average(values, weights=w)
        error = math.sqrt((by_group(w * (values - mean), groups) ** 2).sum() * units / (units - 1)) / w.sum()
        half = stats.t.ppf(0.975, units - 1) * error
        assert found["intervals"][name] == pytest.approx(
            [mean - half, mean + half], rel=1e-3, abs=2e-3 * half
        )


@pytest.mark.parametrize("seed", range(4))
def test_the_interval_of_the_auc_is_obuchowskis(seed: int) -> None:
    logits, y, w, groups = rows = made(300, 25, seed)
    logits = np.round(logits, 1)  # ties
    rows = logits, y, w, groups
    values = np.unique(logits)
    found = judged(rows, (values[:-1] + values[1:]) / 2)
    won = (logits[:, None] > logits) + 0.5 * (logits[:, None] == logits)
    yes, no = w * y, w * (1 - y)
    area = yes @ won @ no / yes.sum() / no.sum()
    influence = (
        yes * (won @ no / no.sum() - area) / yes.sum() + no * (yes @ won / yes.sum() - area) / no.sum()
    )
    count = len(np.unique(groups))
    error = math.sqrt((by_group(influence, groups) ** 2).sum() * count / (count - 1))
    units = min(side.sum() ** 2 / (by_group(side, groups) ** 2).sum() for side in (yes, no))
    half = stats.t.ppf(0.975, units - 1) * error / (area * (1 - area))
    middle = math.log(area / (1 - area))
    wanted = [1 / (1 + math.exp(-middle - half * sign)) for sign in (-1, 1)]
    assert found["intervals"]["roc_auc"] == pytest.approx(wanted, rel=1e-3)


def test_cells_that_are_too_few_to_tell_leave_the_interval_out() -> None:
    assert "roc_auc" not in judged(made(300, 25, 0), np.zeros(1))["intervals"]


@examples(25)
@given(st.integers(0, 10**6), st.permutations(range(5)))
def test_any_partition_gives_the_same_bits(seed: int, order: list[int]) -> None:
    rows = made(60, 12, seed)
    edges, parts = np.linspace(-9, 9, 500), np.array_split(np.arange(60), 5)
    whole, merged = empty(rows, edges), empty(rows, edges)
    for part in parts:
        whole.add(*(column[part] for column in rows))
    for number in order:
        one = empty(rows, edges)
        one.add(*(column[parts[number]] for column in rows))
        if number % 2:
            merged.merge(one)
        else:
            merged.merge_packed(one.pack())
    assert "roc_auc" in metrics(whole)["intervals"]
    assert json.dumps(metrics(merged)) == json.dumps(metrics(whole))


def test_of_many_more_groups_than_blocks_the_width_is_near_that_of_the_groups() -> None:
    logits, y, w, own = made(40_000, 8_000, 3)
    edges = np.quantile(logits, np.linspace(0.002, 0.998, 300))
    few, many = empty((logits, y, w, own), edges, 512), empty((logits, y, w, own), edges, 8_000)
    few.add(logits, y, w, hashing.mix(own))
    many.add(logits, y, w, own)
    found, exact = metrics(few)["intervals"], metrics(many)["intervals"]
    for name in ("log_loss", "brier", "excess", "skill", "roc_auc", "positive_rate"):
        assert np.diff(found[name])[0] == pytest.approx(np.diff(exact[name])[0], rel=0.1)


@pytest.mark.slow
def test_intervals_of_groups_hold_the_truth_where_those_of_rows_do_not() -> None:
    truth, held = metrics_of_rows(leaning(200_000, 200_000, 1)), {"groups": 0, "rows": 0}
    for seed in range(100):
        rows = leaning(600, 30, 100 + seed)
        for way, found in (("groups", judged(rows, np.zeros(1))), ("rows", metrics_of_rows(rows))):
            low, high = found["intervals"]["excess"]
            held[way] += low <= truth["excess"] <= high
    assert held["groups"] >= 88  # 95 - 3 standard deviations
    assert held["rows"] < 70


def leaning(count: int, groups: int, seed: int) -> Rows:
    """Rows whose groups lean to one label in a way that the scores do not know."""
    random = np.random.default_rng(seed)
    own, logits = random.integers(0, groups, count), random.normal(0, 1, count)
    labels = (random.random(count) < probability(logits + random.normal(0, 2, groups)[own])).astype(np.int8)
    return logits, labels, np.full(count, 0.5), own.astype(np.uint64)


def metrics_of_rows(rows: Rows) -> dict[str, Any]:
    tally = Tally(0.5, weight_quantum(float(rows[2].sum())))
    tally.add(*rows[:3])
    return metrics(tally)

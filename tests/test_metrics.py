"""Tallies in any partition give the same metrics bit for bit, and they are scikit-learn's."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf.metrics import (
    Tally,
    metrics,
    pictures,
)  # fmt: skip
from tests.beside import THRESHOLD, WITHIN, differences
from tests.laws import examples
from tests.oracles import of_scikit_learn
from tests.tallies import Rows, quantum_of, rows, tallied


@examples(80)
@given(rows(), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_agrees_with_scikit_learn(data: Rows, threshold: float) -> None:
    logits, y, w = data
    found = metrics(tallied(data, [], threshold))
    assert found["rows"] == len(y)
    assert found["weight"] == pytest.approx(w.sum(), rel=1e-12)
    if w.sum() == 0:
        assert found["log_loss"] is None
        assert found["undefined"]["log_loss"] == "all rows weigh 0"
        return
    wanted = of_scikit_learn(logits, y, w, threshold)
    assert found["confusion"] == pytest.approx(wanted.pop("confusion"), rel=1e-12)
    for name, value in wanted.items():
        assert found[name] == (None if value is None else pytest.approx(value, rel=1e-9, abs=1e-12)), name
        assert (name in found["undefined"]) == (value is None), name
    if wanted["roc_auc"] is None:
        assert found["undefined"]["roc_auc"] == "only one class has rows with weight"


@examples(60)
@given(rows(fewest=4), st.data())
def test_any_partition_and_any_order_of_merging_give_the_same_bits(data: Rows, draw: st.DataObject) -> None:
    logits, labels, weights = data
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(logits)), max_size=6)))
    whole = tallied(data, cuts)
    edges = [0, *cuts, len(logits)]
    groups = list(itertools.pairwise(edges))
    quantum = quantum_of(weights)
    ranks = [Tally(0.5, quantum) for _ in range(draw.draw(st.integers(1, 4)))]
    for first, end in draw.draw(st.permutations(groups)):
        rank = ranks[draw.draw(st.integers(0, len(ranks) - 1))]
        rank.add(logits[first:end], labels[first:end], weights[first:end])
    merged = Tally(0.5, quantum)
    for rank in draw.draw(st.permutations(ranks)):
        if draw.draw(st.booleans()):
            rank.histogram()  # looked at before it is merged
        if draw.draw(st.booleans()):
            merged.merge_packed(rank.pack())  # as from another process
        else:
            merged.merge(rank)
    for tell in (metrics, pictures):
        assert json.dumps(tell(merged)) == json.dumps(tell(whole))


@examples(30)
@given(rows(fewest=3), st.integers(1, 3))
def test_a_whole_weight_is_the_row_so_many_times(data: Rows, times: int) -> None:
    logits, labels, _ = data
    weighted = metrics(tallied((logits, labels, np.full(len(logits), float(times))), []))
    repeated = metrics(tallied(tuple(np.tile(a, times) for a in (logits, labels, np.ones(len(logits)))), []))  # type: ignore[arg-type]
    for name in ("log_loss", "roc_auc", "pr_auc", "brier", "ece", "f1"):
        same = None if repeated[name] is None else pytest.approx(repeated[name], rel=1e-12)
        assert weighted[name] == same


@pytest.mark.slow
def test_a_million_rows_agree_with_scikit_learn() -> None:
    random = np.random.default_rng(5)
    logits = random.normal(-1, 2, 10**6)
    labels = (random.random(10**6) < 1 / (1 + np.exp(-0.7 * logits))).astype(np.int8)
    data = logits, labels, random.random(10**6)
    found = metrics(tallied(data, list(range(65_536, 10**6, 65_536)), THRESHOLD))
    assert found["roc_auc_bound"] == found["pr_auc_bound"] == found["ks_bound"] == found["gains_bound"] == 0
    off = differences(found, *data)
    assert max(off.values()) < WITHIN, off

"""Intervals are those of the definition, areas DeLong's, weights copies in one cluster.

The same rows give the same bits however they are cut.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as oracle

from binclf.compare import tally
from binclf.compare.inference import auc_difference
from binclf.compare.tally import Tally
from binclf.compare.verdict import judge
from binclf.metrics import intervals
from tests.gates import judged
from tests.laws import examples
from tests.paired import at, made, numbers


def delong(scores: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Difference of two areas and its variance, pair by pair, as DeLong and others wrote it."""
    positive, negative = scores[:, y == 1], scores[:, y == 0]
    kernel = np.array(
        [
            [[1.0 if x > v else 0.5 if x == v else 0.0 for v in negative[k]] for x in positive[k]]
            for k in range(2)
        ]
    )
    areas = kernel.mean(axis=(1, 2))
    across = np.cov(kernel.mean(axis=2)) / positive.shape[1] + np.cov(kernel.mean(axis=1)) / negative.shape[1]
    return areas[1] - areas[0], across[0, 0] + across[1, 1] - 2 * across[0, 1]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_area_difference_is_delongs_pair_by_pair(seed: int, ties: bool) -> None:
    p = made(60, seed, ties=ties)
    found = auc_difference((p.champion, p.challenger), p.labels, p.weights, None)
    assert found is not None
    assert found[2] is not None
    difference, variance = delong(np.stack([p.champion, p.challenger]), p.labels)
    assert found[0] == pytest.approx(oracle.roc_auc_score(p.labels, p.champion), abs=1e-12)
    assert found[2].difference == pytest.approx(difference, abs=1e-12)
    assert found[2].standard_error ** 2 == pytest.approx(variance, rel=1e-9)


@pytest.mark.parametrize("ties", [False, True])
def test_weighted_areas_are_scikit_learns(ties: bool) -> None:
    p = made(500, 5, ties=ties, weighted=True)
    found = auc_difference((p.champion, p.challenger), p.labels, p.weights, None)
    assert found is not None
    for area, scores in zip(found[:2], (p.champion, p.challenger), strict=True):
        wanted = oracle.roc_auc_score(p.labels, scores, sample_weight=p.weights)
        assert area == pytest.approx(wanted, abs=1e-12)


def test_log_losses_are_scikit_learns() -> None:
    p = made(500, 6, weighted=True)
    found = judged(p).log_loss
    for value, scores in zip((found.champion, found.challenger), (p.champion, p.challenger), strict=True):
        wanted = oracle.log_loss(p.labels, 1 / (1 + np.exp(-scores)), sample_weight=p.weights)
        assert value == pytest.approx(wanted, abs=1e-12)


def test_without_weights_the_interval_is_the_paired_t_interval() -> None:
    p = made(80, 7)
    old, new = p.losses
    found = judged(p).log_loss.found
    wanted = stats.ttest_rel(new, old).confidence_interval(0.95)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), rel=1e-5)
    assert found.p_value == pytest.approx(stats.ttest_rel(new, old).pvalue, rel=2e-3)


@given(z=st.floats(-4, 4), freedom=st.floats(49, 1e7))
def test_students_tails_are_scipys_and_undone_exactly(z: float, freedom: float) -> None:
    t = intervals.student_of(z, freedom)
    assert t == pytest.approx(stats.t.isf(stats.norm.sf(z), freedom), rel=1e-3, abs=1e-12)
    assert intervals.normal_of(abs(t), freedom) == pytest.approx(abs(z), rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_a_row_of_weight_k_is_k_copies_of_it_in_one_cluster(seed: int) -> None:
    """Also in intervals: copies tell nothing new."""
    p = made(300, seed, weighted=True)
    names = np.arange(300, dtype=np.uint64)
    weighted = replace(p, clusters=names)
    times = p.weights.astype(int)
    copies = at(replace(weighted, weights=np.ones(300)), np.repeat(np.arange(300), times))
    mine, theirs = judged(weighted), judged(copies)
    assert numbers(mine)[1:] == pytest.approx(numbers(theirs)[1:], rel=1e-12)
    assert judged(p).log_loss.found == pytest.approx(mine.log_loss.found)  # each row its own cluster


@pytest.mark.parametrize("clusters", [0, 40])
def test_the_unit_of_the_weights_does_not_count(clusters: int) -> None:
    p = made(400, 2, weighted=True, clusters=clusters)
    one, other = judged(p), judged(replace(p, weights=p.weights * 1024.0))
    assert numbers(one)[2:] == numbers(other)[2:]
    assert one.further_rows == other.further_rows


def test_rows_of_no_weight_change_nothing() -> None:
    p, q = made(300, 3), made(50, 4)
    both = judged(p, replace(q, weights=np.zeros(50), numbers=q.numbers + 300))
    assert numbers(both)[1:] == numbers(judged(p))[1:]


@examples(25)
@given(cuts=st.lists(st.integers(0, 500), max_size=6), clusters=st.sampled_from([0, 30]))
def test_row_groups_in_order_give_the_answer_of_one(cuts: list[int], clusters: int) -> None:
    p = made(500, 8, weighted=True, clusters=clusters)
    bounds = [0, *sorted(cuts), 500]
    groups = [at(p, np.arange(a, b)) for a, b in itertools.pairwise(bounds) if b > a]
    assert numbers(judged(*groups)) == pytest.approx(numbers(judged(p)), rel=1e-9)


def test_partial_sums_merged_in_pairs_have_the_bits_of_one_after_the_other() -> None:
    """Of a thread's row groups nothing but their order counts."""
    p = made(900, 9, weighted=True, clusters=70)
    groups = [at(p, np.arange(k * 100, k * 100 + 100)) for k in range(9)]
    assert numbers(judged(*groups)) == numbers(judged(*groups))
    direct = Tally((0.5, 0.5), is_clustered=True)
    for group in groups:
        direct.add(group)
    assert numbers(judge(direct, 0.0)) == pytest.approx(numbers(judged(*groups)), rel=1e-12)


def test_a_sample_stands_for_more_rows_than_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    p = made(20_000, 10)
    whole = judged(p)
    monkeypatch.setattr(tally, "MOST_RANKED", 4_000)
    groups = [at(p, np.arange(k * 1000, k * 1000 + 1000)) for k in range(20)]
    sampled = judged(*groups)
    assert whole.ranked_rows == 20_000
    assert 1_500 < sampled.ranked_rows <= 4_000
    assert sampled.ranked_rows == judged(p).ranked_rows  # whatever the row groups
    assert sampled.log_loss.found is not None
    assert whole.log_loss.found is not None
    assert sampled.log_loss.found.difference == pytest.approx(whole.log_loss.found.difference, rel=1e-9)
    assert sampled.roc_auc.found is not None
    assert whole.roc_auc.found is not None
    error = sampled.roc_auc.found.standard_error
    assert error > 2 * whole.roc_auc.found.standard_error  # it is the sample's own
    assert abs(sampled.roc_auc.found.difference - whole.roc_auc.found.difference) < 4 * error

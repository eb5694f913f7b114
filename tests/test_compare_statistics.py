"""Intervals cover, areas are DeLong's, weights are copies in one cluster, the same rows give the same bits.

The simulations are seeded; what they may show at most is beyond three standard deviations.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as oracle

from binclf.compare import inference, tally
from binclf.compare.inference import auc_difference, false_discovery, further_rows, mean_difference
from binclf.compare.populations import Pairs
from binclf.compare.tally import Tally
from binclf.compare.verdict import Judgement, Level, judge
from binclf.errors import ConfigError
from binclf.metrics import intervals
from tests.gates import BETTER, decided, equals, gate, judged, pairs, promoted
from tests.laws import examples


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


def test_false_discoveries_are_benjamini_and_hochbergs() -> None:
    draw = np.random.default_rng(11)
    for count in (1, 2, 5, 40):
        p_values = np.round(draw.random(count) ** 3, 3)  # with ties
        wanted = stats.false_discovery_control(p_values)
        assert false_discovery(p_values.tolist()) == pytest.approx(wanted.tolist(), rel=1e-12)
    assert false_discovery([]) == []


@pytest.mark.parametrize("rows", [60, 400])
def test_the_interval_covers_the_true_difference(rows: int) -> None:
    """Rows are drawn from a fixed population whose difference is known."""
    population = made(20_000, 12, weighted=True)
    old, new = population.losses
    truth = np.average(new - old, weights=population.weights)
    draw = np.random.default_rng(13)
    missed = [0, 0]
    for _ in range(1000):
        found = judged(at(population, draw.integers(0, 20_000, rows))).log_loss.found
        assert found is not None
        missed[0] += int(found.high < truth)
        missed[1] += int(found.low > truth)
    assert max(missed) <= 42  # 25 are expected of 1,000 at most; 42 is beyond three standard deviations
    assert sum(missed) > 20


def test_areas_cover_theirs() -> None:
    population = made(20_000, 14)
    whole = auc_difference(
        (population.champion, population.challenger), population.labels, population.weights, None
    )
    assert whole is not None
    truth = whole[1] - whole[0]
    draw, missed = np.random.default_rng(15), 0
    for _ in range(600):
        p = at(population, draw.integers(0, 20_000, 300))
        found = auc_difference((p.champion, p.challenger), p.labels, p.weights, None)
        assert found is not None
        assert found[2] is not None
        missed += not found[2].low <= truth <= found[2].high
    assert 10 < missed < 48  # 30 are expected


def test_clustered_rows_need_the_clusters() -> None:
    """Rows of a cluster err alike: taken as independent they promise too much, as clusters they do not."""
    draw = np.random.default_rng(16)
    missed = {"rows": 0, "clusters": 0}
    for _ in range(600):
        which = np.repeat(np.arange(80, dtype=np.uint64), draw.integers(2, 12, 80))
        z, shift = draw.normal(size=80), draw.normal(0, 0.5, 80)
        y = (draw.random(80) < 1 / (1 + np.exp(-z))).astype(np.int8)
        # off by as much in opposite directions: no difference on average; rows of a cluster answer alike
        rows = which.astype(int)
        p = pairs((z + shift)[rows], (z - shift)[rows], y[rows], None, which)
        for name, looked_at in (("rows", replace(p, clusters=None)), ("clusters", p)):
            found = judged(looked_at).log_loss.found
            assert found is not None
            missed[name] += not found.low <= 0 <= found.high
    assert missed["clusters"] <= 47  # 30 are expected
    assert missed["rows"] > 60


def test_the_further_rows_decide_as_often_as_is_said() -> None:
    tried, hits = decided(150, 300, 20_000)
    assert tried == 150
    assert 122 <= hits <= 146  # 135 are expected, and 3.7 is a standard deviation


@given(rows=st.integers(60, 100_000), z=st.floats(0.05, 1.9), scale=st.floats(1e-5, 1.0))
def test_the_chance_of_a_decision_is_what_is_stated(rows: int, z: float, scale: float) -> None:
    """Of the mean of the rows seen and of further ones whose mean is normal around the same."""
    found = inference.estimate(-scale, (scale / z) ** 2, float(rows))
    further = further_rows(found, -scale, rows)
    assert further is not None
    total, sigma = rows + further, found.standard_error * math.sqrt(rows)
    needed = stats.t.isf(0.025, total - 1) * sigma / math.sqrt(total)
    chance = stats.norm.cdf((scale - needed) / (sigma * math.sqrt(further) / total))
    assert chance == pytest.approx(0.9, abs=0.005) or further < 20  # whole rows


def test_no_number_of_rows_tells_a_difference_of_nothing() -> None:
    found = inference.estimate(0.0, 1e-6, 100.0)
    assert further_rows(found, 0.0, 100) is None
    assert further_rows(found, 1e-3, 0) is None
    assert (further_rows(found, 1e-4, 100) or 0) > (further_rows(found, 1e-3, 100) or 0)


def test_two_samples_of_one_process_are_rarely_promoted() -> None:
    """Expected are at most 5 % where there are half as many test rows as training rows."""
    found, _ = promoted(100, 1500, 600)
    assert found <= 12  # of a rate of 5 %, one in 300 such counts is above
    assert promoted(100, 1500, 600)[0] == found


def test_of_models_of_which_neither_is_better_one_in_forty_is_promoted() -> None:
    assert 0 < equals(200, 1000) <= 12  # 5 are expected; one in 200 such counts is above


def test_a_challenger_that_is_no_better_than_the_margin_is_rarely_promoted() -> None:
    """Exactly at the margin, the rate that is promised is one in forty."""
    population = made(20_000, 17)
    old, new = population.losses
    margin = -float((new - old).mean())
    if margin < 0:
        population, margin = (
            replace(population, champion=population.challenger, challenger=population.champion),
            -margin,
        )
    draw, promoted_at, shown_at = np.random.default_rng(18), 0, 0
    for _ in range(800):
        p = at(population, draw.integers(0, 20_000, 300))
        promoted_at += judged(p, margin=margin).is_promoted("if_better")
        swapped = replace(p, champion=p.challenger, challenger=p.champion)  # worse by exactly the margin
        shown_at += judged(swapped, margin=margin).is_promoted("if_not_worse")
    assert promoted_at <= 34  # 20 are expected
    assert shown_at <= 34


def test_a_better_challenger_is_promoted() -> None:
    found, gain = promoted(12, 4000, 40_000, 2 * BETTER)
    assert found == 12
    assert 0.01 < gain < 0.03


def test_the_three_verdicts_and_the_rules() -> None:
    better, worse = (
        gate(4000, 20_000, 1, 2 * BETTER),
        judged(pairs(np.zeros(200), np.full(200, 3.0), ALTERNATING)),
    )
    small = gate(2000, 100, 3)
    assert (better.verdict, worse.verdict, small.verdict) == ("promote", "keep", "inconclusive")
    assert small.further_rows is not None
    assert better.further_rows is worse.further_rows is None
    for rule, wanted in {
        "if_better": [True, False, False],
        "if_not_worse": [True, False, False],
        "always": [True, True, True],
        "never": [False, False, False],
    }.items():
        assert [found.is_promoted(rule) for found in (better, worse, small)] == wanted
    with pytest.raises(ConfigError, match="'if_new': it is one of if_better"):
        better.is_promoted("if_new")


ALTERNATING = np.tile(np.array([0, 1], dtype=np.int8), 100)


def test_models_that_say_the_same_are_kept_apart_from_noise() -> None:
    z = np.linspace(-2, 2, 200)
    same = judged(pairs(z, z.copy(), ALTERNATING))
    assert same.identical
    assert same.verdict == "keep"
    assert same.is_promoted("if_not_worse")
    assert not same.is_promoted("if_better")
    assert same.log_loss.found is not None
    assert same.log_loss.found.p_value == 1.0
    assert same.roc_auc.found is not None
    assert same.roc_auc.found.standard_error == 0.0


@pytest.mark.parametrize(
    ("rows", "labels", "weight", "reason"),
    [
        (0, 0, 1.0, "no rows are left to compare on"),
        (100, 0, 1.0, "only one class has rows with weight"),
        (100, 1, 1.0, "only one class has rows with weight"),
        (100, 2, 0.0, "all rows weigh 0"),
        (20, 2, 1.0, "they tell as much as 10 independent rows of the rarer class, and 50 are needed"),
    ],
)
def test_what_is_undefined_is_null_with_a_reason_and_no_gate_opens(
    rows: int, labels: int, weight: float, reason: str
) -> None:
    y = ALTERNATING[:rows] if labels == 2 else np.full(rows, labels, dtype=np.int8)
    strong = np.where(y == 1, 3.0, -3.0)  # the challenger is far better
    found = judged(pairs(np.zeros(rows), strong, y, np.full(rows, weight)))
    assert found.verdict == "inconclusive"
    assert reason in found.lacking
    assert [found.is_promoted(rule) for rule in ("if_better", "if_not_worse", "never")] == [False] * 3
    assert found.is_promoted("always")
    if labels != 2 or not weight:
        assert found.log_loss.champion is None
        assert found.roc_auc.champion is None
        assert found.further_rows is None
    else:
        assert found.further_rows == 80


@pytest.mark.parametrize(("weighted", "clusters"), [(False, 0), (True, 0), (False, 3000)])
def test_many_rows_of_few_positives_decide_nothing(weighted: bool, clusters: int) -> None:
    """Their number is what varies: equals would be promoted in 7 % of comparisons at 10 positives."""
    rows = 4000
    p = made(rows, 3, weighted=weighted, clusters=clusters)
    few = replace(p, labels=(np.arange(rows) % 400 == 0).astype(np.int8))
    found = judged(replace(few, challenger=few.champion - 1.0))  # all is less likely: better on so few
    assert found.log_loss.found is not None
    assert found.log_loss.found.high < 0
    assert found.verdict == "inconclusive"
    assert found.rarer_units <= 10
    assert "rows of the rarer class" in found.lacking or "clusters of the rarer class" in found.lacking
    assert not found.is_promoted("if_better")
    assert found.further_rows is not None
    assert found.further_rows >= 16_000


def test_flips_are_counted_both_ways_at_each_models_own_threshold() -> None:
    old, new = np.array([-1.0, 1.0, 1.0, -1.0]), np.array([1.0, -1.0, 1.0, -3.0])
    y, w = np.array([1, 1, 0, 0], dtype=np.int8), np.array([1.0, 2.0, 4.0, 1.0])
    total = Tally((0.5, 0.1), is_clustered=False)  # the challenger says yes from logit -2.2 on
    total.add(replace(pairs(old, new, y, w)))
    flips = judge(total, 0.0).decisions
    assert flips["no_to_yes"] == {"rows": 1, "share": 0.125, "rightly": 1.0}
    assert flips["yes_to_no"] == {"rows": 0, "share": 0.0, "rightly": None}


def sliced(p: Pairs, levels: int, seed: int = 0) -> Pairs:
    codes = np.random.default_rng(seed).integers(0, levels, len(p.labels)).astype(np.int32)
    return replace(p, slices={"city": (codes, [f"city-{k}" for k in range(levels)])})


def levels_of(found: Judgement) -> tuple[Level, ...]:
    levels = found.slices["city"]
    assert levels is not None
    return levels


def judged_by_slices(*groups: Pairs) -> Judgement:
    total = Tally((0.5, 0.5), ["city"], is_clustered=groups[0].clusters is not None)
    for group in groups:
        part = Tally((0.5, 0.5), ["city"], is_clustered=group.clusters is not None)
        part.add(group)
        total.merge(part)
    return judge(total, 0.0)


@pytest.mark.parametrize("clusters", [0, 200])
def test_a_slice_is_judged_as_its_rows_alone(clusters: int) -> None:
    p = sliced(made(1500, 19, weighted=True, clusters=clusters), 4)
    found = levels_of(judged_by_slices(at(p, np.arange(700)), at(p, np.arange(700, 1500))))
    assert [level.rows for level in found] == sorted((level.rows for level in found), reverse=True)
    for level in found:
        code = int((level.level or "").removeprefix("city-"))
        alone = judged(replace(at(p, np.flatnonzero(p.slices["city"][0] == code)), slices={})).log_loss.found
        assert alone is not None
        mine = level.log_loss.found
        assert mine is not None
        assert (mine.difference, mine.low, mine.high) == pytest.approx(
            (alone.difference, alone.low, alone.high), rel=1e-9
        )


def test_of_many_slices_without_difference_few_are_called_worse_and_a_bad_one_is() -> None:
    called = 0
    for seed in range(30):
        p = made(4000, seed)
        draw = np.random.default_rng(100 + seed)
        swap = draw.random(4000) < 0.5  # neither model is better
        p = replace(p, champion=np.where(swap, p.challenger, p.champion),
                    challenger=np.where(swap, p.champion, p.challenger))  # fmt: skip
        p = sliced(p, 20, seed)
        called += any(level.finding == "worse" for level in levels_of(judged_by_slices(p)))
    assert called <= 4  # in 1 of 20 a false one is expected, or less often
    spoilt = np.where(p.slices["city"][0] == 7, p.champion + 1.0, p.challenger)
    found = levels_of(judged_by_slices(replace(p, challenger=spoilt)))
    assert [level.level for level in found if level.finding == "worse"] == ["city-7"]


@pytest.mark.parametrize(("weighted", "clusters"), [(False, 0), (True, 0), (True, 500)])
def test_a_slice_that_is_tested_has_enough_of_either_class(weighted: bool, clusters: int) -> None:
    p = sliced(made(4000, 22, weighted=weighted, clusters=clusters), 4)
    codes = p.slices["city"][0]
    few = (codes == 1) & (np.arange(4000) % 40 > 0)  # in this slice some 25 positives of 1000 rows
    p = replace(p, labels=np.where(few, 0, p.labels).astype(np.int8))
    rarer = judged_populations(p)
    for level in levels_of(judged_by_slices(at(p, np.arange(1900)), at(p, np.arange(1900, 4000)))):
        mine = codes == int((level.level or "").removeprefix("city-"))
        units = []
        for label in (0, 1):
            own = np.where(mine & (p.labels == label), p.weights, 0.0)
            sums = own if p.clusters is None else np.bincount(p.clusters.astype(np.int64), own)
            units.append(own.sum() ** 2 / (sums**2).sum())
        assert rarer[level.level] == pytest.approx(min(units))
        assert (level.finding == "not tested") == (min(units) < 50) == (level.level == "city-1")


def judged_populations(p: Pairs) -> dict[str | None, float]:
    """Units of the rarer class of each level."""
    total = Tally((0.5, 0.5), ["city"], is_clustered=p.clusters is not None)
    total.add(p)
    found = total.slices["city"]
    assert found is not None
    return {name: float(found.units()[place]) for name, place in found.place_of.items()}


def test_a_slice_of_few_rows_is_not_tested_and_too_many_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    p = sliced(made(300, 21), 20)
    assert {level.finding for level in levels_of(judged_by_slices(p))} == {"not tested"}
    monkeypatch.setattr(tally, "MOST_LEVELS", 19)
    found = judged_by_slices(at(p, np.arange(50)), at(p, np.arange(50, 300)))
    assert found.slices == {"city": None}
    assert found.undefined["slices.city"].startswith("it has more than")


def test_extreme_logits_stay_finite() -> None:
    p = pairs(np.tile([800.0, -800.0], 100), np.tile([-800.0, 800.0], 100), ALTERNATING)
    found = judged(p)
    assert found.log_loss.champion == 800.0
    assert all(math.isfinite(number) for number in numbers(found))
    assert found.verdict == "promote"


def test_mean_differences_of_one_unit_are_undefined() -> None:
    assert mean_difference(np.zeros(5)) is None
    assert mean_difference(np.array([2.0, 1.0, 4.0, 2.0, 1.0])) is None

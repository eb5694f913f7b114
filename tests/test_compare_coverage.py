"""How often intervals hold the truth and verdicts are right.

The simulations are seeded; what they may show at most is beyond three standard deviations.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from binclf.compare import inference
from binclf.compare.inference import auc_difference, false_discovery, further_rows
from binclf.compare.tally import Tally
from binclf.compare.verdict import judge
from binclf.errors import ConfigError
from tests.gates import BETTER, decided, equals, gate, judged, pairs, promoted
from tests.paired import ALTERNATING, at, made


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


@pytest.mark.slow
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


@pytest.mark.slow
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

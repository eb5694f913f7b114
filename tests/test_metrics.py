"""Tallies in any partition give the same metrics bit for bit, and they are scikit-learn's."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle
from sklearn.linear_model import LogisticRegression

from binclf.config import Rule
from binclf.labels import weight_quantum
from binclf.metrics import (
    MOST_BINS,
    NEVER,
    Histogram,
    Slices,
    Tally,
    choose,
    edges_of,
    metrics,
    pictures,
    probability,
)  # fmt: skip
from binclf.metrics.ranking import CURVE_POINTS
from binclf.parquet import Texts
from tests.beside import THRESHOLD, WITHIN, differences
from tests.laws import examples
from tests.oracles import delong_brute, of_scikit_learn

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


@st.composite
def crowded(draw: st.DrawFn) -> Rows:
    """Logits so near each other, or so far out, that their probabilities are often the same floats."""
    logits, labels, weights = draw(rows(fewest=4))
    anchor = draw(st.sampled_from([0.0, 0.7, -3.0, 30.0, 36.5, -36.5, 40.0, 800.0, -800.0]))
    steps = np.rint(logits * draw(st.sampled_from([1, 5])))
    return anchor + steps * max(np.spacing(anchor), 2.0**-53), labels, weights


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


def many(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are all distinct, and their labels."""
    random = np.random.default_rng(6)
    logits = random.normal(0, 3, count)
    return logits, (random.random(count) < 1 / (1 + np.exp(-logits))).astype(np.int8)


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


def over(rows: Rows, known: Histogram, most: int) -> Tally:
    """All rows in one pass."""
    logits, labels, weights = rows
    tally = Tally(0.5, quantum_of(weights), most, edges_of(known, most))
    for part in np.array_split(np.arange(len(logits)), 13):
        tally.add(logits[part], labels[part], weights[part])
    return tally


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


@examples(30)
@given(rows(fewest=10))
def test_curves_are_short_rising_and_end_where_all_are_decided_yes(data: Rows) -> None:
    tally = tallied(data, [])
    drawn = pictures(tally)
    if not drawn["roc"]:
        assert metrics(tally)["roc_auc"] is None
        return
    roc = {name: [point[name] for point in drawn["roc"]] for name in drawn["roc"][0]}
    for values in roc.values():
        assert len(values) <= CURVE_POINTS + 1
        assert (np.diff(values) >= 0).all()
        assert (values[0], values[-1]) == (0.0, 1.0)
    area = np.trapezoid(roc["true_positive_rate"], roc["false_positive_rate"])
    assert area == pytest.approx(metrics(tally)["roc_auc"], rel=1e-9)


def test_calibration_tells_prediction_and_outcome_of_each_bin() -> None:
    logits = np.array([0.0, 0.0, 0.0, 3.0])
    bins = pictures(tallied((logits, np.array([0, 0, 1, 1], dtype=np.int8), np.ones(4)), []))["calibration"]
    assert bins == [
        {"weight": 3.0, "predicted": 0.5, "observed": pytest.approx(1 / 3)},
        {"weight": 1.0, "predicted": pytest.approx(1 / (1 + math.exp(-3))), "observed": 1.0},
    ]


@examples(60)
@given(rows(fewest=3))
def test_the_parts_of_the_brier_score_add_up(data: Rows) -> None:
    found = metrics(tallied(data, []))
    if found["brier"] is None:
        return
    parts = found["brier_reliability"] - found["brier_resolution"] + found["brier_uncertainty"]
    assert parts + found["brier_within"] == pytest.approx(found["brier"], abs=1e-12)
    logits, y, w = data
    if len(np.unique(logits)) == 1:
        assert found["brier_within"] == pytest.approx(0, abs=1e-12)
        rate = np.average(y, weights=w)
        assert found["brier_reliability"] == pytest.approx((probabilities(logits[:1])[0] - rate) ** 2)


def made(count: int, slope: float, shift: float, seed: int = 0) -> Rows:
    """Rows whose scores are off by a slope and a shift in log-odds."""
    random = np.random.default_rng(seed)
    true = random.normal(-1, 1.5, count)
    labels = (random.random(count) < 1 / (1 + np.exp(-true))).astype(np.int8)
    return (true - shift) / slope, labels, random.integers(1, 4, count) / 2


def test_slope_and_intercept_are_those_of_logistic_regressions() -> None:
    logits, y, w = data = made(5000, slope=0.6, shift=0.8)
    found = metrics(tallied(data, [2000]))
    fitted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logits[:, None], y, sample_weight=w)
    assert found["calibration_slope"] == pytest.approx(fitted.coef_[0, 0], rel=1e-5)
    shift = found["calibration_intercept"]
    p = 1 / (1 + np.exp(-(logits + shift)))
    assert (w * (p - y)).sum() == pytest.approx(0, abs=1e-6)
    assert found["calibration_slope"] == pytest.approx(0.6, abs=0.05)


@pytest.mark.parametrize(("size", "spread"), [(50_000, 1.0), (50_001, 20.0)])
def test_of_many_scores_slope_and_intercept_solve_their_equations(size: int, spread: float) -> None:
    random = np.random.default_rng(size)
    logits = random.normal(-1, spread, size)
    labels = (random.random(size) < probability(0.6 * logits + 0.2)).astype(np.int8)
    weights = random.integers(0, 3, size) / 2
    found = metrics(tallied((logits, labels, weights), [20_000]))

    def left(slope: float, intercept: float) -> np.ndarray:
        return weights * (labels - probability(slope * logits + intercept)) / weights.sum()

    low, high = -50.0, 50.0  # the intercept that goes with the slope
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if left(found["calibration_slope"], middle).sum() > 0 else (low, middle)
    assert abs(left(1.0, found["calibration_intercept"]).sum()) < 1e-13
    assert abs((left(found["calibration_slope"], low) * logits).sum()) < 1e-11


def test_slope_and_intercept_are_undefined_where_scores_part_the_classes_or_are_one() -> None:
    y = np.array([0, 0, 1, 1], dtype=np.int8)
    for logits in (np.array([-2.0, -1.0, 1.0, 2.0]), np.zeros(4)):
        found = metrics(tallied((logits, y, np.ones(4)), []))
        assert found["calibration_slope"] is None
        assert "calibration_slope" in found["undefined"]


@examples(40)
@given(rows(fewest=4))
def test_kolmogorov_smirnov_and_gains_are_those_of_the_rows(data: Rows) -> None:
    logits, y, w = data
    found = metrics(tallied(data, []))
    if found["ks"] is None:
        return
    far = [
        abs(
            np.average((logits <= z)[y == 1], weights=w[y == 1])
            - np.average((logits <= z)[y == 0], weights=w[y == 0])
        )
        for z in logits
    ]
    assert found["ks"] == pytest.approx(max(far), abs=1e-12)
    assert found["gains"][-1]["captured"] == pytest.approx(1)
    for row in found["gains"]:
        ahead = [w[logits >= z].sum() / w.sum() for z in logits]
        exact = [
            z
            for z, share in zip(logits, ahead, strict=True)
            if share == pytest.approx(row["share"], abs=1e-12)
        ]
        if exact:
            caught = (w * y)[logits >= exact[0]].sum() / (w * y).sum()
            assert row["captured"] == pytest.approx(caught, abs=1e-9)
            assert row["lift"] == pytest.approx(caught / row["share"], abs=1e-9)


@examples(40)
@given(rows(fewest=6))
def test_the_interval_of_the_auc_is_delongs(data: Rows) -> None:
    logits, y, w = data
    found = metrics(tallied(data, []))
    expected = delong_brute(logits, y, w)
    if expected is None:
        assert "roc_auc" not in found["intervals"]
    else:
        assert found["intervals"]["roc_auc"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
def test_intervals_hold_the_truth_nineteen_times_in_twenty(weighted: bool) -> None:
    random = np.random.default_rng(11)
    population = made(200_000, 0.8, 0.3, seed=12)
    truth = metrics(tallied((population[0], population[1], np.ones(200_000)), []))
    names = ("positive_rate", "excess", "log_loss", "skill", "brier", "roc_auc")
    held = dict.fromkeys(names, 0)
    for _ in range(400):
        chosen = random.integers(0, 200_000, 600)
        w = random.integers(1, 5, 600) / 2 if weighted else np.ones(600)
        found = metrics(tallied((population[0][chosen], population[1][chosen], w), []))
        for name in names:
            low, high = found["intervals"][name]
            held[name] += low <= truth[name] <= high
    assert all(365 <= times <= 394 for times in held.values()), held  # 380 +- 3 standard deviations


@pytest.mark.parametrize("rows_in_all", [1e6, 1e9, 1e10])
def test_the_interval_of_the_auc_is_not_lost_where_a_row_is_a_billionth(rows_in_all: float) -> None:
    """Of so many rows these are some: their weights are a few units, and the squares less than one."""
    logits, labels = many(20_000)
    weights = np.where(np.arange(20_000) % 3, 0.5, 1.5)

    def width(total: float) -> float:
        tally = Tally(0.5, weight_quantum(total))
        tally.add(logits, labels, weights)
        low, high = metrics(tally)["intervals"]["roc_auc"]
        return float(high - low)

    assert width(rows_in_all) == pytest.approx(width(2e4), rel=0.05)


@examples(15)
@given(data=rows(), power=st.sampled_from([-78, -40, 40, 76]))
def test_the_unit_of_weights_does_not_matter(data: Rows, power: int) -> None:
    """Times a power of two, nearly as far as weights go: the same bits, but for what counts weight."""
    logits, labels, weights = data
    scaled = metrics(tallied((logits, labels, (weights + 1) * 2.0**power), []))
    plain = metrics(tallied((logits, labels, weights + 1), []))
    for name in ("log_loss", "roc_auc", "pr_auc", "brier", "ece", "intervals", "precision", "undefined"):
        assert plain[name] == scaled[name], name


def test_intervals_are_left_out_where_a_row_is_alone() -> None:
    found = metrics(tallied((np.array([0.3]), np.array([1], dtype=np.int8), np.ones(1)), []))
    assert set(found["intervals"]) == {"positive_rate"}


@pytest.mark.parametrize(
    "rule", ["max_f1", "precision>=0.6", "recall>=0.7", "cost(fp=1,fn=5)", "cost(fp=3,fn=0.5)"]
)
@examples(25)
@given(data=st.one_of(rows(fewest=4), crowded()))
def test_a_rule_chooses_the_best_of_all_thresholds(rule: str, data: Rows) -> None:
    """Of all that can decide anything: between log-odds whose probabilities are the same none can."""
    logits, y, w = data
    threshold, amiss = choose(Rule.parse(rule), tallied(data, []).histogram())
    if not (w * y).any() or not (w * (1 - y)).any():
        assert (threshold, amiss) == (NEVER, "only one class has rows with weight")
        return
    p = probability(logits)

    def worth(cut: float) -> float:
        """What the rule wants most; of what it does not allow, less than anything."""
        tp, fp = (w * y)[p >= cut].sum(), (w * (1 - y))[p >= cut].sum()
        fn = (w * y).sum() - tp
        if rule == "max_f1":
            return 2 * tp / (2 * tp + fp + fn)
        if rule.startswith("precision"):
            return tp if tp > 0 and tp / (tp + fp) >= 0.6 - 1e-12 else -1.0
        if rule.startswith("recall"):
            return -fp if tp / (tp + fn) >= 0.7 - 1e-12 else -np.inf
        cost = Rule.parse(rule).values
        return -(cost[0] * fp + cost[1] * fn)

    best = max(worth(cut) for cut in [*p, NEVER])
    if amiss:
        assert threshold == NEVER
        assert best == -1.0
    else:
        assert worth(threshold) == pytest.approx(best, abs=1e-9)


@examples(50)
@given(data=st.one_of(rows(fewest=4), crowded()))
def test_thresholds_that_are_drawn_decide_what_is_said_of_them(data: Rows) -> None:
    logits, y, w = data
    p = probability(logits)
    for row in pictures(tallied(data, []))["thresholds"]:
        yes = p >= row["threshold"]
        assert row["tp"] == pytest.approx((w * y)[yes].sum(), abs=1e-9)
        assert row["fp"] == pytest.approx((w * (1 - y))[yes].sum(), abs=1e-9)


@pytest.mark.parametrize("rule", ["recall>=0.28", "precision>=0.28"])
def test_a_share_that_is_just_reached_is_reached(rule: str) -> None:
    """7 of 25 are 0.28, though 0.28 x 25 is above 7 in floats."""
    logits = np.arange(32.0)
    labels = (logits >= 7).astype(np.int8)  # the upper 25: 7 of them are the uppermost
    if rule.startswith("precision"):
        logits, labels = np.zeros(25), (np.arange(25) < 7).astype(np.int8)
    threshold, amiss = choose(
        Rule.parse(rule), tallied((logits, labels, np.ones(len(logits))), []).histogram()
    )
    assert not amiss
    assert int((probabilities(logits) >= threshold).sum()) == (7 if rule.startswith("recall") else 25)


@pytest.mark.parametrize(
    ("text", "kind", "values"),
    [("0.5", "fixed", (0.5,)), ("max_f1", "max_f1", ()), ("precision >= .9", "precision", (0.9,)),
     ("cost( fp=1, fn = 2.5 )", "cost", (1.0, 2.5))],
)  # fmt: skip
def test_rules_are_read(text: str, kind: str, values: tuple[float, ...]) -> None:
    assert Rule.parse(text) == Rule(kind, values)


@pytest.mark.parametrize(
    "text", ["1.5", "", "-1", "precision>=2", "cost(fp=0,fn=0)", "cost(fn=1,fp=1)", "f1"]
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no threshold|is not within|has no cost"):
        Rule.parse(text)


def sliced(data: Rows, codes: np.ndarray, names: list[str], numbers: Iterable[int]) -> Slices:
    """Slices of three row groups, some of them."""
    logits, labels, weights = data
    slices = Slices(["c"], Tally(0.5, quantum_of(weights)))
    edges = [0, len(logits) // 3, len(logits) // 2, len(logits)]
    for number in numbers:
        part = slice(edges[number], edges[number + 1])
        own = (logits[part], labels[part], weights[part])
        slices.add("c", (codes[part], Texts.of(names)), own)
    return slices


@examples(25)
@given(rows(fewest=6), st.permutations([0, 1, 2]))
def test_a_slice_is_judged_as_its_rows_alone(data: Rows, order: list[int]) -> None:
    logits, labels, weights = data
    codes = (np.arange(len(logits)) % 3 - 1).astype(np.int32)
    merged = sliced(data, codes, ["a", "b"], order[:1])
    merged.merge(sliced(data, codes, ["a", "b"], order[1:2]))
    merged.merge_packed(sliced(data, codes, ["a", "b"], order[2:]).pack())
    told = merged.told()["c"]
    assert told is not None
    assert {row["level"] for row in told} == {None, "a", "b"}
    assert [row["rows"] for row in told] == sorted((row["rows"] for row in told), reverse=True)
    for row in told:
        mine = codes == (-1 if row["level"] is None else ["a", "b"].index(row["level"]))
        tally = Tally(0.5, quantum_of(weights))
        tally.add(logits[mine], labels[mine], weights[mine])
        alone = metrics(tally)
        for name in ("rows", "weight", "log_loss", "roc_auc", "f1", "mean_prediction"):
            assert row[name] == (None if alone[name] is None else pytest.approx(alone[name], rel=1e-12))


def test_a_column_of_too_many_values_is_told_as_such_in_any_order() -> None:
    count = 300
    data = (np.zeros(count), np.zeros(count, dtype=np.int8), np.ones(count))
    names = [str(i) for i in range(count)]
    codes = np.arange(count, dtype=np.int32)
    for order in ([0, 1, 2], [2, 1, 0]):
        merged = sliced(data, codes, names, order[:1])
        for number in order[1:]:
            merged.merge(sliced(data, codes, names, [number]))
        assert merged.told() == {"c": None}

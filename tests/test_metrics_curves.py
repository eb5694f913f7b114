"""What is told beside areas: curves, calibration, the parts of the Brier score, intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from binclf.labels import weight_quantum
from binclf.metrics import (
    Tally,
    metrics,
    pictures,
    probability,
)  # fmt: skip
from binclf.metrics.ranking import CURVE_POINTS
from tests.laws import examples
from tests.oracles import delong_brute
from tests.tallies import Rows, many, probabilities, rows, tallied


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

"""Maps of log-odds and the refit of the intercept: what they are fitted to, and when a map is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from binclf.calibration import AS_THEY_ARE, Line, Steps, from_json
from binclf.errors import DataError
from binclf.probabilities.binned import BINS, CENTRES, binned, predicted
from binclf.probabilities.calibrate import calibrate
from binclf.probabilities.correct import correct
from binclf.probabilities.maps import fit_line, fit_steps
from binclf.probabilities.part import BUCKETS
from binclf.scored import Scored
from binclf.solvers.exact import ExactSum
from tests.laws import examples
from tests.trained import Alone


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """As everybody writes it."""
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-logits)))


@dataclass(frozen=True)
class Shifted:
    """In place of a model: log-odds that are known, plus a bias."""

    bias: float = 0.0


@dataclass
class Rows:
    """In place of a part: rows in some row groups."""

    logits: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    _buckets: np.ndarray
    groups: int = 1
    step: int = 1  # -1: row groups come in reverse
    world: Any = field(default_factory=Alone)

    @classmethod
    def drawn(cls, rows: int, seed: int, *, slope: float = 1.0, shift: float = 0.0) -> Rows:
        """Labels drawn from slope z + shift; the logits told are z."""
        random = np.random.default_rng(seed)
        logits = random.normal(-1.0, 1.5, rows)
        labels = (random.random(rows) < sigmoid(slope * logits + shift)).astype(np.int8)
        weights = random.integers(1, 4, rows) / 2
        return cls(logits, labels, weights, random.integers(0, BUCKETS, rows))

    @property
    def rows(self) -> int:
        """N."""
        return len(self.logits)

    @property
    def weight(self) -> float:
        """Of all rows."""
        return float(self.weights.sum())

    @property
    def base_rate(self) -> float:
        """Weighted share of positives."""
        return float(self.weights @ self.labels) / self.weight

    def summed(self, model: Shifted, values: Callable[[Any], np.ndarray], most: np.ndarray) -> np.ndarray:
        """As `Part` does."""
        total = ExactSum(self.weight * most, self.groups)
        for own in np.array_split(np.arange(self.rows), self.groups)[:: self.step]:
            logits, weights = self.logits[own] + model.bias, self.weights[own]
            scored = Scored(int(own[0]), None, logits, self.labels[own], weights)  # type: ignore[arg-type]
            total.add(values(scored), float(weights.sum()) / self.weight)
        return total.total(self.world)

    def buckets(self, scored: Scored) -> np.ndarray:
        """As `Part` does; the number of a row group is that of its first row here."""
        return self._buckets[scored.number : scored.number + len(scored.labels)]


def sums_of(rows: Rows) -> np.ndarray:
    """Of both folds together."""
    found: np.ndarray = binned(rows, Shifted()).sum(axis=0)  # type: ignore[arg-type]
    return found


@examples(25)
@given(st.integers(0, 2**32), st.floats(0.05, 3.0), st.floats(-5.0, 5.0))
def test_any_smooth_sum_follows_from_the_bins(seed: int, slope: float, shift: float) -> None:
    rows = Rows.drawn(200, seed)
    rows.logits *= 3
    sums = sums_of(rows).sum(axis=0)
    line, u = Line(slope, shift), slope * rows.logits + shift
    apart = rows.logits - CENTRES[np.searchsorted(CENTRES, rows.logits - 1 / 128)]
    p = sigmoid(u)
    wanted = {
        (-1, 0): np.logaddexp(0, u), (0, 0): p, (1, 0): p * (1 - p), (0, 1): p * apart,
        (1, 2): p * (1 - p) * apart**2,
    }  # fmt: skip
    for (order, power), values in wanted.items():
        found = predicted(sums, line, order=order, power=power).sum()
        assert found == pytest.approx(float(rows.weights @ values), rel=1e-11, abs=1e-11)


def test_bins_have_the_same_bits_in_whichever_order_row_groups_are_added() -> None:
    rows = Rows.drawn(5000, 1)
    rows.weights = np.random.default_rng(1).gamma(2.0, 1.0, rows.rows)
    rows.groups, rows.logits = 17, rows.logits / 50  # few bins, many rows in each
    ahead = binned(rows, Shifted())  # type: ignore[arg-type]
    rows.step = -1
    assert binned(rows, Shifted()).tobytes() == ahead.tobytes()  # type: ignore[arg-type]
    rows.groups = 5  # cut elsewhere, a row group's own sums are rounded elsewhere
    assert binned(rows, Shifted()) == pytest.approx(ahead, rel=1e-12, abs=1e-15)  # type: ignore[arg-type]


@pytest.mark.parametrize("shift", [-6.0, 0.0, 4.0])
@pytest.mark.parametrize("spread", [0.1, 3.0, 12.0])
def test_the_mean_prediction_is_the_base_rate_after_the_refit(shift: float, spread: float) -> None:
    rows = Rows.drawn(5000, 2)
    rows.logits = rows.logits * spread + shift
    found = correct(rows, Shifted(0.5), 0.5, -0.25)  # type: ignore[arg-type]
    after = sigmoid(rows.logits + 0.5 + found.total)
    assert float(rows.weights @ after) / rows.weight == pytest.approx(rows.base_rate, rel=1e-12)
    before = sigmoid(rows.logits + 0.5)
    assert found.mean_before == pytest.approx(float(rows.weights @ before) / rows.weight, rel=1e-11)
    assert found.total == found.shift + found.refit
    assert found.shift == -0.25


def test_log_odds_without_bounds_are_told() -> None:
    rows = Rows.drawn(1000, 2)
    rows.logits *= 1e6
    with pytest.raises(DataError, match=r"does not come to rest.*Set train\.l2 above 0"):
        correct(rows, Shifted(-1e6), 0.5, 0.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (0.4, 1.0), (3.0, -2.0)])
def test_platts_line_is_that_of_logistic_regression_on_platts_targets(slope: float, shift: float) -> None:
    rows = Rows.drawn(3000, 3, slope=slope, shift=shift)
    weights = np.array([rows.weights[rows.labels == label].sum() for label in (0, 1)])
    targets = np.array([1 / (weights[0] + 2), (weights[1] + 1) / (weights[1] + 2)])[rows.labels]
    twice = np.concatenate([rows.logits, rows.logits])[:, None]
    known = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000, solver="newton-cholesky").fit(
        twice, np.repeat([1, 0], rows.rows),
        np.concatenate([rows.weights * targets, rows.weights * (1 - targets)]),
    )  # fmt: skip
    line = fit_line(sums_of(rows), 1.0)
    assert line.slope == pytest.approx(known.coef_[0, 0], rel=1e-7)
    assert line.intercept == pytest.approx(known.intercept_[0], rel=1e-7, abs=1e-7)


def test_platts_line_is_finite_where_classes_can_be_told_apart() -> None:
    rows = Rows.drawn(400, 4)
    rows.labels = (rows.logits > -1).astype(np.int8)
    line = fit_line(sums_of(rows), 1.0)
    assert 1 < line.slope < 1e4
    assert np.isfinite(line.intercept)


@examples(30)
@given(st.integers(0, 2**32), st.integers(2, 400), st.floats(0.0, 2.0))
def test_steps_are_scikit_learns_isotonic_regression_of_the_bins(seed: int, count: int, slope: float) -> None:
    rows = Rows.drawn(count, seed, slope=slope)
    sums, row = sums_of(rows), 1.25
    weights = sums[:, :, 0].copy()
    filled = np.flatnonzero(weights.sum(axis=0) > 0)
    weights[:, [filled[0]]] += row / 2
    weights[:, [filled[-1]]] += row / 2
    weights = weights[:, filled]
    rates = weights[1] / weights.sum(axis=0)
    known = IsotonicRegression().fit(CENTRES[filled], rates, weights.sum(axis=0)).predict(CENTRES[filled])
    steps = fit_steps(sums, row)
    assert sigmoid(steps.of(CENTRES[filled])) == pytest.approx(known, abs=1e-12)
    least = (row / 2) / (rows.weight + row) - 1e-12
    assert (
        least
        <= sigmoid(np.array(min(steps.values)))
        <= sigmoid(np.array(max(steps.values)))
        <= 1 - least + 1e-12
    )
    assert from_json(json.loads(json.dumps(steps.as_json()))) == steps


finite = st.floats(-40.0, 40.0)


@given(finite, finite, st.lists(finite, min_size=1, max_size=40), st.sets(finite, max_size=8))
def test_maps_come_back_from_json_and_give_a_row_the_same_bits_in_any_batch(
    slope: float, shift: float, logits: list[float], edges: set[float]
) -> None:
    ascending = tuple(sorted(edges))
    for map_ in (Line(abs(slope) + 1e-3, shift), Steps(ascending, tuple(range(len(edges) + 1)))):
        assert from_json(json.loads(json.dumps(map_.as_json()))) == map_
        whole = map_.of(np.array(logits))
        alone = np.concatenate([map_.of(np.array([z])) for z in logits])
        assert whole.tobytes() == alone.tobytes()
        order = np.argsort(logits, kind="stable")
        assert (np.diff(whole[order]) >= 0).all()
    assert from_json(None) is AS_THEY_ARE
    assert AS_THEY_ARE.of(np.array(logits)).tolist() == logits


@pytest.mark.parametrize(
    "record",
    [
        {"kind": "platt", "slope": -1.0, "intercept": 0.0},
        {"kind": "platt", "slope": 1.0, "intercept": float("nan")},
        {"kind": "isotonic", "edges": [0.0], "values": [1.0]},
        {"kind": "isotonic", "edges": [0.0], "values": [1.0, -1.0]},
        {"kind": "isotonic", "edges": [1.0, 0.0], "values": [0.0, 1.0, 2.0]},
        {"kind": "beta"},
    ],
)
def test_what_is_no_ascending_map_is_refused(record: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="neither an ascending line nor ascending steps"):
        from_json(record)


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_a_calibrated_model_is_left_alone_and_one_that_is_not_is_mended(method: str) -> None:
    kept = [
        calibrate(method, Rows.drawn(2000, seed), Shifted())["is_kept"]  # type: ignore[arg-type]
        for seed in range(30)
    ]
    assert sum(kept) <= 2
    found = calibrate(method, Rows.drawn(6000, 99, slope=0.3), Shifted())  # type: ignore[arg-type]
    assert found["is_kept"]
    assert found["gain"] == pytest.approx(found["log_loss"] - found["log_loss_calibrated"])
    assert found["gain"] > 2.0395 * found["standard_error"]
    logits = np.linspace(-4, 3, 50)
    mapped = from_json(found["map"]).of(logits)
    assert np.abs(mapped - 0.3 * logits).mean() < (0.15 if method == "platt" else 0.4)
    json.dumps(found, allow_nan=False)


def test_rows_that_belong_together_are_not_taken_for_many() -> None:
    """Each row fifty times: what few rows show by chance looks certain unless they share a bucket."""

    def kept(seed: int, *, together: bool) -> bool:
        few = Rows.drawn(100, seed)
        logits, labels, weights, buckets = (
            np.repeat(array, 50) for array in (few.logits, few.labels, few.weights, few._buckets)
        )
        many = Rows(logits, labels, weights, buckets)
        if not together:
            many._buckets = np.random.default_rng(seed).integers(0, BUCKETS, many.rows)
        return bool(calibrate("platt", many, Shifted())["is_kept"])  # type: ignore[arg-type]

    assert sum(kept(seed, together=True) for seed in range(12)) <= 2
    assert sum(kept(seed, together=False) for seed in range(12)) >= 5


def test_a_model_that_ranks_the_wrong_way_round_is_not_turned() -> None:
    found = calibrate("platt", Rows.drawn(4000, 5, slope=-1.0), Shifted())  # type: ignore[arg-type]
    assert (found["is_kept"], found["map"]) == (False, None)
    assert "would turn the order round" in found["why"]


def test_one_class_alone_gives_no_map_and_a_reason() -> None:
    rows = Rows.drawn(50, 6)
    rows.labels[:] = 0
    for method in ("platt", "isotonic"):
        found = calibrate(method, rows, Shifted())  # type: ignore[arg-type]
        assert (found["is_kept"], found["map"]) == (False, None)
        assert "one class alone" in found["why"]


def test_there_are_as_many_bins_as_is_said() -> None:
    assert len(CENTRES) == BINS == 4096
    assert (CENTRES[0], CENTRES[-1]) == (-32 + 1 / 128, 32 - 1 / 128)

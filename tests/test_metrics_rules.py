"""Thresholds that a rule chooses; and slices, each judged as its rows alone."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf.config import Rule
from binclf.metrics import (
    NEVER,
    Slices,
    Tally,
    choose,
    metrics,
    pictures,
    probability,
)  # fmt: skip
from binclf.parquet import Texts
from tests.laws import examples
from tests.tallies import Rows, probabilities, quantum_of, rows, tallied


@st.composite
def crowded(draw: st.DrawFn) -> Rows:
    """Logits so near each other, or so far out, that their probabilities are often the same floats."""
    logits, labels, weights = draw(rows(fewest=4))
    anchor = draw(st.sampled_from([0.0, 0.7, -3.0, 30.0, 36.5, -36.5, 40.0, 800.0, -800.0]))
    steps = np.rint(logits * draw(st.sampled_from([1, 5])))
    return anchor + steps * max(np.spacing(anchor), 2.0**-53), labels, weights


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

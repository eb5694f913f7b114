"""The verdict says what is wrong first, and what the report tells of text, numbers and slices holds."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf import report
from binclf.errors import ArtifactError
from binclf.metrics.intervals import of_rate
from binclf.report import against, numbers
from binclf.report.blocks import Table
from binclf.report.slices import judged
from binclf.report.text import MOST, markdown, plain
from tests.evaluated import evaluated, measured
from tests.wide import wide

GOOD: dict[str, Any] = {
    "rows": 1234, "positive_rate": 0.25, "mean_prediction": 0.25, "log_loss": 0.4, "base_log_loss": 0.5,
    "roc_auc": 0.8, "excess": 0.0, "skill": 0.1,
    "intervals": {
        "log_loss": [0.37, 0.43], "skill": [0.08, 0.12], "excess": [-0.01, 0.01], "roc_auc": [0.77, 0.83],
    },
}  # fmt: skip
SLICE: dict[str, Any] = {
    "level": "HA", "rows": 5000, "positive_rate": 0.1, "mean_prediction": 0.4, "log_loss": 0.6,
    "base_log_loss": 0.325,
}  # fmt: skip


def test_is_judged_by_test_then_validation_then_train() -> None:
    assert report.judged_part({"train": {}, "test": {}, "validation": {}}) == "test"
    assert report.judged_part({"train": {}, "validation": {}}) == "validation"
    assert report.judged_part({"train": {}}) == "train"


def test_a_good_model_is_told_with_its_gain_its_rows_and_its_intervals() -> None:
    found = report.verdict({"train": {**GOOD, "log_loss": 9.0}, "test": GOOD})
    assert found.level == "good"
    assert found.title == "Better than the base rate, and nothing found that speaks against it."
    assert found.lead == (
        "Log-loss 0.40 (0.37 to 0.43) on 1,234 test rows, 25.0% of them positive: 20% below 0.500, that of "
        "telling everyone the base rate. ROC-AUC 0.80 (0.77 to 0.83)."
    )
    assert found.findings == ()


@given(
    loss=st.floats(0.5, 50),
    auc=st.none() | st.floats(0, 1),
    low=st.floats(-1, 1),
    change=st.sampled_from([{}, {"slices": {"carrier": [SLICE]}}, {"intervals": {}}]),
    told=st.sampled_from(["promote", "keep", "inconclusive"]),
)
def test_whatever_else_is_found_a_loss_no_better_than_the_base_rate_comes_first(
    loss: float, auc: float | None, low: float, change: dict[str, Any], told: str
) -> None:
    intervals = {**GOOD["intervals"], "excess": [low, low + 0.1]}
    found = report.verdict(
        {"test": {**GOOD, "intervals": intervals, "log_loss": loss, "roc_auc": auc, **change}},
        {"verdict": told},
    )
    assert found.level == "stop"
    assert found.title.startswith("Do not trust the probabilities")
    assert found.text.startswith("Do not trust the probabilities")


def test_many_columns_and_few_rows_are_not_to_be_trusted_though_they_rank_well() -> None:
    """As of 1,500 columns and 8,000 rows: a good AUC, and probabilities far too sure of themselves."""
    random = np.random.default_rng(4)
    logits = random.normal(0, 1.75, 2000)
    y = (random.random(2000) < 1 / (1 + np.exp(-logits))).astype(float)
    p = np.clip(1 / (1 + np.exp(-5 * logits)), 1e-12, 1 - 1e-12)
    metrics = measured(p, y, 0.5)
    assert metrics["roc_auc"] == pytest.approx(0.83, abs=0.02)
    assert metrics["log_loss"] > metrics["base_log_loss"]
    found = report.verdict({"test": metrics})
    assert found.title.startswith("Do not trust the probabilities: they are no better than telling everyone")
    assert "The order of the rows is worth something" in found.findings[0].words


def test_a_run_of_too_many_columns_says_so_in_the_first_line_of_its_page(tmp_path: Path) -> None:
    first, found = wide(tmp_path, 800, 150)
    assert found["roc_auc"] > 0.75
    assert found["log_loss"] > found["base_log_loss"]
    assert first.startswith(
        "Do not trust the probabilities: they are no better than telling everyone the base"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"intervals": {**GOOD["intervals"], "skill": [-0.01, 0.2]}},
            "not shown to be better than the base rate",
        ),
        (
            {
                "excess": 0.03,
                "mean_prediction": 0.28,
                "intervals": {**GOOD["intervals"], "excess": [0.02, 0.04]},
            },
            "the probabilities are too high on average",
        ),
        (
            {"excess": -0.01, "intervals": {**GOOD["intervals"], "excess": [-0.015, -0.005]}},
            "the probabilities are slightly too low on average",
        ),
        ({"slices": {"carrier": [SLICE, {**SLICE, "rows": 3}]}}, "worse than the base rate in one slice"),
    ],
)
def test_each_fault_is_in_the_first_line(change: dict[str, Any], words: str) -> None:
    found = report.verdict({"test": {**GOOD, **change}})
    assert found.level == "care"
    assert found.title == f"To be used with care: {words}."
    assert found.findings[0].words


def test_faults_are_told_together() -> None:
    test = {**GOOD, "slices": {"carrier": [SLICE]}, "intervals": {**GOOD["intervals"], "skill": [-1, 1]}}
    title = report.verdict({"test": test}, {"verdict": "keep"}).title
    assert title == (
        "To be used with care: not shown to be better than the base rate; worse than the base rate in one "
        "slice; not better than the champion."
    )


def test_rows_that_were_learnt_from_say_nothing_about_new_ones() -> None:
    assert "judged on the rows it learnt from" in report.verdict({"train": GOOD}).title
    assert "judged on validation rows" in report.verdict({"train": GOOD, "validation": GOOD}).title


@pytest.mark.parametrize(
    ("told", "level", "words"),
    [
        ("promote", "good", "nothing found that speaks against it"),
        ("keep", "care", "not better than the champion"),
        ("inconclusive", "care", "inconclusive against the champion"),
    ],
)
def test_the_champion_has_a_say(told: str, level: str, words: str) -> None:
    found = report.verdict({"test": GOOD}, {"verdict": told})
    assert (found.level, words in found.title) == (level, True)


@pytest.mark.parametrize(("low", "word"), [(0.001, "worse"), (-0.001, "not better")])
def test_a_run_that_is_worse_than_the_champion_is_called_so(low: float, word: str) -> None:
    loss = {"champion": 0.4, "challenger": 0.403, "difference": 0.003, "interval": [low, 0.005]}
    found = report.verdict({"test": GOOD}, {"verdict": "keep", "log_loss": loss})
    assert f"{word} than the champion" in found.title
    assert found.findings[0].words.startswith(f"It is {word} than the champion")


def test_a_model_that_says_the_same_as_the_champion_needs_no_care() -> None:
    """A night without new data: nothing is wrong with it."""
    same = {"verdict": "keep", "identical": True, "further_rows": None}
    found = report.verdict({"test": GOOD}, same)
    assert found.level == "good"
    assert "It says the same of every row as the champion." in [one.words for one in found.findings]
    section = against.section(same)
    assert section is not None
    assert "It says the same of every row as the champion." in str(section.blocks[0])
    assert "not better" not in str(section.blocks)


@pytest.mark.parametrize("perfect", [{"log_loss": 0.001, "skill": 0.5}, {"roc_auc": 0.9995}])
def test_what_is_all_but_perfect_is_doubted(perfect: dict[str, float]) -> None:
    found = report.verdict({"test": {**GOOD, **perfect}})
    assert found.level == "care"
    assert "too good to be true" in found.title
    assert "1e+02" not in found.lead


@pytest.mark.parametrize(("rate", "which"), [(0.0, "negative"), (1.0, "positive")])
def test_a_part_of_one_class_is_told_as_such_and_not_as_a_worse_model(rate: float, which: str) -> None:
    test = {**GOOD, "positive_rate": rate, "base_log_loss": 0.0, "skill": -0.4, "roc_auc": None}
    found = report.verdict({"test": {**test, "intervals": {}}})
    assert found.level == "stop"
    assert found.title == "Do not trust the probabilities: the test rows have one class alone."
    assert f"are {which}" in found.findings[0].words


def test_a_part_without_weight_is_not_judged() -> None:
    nothing = {"rows": 0, "log_loss": None, "undefined": {"log_loss": "no rows"}}
    found = report.verdict({"test": nothing})
    assert found.text == "Not judged. The test part has no rows, so nothing is known of the model."


def test_a_right_model_has_no_bad_slice_and_is_nowhere_off() -> None:
    """150 runs of 20 slices of 5 to 3,000 rows, whose labels are drawn from the probabilities themselves."""
    random = np.random.default_rng(1)
    for _ in range(150):
        slices: dict[str, list[dict[str, Any]]] = {"s": []}
        for place in range(20):
            rows = int(np.exp(random.uniform(np.log(5), np.log(3000))))
            p = 1 / (1 + np.exp(-random.normal(-1, 0.3, rows)))
            y = (random.random(rows) < p).astype(float)
            slices["s"].append({"level": str(place), **measured(p, y, 0.5)})
        found = judged(slices)
        assert len(found) == 20
        assert not [one for one in found if one.state == "bad" or one.off]


def test_a_slice_where_the_answer_is_turned_is_bad_and_comes_first() -> None:
    random = np.random.default_rng(2)
    levels = random.choice(["big", "turned", "small"], 6000, p=[0.9, 0.05, 0.05])
    p = 1 / (1 + np.exp(-random.normal(0, 1.5, 6000)))
    y = (random.random(6000) < np.where(levels == "turned", 1 - p, p)).astype(float)
    found = judged(evaluated({"test": (p, y)}, {"who": levels})["metrics"]["test"]["slices"])
    assert [(one.level, one.state) for one in found] == [
        ("turned", "bad"),
        ("big", "fine"),
        ("small", "fine"),
    ]


def test_a_slice_that_is_off_on_average_is_named_so() -> None:
    found = judged({"s": [{**SLICE, "level": "a", "log_loss": 0.3}, {**SLICE, "level": "b", "rows": 4}]})
    assert [(one.level, one.state, one.off) for one in found] == [
        ("a", "fine", "too high"),
        ("b", "care", ""),
    ]


@given(st.text(max_size=200))
def test_text_of_the_data_can_be_seen_and_is_bounded(text: str) -> None:
    shown = plain(text)
    assert shown.isprintable()
    assert len(shown) <= MOST
    shown.encode()
    if text.isprintable() and len(text) <= MOST:
        assert shown == text
    marked = markdown(text)
    for mark in "`|<>[]*_&":
        assert all(marked[place - 1] == "\\" for place, c in enumerate(marked) if c == mark)


@given(st.floats(-1e300, 1e300), st.floats(1e-12, 1e12))
def test_a_number_is_rounded_by_less_than_half_its_interval(value: float, half: float) -> None:
    interval = (value - half, value + half)
    told = float(numbers.number(value, interval).replace(",", "").replace(numbers.MINUS, "-"))
    assert abs(told - value) <= max(0.51 * (interval[1] - interval[0]) / 2, 0.006 * abs(value), 1e-6)
    assert numbers.number(None) == numbers.UNKNOWN


@pytest.mark.parametrize(("rate", "rows"), [(0.0, 10), (1.0, 10), (0.3, 1), (0.5, 1e6)])
def test_the_bars_of_calibration_hold_the_rate_and_stay_shares(rate: float, rows: float) -> None:
    low, high = of_rate(rate, rows) or (math.nan, math.nan)
    assert -1e-12 <= low <= rate <= high <= 1 + 1e-12
    assert high - low < 4 / math.sqrt(rows)


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
RECORDS = st.dictionaries(st.text(), SCALARS | st.lists(SCALARS, max_size=3), max_size=3)
JSON = SCALARS | st.lists(SCALARS | RECORDS, max_size=3) | st.dictionaries(st.text(), RECORDS, max_size=3)


@given(
    st.dictionaries(st.text(), JSON, max_size=4), st.sampled_from(["promote", "keep", "inconclusive", "?"])
)
def test_any_comparison_can_be_told(record: dict[str, Any], verdict: str) -> None:
    section = against.section({**record, "verdict": verdict})
    assert section is not None
    for block in section.blocks:
        if isinstance(block, Table):
            assert all(cell.text.isprintable() for row in block.rows for cell in row)


def test_a_comparison_is_told_with_its_intervals_and_the_worse_slices_first() -> None:
    measure = {"champion": 0.5, "challenger": 0.49, "difference": -0.01, "interval": [-0.02, 0.0]}
    slices = {"town": [{"level": "a", "finding": "better"}, {"level": "b", "finding": "worse"}]}
    section = against.section(
        {
            "verdict": "inconclusive",
            "further_rows": 4321,
            "log_loss": measure,
            "slices": slices,
            "margin": 0.1,
        }
    )
    assert section is not None
    words, measured_, levels, rest = section.blocks
    assert "About 4,321 more rows would decide." in str(words)
    assert isinstance(measured_, Table)
    assert [cell.text for cell in measured_.rows[0]] == [
        "Log-loss",
        "0.500",
        "0.490",
        f"{numbers.MINUS}0.010",
    ]
    assert measured_.rows[0][3].note == f"{numbers.MINUS}0.020 to 0.000"
    assert isinstance(levels, Table)
    assert [(row[1].text, row[2].mark) for row in levels.rows] == [("b", "bad"), ("a", "")]
    assert isinstance(rest, Table)
    assert [cell.text for cell in rest.rows[0]] == ["margin", "0.100"]


def test_an_unfinished_run_has_no_report(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is no run"):
        report.read(tmp_path)


def test_reading_a_report_tells_where_it_is_and_what_it_says(trained_run: Path) -> None:
    told = report.read(trained_run)
    assert Path(told["report"]).read_text().startswith("<!doctype html>")
    assert told["verdict"].split(". ")[0] in told["text"]
    assert told["text"].endswith(told["report"])
    assert Path(told["card"]).read_text().startswith("# people")

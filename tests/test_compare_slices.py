"""Slices of a comparison: each is judged as its rows alone, and many are judged together."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from binclf.compare import tally
from binclf.compare.inference import mean_difference
from binclf.compare.populations import Pairs
from binclf.compare.tally import Tally
from binclf.compare.verdict import Judgement, Level, judge
from tests.gates import judged, pairs
from tests.paired import ALTERNATING, at, made, numbers


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

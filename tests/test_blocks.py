"""Sums over all rows: those of the definition, and the same bits whoever has which rows, killed or not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from binclf.config import Config, Train
from binclf.loader import HeldRows
from binclf.solvers import blocks, cuts, newton, sample
from binclf.solvers.blocks import Reducer
from binclf.solvers.cuts import blocks_of
from binclf.split import ensure
from binclf.world import join
from tests.optimum import ALONE, Floats, design_of, digest, problem_of, problem_on, streamed, sums_at
from tests.ranks import run, small_job

pytestmark = pytest.mark.usefixtures("many_blocks")


def test_tiers_and_threads_have_the_same_bits(known: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store, features, rows = known
    found = {digest(newton.fit(problem_of(store, features, rows), ALONE))}
    found.add(digest(newton.fit(problem_of(streamed(store, features), features, rows), ALONE)))
    for count in (1, 3):
        monkeypatch.setattr(blocks, "threads", lambda count=count: count)
        found.add(digest(newton.fit(problem_of(store, features, rows), ALONE)))
    assert len(found) == 1


def on_a_rank(config: Config, exact: bool) -> str:
    """Body: fit on this rank's share; the digest of the weights."""
    cuts.LEAST_ROWS, cuts.ROWS_A_WEIGHT = 20, 0
    if not exact:
        blocks.ExactSum = Floats  # type: ignore[attr-defined]
    with join("cpu") as world:
        return digest(newton.fit(problem_on(world, config), world))


@pytest.mark.slow
def test_any_number_of_ranks_has_the_same_bits_and_a_float_all_reduce_has_not(tmp_path: Path) -> None:
    config = small_job(tmp_path)
    config = config.model_copy(update={"train": Train(solver="newton", lanes=8, device="cpu")})
    ensure(config)
    found = [run(ranks, on_a_rank, config=config, exact=True) for ranks in (1, 2, 3, 4)]
    assert len({one for ranks in found for one in ranks}) == 1
    floats = [run(ranks, on_a_rank, config=config, exact=False)[0] for ranks in (1, 2, 3)]
    assert len(set(floats)) > 1


def test_a_run_that_was_killed_goes_on_to_the_same_bits(known: Any, tmp_path: Path) -> None:
    store, features, rows = known
    task = problem_of(store, features, rows, tolerance=0.0)
    whole_run = newton.fit(task, ALONE, checkpoints=tmp_path)
    kept = sorted(tmp_path.glob("*.safetensors"))
    for place in (0, 1):
        for path in kept[place + 1 :]:
            path.unlink(missing_ok=True)
        again = newton.fit(task, ALONE, checkpoints=tmp_path)
        assert digest(again) == digest(whole_run)
        assert again.record["passes"] == whole_run.record["passes"]


def test_one_that_was_killed_on_a_way_that_leads_nowhere_goes_another_too(
    known: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a sample led astray, it begins anew at the base rate, whether it was killed or not."""
    monkeypatch.setattr(sample, "SAMPLE_ROWS", 64)
    monkeypatch.setattr(sample, "ROWS_A_WEIGHT", 1)
    monkeypatch.setattr(sample, "MOST_SHARE", 1)
    store, features, rows = known
    task = problem_of(store, features, rows)

    def fitted_after(folder: Path, *, kept: int) -> str:
        for path in sorted(folder.glob("*.safetensors"))[kept:]:
            path.unlink()
        answers = iter([False, True])
        monkeypatch.setattr(newton, "is_good", lambda *_: next(answers))
        return digest(newton.fit(task, ALONE, checkpoints=folder))

    whole_run = fitted_after(tmp_path, kept=0)
    assert list(tmp_path.iterdir())
    assert fitted_after(tmp_path, kept=1) == whole_run


def test_a_pass_that_loses_rows_is_an_error(known: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store, features, rows = known
    kept = HeldRows.kept

    def shorter(self: HeldRows, group: int) -> Any:
        found = kept(self, group)
        return found.between(0, len(found) - (group == 3))

    monkeypatch.setattr(HeldRows, "kept", shorter)
    with pytest.raises(AssertionError, match="a pass saw 2999 rows of 3000"):
        newton.fit(problem_of(store, features, rows), ALONE)


@pytest.mark.parametrize(
    ("sizes", "least", "wanted"),
    [
        ([], 5, []),
        ([0, 0], 5, []),
        ([3, 3, 3], 5, [range(2), range(2, 3)]),
        ([9, 0, 1], 5, [range(1), range(1, 3)]),
        ([9, 0], 5, [range(1)]),
    ],
)
def test_blocks_are_runs_of_row_groups(sizes: Sequence[int], least: int, wanted: list[range]) -> None:
    assert blocks_of(sizes, least) == wanted


def test_sums_of_a_reducer_are_those_of_the_definition(known: Any) -> None:
    store, features, rows = known
    design = design_of(features, rows)
    point = np.random.default_rng(0).normal(size=(1, design.shape[1]))[0] / 4
    weight = float(rows.w.sum())
    found, wanted = Reducer(store, features, weight, ALONE).at(point), sums_at(point, design, rows)
    assert found.loss == pytest.approx(wanted.loss, rel=1e-12)
    assert found.weight == weight
    np.testing.assert_allclose(found.gradient, wanted.gradient, atol=1e-9)
    np.testing.assert_allclose(found.hessian, wanted.hessian, atol=1e-9)

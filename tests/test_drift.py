"""Drift adds up to the shift that is measured, names what was planted, and else says nothing."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import save

import binclf
from binclf import artifact, golden
from binclf import score as score_rows
from binclf.drift import drift
from binclf.drift.run import beside
from binclf.drift.stability import _of
from binclf.errors import ArtifactError, ConfigError, DataError
from binclf.metrics.chisquare import quantile, tail
from binclf.parquet import from_frame
from binclf.profile import Observation, Profile, Spread, profile_of
from binclf.profile.bins import SIZE, places
from binclf.profile.reading import MOST_SAMPLED, sample
from binclf.retrain import retrain
from binclf.scored import row_groups
from tests.trained import on_disk, people, settings, write

FEATURES = ("age", "income", "visits", "member", "city", "code")
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "plain": {},
    "hashed": {"features": {"max_levels": 2, "hash_bits": 6}},
    "as it is": {"features": {"standardise": False, "impute": "zero", "log1p": []}},
    "platt": {"train": {"calibration": "platt", "class_weight": "balanced"}, "features": {"min_count": 300}},
}


@pytest.fixture(scope="module", params=VARIANTS)
def run(
    request: pytest.FixtureRequest, people_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> artifact.Run:
    changed = {name: dict(own) for name, own in VARIANTS[request.param].items()}
    changed.setdefault("train", {})["epochs"] = 20  # newton takes them, which needs no torch
    return artifact.open_run(retrain(settings(people_dir, tmp_path_factory.mktemp("runs"), **changed)))


def reference(run: artifact.Run) -> Profile:
    found = profile_of(run)
    assert found is not None
    return found


def replaced(table: pa.Table, name: str, values: Any) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def blanked(table: pa.Table, name: str, share: float, seed: int = 0) -> pa.Table:
    """More of a column missing."""
    holes = pa.array(np.random.default_rng(seed).random(table.num_rows) < share)
    return replaced(
        table, name, pc.if_else(holes, pa.scalar(None, table.schema.field(name).type), table.column(name))
    )


def told(run: artifact.Run | Path, table: pa.Table, folder: Path, **names: str) -> dict[str, Any]:
    return drift(run, write(folder / "new" / "rows.parquet", table), **names)


def profiled(model: binclf.Model, table: pa.Table, pieces: list[int], against: Profile | None) -> Profile:
    """Seen in pieces, the last first, by two observations that are merged."""
    seen = [Observation(model), Observation(model)]
    start = 0
    slices = []
    for count in pieces:
        slices.append(table.slice(start, count))
        start += count
    for number, piece in reversed(list(enumerate(slices))):
        rows = from_frame(piece)
        seen[number % 2].see(number, rows, model.logits(rows))
    packed = Observation(model)
    packed.merge_packed(seen[1].pack())
    seen[0].merge(packed)
    return seen[0].profile(against)


CHANGES: dict[str, Callable[[pa.Table], pa.Table]] = {
    "nothing": lambda t: t,
    "values": lambda t: replaced(t, "age", pc.add(t.column("age"), 7.0)),
    "missing": lambda t: blanked(t, "age", 0.5),
    "all missing": lambda t: blanked(blanked(t, "age", 2.0), "city", 2.0),
    "levels": lambda t: replaced(t, "city", pc.if_else(pc.greater(t.column("visits"), 3), "Aachen", "Celle")),
    "unseen": lambda t: replaced(t, "city", pc.if_else(pc.greater(t.column("visits"), 3), "Ulm", "Celle")),
    "one row": lambda t: t.slice(3, 1),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_terms_add_up_to_the_shift_of_the_mean_log_odds(
    change: str, run: artifact.Run, tmp_path: Path
) -> None:
    table = CHANGES[change](people(800, seed=21)).drop_columns("bought")
    found = told(run, table, tmp_path)
    model = binclf.load(run.path)
    places = row_groups(run.split.parts["train"])
    train = [place.read(model.columns()) for place in places]
    before = np.concatenate([model.logits(rows) for rows in train])
    after = model.logits(model.rows(table))
    measured = math.fsum(after) / len(after) - math.fsum(before) / len(before)
    assert found["shift"] == pytest.approx(measured, abs=1e-9)
    assert found["measured_shift"] == pytest.approx(measured, abs=1e-9)
    assert found["shift"] == math.fsum(term["shift"] for term in found["terms"])
    assert found["rows"] == table.num_rows
    assert found["training_rows"] == len(before)
    p = model.predict_proba(table)
    assert found["mean_probability"]["now"] == pytest.approx(p.mean(), abs=1e-12)


def test_a_term_says_what_changed_and_the_others_stand_still(trained_run: Path, tmp_path: Path) -> None:
    old = told(trained_run, people(3000, seed=5), tmp_path)
    new = told(trained_run, blanked(people(3000, seed=5), "age", 0.6), tmp_path)
    moved = {
        (a["column"], a["cause"])
        for a, b in zip(new["terms"], old["terms"], strict=True)
        if abs(a["shift"] - b["shift"]) > 0.02
    }
    assert ("age", "missing") in moved
    assert all(column == "age" for column, _ in moved)


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that learnt that rows without `member` mostly buy; one in 33 is without."""
    folder = tmp_path_factory.mktemp("telling")
    table = blanked(people(6000, seed=31), "member", 0.0)
    table = table.filter(pc.or_(pc.is_valid(table.column("member")), pc.less(table.column("visits"), 2)))
    bought = pc.or_kleene(table.column("bought"), pc.is_null(table.column("member")))
    write(folder / "data" / "a.parquet", replaced(table, "bought", bought))
    return on_disk(retrain(settings(folder / "data", folder / "runs", train={"epochs": 20})))


def test_a_planted_missing_rate_is_named_first_in_words_json_and_page(telling: Path, tmp_path: Path) -> None:
    table = blanked(people(4000, seed=9), "member", 0.4).drop_columns("bought")
    found = told(telling, table, tmp_path, output=str(tmp_path / "drift.html"))
    assert found["is_alarm"]
    first = found["moved"][0]
    assert (first["column"], first["cause"]) == ("member", "missing")
    assert first["after"] == pytest.approx(pc.mean(pc.is_null(table.column("member"))).as_py())
    words = f"{first['shift']:+.2f} from `member` missing {100 * first['before']:.2g} %"
    told_now = f" {100 * first['after']:.0f} %"
    assert found["sentence"].startswith(f"score {found['shift']:+.2f}: {words} ->{told_now}")
    assert f"{words} -&gt;{told_now}" in (tmp_path / "drift.html").read_text()
    assert f"{words} ->{told_now}" in found["text"]
    assert "member" in {one["column"] for one in found["psi"] if one["psi"] > 0.25}


@pytest.mark.parametrize("rows", [30, 200, 2000])
def test_batches_of_the_training_distribution_alarm_nobody(rows: int, trained_run: Path) -> None:
    run = artifact.open_run(trained_run)
    model, old = golden.model_of(run), reference(run)
    for seed in range(100, 117):
        new = profiled(model, people(rows, seed=seed), [rows], old)
        found = beside(run, model, old, new, "rows")
        assert not found.is_alarm, (seed, found.moved, found.unstable, found.skews)


@hypothesis(max_examples=20)
@given(pieces=st.lists(st.integers(0, 300), min_size=1, max_size=5))
def test_a_profile_has_the_same_bits_however_rows_are_dealt(pieces: list[int], trained_run: Path) -> None:
    run = artifact.open_run(trained_run)
    model, table = golden.model_of(run), people(sum(pieces), seed=3)
    one = Observation(model)
    start = 0
    for number, count in enumerate(pieces):
        rows = from_frame(table.slice(start, count))
        one.see(number, rows, model.logits(rows))
        start += count
    assert profiled(model, table, pieces, reference(run)) == one.profile(reference(run))
    assert Profile.from_json(json.loads(json.dumps(one.profile().as_json()))) == one.profile()


def test_a_profile_counts_what_there_is(trained_run: Path) -> None:
    run = artifact.open_run(trained_run)
    model, table = golden.model_of(run), people(5000, seed=2)
    found = profiled(model, table, [2000, 2000, 1000], None)
    age = table.column("age").drop_null().to_numpy()
    own = next(column for column in found.numbers if column.name == "age")
    assert (own.present, own.missing) == (len(age), 5000 - len(age))
    assert own.mean == pytest.approx(age.mean())
    assert own.variance == pytest.approx(age.var(), rel=1e-9)
    assert own.size == pytest.approx(np.frexp(age)[1].mean())
    assert sum(own.spread.units) == len(age) * 1024
    assert max(own.spread.units) < 0.13 * sum(own.spread.units)
    cities = table.column("city").to_pylist()
    city = next(column for column in found.levels if column.name == "city")
    levels = run.features.categorical[[c.name for c in run.features.categorical].index("city")].levels
    assert city.levels == tuple(cities.count(level) for level in levels)
    assert (city.missing, city.other) == (cities.count(None), 0)


@pytest.mark.parametrize("rows", [1, MOST_SAMPLED, MOST_SAMPLED + 1, 100_003])
def test_a_sample_is_one_row_of_each_run(rows: int) -> None:
    chosen = sample(rows)
    assert len(chosen) == min(rows, MOST_SAMPLED)
    assert (np.diff(chosen) > 0).all()
    assert chosen[0] >= 0
    assert chosen[-1] < rows
    assert chosen.mean() == pytest.approx((rows - 1) / 2, rel=0.01)


@given(arrays.arrays(np.float64, st.integers(1, 50), elements=st.floats(allow_nan=False)))
def test_fine_bins_ascend_with_the_value(values: np.ndarray) -> None:
    ordered = np.sort(values)
    found = places(ordered)
    assert (np.diff(found) >= 0).all()
    assert found.min() > 0
    assert found.max() < SIZE


@given(st.lists(st.integers(0, 100), min_size=SIZE // 40, max_size=SIZE // 40))
def test_coarse_bins_lose_nothing_and_are_the_same_for_the_same_rows(counts: list[int]) -> None:
    fine = np.zeros(SIZE, dtype=np.int64)
    fine[:: SIZE // len(counts)][: len(counts)] = counts
    cut = Spread.cut(fine)
    assert sum(cut.units) == sum(counts)
    assert len(cut.units) <= 10
    assert Spread.by(cut.edges, fine) == cut


def test_psi_is_that_of_the_books() -> None:
    p, q = np.array([0.2, 0.3, 0.5]), np.array([0.4, 0.3, 0.3])
    found = _of("x", [*p, 0.0], [*q, 0.0], (10**9, 10**9))
    assert found.psi == pytest.approx(((q - p) * np.log(q / p)).sum(), rel=1e-6)
    assert found.bins == 3


def test_the_noise_of_psi_is_what_chance_makes() -> None:
    draw, shares = np.random.default_rng(0), np.full(11, 1 / 11)
    psi = [
        _of(
            "x",
            (draw.multinomial(5000, shares) / 5000).tolist(),
            (draw.multinomial(400, shares) / 400).tolist(),
            (5000, 400),
        ).psi
        for _ in range(4000)
    ]
    scale = 1 / 5000 + 1 / 400
    assert np.mean(np.array(psi) > quantile(0.01, 10) * scale) == pytest.approx(0.01, abs=0.006)


def test_chi_square_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    for freedom in (1, 7, 400):
        for x in (0.0, 0.5, 30.0, 1000.0):
            assert tail(x, freedom) == pytest.approx(stats.chi2.sf(x, freedom), rel=1e-10)
        assert quantile(1e-5, freedom) == pytest.approx(stats.chi2.isf(1e-5, freedom), rel=1e-10)
    assert (tail(3.0, 0), quantile(0.1, 0)) == (1.0, 0.0)


SKEWED: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "cents": (lambda t: replaced(t, "income", pc.multiply(t.column("income"), 100.0)), "times as large"),
    "thousands": (
        lambda t: replaced(t, "income", pc.divide(t.column("income"), 1000.0)),
        r"'income' is typically .* times as small",
    ),
    "upper case": (
        lambda t: replaced(t, "city", pc.utf8_upper(t.column("city"))),
        r"'city' has levels that training did not see, or hardly, in \d+ of \d+ rows",
    ),
}


@pytest.mark.parametrize("skew", SKEWED)
def test_skew_is_refused_with_counts_and_hidden(skew: str, trained_run: Path, tmp_path: Path) -> None:
    change, words = SKEWED[skew]
    source = write(tmp_path / "new.parquet", change(people(300, seed=8)), [100, 200])
    with pytest.raises(DataError, match=words) as caught:
        score_rows(trained_run, source, tmp_path / "out")
    assert caught.value.exit_code == 10
    assert "drift.on_skew" in str(caught.value)
    assert list((tmp_path / "out").glob("*.parquet")) == []
    assert not (tmp_path / "out" / "_manifest.json").exists()
    assert drift(trained_run, source)["skewed"][0]["rows"] > 0


def test_skew_is_scored_and_told_where_the_run_says_so(people_dir: Path, tmp_path: Path) -> None:
    run = on_disk(
        retrain(settings(people_dir, tmp_path / "runs", drift={"on_skew": "warn"}, train={"epochs": 20}))
    )
    source = write(tmp_path / "new.parquet", SKEWED["upper case"][0](people(300, seed=8)))
    receipt = score_rows(run, source, tmp_path / "out")
    assert receipt["rows"] == 300
    assert receipt["skewed"][0]["column"] == "city"
    assert receipt["skewed"][0]["rows"] > 200


def test_what_stays_within_the_limits_is_no_skew(trained_run: Path, tmp_path: Path) -> None:
    table = blanked(people(400, seed=8), "income", 2.0)
    table = replaced(table, "visits", pc.multiply(table.column("visits"), 20))
    receipt = score_rows(trained_run, write(tmp_path / "new.parquet", table), tmp_path / "out")
    assert receipt["skewed"] == []


def altered(run: Path, folder: Path) -> Path:
    """A run whose model is sealed with golden rows of another."""
    copy = folder / run.name
    shutil.copytree(run, copy)
    opened = artifact.open_run(copy)
    (copy / artifact.MANIFEST).unlink()
    weights = {name: array.copy() for name, array in opened.weights.items()}
    weights["bias"] += 1e-7
    (copy / "model.safetensors").write_bytes(save(weights))
    artifact.seal(copy)
    return copy


def test_golden_rows_refuse_a_model_that_says_otherwise(trained_run: Path, tmp_path: Path) -> None:
    copy = altered(trained_run, tmp_path)
    with pytest.raises(ArtifactError, match="of its golden row") as caught:
        binclf.load(copy)
    assert caught.value.exit_code == 12
    with pytest.raises(ArtifactError, match="of its golden row"):
        score_rows(copy, write(tmp_path / "new.parquet", people(10)), tmp_path / "out")


def test_golden_rows_are_of_train_and_of_the_columns_that_the_model_reads(run: artifact.Run) -> None:
    found = golden.rows_of(run)
    assert found is not None
    rows, expected = found
    model = golden.model_of(run)
    assert len(rows) == 32
    assert [column.name for column in rows.columns()] == model.columns()
    assert np.array_equal(model.predict_proba(rows.table), expected)


def test_a_run_of_before_profiles_scores_and_says_that_it_knows_no_drift(
    trained_run: Path, tmp_path: Path
) -> None:
    copy = tmp_path / trained_run.name
    shutil.copytree(trained_run, copy)
    for name in ("profile.json", golden.GOLDEN, artifact.MANIFEST):
        (copy / name).unlink()
    artifact.seal(copy)
    source = write(tmp_path / "new.parquet", people(100, seed=4))
    assert score_rows(copy, source, tmp_path / "out")["rows"] == 100
    with pytest.raises(ArtifactError, match="has no profile of its training rows"):
        drift(copy, source)


def test_no_rows_are_told_as_such(trained_run: Path, tmp_path: Path) -> None:
    found = told(trained_run, people(0).drop_columns("bought"), tmp_path)
    assert (found["shift"], found["is_alarm"]) == (None, False)
    assert found["undefined"]["shift"] == "there are no rows"
    assert "no rows" in found["text"]


def test_a_value_beyond_reckoning_is_unknown_and_no_crash(trained_run: Path, tmp_path: Path) -> None:
    table = people(200, seed=4)
    table = table.drop_columns("bought")
    ages = table.column("age").to_pylist()
    ages[0] = 1e300
    found = told(trained_run, replaced(table, "age", pa.array(ages)), tmp_path)
    assert found["shift"] is None
    assert "beyond doubles" in found["undefined"]["shift"]
    json.dumps(found, allow_nan=False)


def test_sums_beyond_doubles_leave_the_refit_undefined(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overflow(*_: object) -> None:
        raise OverflowError("log-odds of these rows are beyond what a sum can hold")

    monkeypatch.setattr("binclf.drift.run.rao", overflow)
    found = told(trained_run, people(200, seed=4), tmp_path)
    assert found["retrain"] is None
    assert "beyond what a sum can hold" in found["undefined"]["retrain"]


def test_what_is_written_goes_by_the_names_ending(trained_run: Path, tmp_path: Path) -> None:
    table = people(200, seed=4)
    with pytest.raises(ConfigError, match=r"is to end in \.html, \.md, \.json"):
        told(trained_run, table, tmp_path, output=str(tmp_path / "drift.txt"))
    found = told(trained_run, table, tmp_path, output=str(tmp_path / "drift.json"))
    text = found.pop("text")
    assert json.loads((tmp_path / "drift.json").read_text()) == json.loads(json.dumps(found))
    told(trained_run, table, tmp_path, output=str(tmp_path / "drift.md"))
    assert (tmp_path / "drift.md").read_text() == text

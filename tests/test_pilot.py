"""A first look while rows are decoded tells what a pass would, with the same bits wherever rows are kept."""

from __future__ import annotations

import hashlib
import json
import logging
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf import artifact
from binclf.config import Config, parse
from binclf.epoch import EpochPlan
from binclf.features import Encoder, Features, NumericColumn
from binclf.loader import HeldRows, Source, StreamedRows
from binclf.parquet import Column, files
from binclf.solvers import blocks, cuts, newton, sample
from binclf.solvers.blocks import Reducer, Sums
from binclf.solvers.change import carried
from binclf.solvers.pilot import Pilot, pilot_of
from binclf.solvers.problem import Seen
from binclf.split import Split, ensure
from binclf.train import learn_features, train
from binclf.world import World
from tests.optimum import ALONE, Floats
from tests.ranks import run
from tests.trained import decoding, write

Long = np.longdouble
ROWS, GROUP = 4000, 100


def be_small(patch: pytest.MonkeyPatch) -> None:
    """Few rows are blocks, and a sample; and so few may be streamed."""
    patch.setattr(cuts, "LEAST_ROWS", 64)
    patch.setattr(cuts, "ROWS_A_WEIGHT", 1)
    patch.setattr(sample, "SAMPLE_ROWS", 300)
    patch.setattr(sample, "ROWS_A_WEIGHT", 1)
    patch.setattr(EpochPlan, "is_small", False)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    be_small(monkeypatch)


def table(rows: int = ROWS, seed: int = 0) -> pa.Table:
    """Numbers near nought, far from it, with gaps, and nearly constant."""
    draw = np.random.default_rng(seed)
    a, b, c = draw.normal(size=(3, rows))
    y = 1.2 * a - 0.7 * b + 0.2 * a * b + draw.logistic(size=rows) > 0.4
    return pa.table(
        {
            "far": pa.array(1e9 + 50 * b, pa.float64()),
            "gaps": pa.array(3 * a - 2, pa.float64(), mask=draw.random(rows) < 0.2),
            "plain": pa.array(c.astype(np.float32)),
            "whole": pa.array(draw.poisson(2.0, rows), pa.int32()),
            "w": draw.choice([0.25, 1.0, 6.0], rows),
            "bought": y,
        }
    )


def config_of(folder: Path, rows: pa.Table, **train: Any) -> Config:
    """A training on three files of these rows."""
    bounds = [0, len(rows) // 5, len(rows) // 2, len(rows)]
    for number, (low, high) in enumerate(pairwise(bounds)):
        sizes = [0] + [GROUP] * ((high - low) // GROUP) + [(high - low) % GROUP] * ((high - low) % GROUP > 0)
        write(folder / "data" / f"{number}.parquet", rows.slice(low, high - low), sizes)
    settings = {"solver": "newton", "device": "cpu", "lanes": 8, "l2": 1e-4, **train}
    data = {"path": str(folder / "data"), "label": "bought", "weight": "w"}
    return parse(
        {"name": "pilot", "store": str(folder / "runs"), "data": data, "split": {"method": "none"}}
        | {"train": settings}
    )


def looked(config: Config, world: World = ALONE) -> tuple[Pilot | None, Features, HeldRows, Split]:
    """A pilot that has looked at all rows, what was learnt, and the rows, encoded."""
    split = ensure(config)
    how = decoding(config, split)
    store = HeldRows(Source(split.parts["train"], how))
    made = pilot_of(config, split, store, None, world)
    features = learn_features(world, config, how, split, store, made.look if made else None)
    store.attach(features)
    store.fill(range(len(store.source.group_rows)))
    return made, features, store, split


def in_units(centre: list[float], scale: list[float], fill: list[float], lacks: list[bool]) -> Features:
    """Features of columns in some units."""
    columns, indicator = [], len(centre)
    for place, lacking in enumerate(lacks):
        column = Column(f"c{place}", "number", "double")
        own = (centre[place], scale[place], fill[place], indicator if lacking else -1)
        columns.append(NumericColumn(column.name, "number", column, False, *own, 0, 0.0, 1.0, -1.0, 1.0))
        indicator += lacking
    return Features(tuple(columns), (), 18, 0, 1)


def exactly(features: Features, values: np.ndarray) -> np.ndarray:
    """Rows as the encoder means them, in long double: [n, p]."""
    encoder = Encoder(features)
    x = np.zeros((len(values), features.width + 1), dtype=Long)
    x[:, -1] = 1
    for place, column in enumerate(features.numeric):
        missing = np.isnan(values[:, place])
        own = (values[:, place].astype(Long) - Long(column.centre)) * Long(encoder.standard.inverse[place])
        x[:, place] = np.where(missing, Long(encoder.fill[place]), own)
        if column.indicator >= 0:
            x[missing, column.indicator] = 1
    return x


def sums_of(u: np.ndarray, y: np.ndarray, w: np.ndarray, point: np.ndarray) -> Sums:
    """By the definition, in the type of the rows."""
    z = u @ point
    p = 1 / (1 + np.exp(-z))
    loss = (w * (np.logaddexp(0, z) - y * z)).sum()
    return Sums(w.sum(), loss, u.T @ (w * (p - y)), (u.T * (w * p * (1 - p))) @ u)


@given(st.integers(0, 2**32), st.integers(1, 5), st.floats(-3, 3), st.floats(-3, 3))
def test_sums_that_are_carried_over_are_those_of_rows_in_the_other_units(
    seed: int, columns: int, wide: float, far: float
) -> None:
    """Against long double; scales, centres and fills of the two units may be far apart."""
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(60, columns)) * 10.0**wide + 10.0**far
    lacks = (draw.random(columns) < 0.5).tolist()
    values[:, lacks] = np.where(draw.random((60, sum(lacks))) < 0.3, np.nan, values[:, lacks])

    def units() -> Features:
        centre = 10.0**far + draw.normal(size=columns) * 10.0**wide
        scale = np.exp(draw.normal(size=columns)) * 10.0**wide
        fill = centre + draw.normal(size=columns) * scale
        return in_units(centre.tolist(), scale.tolist(), fill.tolist(), lacks)

    before, after = units(), units()
    old, new = exactly(before, values), exactly(after, values)
    y, w = (draw.random(60) < 0.4).astype(Long), draw.choice([0.0, 0.5, 3.0], 60).astype(Long)
    point = draw.normal(size=before.width + 1)
    seen = sums_of(old, y, w, point.astype(Long))
    given_sums = Sums(
        float(seen.weight), float(seen.loss), seen.gradient.astype(float), seen.hessian.astype(float)
    )
    found = carried(Seen(point, given_sums), before, after)
    wanted = sums_of(new, y, w, found.point.astype(Long))
    assert np.abs(new @ found.point.astype(Long) - old @ point.astype(Long)).max() < 1e-9
    size = np.sqrt(np.maximum(np.diag(wanted.hessian), 1e-30)).astype(float)
    total = float(w.sum()) + 1e-30
    assert found.sums.loss == pytest.approx(float(wanted.loss), rel=1e-9, abs=1e-9)
    gradient = np.abs(found.sums.gradient - wanted.gradient.astype(float))
    assert (gradient <= 1e-9 * (total + np.abs(new).T.astype(float) @ w.astype(float))).all()
    hessian = np.abs(found.sums.hessian - wanted.hessian.astype(float))
    assert (hessian <= 1e-9 * np.outer(size, size) + 1e-9).all()
    assert (found.sums.hessian == found.sums.hessian.T).all()


def test_a_look_tells_what_a_pass_at_its_point_would(tmp_path: Path) -> None:
    """But for float32's rounding of rows in other units."""
    made, features, store, split = looked(config_of(tmp_path, table()))
    assert made is not None
    seen = made.seen(features)
    assert seen is not None
    wanted = Reducer(store, features, split.weight("train"), ALONE).at(seen.point)
    assert seen.sums.weight == wanted.weight
    assert seen.sums.loss == pytest.approx(wanted.loss, rel=1e-6)
    size = np.sqrt(np.diag(wanted.hessian))
    assert (np.abs(seen.sums.gradient - wanted.gradient) <= 1e-6 * wanted.weight).all()
    assert (np.abs(seen.sums.hessian - wanted.hessian) <= 1e-6 * np.outer(size, size)).all()
    assert np.abs(wanted.gradient).max() < 0.1 * wanted.weight  # near the optimum


def changed(rows: pa.Table, name: str, place: int, value: float | None) -> pa.Table:
    values = rows[name].to_pylist()
    values[place] = value
    return rows.set_column(
        rows.column_names.index(name), name, pa.array(values, rows.schema.field(name).type)
    )


@pytest.mark.parametrize(("name", "value"), [("plain", 1e9), ("whole", None)])
def test_what_the_sample_could_not_know_ends_the_look_and_not_the_run(
    tmp_path: Path, name: str, value: float | None
) -> None:
    """A number beyond FURTHEST of its deviations, and a gap in a column that it has whole."""
    rows = table()
    config = config_of(tmp_path / "probe", rows)
    split = ensure(config)
    source = Source(split.parts["train"], decoding(config, split))
    taken = {g for block in sample.sample_of(source, 5, config.train.seed) for g in block}
    outside = next(g for g in range(len(source.group_rows)) if g not in taken)
    config = config_of(tmp_path / "run", changed(rows, name, int(source.starts[outside]) + 3, value))
    made, features, _, _ = looked(config)
    assert made is not None
    assert made.seen(features) is None
    assert ran(config)


@pytest.mark.parametrize(
    ("train", "has_levels"),
    [({"solver": "minibatch", "l2": 1e-6}, False), ({"class_weight": "balanced"}, False), ({}, True)],
    ids=["minibatch", "balanced", "levels"],
)
def test_there_is_none_for_minibatch_class_weights_and_levels(
    tmp_path: Path, train: dict[str, Any], has_levels: bool
) -> None:
    rows = table()
    if has_levels:
        rows = rows.append_column("town", pa.array(["a", "b"] * (ROWS // 2)))
    assert looked(config_of(tmp_path, rows, **train))[0] is None


def test_there_is_none_where_row_groups_are_small_or_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert looked(config_of(tmp_path / "few", table(600)))[0] is None
    monkeypatch.setattr(cuts, "ROWS_A_WEIGHT", GROUP)
    assert looked(config_of(tmp_path / "small", table()))[0] is None


def ran(config: Config) -> str:
    """Train in this process; the digest of the weights."""
    run_dir = artifact.begin(config)
    train(run_dir)
    return digest(run_dir)


def digest(run_dir: Any) -> str:
    return hashlib.sha256((run_dir / "model.safetensors").read_bytes()).hexdigest()


def on_a_rank(run_dir: Path, is_exact: bool) -> None:
    """Body: train on this rank."""
    with pytest.MonkeyPatch.context() as patch:
        be_small(patch)
        if not is_exact:
            patch.setattr(blocks, "ExactSum", Floats)
        train(run_dir)


@pytest.mark.slow
def test_tiers_leave_no_trace_and_a_pass_is_spared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    decoded: list[int] = []
    decode = Source.decode

    def noted(self: Source, group: int, **how: Any) -> Any:
        decoded.append(group)
        return decode(self, group, **how)

    monkeypatch.setattr(Source, "decode", noted)
    found = {}
    with caplog.at_level(logging.INFO, "binclf"):
        for cache in ("ram", "disk", "none"):
            decoded.clear()
            found[cache] = ran(config_of(tmp_path / cache, table(), cache=cache))
    assert len(set(found.values())) == 1
    assert caplog.text.count("a first look while rows were decoded") == 3
    assert "rows are streamed" in caplog.text
    streamed = len(decoded)
    monkeypatch.setattr("binclf.train.pilot_of", lambda *_: None)
    decoded.clear()
    ran(config_of(tmp_path / "without", table(), cache="none"))
    assert streamed <= len(decoded) - ROWS // GROUP


def test_files_that_are_listed_in_another_order_leave_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one = ran(config_of(tmp_path / "one", table()))
    walk = files._walk
    monkeypatch.setattr(files, "_walk", lambda folder: reversed(list(walk(folder))))
    with caplog.at_level(logging.INFO, "binclf"):
        assert ran(config_of(tmp_path / "other", table())) == one
    assert "a first look while rows were decoded" in caplog.text


@pytest.mark.slow
def test_any_number_of_ranks_has_the_bits_of_one_and_a_float_all_reduce_has_not(tmp_path: Path) -> None:
    def on_ranks(ranks: int, cache: str, *, is_exact: bool = True) -> str:
        config = config_of(tmp_path / f"{ranks}-{cache}-{is_exact}", table(), cache=cache)
        run_dir = artifact.begin(config)
        run(ranks, on_a_rank, run_dir=run_dir, is_exact=is_exact)
        return digest(run_dir)

    alone = ran(config_of(tmp_path / "alone", table()))
    assert {on_ranks(2, "ram"), on_ranks(3, "none"), on_ranks(4, "disk")} == {alone}
    assert on_ranks(2, "ram", is_exact=False) != on_ranks(3, "ram", is_exact=False)


@pytest.mark.parametrize(
    "passes", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)]
)
def test_a_run_that_is_killed_goes_on_to_the_same_bits(
    tmp_path: Path, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any checkpoint it looks again; after one it does not."""
    whole = ran(config_of(tmp_path / "whole", table(), tolerance=0.0))
    run_dir = artifact.begin(config_of(tmp_path / "killed", table(), tolerance=0.0))
    judged, count = newton._Newton._judged, 0

    def once(self: Any, state: Any) -> Any:
        nonlocal count
        count += 1
        if count > passes:
            raise KeyboardInterrupt
        return judged(self, state)

    with monkeypatch.context() as patch:
        patch.setattr(newton._Newton, "_judged", once)
        with pytest.raises(KeyboardInterrupt):
            train(run_dir)
    train(run_dir)
    assert digest(run_dir) == whole


def told(config: Config) -> dict[str, Any]:
    """Train in this process; what the model's file says of it."""
    run_dir = artifact.begin(config)
    train(run_dir)
    found: dict[str, Any] = json.loads((run_dir / "model.json").read_text())["training"]
    return found


def test_a_look_that_leads_astray_is_left_for_the_base_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, seen = told(config_of(tmp_path / "right", table())), Pilot.seen

    def astray(self: Pilot, features: Features) -> Seen | None:
        found = seen(self, features)
        assert found is not None
        return Seen(found.point + 1e3, found.sums)

    monkeypatch.setattr(Pilot, "seen", astray)
    found = told(config_of(tmp_path / "astray", table()))
    assert found["history"][0]["objective"] < 0.7
    assert found["history"][-1]["objective"] == pytest.approx(right["history"][-1]["objective"], abs=1e-12)


ODD: dict[str, Any] = {
    "plain": lambda draw, y: {},
    "nearly constant": lambda draw, y: {"odd": np.where(np.arange(ROWS) < 5, draw.normal(size=ROWS), 0.0)},
    "dependent": lambda draw, y: {"odd": 2 * np.arange(ROWS), "more": 1 - np.arange(ROWS)},
    "sorted": lambda draw, y: {"odd": np.arange(ROWS) + 1000 * draw.normal(size=ROWS)},
    "empty": lambda draw, y: {"odd": pa.array(y, pa.float64(), mask=np.ones(ROWS, dtype=bool))},
    "telling": lambda draw, y: {"odd": 2 * y + draw.random(ROWS)},
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("settings", [{}, {"l1": 0.01, "nonnegative": ["plain"]}], ids=["smooth", "l1"])
def test_with_a_look_and_without_one_the_optimum_is_the_same(
    tmp_path: Path, name: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = table()
    for column, values in ODD[name](
        np.random.default_rng(1), rows["bought"].to_numpy().astype(float)
    ).items():
        rows = rows.append_column(column, pa.array(values))
    if name == "telling":
        rows = rows.sort_by("bought")  # no row group has both classes, but for one
    found = [told(config_of(tmp_path / "with", rows, **settings))]
    monkeypatch.setattr("binclf.train.pilot_of", lambda *_: None)
    found.append(told(config_of(tmp_path / "without", rows, **settings)))
    ends = [one["history"][-1]["objective"] for one in found]
    assert ends[0] == pytest.approx(ends[1], abs=1e-9)
    assert found[0]["passes"] <= found[1]["passes"] - (name in {"plain", "sorted"} and not settings)


def test_the_streamed_rows_and_the_held_ones_show_the_same(tmp_path: Path) -> None:
    config = config_of(tmp_path, table())
    split = ensure(config)
    how = decoding(config, split)
    found = []
    for store in (
        HeldRows(Source(split.parts["train"], how)),
        StreamedRows(Source(split.parts["train"], how)),
    ):
        made = pilot_of(config, split, store, None, ALONE)
        assert made is not None
        features = learn_features(ALONE, config, how, split, store, made.look)
        seen = made.seen(features)
        assert seen is not None
        found.append((seen.point.tobytes(), seen.sums.gradient.tobytes(), seen.sums.hessian.tobytes()))
    assert found[0] == found[1]

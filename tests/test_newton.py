"""Newton's method finds the optimum that scikit-learn and the optimality conditions know, and proves it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression as Reference

from binclf.config import Config, Train, parse
from binclf.errors import ConfigError, DataError
from binclf.features import Features
from binclf.loader import HeldRows, Source, StreamedRows
from binclf.solvers import blocks, newton
from binclf.solvers.blocks import Reducer, Sums, Terms, blocks_of
from binclf.solvers.certificate import certify
from binclf.solvers.exact import ExactSum
from binclf.solvers.point import penalty_of
from binclf.solvers.problem import Problem, Solution
from binclf.solvers.quadratic import Model
from binclf.split import ensure
from binclf.train import learn_features
from binclf.world import World, join
from tests.ranks import run, small_job
from tests.trained import Alone, decoding, people, stores, whole, write

ALONE: Any = Alone()
PEOPLE: dict[str, Any] = {"categorical": ["code"], "log1p": ["income"]}


@pytest.fixture(autouse=True)
def _many_blocks() -> Iterator[None]:
    """Small sets have one block otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "LEAST_ROWS", 64)
        patch.setattr(blocks, "ROWS_A_WEIGHT", 0)
        yield


def problem_of(store: Any, features: Features, rows: Any, **train: Any) -> Problem:
    """A problem over a store whose rows are known."""
    y, w = rows.y[:, 0].astype(float), rows.w[:, 0].astype(float)
    return Problem(
        train=store,
        validation=None,
        features=features,
        weight=float(w.sum()),
        base_rate=float((w * y).sum() / w.sum()),
        settings=Train(**{"solver": "newton", "device": "cpu", **train}),
    )


def made(
    folder: Path, table: pa.Table, groups: list[int] | None = None, **features: Any
) -> tuple[HeldRows, Features]:
    """A filled store of all rows of a table with the columns `bought` and `w`."""
    path = write(folder / "data.parquet", table, groups)
    exclude = ["id"] if "id" in table.column_names else []
    data = {"path": str(path), "label": "bought", "weight": "w", "exclude": exclude}
    config = {"name": "made", "store": str(folder / "store"), "data": data, "features": features}
    _, learnt, found = stores(parse({**config, "split": {"method": "none"}}))
    return found["train"], learnt


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[HeldRows, Features, Any]:
    store, features = made(
        tmp_path_factory.mktemp("newton"), people(3000, 1), [700, 0, 1, 1300, 999], **PEOPLE
    )
    return store, features, whole(store)


def design_of(features: Features, rows: Any) -> np.ndarray:
    """Numbers, one-hot columns and ones: float64 [N, p]."""
    hot = np.zeros((len(rows.x), features.table_size))
    for own in rows.ids.T:
        np.add.at(hot, (np.arange(len(hot)), own), 1)
    return np.hstack([rows.x.astype(float), hot, np.ones((len(hot), 1))])


def point_of(solution: Solution) -> np.ndarray:
    return np.concatenate([solution.weights[n] for n in ("weight", "table", "bias") if n in solution.weights])


def sums_at(point: np.ndarray, design: np.ndarray, rows: Any) -> Sums:
    """By the definition."""
    y, w = rows.y[:, 0].astype(float), rows.w[:, 0].astype(float)
    z = design @ point
    p = 1 / (1 + np.exp(-z))
    loss = float((w * (np.logaddexp(0, z) - y * z)).sum())
    return Sums(float(w.sum()), loss, design.T @ (w * (p - y)), (design.T * (w * p * (1 - p))) @ design)


@pytest.mark.parametrize("l2", [1e-2, 1e-5, -1.0])
def test_the_optimum_is_scikit_learns(known: Any, l2: float) -> None:
    store, features, rows = known
    task = problem_of(store, features, rows, l2=l2)
    solution = newton.fit(task, ALONE)
    design, w = design_of(features, rows), rows.w[:, 0].astype(float)
    strength = penalty_of(task).l2[0]
    reference = Reference(C=1 / (strength * w.sum()), solver="newton-cholesky", tol=1e-12, max_iter=1000)
    reference.fit(design[:, :-1], rows.y[:, 0], sample_weight=w)
    theirs = np.append(reference.coef_[0], reference.intercept_[0])
    ours = point_of(solution)
    losses = [sums_at(point, design, rows).loss / w.sum() for point in (ours, theirs)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-8)
    curved = sums_at(ours, design, rows).hessian + np.diag(w.sum() * penalty_of(task).l2)
    errors = np.sqrt(np.diag(np.linalg.inv(curved)))
    assert np.abs((ours - theirs) / errors).max() < 1e-5
    assert solution.record["certificate"]["is_proven"]


def test_labels_that_are_flipped_in_one_file_have_their_optimum_too(tmp_path: Path) -> None:
    """The answer to the rows as they are: scikit-learn's, with errors that tell how little is known."""
    for number in range(3):
        table = people(900, number + 1)
        if number == 1:
            flipped = pa.array([not value for value in table["bought"].to_pylist()])
            table = table.set_column(table.column_names.index("bought"), "bought", flipped)
        write(tmp_path / "data" / f"{number}.parquet", table, [500, 400])
    data = {"path": str(tmp_path / "data"), "label": "bought", "weight": "w", "exclude": ["id"]}
    config = {"name": "flipped", "store": str(tmp_path / "store"), "data": data, "split": {"method": "none"}}
    _, features, found = stores(parse(config))
    rows = whole(found["train"])
    task = problem_of(found["train"], features, rows, l2=1e-4)
    solution = newton.fit(task, ALONE)
    design, w = design_of(features, rows), rows.w[:, 0].astype(float)
    reference = Reference(C=1 / (1e-4 * w.sum()), solver="newton-cholesky", tol=1e-12, max_iter=1000)
    reference.fit(design[:, :-1], rows.y[:, 0], sample_weight=w)
    theirs = np.append(reference.coef_[0], reference.intercept_[0])
    assert np.abs(point_of(solution) - theirs).max() < 1e-7
    assert solution.record["certificate"]["is_proven"]


@pytest.mark.parametrize("l1", [1e-3, 2e-2])
@pytest.mark.parametrize("is_bound", [False, True])
def test_with_l1_and_bounds_the_conditions_of_optimality_hold(known: Any, l1: float, is_bound: bool) -> None:
    """They are sufficient, as the objective is convex: no other solver need be believed."""
    store, features, rows = known
    names = [column.name for column in features.numeric]
    bounds = {"nonnegative": ("visits",), "nonpositive": ("age", "income")} if is_bound else {}
    solution = newton.fit(problem_of(store, features, rows, l1=l1, l2=1e-4, **bounds), ALONE)
    point, design = point_of(solution), design_of(features, rows)
    sums = sums_at(point, design, rows)
    slope = sums.gradient / sums.weight + 1e-4 * np.append(point[:-1], 0)
    assert abs(slope[-1]) < 1e-9
    for place, (weight, own) in enumerate(zip(point[:-1], slope[:-1], strict=True)):
        name = names[place] if place < len(names) else ""
        if weight:
            assert own == pytest.approx(-l1 * np.sign(weight), abs=1e-9), name
            assert not (name in bounds.get("nonnegative", ()) and weight < 0)
            assert not (name in bounds.get("nonpositive", ()) and weight > 0)
        else:
            upper = np.inf if name in bounds.get("nonpositive", ()) else l1
            lower = -np.inf if name in bounds.get("nonpositive", ()) else -l1
            lower, upper = (-l1, np.inf) if name in bounds.get("nonnegative", ()) else (lower, upper)
            if name in bounds.get("nonpositive", ()):
                lower, upper = -np.inf, l1
            assert lower - 1e-9 <= own <= upper + 1e-9, name
    assert (point[:-1] == 0).any()
    if is_bound:
        assert point[names.index("visits")] == 0  # it would be negative
    assert not solution.inference


def test_errors_and_tests_are_those_of_the_definition(known: Any) -> None:
    store, features, rows = known
    task = problem_of(store, features, rows, l2=1e-3)
    solution = newton.fit(task, ALONE)
    point, design = point_of(solution), design_of(features, rows)
    sums = sums_at(point, design, rows)
    inverse = np.linalg.inv(sums.hessian + np.diag(sums.weight * penalty_of(task).l2))
    covariance = inverse @ sums.hessian @ inverse
    told = solution.inference
    centres = np.zeros(len(point))
    for place, column in enumerate(features.numeric):
        centres[place] = -column.centre / column.scale
        entry = told["numeric"][column.name]["per_unit"]
        error = np.sqrt(covariance[place, place]) / column.scale
        assert entry["estimate"] == pytest.approx(point[place] / column.scale, rel=1e-12)
        assert entry["se"] == pytest.approx(error, rel=1e-6)
        assert entry["z"] == pytest.approx(point[place] / column.scale / error, rel=1e-6)
        assert entry["p"] == pytest.approx(2 * NormalDist().cdf(-abs(entry["z"])), rel=1e-6)
        assert entry["odds_high"] == pytest.approx(
            np.exp(entry["estimate"] + 1.959963984540054 * error), rel=1e-6
        )
    centres[-1] = 1.0
    assert told["intercept"]["se"] == pytest.approx(np.sqrt(centres @ covariance @ centres), rel=1e-6)
    city = next(column for column in features.categorical if column.name == "city")
    place = features.width + city.offset + 2 + city.levels.index("Celle")
    entry = told["categorical"]["city"]["level Celle"]
    assert entry["estimate"] == pytest.approx(point[place])
    assert entry["se"] == pytest.approx(np.sqrt(covariance[place, place]), rel=1e-6)


def test_the_textbook_s_errors_without_a_penalty(tmp_path: Path) -> None:
    """The inverse of the observed information, in original units."""
    table = people(1500, 3).select(["age", "income", "visits", "w", "bought"]).drop_null()
    store, features = made(tmp_path, table)
    rows = whole(store)
    solution = newton.fit(problem_of(store, features, rows, l2=0.0), ALONE)
    names, told = ("age", "income", "visits"), solution.inference
    raw = np.column_stack([*(table[name].to_numpy() for name in names), np.ones(len(table))])
    entries = [*(told["numeric"][name]["per_unit"] for name in names), told["intercept"]]
    beta = np.array([entry["estimate"] for entry in entries])
    w = table["w"].to_numpy()
    p = 1 / (1 + np.exp(-raw @ beta))
    covariance = np.linalg.inv((raw.T * (w * p * (1 - p))) @ raw)
    found = [entry["se"] for entry in entries]
    assert found == pytest.approx(np.sqrt(np.diag(covariance)).tolist(), rel=1e-6)


@pytest.mark.parametrize("distance", [1e-7, 1e-4, 1e-2, 0.1, 0.5])
def test_a_certificate_that_is_given_holds(known: Any, distance: float) -> None:
    """At points around the optimum: neither the objective nor any weight is further from it than is said."""
    store, features, rows = known
    task = problem_of(store, features, rows, l2=1e-3, tolerance=0.0)
    best, design = point_of(newton.fit(task, ALONE)), design_of(features, rows)
    penalty, terms = penalty_of(task), Terms.of(features)
    least, proven = sums_at(best, design, rows), 0
    for seed in range(20):
        away = np.random.default_rng(seed).normal(size=len(best))
        curved = least.hessian / least.weight + np.diag(penalty.l2)
        there = best + distance * away / np.sqrt(away @ curved @ away)
        sums = sums_at(there, design, rows)
        told = certify(Model(there, sums, penalty), sums.weight, terms)
        if not told.is_proven or told.gap is None or told.errors is None:
            continue
        proven += 1
        gap = sums.loss / sums.weight + penalty.of(there) - least.loss / least.weight - penalty.of(best)
        inverse = np.linalg.inv(sums.hessian / sums.weight + np.diag(penalty.l2))
        errors = np.abs(there - best) / np.sqrt(np.diag(inverse) / sums.weight)
        assert gap <= told.gap + 1e-14
        assert errors.max() <= told.errors * (1 + 1e-6) + 1e-9
    assert proven == 20 or distance >= 1e-2


def streamed(store: HeldRows, features: Features) -> StreamedRows:
    """The same rows, decoded in each pass."""
    other = StreamedRows(store.source)
    other.attach(features)
    return other


def digest(solution: Solution) -> str:
    return hashlib.sha256(point_of(solution).tobytes()).hexdigest()


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
    blocks.LEAST_ROWS, blocks.ROWS_A_WEIGHT = 20, 0
    if not exact:
        blocks.ExactSum = Floats  # type: ignore[attr-defined]
    with join("cpu") as world:
        split = ensure(config)
        how = decoding(config, split)
        store = HeldRows(Source(split.parts["train"], how))
        features = learn_features(world, config, how, split, store)
        store.attach(features)
        store.fill(range(len(store.source.group_rows)))
        task = Problem(store, None, features, split.weight("train"), split.base_rate("train"), config.train)
        return digest(newton.fit(task, world))


class Floats(ExactSum):
    """The negative control: a float all-reduce."""

    def add(self, values: np.ndarray, share: float) -> None:
        """As they come."""
        self.sum = getattr(self, "sum", 0.0) + values

    def total(self, world: World) -> np.ndarray:
        """In the order of gloo."""
        return world.sum_floats(np.zeros(len(self.bounds)) + getattr(self, "sum", 0.0))


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


def simple(columns: dict[str, Any], y: Any, w: Any = None) -> pa.Table:
    weights = np.ones(len(y)) if w is None else w
    return pa.table(
        {**columns, "bought": pa.array(np.asarray(y, dtype=bool)), "w": pa.array(weights, pa.float64())}
    )


PLAIN: dict[str, Any] = {"features": {"categorical": [], "log1p": []}, "data": {"ids": []}}


def fitted(folder: Path, table: pa.Table, **train: Any) -> tuple[Solution, Any]:
    store, features = made(folder, table)
    rows = whole(store)
    return newton.fit(problem_of(store, features, rows, **train), ALONE), rows


def test_classes_that_can_be_told_apart_end_with_a_name_or_with_the_penalty_s_answer(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    y = np.arange(200) % 2
    table = simple({"noise": draw.normal(size=200), "teller": y * 2.0 + draw.random(200)}, y)
    with pytest.raises(DataError, match="column 'teller' grows without end"):
        fitted(tmp_path / "free", table, l2=0.0)
    solution, _ = fitted(tmp_path / "held", table, l2=1e-6)
    assert solution.record["certificate"]["is_proven"]
    assert np.isfinite(point_of(solution)).all()
    assert solution.record["history"][-1]["train_loss"] < 1e-3


def test_a_level_that_only_one_class_has_is_named(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    rare = (np.arange(400) % 10 == 0).astype(float)
    y = (draw.random(400) < 0.5) | (rare == 1)
    with pytest.raises(DataError, match="column 'rare' grows without end"):
        fitted(tmp_path, simple({"rare": rare, "noise": draw.normal(size=400)}, y), l2=0.0)


@pytest.mark.parametrize("l2", [0.0, 1e-4])
def test_columns_that_say_the_same_or_nothing_are_named_and_share(tmp_path: Path, l2: float) -> None:
    draw = np.random.default_rng(1)
    a, b = draw.normal(size=(2, 600))
    y = a + b + draw.logistic(size=600) > 0
    table = simple({"a": a, "twice": 2 * a, "b": b, "still": np.full(600, 7.0)}, y)
    solution, _ = fitted(tmp_path, table, l2=l2)
    named = {frozenset(names) for names in solution.record["dependent_columns"]}
    assert named == {frozenset({"a", "twice"}), frozenset({"still"})}
    weight = (
        dict(zip(["a", "b", "still", "twice"], solution.weights["weight"], strict=True)) if False else None
    )
    assert weight is None
    told = solution.inference["numeric"]
    assert told["still"]["per_unit"]["estimate"] == 0
    assert told["still"]["per_unit"]["se"] is None
    shares = [told[name]["per_unit"]["estimate"] for name in ("a", "twice")]
    assert shares[0] == pytest.approx(2 * shares[1], rel=1e-4)
    assert told["b"]["per_unit"]["se"] is not None
    alone, _ = fitted(tmp_path / "alone", simple({"a": a, "b": b}, y), l2=l2 / 2 if l2 else 0.0)
    if not l2:
        once = alone.inference["numeric"]["a"]["per_unit"]["estimate"]
        assert shares[0] + 2 * shares[1] == pytest.approx(once, rel=1e-6)


def test_more_columns_than_rows(tmp_path: Path) -> None:
    draw = np.random.default_rng(2)
    columns = {f"c{i:02d}": draw.normal(size=30) for i in range(60)}
    y = np.arange(30) % 2
    with pytest.raises(DataError, match="grows without end"):
        fitted(tmp_path / "free", simple(columns, y), l2=0.0)
    solution, _ = fitted(tmp_path / "held", simple(columns, y), l2=1e-2)
    assert solution.record["certificate"]["is_proven"]
    assert np.isfinite(point_of(solution)).all()


def test_rows_without_weight_do_not_count(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    a = draw.normal(size=800)
    y, w = a + draw.logistic(size=800) > 0, (np.arange(800) % 4 > 0).astype(float)
    y = np.where(w > 0, y, ~y)
    kept = w > 0
    weighted, _ = fitted(tmp_path / "all", simple({"a": a}, y, w), l2=1e-4)
    without, _ = fitted(tmp_path / "some", simple({"a": a[kept]}, y[kept]), l2=1e-4)
    ours, theirs = (s.inference["numeric"]["a"]["per_unit"] for s in (weighted, without))
    assert ours["estimate"] == pytest.approx(theirs["estimate"], rel=1e-6)
    assert ours["se"] == pytest.approx(theirs["se"], rel=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e12, 1e30])
@pytest.mark.parametrize("standardise", [True, False])
def test_units_do_not_matter(tmp_path: Path, scale: float, standardise: bool) -> None:
    draw = np.random.default_rng(4)
    a, b = draw.normal(size=(2, 700)) + 1.0
    y = a - b + draw.logistic(size=700) > 0
    store, features = made(tmp_path, simple({"a": a * scale, "b": b}, y), standardise=standardise)
    solution = newton.fit(problem_of(store, features, whole(store), l2=0.0), ALONE)
    plain, _ = fitted(tmp_path / "plain", simple({"a": a, "b": b}, y), l2=0.0)
    found, wanted = (s.inference["numeric"]["a"]["per_unit"] for s in (solution, plain))
    assert found["estimate"] * scale == pytest.approx(wanted["estimate"], rel=1e-4)
    assert found["z"] == pytest.approx(wanted["z"], rel=1e-4)


def test_a_sample_is_where_it_begins(tmp_path: Path, known: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store, features = made(tmp_path, people(20_000, 5), [400] * 50, **PEOPLE)
    rows = whole(store)
    task = problem_of(store, features, rows, l2=1e-4)
    cold = newton.fit(task, ALONE)
    monkeypatch.setattr(newton, "SAMPLE_ROWS", 2000)
    monkeypatch.setattr(newton, "ROWS_A_WEIGHT", 1)
    warm = newton.fit(task, ALONE)
    best = cold.record["history"][-1]["train_loss"]
    begun = [solution.record["history"][0]["train_loss"] - best for solution in (warm, cold)]
    assert begun[0] < begun[1] / 10
    assert warm.record["passes"] <= cold.record["passes"]
    assert point_of(warm) == pytest.approx(point_of(cold), abs=1e-6)


def test_too_many_weights_and_wrong_names_are_refused(known: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store, features, rows = known
    with pytest.raises(ConfigError, match=r"train\.nonnegative names 'town', which is no numeric feature"):
        newton.fit(problem_of(store, features, rows, nonnegative=("town",)), ALONE)
    monkeypatch.setattr(newton, "MOST_WEIGHTS", 3)
    with pytest.raises(ConfigError, match="takes at most 3 weights"):
        newton.fit(problem_of(store, features, rows), ALONE)


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


def least_of(a: np.ndarray, b: np.ndarray, y: np.ndarray) -> float:
    """Mean log-loss at the optimum of two columns that are told apart, by scikit-learn."""
    design = np.column_stack([a, b])
    reference = Reference(C=np.inf, solver="newton-cholesky", tol=1e-10, max_iter=1000).fit(design, y)
    z = design @ reference.coef_[0] + reference.intercept_[0]
    return float((np.logaddexp(0, z) - y * z).mean())


@pytest.mark.parametrize("eps", [3e-3, 1e-4, 1e-5, 3e-6, 1e-6, 3e-7])
def test_columns_that_are_nearly_the_same_are_fitted_or_named_and_never_called_proven_in_vain(
    tmp_path: Path, eps: float
) -> None:
    draw = np.random.default_rng(0)
    a, e = draw.normal(size=(2, 3000))
    y = 2 * e + draw.logistic(size=3000) > 0
    table = simple({"a": a, "b": a + eps * e}, y)
    least = least_of(a, e, y)
    if eps <= 1e-6:  # float32 cannot hold what sets them apart
        with pytest.raises(DataError, match="columns 'a', 'b' are nearly the same"):
            fitted(tmp_path, table, l2=0.0)
        return
    solution, _ = fitted(tmp_path, table, l2=0.0)
    found = solution.record["history"][-1]["train_loss"]
    assert found == pytest.approx(least, abs=5e-3 if eps < 1e-5 else 1e-3)  # of columns in float32


@pytest.mark.parametrize("eps", [1.0, 1e-3, 1e-4, 5e-5])
@pytest.mark.parametrize("tolerance", [1e-6, 1e-12, 0.0])
def test_no_certificate_is_better_than_rounding_allows(tmp_path: Path, eps: float, tolerance: float) -> None:
    """Where columns are nearly the same, in long double: what is told of the weights as they are written."""
    table = people(3000, 3).select(["age", "visits", "bought", "w"])
    draw = np.random.default_rng(5)
    near = np.array(table["visits"].to_pylist(), dtype=float) + eps * draw.normal(size=3000)
    store, features = made(tmp_path, table.append_column("near", pa.array(near)))
    rows = whole(store)
    task = problem_of(store, features, rows, l2=0.0, tolerance=tolerance)
    solution = newton.fit(task, ALONE)
    design, point = design_of(features, rows).astype(np.longdouble), point_of(solution).astype(np.longdouble)
    y, w = rows.y[:, 0].astype(np.longdouble), rows.w[:, 0].astype(np.longdouble)
    z = design @ point
    p = 1 / (1 + np.exp(-z))
    slope = (design.T @ (w * (p - y))).astype(float)
    curved = ((design.T * (w * p * (1 - p))) @ design).astype(float)
    scale = 1 / np.sqrt(np.diag(curved))
    move = scale * np.linalg.solve(curved * scale * scale[:, None], scale * slope)
    truth = np.sqrt(slope @ move)  # of the sum: in standard errors
    certificate = solution.record["certificate"]
    assert certificate["is_proven"]
    assert truth <= certificate["errors"]
    assert tolerance == 0 or certificate["errors"] <= max(tolerance, 1e-7)  # nor much worse


@pytest.mark.parametrize("eps", [1e-2, 1e-3])
def test_a_bound_does_not_keep_columns_that_are_nearly_the_same_from_their_optimum(
    tmp_path: Path, eps: float
) -> None:
    draw = np.random.default_rng(1)
    a, e, c = draw.normal(size=(3, 2000))
    y = 2 * e + draw.logistic(size=2000) > 0
    columns = {"a": a, "b": a + eps * e}
    smooth, _ = fitted(tmp_path / "smooth", simple(columns, y), l2=0.0)
    away = c * (1.0 if np.cov(c, y)[0, 1] < 0 else -1.0)
    bound, _ = fitted(tmp_path / "bound", simple({**columns, "c": away}, y), l2=0.0, nonnegative=("c",))
    losses = [s.record["history"][-1]["train_loss"] for s in (smooth, bound)]
    assert losses[1] <= losses[0] + 1e-9


def test_a_sample_that_is_told_apart_does_not_lead_astray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newton, "SAMPLE_ROWS", 200)
    monkeypatch.setattr(newton, "ROWS_A_WEIGHT", 1)
    x = np.random.default_rng(0).integers(0, 2, 4000).astype(float)
    y = x.copy()
    y[-4:] = 1 - x[-4:]
    x[-4:], y[-4:] = [0, 1, 0, 1], [1, 0, 1, 0]
    store, features = made(tmp_path, simple({"x": x}, y > 0), [100] * 40)
    solution = newton.fit(problem_of(store, features, whole(store), l2=0.0), ALONE)
    rate = [y[x == side].mean() for side in (0, 1)]
    wanted = np.log(rate[1] / (1 - rate[1])) - np.log(rate[0] / (1 - rate[0]))
    assert solution.inference["numeric"]["x"]["per_unit"]["estimate"] == pytest.approx(wanted, rel=1e-6)


def test_a_sample_without_weight_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newton, "SAMPLE_ROWS", 200)
    monkeypatch.setattr(newton, "ROWS_A_WEIGHT", 1)
    draw = np.random.default_rng(0)
    columns = {f"c{i:02d}": draw.normal(size=4000) for i in range(20)}
    y = columns["c00"] + draw.logistic(size=4000) > 0
    table = simple(columns, y, (np.arange(4000) < 400).astype(float))
    store, features = made(tmp_path, table, [100] * 40)
    solution = newton.fit(problem_of(store, features, whole(store), l2=1e-3), ALONE)
    assert solution.record["certificate"]["is_proven"]


@pytest.mark.parametrize("centre", [1e5, 1e7, 16_777_213])
def test_a_column_far_from_nought_stays_within_its_bounds(tmp_path: Path, centre: float) -> None:
    """Its centre is subtracted as float32 holds it."""
    draw = np.random.default_rng(0)
    far = centre + np.arange(600) % 2
    y = (np.arange(600) % 2) + draw.logistic(size=600) > 0.5
    solution, rows = fitted(tmp_path, simple({"far": far}, y), l2=1e-3)
    assert solution.record["certificate"]["is_proven"]
    assert np.isfinite(rows.x).all()


def test_classes_that_can_be_told_apart_are_noticed_beside_a_bound_too(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    y = np.arange(200) % 2
    table = simple({"noise": draw.normal(size=200), "teller": y * 2.0 + draw.random(200)}, y)
    with pytest.raises(DataError, match="column 'teller' grows without end"):
        fitted(tmp_path, table, l2=0.0, nonnegative=("noise",))

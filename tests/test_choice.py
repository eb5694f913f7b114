"""Which solver is taken, and what is told of how far its weights are from the optimum."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from binclf.config import Config, Train, parse
from binclf.errors import ConfigError
from binclf.features import Features
from binclf.loader import HeldRows, Source
from binclf.loader.process import Peak
from binclf.loader.tier import Job, Room, choose
from binclf.plan import Counts, foresee, text_of
from binclf.retrain import retrain
from binclf.solvers import certificate as certify_room
from binclf.solvers import checkpoint, choice, lbfgs, minibatch, newton
from binclf.solvers.blocks import Reducer
from binclf.solvers.certificate import certify, foretold
from binclf.solvers.checkpoint import Checkpoint
from binclf.solvers.choice import choice_of, needed, unaffordable
from binclf.solvers.choice import weight_bytes as bytes_of
from binclf.solvers.descent import Descent
from binclf.solvers.distance import distance
from binclf.solvers.point import penalty_of, point_of
from binclf.solvers.problem import Problem
from binclf.split import ensure
from binclf.train import job_of, learn_features
from binclf.world import Lone, join
from tests.ranks import run, small_job
from tests.trained import decoding, on_disk, settings, stores

ALONE = Lone("cpu")


@pytest.mark.parametrize(
    ("train", "asked"),
    [
        ({}, "auto"),
        ({"epochs": 20, "cache": "none", "ranks": 2, "checkpoint_seconds": 1.0, "l2": 0.5}, "auto"),
        ({"solver": "minibatch"}, "minibatch"),
        ({"epochs": 21}, "minibatch"),
        ({"optimizer": "sgd"}, "minibatch"),
        ({"device": "cuda"}, "minibatch"),
        ({"nonnegative": ["a"]}, "newton"),
        ({"tolerance": 0.0}, "auto"),
        ({"l1": 0.1}, "auto"),
        ({"solver": "lbfgs", "l1": 0.1, "checkpoint_seconds": 1.0}, "lbfgs"),
    ],
)
def test_settings_of_one_solver_ask_for_it(train: dict[str, Any], asked: str) -> None:
    config = {"name": "a", "store": "s", "data": {"path": "x", "label": "y"}, "train": train}
    assert parse(config).train.asked == asked


@pytest.fixture(scope="module")
def learnt(people_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Features, Job, Any]:
    """A config that asks for no solver, what is learnt of its rows, its job, and all rows."""
    config = settings(people_dir, tmp_path_factory.mktemp("choice"), train={"epochs": 20})
    split, features, held = stores(config)
    sources = {part: Source(split.parts[part], decoding(config, split)) for part in ("train", "validation")}
    return config, features, job_of(config, sources, ALONE, Room(2**33, 2**33), features), (split, held)


def chosen(job: Job, features: Features, folder: Path | None = None) -> choice.Choice:
    """The choice of a rank on its own."""
    return choice_of(job, choose(job), features, folder, ALONE)


def test_a_small_hessian_is_taken_and_a_large_one_is_not(
    learnt: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, features, job, _ = learnt
    assert chosen(job, features).name == "newton"
    weights = features.width + features.table_size + 1
    monkeypatch.setattr(choice, "UNASKED_WEIGHTS", weights - 1)
    found = chosen(job, features)
    assert (found.name, found.pairs) == ("lbfgs", lbfgs.MOST_PAIRS)
    assert f"a Hessian of {weights} weights takes long" in found.why
    monkeypatch.setattr(choice, "UNASKED_WEIGHTS", weights)
    assert chosen(job, features).name == "newton"


def test_a_hessian_that_memory_does_not_hold_is_not_taken(learnt: Any) -> None:
    config, features, job, _ = learnt
    shape = replace(job.shape, table=1500)
    curved = choose(replace(job, shape=replace(shape, is_curved=True))).need.total
    plain = choose(replace(job, shape=shape)).need.total
    for allowed, is_enough in ((curved, True), ((curved + plain) // 2, False)):
        own = config.model_copy(update={"train": config.train.model_copy(update={"memory_bytes": allowed})})
        tight = replace(job, config=own, shape=shape)
        reason = unaffordable(tight, choose(tight), features, ALONE)
        assert (not reason) == is_enough
        assert is_enough or "does not fit" in reason


def asking(job: Job, **train: Any) -> Job:
    """The same job with other settings."""
    changed = job.config.model_dump()
    return replace(job, config=parse({**changed, "train": {**changed["train"], **train}}))


def test_where_rows_are_decoded_in_each_pass_few_passes_are_taken(learnt: Any) -> None:
    _, features, job, _ = learnt
    many = {"train": Counts((20_000,) * 60)}
    wide = replace(job, sources=many, shape=replace(job.shape, table=5000))
    learnt_wide = replace(features, hash_offset=5000)
    assert chosen(asking(wide, cache="ram"), learnt_wide).name == "lbfgs"
    streamed = chosen(asking(wide, cache="none"), learnt_wide)
    assert streamed.name == "minibatch"
    assert "lbfgs would decode the rows in each of dozens of passes" in streamed.why
    assert chosen(asking(wide, cache="none", l1=0.1), learnt_wide).name == "lbfgs"  # all that reads it
    assert chosen(asking(wide, cache="none", solver="lbfgs"), learnt_wide).name == "lbfgs"


def test_pairs_are_as_many_as_fit_and_too_little_memory_is_refused_with_what_would_do(learnt: Any) -> None:
    _, features, job, _ = learnt
    wide = replace(job, shape=replace(job.shape, table=2**20))
    learnt_wide = replace(features, hash_offset=2**20)
    needs = {
        count: choose(
            replace(wide, shape=replace(wide.shape, weight_bytes=bytes_of(count, 2**20, is_path=True)))
        ).need.total
        for count in (3, 5, 6)
    }
    tight = asking(wide, memory_bytes=(needs[5] + needs[6]) // 2)
    assert chosen(tight, learnt_wide).pairs == 5
    assert needed(tight, choose(tight), chosen(tight, learnt_wide)).need.total == needs[5]
    short = needs[3] - 2**20
    assert chosen(asking(wide, memory_bytes=short), learnt_wide).name == "minibatch"
    least = -(-needs[3] // 2**20) * 2**20
    words = rf"lbfgs needs .* for 1,048,5\d\d weights .* set train\.memory_bytes to {least} or more"
    with pytest.raises(ConfigError, match=words):
        chosen(asking(wide, memory_bytes=short, solver="lbfgs"), learnt_wide)


def test_an_interrupted_run_goes_on_with_its_solver(learnt: Any, tmp_path: Path) -> None:
    _, features, job, _ = learnt
    for solver, record in (
        ("newton", {"solver": "newton"}),
        ("lbfgs", {"solver": "lbfgs"}),
        ("minibatch", {"solver": "minibatch"}),
        ("minibatch", {}),
    ):
        checkpoint.write(tmp_path, Checkpoint(1, 0, {"point": np.zeros(3)}, record))
        assert chosen(job, features, tmp_path).name == solver


def problem(learnt: Any, **train: Any) -> Problem:
    _, features, _, (split, held) = learnt
    chosen = Train(device="cpu", **train)
    return Problem(held["train"], None, features, split.weight("train"), split.base_rate("train"), chosen)


def test_what_minibatch_found_is_as_far_from_the_optimum_as_is_told(learnt: Any) -> None:
    """Proven bounds hold against the optimum itself, and are not idle."""
    rough = problem(learnt, epochs=2, lanes=8)
    with join("cpu") as world:
        found = minibatch.fit(rough, world).weights
    told = distance(rough, found, ALONE)
    exact = problem(learnt, solver="newton", tolerance=0.0, lanes=8)
    best = newton.fit(exact, ALONE)
    here = told["certificate"]
    missed = told["objective"] - best.record["history"][-1]["objective"]
    assert missed > 1e-9
    assert here["model_gap"] == pytest.approx(missed, rel=0.3)
    reducer = Reducer(exact.train, exact.features, exact.weight, ALONE)
    state = Descent(reducer, penalty_of(exact)).at(point_of(found))
    inverse = state.model.inverse.matrix()
    apart = np.abs(point_of(found) - point_of(best.weights)) / np.sqrt(np.diag(inverse) / exact.weight)
    assert apart.max() > 0.01
    assert here["model_errors"] >= 0.8 * apart.max()
    near = point_of(best.weights) + 1e-3 * (point_of(found) - point_of(best.weights))
    certificate = certify(Descent(reducer, penalty_of(exact)).at(near).model, exact.weight, reducer.terms)
    assert certificate.is_proven
    assert certificate.errors is not None
    assert certificate.errors >= 0.999e-3 * apart.max()
    assert certificate.gap is not None
    assert 0.9e-6 * missed <= certificate.gap <= 1e-4 * missed


class Torn(Lone):
    """What the other of two ranks says is always that it lacks memory."""

    def gather(self, content: bytes) -> list[bytes]:
        """Ours, and that."""
        return [content, b"a Hessian does not fit"]


def test_what_one_rank_cannot_hold_no_rank_takes(learnt: Any) -> None:
    _, features, job, _ = learnt
    assert unaffordable(job, choose(job), features, Torn("cpu")) == "a Hessian does not fit"


def test_where_all_rows_are_certain_nothing_is_proven(learnt: Any) -> None:
    """There slope and curvature are nought, as at an optimum; and for both there is no float to tell."""
    task = problem(learnt, solver="newton", l2=0.0, lanes=8)
    _, features, _, _ = learnt
    far = {
        "weight": np.zeros(features.width),
        "table": np.zeros(features.table_size),
        "bias": np.array([900.0]),
    }
    told = distance(task, far, ALONE)["certificate"]
    assert not told["is_proven"]
    assert told["gap"] is None


def on_a_torn_rank(folder: Path) -> list[float]:
    """Body: the last step is foretold by rank 0 alone, as where processors round otherwise."""
    config = small_job(folder)
    with join("cpu") as world:
        if world.rank:
            vars(newton)["foretold"] = lambda *_: None
        split = ensure(config)
        store = HeldRows(Source(split.parts["train"], decoding(config, split)))
        features = learn_features(world, config, decoding(config, split), split, store)
        store.attach(features)
        settings = Train(solver="newton", device="cpu", l2=1e-3)
        rate, weight = split.base_rate("train"), split.weight("train")
        solution = newton.fit(Problem(store, None, features, weight, rate, settings), world)
        return list(point_of(solution.weights))


@pytest.mark.slow
def test_ranks_take_the_last_step_together_though_one_could_not_foretell_it(tmp_path: Path) -> None:
    ensure(small_job(tmp_path))
    one, other = run(2, on_a_torn_rank, folder=tmp_path)
    assert one == other


def test_a_step_that_is_foretold_ends_where_it_is_said_to(
    learnt: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the point itself the certificate is no worse than what was foretold of it, near and not so near."""
    task = problem(learnt, solver="newton", lanes=8)
    reducer = Reducer(task.train, task.features, task.weight, ALONE)
    descent = Descent(reducer, penalty_of(task))
    best = point_of(newton.fit(problem(learnt, solver="newton", tolerance=0.0, lanes=8), ALONE).weights)
    draw = np.random.default_rng(0)
    start = descent.at(best + 1e-5 * draw.normal(size=len(best)))
    assert foretold(start.model, task.weight, reducer.terms) is None  # errors would not be known to 6 digits
    monkeypatch.setattr(certify_room, "NEAR", 1.0)
    shares = []
    for size in (1e-2, 1e-3, 1e-4):
        for _ in range(5):
            state = descent.at(best + size * draw.normal(size=len(best)))
            said = foretold(state.model, task.weight, reducer.terms)
            if said is None:
                continue
            after = descent.at(state.point + state.model.least[0])
            seen = certify(after.model, task.weight, reducer.terms)
            assert said.errors is not None
            assert seen.errors is not None
            assert seen.decrement <= said.decrement + 1e-14
            assert seen.errors <= said.errors + 1e-10
            shares.append(seen.decrement / said.decrement)
    assert len(shares) >= 10
    assert max(shares) > 1e-3  # nor is it said to be so far that anything would do


@pytest.mark.slow
def test_a_run_of_minibatch_on_ranks_tells_the_same_distance(tmp_path: Path) -> None:
    told = []
    for ranks in (1, 2):
        config = small_job(tmp_path / str(ranks), train={"ranks": ranks, "optimizer": "sgd"})
        place = on_disk(retrain(config))
        training = json.loads((place / "model.json").read_text())["training"]
        assert training["solver"] == "minibatch"
        told.append(training["certificate"]["decrement"])
        report = (place / "report.html").read_text()
        assert "standard errors" in report
    assert told[0] == pytest.approx(told[1], rel=1e-3)  # float32 steps differ by rounding


def test_auto_trains_by_newton_and_says_why(
    people_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = settings(people_dir, tmp_path, train={"epochs": 20})
    with caplog.at_level("INFO"):
        place = on_disk(retrain(config))
    assert "solver: newton, as a Hessian of its weights is affordable" in caplog.text
    training = json.loads((place / "model.json").read_text())["training"]
    assert training["solver"] == "newton"
    assert training["certificate"]["errors"] < 1e-6


def test_how_far_minibatch_is_with_many_weights_remains_unknown(people_dir: Path, tmp_path: Path) -> None:
    config = settings(people_dir, tmp_path, train={"epochs": 2}, features={"max_levels": 2})
    place = on_disk(retrain(config))
    training = json.loads((place / "model.json").read_text())["training"]
    assert training["solver"] == "minibatch"
    assert training["certificate"] is None
    assert "takes long" in training["no_certificate"]
    assert "remains unknown: a Hessian of 262," in (place / "report.html").read_text()


def test_a_plan_tells_the_solver(people_dir: Path, tmp_path: Path) -> None:
    asked = settings(people_dir, tmp_path, train={"epochs": 7})
    assert foresee(asked, 1)["solver"] == "minibatch"
    open_ended = settings(people_dir, tmp_path, train={"epochs": 20})
    found = foresee(open_ended, 1)
    assert found["solver"] == "auto"
    assert "newton up to 2,048 weights, about 5 passes; beyond, lbfgs" in text_of(found)
    brief = settings(people_dir, tmp_path, train={"epochs": 20, "influence": False})
    assert "newton up to 2,048 weights, about 4 passes; beyond, lbfgs" in text_of(foresee(brief, 1))
    named = settings(people_dir, tmp_path, train={"epochs": 20, "solver": "newton"})
    found = foresee(named, 1)
    assert found["solver"] == "newton"
    assert found["steps_per_epoch"] is None
    assert "steps" not in text_of(found)
    named = settings(people_dir, tmp_path, train={"epochs": 20, "solver": "lbfgs"})
    found = foresee(named, 1)
    assert found["passes"]["train"] > 10
    assert "lbfgs, about" in text_of(found)
    assert found["memory_bytes"] > 2**18 * bytes_of(3, 2**18)  # all buckets that there could be


def test_memory_that_a_library_takes_does_not_count() -> None:
    peak = Peak()
    if peak.bytes() is None:
        pytest.skip("the peak cannot be told here")
    with peak.apart():
        library = np.ones(2**23)
    assert (peak.bytes() or 0) < 2**25
    own = np.ones(2**24)
    assert (peak.bytes() or 0) > 2**26
    assert library[-1] == own[-1]

"""A start from what an earlier run kept of each file: fewer passes, the same optimum, no trust in it."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from binclf import artifact, commit
from binclf.config import Config, parse
from binclf.errors import ConfigError
from binclf.features import FIRST_LEVEL, CategoricalColumn, Features
from binclf.parquet import Column
from binclf.solvers import blocks, bundles, cuts, newton
from binclf.solvers.blocks import Sums
from binclf.solvers.bundles import SUMS, bundles_of, values_of
from binclf.solvers.change import carried, change_of, comparable
from binclf.solvers.exact import ExactSum
from binclf.solvers.problem import Seen
from binclf.solvers.warm import Kept
from binclf.split import ensure
from binclf.storage import Place
from binclf.train import train
from tests.optimum import ALONE, Floats
from tests.ranks import run
from tests.trained import write

ROWS, FILES, GROUP = 600, 16, 200  # rows of a file, files, rows of a row group
TOWNS = ("Aachen", "Bremen", "Celle")


def rows_of(seed: int, towns: tuple[str, ...] = TOWNS) -> pa.Table:
    """A file: numbers, some missing, and towns; the label follows from all of them."""
    draw = np.random.default_rng([11, seed])
    a, b = draw.normal(size=(2, ROWS))
    town = draw.integers(0, len(towns), ROWS)
    y = 1.2 * a - 0.7 * b + 0.2 * a * b + 0.5 * town + draw.logistic(size=ROWS) > 0.4
    return pa.table(
        {
            "far": pa.array(1e6 + 50 * b, pa.float64()),
            "gaps": pa.array(3 * a - 2, pa.float64(), mask=draw.random(ROWS) < 0.2),
            "town": pa.array([towns[place] for place in town]),
            "w": draw.choice([0.25, 1.0, 6.0], ROWS),
            "bought": y,
        }
    )


def put(folder: Path, number: int, table: pa.Table | None = None) -> None:
    """Write a file of the data."""
    table = rows_of(number) if table is None else table
    write(folder / "data" / f"{number:02}.parquet", table, [GROUP] * (len(table) // GROUP))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    be_small(monkeypatch)


@pytest.fixture(autouse=True)
def _in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that begin in one second have names in the order of their beginning, too."""
    codes = (f"{number:06x}" for number in count())
    begin = sys.modules["binclf.artifact.begin"]  # the function has its name
    monkeypatch.setattr(begin, "secrets", SimpleNamespace(token_hex=lambda _: next(codes)))


def be_small(patch: pytest.MonkeyPatch) -> None:
    """Few rows are a block: a file has several."""
    patch.setattr(cuts, "LEAST_ROWS", GROUP)
    patch.setattr(cuts, "ROWS_A_WEIGHT", 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sixteen files."""
    for number in range(FILES):
        put(tmp_path, number)
    return tmp_path


def config_of(folder: Path, store: str = "runs", **sections: Any) -> Config:
    data = {"path": str(folder / "data"), "label": "bought", "weight": "w", **sections.get("data", {})}
    settings: dict[str, Any] = {"solver": "newton", "device": "cpu", "lanes": 8, "l2": 1e-4}
    settings["warm_start"] = "auto"
    settings["influence"] = False  # which is one more pass, after the optimum
    return parse(
        {"name": "warm", "store": str(folder / store), "data": data, "split": {"method": "none"}}
        | {"features": sections.get("features", {}), "train": settings | sections.get("train", {})}
    )


def trained(config: Config) -> Place:
    """Train in this process, and seal."""
    run_dir = artifact.begin(config)
    train(run_dir)
    artifact.seal(run_dir)
    return run_dir


def told(run_dir: Place) -> dict[str, Any]:
    """What the model's file says of the training."""
    found: dict[str, Any] = json.loads((run_dir / "model.json").read_text())["training"]
    return found


def digest(run_dir: Place) -> str:
    return hashlib.sha256((run_dir / "model.safetensors").read_bytes()).hexdigest()


def assert_same_optimum(one: Place, other: Place) -> None:
    """Every coefficient within both certificates, in standard errors, and rounding."""
    models = [json.loads((run_dir / "model.json").read_text()) for run_dir in (one, other)]
    allowed = sum(model["training"]["certificate"]["errors"] for model in models) + 1e-8
    found = [list(entries(model["inference"])) for model in models]
    assert len(found[0]) == len(found[1]) > 2
    for (name, mine), (same, theirs) in zip(*found, strict=True):
        assert name == same
        assert abs(mine["estimate"] - theirs["estimate"]) <= allowed * (mine["se"] or 0.0), (
            name
        )  # of no rows: nought


def entries(tree: Any, name: str = "") -> Any:
    """The coefficients of a model's `inference`, by name."""
    if isinstance(tree, dict) and "estimate" in tree:
        yield name, tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from entries(value, f"{name}/{key}")


def assert_as_from_scratch(folder: Path, run_dir: Place, **sections: Any) -> None:
    """The same optimum as a fit that knows of no earlier run."""
    train = {**sections.pop("train", {}), "warm_start": "off"}
    scratch = trained(config_of(folder, "scratch", train=train, **sections))
    assert not (scratch / SUMS).exists()
    assert "warm_start" not in told(scratch)
    assert_same_optimum(run_dir, scratch)


def test_one_file_of_sixteen_is_added_in_two_passes_to_the_certified_optimum(folder: Path) -> None:
    first = trained(config_of(folder))
    assert told(first)["warm_start"]["from"] == ""
    assert "no finished run" in told(first)["warm_start"]["reason"]
    put(folder, FILES)
    second = trained(config_of(folder))
    found = told(second)
    assert found["warm_start"] == {"from": first.name, "reason": "", "rows_looked_at_first": ROWS}
    assert found["certificate"]["is_proven"]
    assert found["certificate"]["errors"] <= 1e-6
    assert found["passes"] <= 2 < told(first)["passes"]
    assert_as_from_scratch(folder, second)


def test_a_file_is_removed_without_a_look_at_any(folder: Path) -> None:
    first = trained(config_of(folder))
    (folder / "data" / "03.parquet").unlink()
    second = trained(config_of(folder))
    found = told(second)
    assert found["warm_start"] == {"from": first.name, "reason": "", "rows_looked_at_first": 0}
    assert found["passes"] <= 2
    assert_as_from_scratch(folder, second)


def test_a_file_that_changed_under_its_name_is_a_new_one(folder: Path) -> None:
    """As many rows in the same row groups; nothing of what was known of it is used."""
    trained(config_of(folder))
    put(folder, 5, rows_of(99))
    second = trained(config_of(folder))
    assert told(second)["warm_start"]["rows_looked_at_first"] == ROWS
    assert told(second)["passes"] <= 3  # it moves the optimum as far as two files do
    assert_as_from_scratch(folder, second)


def test_levels_come_and_go(folder: Path) -> None:
    """A new file brings a level; when it is gone again, the places of the others move back."""
    put(folder, 0, rows_of(0, (*TOWNS, "Aalen")))  # first in order, so that all others move
    trained(config_of(folder))
    put(folder, FILES, rows_of(FILES, (*TOWNS, "Zossen")))
    (folder / "data" / "00.parquet").unlink()
    second = trained(config_of(folder))
    levels = artifact.open_run(second).features.categorical[0].levels
    assert levels == (*TOWNS, "Zossen")
    assert told(second)["warm_start"]["rows_looked_at_first"] == ROWS
    assert told(second)["passes"] <= 3
    assert_as_from_scratch(folder, second)


def test_the_first_missing_number_comes_with_a_new_file(folder: Path) -> None:
    trained(config_of(folder))
    table = rows_of(FILES)
    gaps = pa.array(table["far"].to_numpy(), pa.float64(), mask=np.arange(ROWS) % 7 == 0)
    put(folder, FILES, table.set_column(0, "far", gaps))
    second = trained(config_of(folder))
    assert artifact.open_run(second).features.width == 4
    assert told(second)["passes"] <= 3
    assert_as_from_scratch(folder, second)


def test_another_penalty_takes_the_same_sums(folder: Path) -> None:
    """They are of the log-loss alone."""
    trained(config_of(folder, train={"l2": 1e-2}))
    second = trained(config_of(folder))
    assert told(second)["warm_start"]["rows_looked_at_first"] == 0
    assert_as_from_scratch(folder, second)


def damaged(run_dir: Place) -> None:
    content = bytearray((run_dir / SUMS).read_bytes())
    content[len(content) // 2] ^= 4
    commit.write_bytes(run_dir / SUMS, bytes(content))


def test_a_damaged_run_is_passed_over_for_the_one_before(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before, newest = trained(config_of(folder)), trained(config_of(folder))
    damaged(newest)
    third = artifact.begin(config_of(folder))
    assert f"the sums of {newest} are not begun with" in caplog.text
    train(third)
    assert told(third)["warm_start"]["from"] == before.name
    damaged(before)
    assert "no finished run" in told(trained(config_of(folder)))["warm_start"]["reason"]


def altered(run_dir: Place, **changes: Any) -> None:
    """Change what a run begins with, its checksum being right."""
    copy = run_dir / artifact.CHECKPOINTS / SUMS
    kept = Kept.read(copy.read_bytes())
    parts = {name: changes.get(name, getattr(kept, name)) for name in Kept.__dataclass_fields__}
    commit.write_bytes(copy, Kept(**parts).packed())


HARMS: dict[str, Any] = {
    "cut": lambda content: content[:-9],
    "no header": lambda content: b"\x08",
    "edited": lambda content: content.replace(b'format\\": 1', b'format\\": 2'),
    "flipped": lambda content: content[:-9] + bytes([content[-9] ^ 4]) + content[-8:],
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_copy_that_was_damaged_is_told_and_not_used(folder: Path, harm: str) -> None:
    trained(config_of(folder))
    second = artifact.begin(config_of(folder))
    copy = second / artifact.CHECKPOINTS / SUMS
    content = copy.read_bytes()
    assert HARMS[harm](content) != content
    commit.write_bytes(copy, HARMS[harm](content))
    train(second)
    assert "damaged" in told(second)["warm_start"]["reason"]
    assert told(second)["warm_start"]["from"] == ""
    assert told(second)["passes"] > 2


def test_another_format_is_told_and_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(config_of(folder))
    monkeypatch.setattr("binclf.solvers.warm.FORMAT", 2)
    assert "it is of format 1" in told(trained(config_of(folder)))["warm_start"]["reason"]


@pytest.mark.parametrize("name", ["point", "sums"])
def test_numbers_that_are_wrong_cost_passes_and_spoil_nothing(folder: Path, name: str) -> None:
    trained(config_of(folder))
    second = artifact.begin(config_of(folder))
    kept = Kept.read((second / artifact.CHECKPOINTS / SUMS).read_bytes())
    values = getattr(kept, name)
    wrong = 3 * np.abs(values).max() * np.cos(np.arange(values.size)).reshape(values.shape)
    altered(second, **{name: values + wrong})
    train(second)
    assert told(second)["warm_start"]["from"]
    assert told(second)["certificate"]["errors"] <= 1e-6
    assert_as_from_scratch(folder, second)


@pytest.mark.parametrize(
    "sections",
    [
        {"data": {"exclude": ["gaps"]}},
        {"data": {"weight": "", "exclude": ["w"]}},
        {"features": {"log1p": ["far"]}},
        {"features": {"max_levels": 1, "hash_bits": 4}},
    ],
    ids=["columns", "weight", "log1p", "hashed"],
)
def test_sums_of_another_question_are_told_and_not_used(folder: Path, sections: dict[str, Any]) -> None:
    trained(config_of(folder))
    second = trained(config_of(folder, **sections))
    assert told(second)["warm_start"]["from"] == ""
    assert "column" in told(second)["warm_start"]["reason"]
    assert_as_from_scratch(folder, second, **sections)


def test_of_more_new_rows_than_old_ones_an_earlier_run_says_too_little(folder: Path) -> None:
    for number in range(5):
        (folder / "data" / f"{number:02}.parquet").rename(folder / f"{number:02}.parquet")
    (folder / "rest").mkdir()
    for path in (folder / "data").iterdir():
        path.rename(folder / "rest" / path.name)
    for number in range(5):
        (folder / f"{number:02}.parquet").rename(folder / "data" / f"{number:02}.parquet")
    trained(config_of(folder))
    for path in (folder / "rest").iterdir():
        path.rename(folder / "data" / path.name)
    reason = told(trained(config_of(folder)))["warm_start"]["reason"]
    assert reason.startswith("6,600 of 9,600 rows are not in the sums of")


def test_sums_are_kept_by_as_many_files_as_the_bytes_ask_for_and_at_last_not_at_all(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    size = 3 + 3 + 2 + 1  # numbers and an indicator, towns, other and null, the intercept
    monkeypatch.setattr(bundles, "MOST_BYTES", 6 * 8 * values_of(size))
    first = trained(config_of(folder))
    assert "by runs of up to 3" in caplog.text
    kept = Kept.read((first / SUMS).read_bytes())
    assert [len(files) for files in kept.files] == [3, 3, 3, 3, 3, 1]
    (folder / "data" / "04.parquet").unlink()
    second = trained(config_of(folder))
    assert told(second)["warm_start"]["rows_looked_at_first"] == 2 * ROWS  # its neighbours, 03 and 05
    assert_as_from_scratch(folder, second)
    monkeypatch.setattr(bundles, "MOST_BYTES", 8 * values_of(size) - 1)
    third = trained(config_of(folder))
    assert not (third / SUMS).exists()
    assert "no sums are kept for a later run" in caplog.text
    assert told(third)["warm_start"]["from"] == second.name


def test_class_weights_are_refused_beside_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"train\.warm_start has no effect with train\.class_weight"):
        config_of(tmp_path, train={"class_weight": "balanced"})


@pytest.mark.parametrize("cache", ["ram", "disk", "none"])
def test_tiers_leave_no_trace(folder: Path, cache: str) -> None:
    trained(config_of(folder))
    put(folder, FILES)
    plain, other = (artifact.begin(config_of(folder, train={"cache": name})) for name in ("auto", cache))
    for run_dir in (plain, other):
        train(run_dir)
        assert told(run_dir)["warm_start"]["from"]
    assert digest(plain) == digest(other)


def begun(folder: Path, **train: Any) -> Place:
    """A run that begins where another ended, of one file less."""
    if not (folder / "runs").exists():
        trained(config_of(folder, train=train))
        put(folder, FILES)
    return artifact.begin(config_of(folder, train=train))


@pytest.mark.parametrize("passes", [0, 1, 2])
def test_a_run_that_is_killed_goes_on_to_the_same_bits_whatever_the_store_holds_by_then(
    folder: Path, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = begun(folder, tolerance=0.0), begun(folder, tolerance=0.0)
    train(whole)
    artifact.seal(whole)  # and is the newest that has sums from now on
    judged, seen = newton._Newton._judged, 0

    def once(self: Any, state: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen > passes:
            raise KeyboardInterrupt
        return judged(self, state)

    with monkeypatch.context() as patch:
        patch.setattr(newton._Newton, "_judged", once)
        with pytest.raises(KeyboardInterrupt):
            train(cut)
    train(cut)
    assert digest(cut) == digest(whole)
    assert told(cut)["warm_start"] == told(whole)["warm_start"]
    assert arrays_of(cut)["sums"].tobytes() == arrays_of(whole)["sums"].tobytes()


def arrays_of(run_dir: Any) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = load_file(run_dir / SUMS)
    return found


def on_a_rank(run_dir: Path, is_exact: bool) -> None:
    """Body: train on this rank."""
    with pytest.MonkeyPatch.context() as patch:
        be_small(patch)
        if not is_exact:
            patch.setattr(blocks, "ExactSum", Floats)
            patch.setattr(Floats, "apart", lambda self, world: self.total(world)[np.newaxis], raising=False)
            patch.setattr("binclf.solvers.warm.Kept.packed", lambda self: b"")
        train(run_dir)


@pytest.mark.slow
def test_any_number_of_ranks_has_the_bits_of_one_and_a_float_all_reduce_has_not(folder: Path) -> None:
    def on_ranks(ranks: int, *, is_exact: bool = True) -> tuple[str, bytes]:
        run_dir = begun(folder)
        run(ranks, on_a_rank, run_dir=run_dir, is_exact=is_exact)
        return digest(run_dir), arrays_of(run_dir)["sums"].tobytes() if is_exact else b""

    alone = begun(folder)
    train(alone)
    assert told(alone)["warm_start"]["rows_looked_at_first"] == ROWS
    assert {on_ranks(1), on_ranks(2), on_ranks(3)} == {(digest(alone), arrays_of(alone)["sums"].tobytes())}
    assert on_ranks(2, is_exact=False) != on_ranks(3, is_exact=False)


def test_sums_that_are_kept_are_those_of_each_file(folder: Path) -> None:
    """Weights by the rows themselves, and all of them together as the whole has them."""
    run_dir = trained(config_of(folder))
    kept = Kept.read((run_dir / SUMS).read_bytes())
    weights = [float(np.float32(rows_of(number)["w"].to_numpy()).sum()) for number in range(FILES)]
    assert kept.sums[:, 0] == pytest.approx(weights, rel=1e-12)
    last = told(run_dir)["history"][-1]["train_loss"]
    assert kept.sums[:, 1].sum() / kept.sums[:, 0].sum() == pytest.approx(last, rel=1e-12)


@given(st.integers(1, 40), st.integers(1, 30), st.integers(0, 40))
def test_bundles_hold_all_files_once_in_order_within_the_bytes(total: int, size: int, most: int) -> None:
    class File:
        def __init__(self, number: int) -> None:
            self.id, self.footer, self.groups = f"{number}-0", "", (1,) * (number % 3)
            self.rows, self.positives, self.weight, self.positive_weight = number % 3, 0, 1.0, 0.0

    files: Any = [File(number) for number in range(total)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundles, "MOST_BYTES", most * 8 * values_of(size))
        found = bundles_of(files, size)
    assert len(found) <= most
    if most:
        assert [name for bundle in found for name in bundle.files] == [bundles.key_of(f) for f in files]
        groups = [group for bundle in found for group in bundle.groups]
        assert groups == list(range(sum(len(file.groups) for file in files)))
    if most >= total:
        assert len(found) == total


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_parts_of_an_exact_sum_leave_no_trace_in_it(seed: int, parts: int) -> None:
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(30, 4)) * 10.0 ** draw.integers(-9, 9, (30, 4))
    bounds, owner = np.abs(values).sum(axis=0), draw.integers(0, parts, 30)
    whole, apart = ExactSum(bounds, 30), ExactSum(bounds, 30, parts)
    for value, part in zip(values, owner.tolist(), strict=True):
        whole.add(value, 1.0)
        apart.add(value, 1.0, part)
    assert whole.total(ALONE).tobytes() == apart.total(ALONE).tobytes()
    for part, found in enumerate(apart.apart(ALONE)):
        alone = ExactSum(bounds, 30)
        for value in values[owner == part]:
            alone.add(value, 1.0)
        assert found.tobytes() == alone.total(ALONE).tobytes()


def with_levels(levels: list[tuple[str, ...]]) -> Features:
    """Columns of levels and no others."""
    made, offset = [], 0
    for place, own in enumerate(levels):
        column = Column(f"c{place}", "text", "string")
        made.append(CategoricalColumn(column.name, "text", column, own, offset, False, 0, 0, 0, len(own), 0))
        offset += FIRST_LEVEL + len(own)
    return Features((), tuple(made), 18, offset, 1)


@given(st.integers(0, 2**32 - 1))
def test_levels_are_carried_to_their_places_and_rare_ones_to_the_model_of_the_others(seed: int) -> None:
    """Of the second-order model of before, along T^t, by differences, which are exact."""
    draw = np.random.default_rng(seed)
    names = [f"l{number}" for number in range(6)]
    before, after = (
        with_levels([tuple(n for n in names if draw.random() < 0.6) for _ in range(2)]) for _ in range(2)
    )
    assert comparable(before, after) == ""
    old, new = before.table_size + 1, after.table_size + 1
    half = draw.normal(size=(old, old))
    sums = Sums(3.0, 0.7, draw.normal(size=old), half @ half.T)
    seen = Seen(draw.normal(size=old), sums)
    found, change = carried(seen, before, after), change_of(before, after)
    assert (change.sum(axis=0) == 1).all()  # each place goes to one

    def model(point: np.ndarray) -> float:
        moved = change.T @ point - seen.point
        return float(sums.loss + sums.gradient @ moved + 0.5 * moved @ sums.hessian @ moved)

    assert found.sums.loss == pytest.approx(model(found.point), abs=1e-9)
    for place in range(new):
        step = np.eye(new)[place]
        ahead, back = model(found.point + step), model(found.point - step)
        assert found.sums.gradient[place] == pytest.approx((ahead - back) / 2, abs=1e-8)
        bent = ahead + back - 2 * model(found.point)
        assert found.sums.hessian[place, place] == pytest.approx(bent, abs=1e-8)
    for one, other in zip(before.categorical, after.categorical, strict=True):
        for level in {*one.levels} & {*other.levels}:
            here, there = (c.offset + FIRST_LEVEL + c.levels.index(level) for c in (one, other))
            assert found.point[there] == seen.point[here]


def test_a_split_that_moves_no_row_keeps_what_was_known(folder: Path) -> None:
    """With a test part, too: the rows of old files stay where they are when one comes."""
    sections: dict[str, Any] = {"train": {"warm_start": "auto"}}
    settings = config_of(folder, **sections).model_dump() | {"split": {"method": "random", "seed": 3}}
    first = parse(settings)
    trained(first)
    put(folder, FILES)
    second = trained(parse(settings))
    fresh = ensure(parse(settings)).parts["train"][-1].rows
    assert told(second)["warm_start"]["rows_looked_at_first"] == fresh < ROWS
    assert told(second)["passes"] <= 2

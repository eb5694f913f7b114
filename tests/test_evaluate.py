"""Metrics of a run are scikit-learn's on the rows of its parts, from whichever files they come."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from sklearn import metrics as oracle

import binclf
from binclf import artifact, evaluate, judgement
from binclf.config import Rule
from binclf.errors import ArtifactError, BinclfError, ConfigError, DataError
from binclf.evaluate import of_parts
from binclf.metrics import NEVER
from binclf.retrain import retrain
from tests.beside import beside, judged
from tests.ranks import run as run_ranks
from tests.trained import on_disk, people, settings, write


def expected(model: binclf.Model, table: pa.Table) -> dict[str, float]:
    p, y = model.predict_proba(table), table.column("bought").to_numpy()
    w = table.column("w").to_numpy()
    return {
        "rows": len(y),
        "weight": w.sum(),
        "positive_rate": np.average(y, weights=w),
        "log_loss": oracle.log_loss(y, p, sample_weight=w),
        "roc_auc": oracle.roc_auc_score(y, p, sample_weight=w),
        "pr_auc": oracle.average_precision_score(y, p, sample_weight=w),
        "brier": oracle.brier_score_loss(y, p, sample_weight=w),
        "precision": oracle.precision_score(y, p >= 0.5, sample_weight=w),
        "recall": oracle.recall_score(y, p >= 0.5, sample_weight=w),
        "f1": oracle.f1_score(y, p >= 0.5, sample_weight=w),
    }


def assert_equal(found: dict[str, Any], wanted: dict[str, float]) -> None:
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_a_part_is_judged_as_scikit_learn_judges_its_rows(part: str, trained_run: Path) -> None:
    split = artifact.open_run(trained_run).split
    tables = [pq.ParquetFile(file.path).read() for file in split.parts[part]]
    table = pa.concat_tables([table.cast(people(0).schema) for table in tables])
    found = json.loads((trained_run / "metrics.json").read_text())[part]
    assert_equal(found, expected(binclf.load(trained_run), table))


def test_judging_a_run_again_gives_what_was_sealed(trained_run: Path) -> None:
    again = evaluate(trained_run)
    assert again.pop("run") == trained_run.name
    assert again == json.loads((trained_run / "metrics.json").read_text())


def test_rows_that_the_run_was_fitted_on_are_counted_under_any_name_and_warned_of(
    trained_run: Path, people_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    split = artifact.open_run(trained_run).split
    of_file = {
        part: sum(file.rows for file in split.parts[part] if file.relative == "part-2.parquet")
        for part in ("train", "validation")
    }
    data = tmp_path / "data"
    write(data / "new.parquet", people(40, seed=77))
    assert evaluate(trained_run, data)["fitted_on"] == {"train": 0, "validation": 0}
    assert not [record for record in caplog.records if "flatter" in record.message]
    shutil.copy(people_dir / "part-2.parquet", data / "another-name.parquet")
    assert evaluate(trained_run, data)["fitted_on"] == of_file
    assert of_file["train"] > of_file["validation"] > 0
    (told,) = [record.message for record in caplog.records if "flatter" in record.message]
    assert f"of these 1,040 rows {trained_run.name} has seen {of_file['train']} in train and" in told


@pytest.mark.slow
def test_whether_rows_were_fitted_on_is_not_guessed(
    people_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that was written anew in its place tells nothing."""
    data = tmp_path / "data" / "part-1.parquet"
    data.parent.mkdir()
    shutil.copy(people_dir / data.name, data)
    run = retrain(settings(data, tmp_path / "store", train={"epochs": 1}))
    write(data, people(20, seed=9))
    found = evaluate(run, data)
    assert (found["data"]["rows"], found["fitted_on"]["train"]) == (20, None)
    assert "part-1.parquet has other content" in found["fitted_on"]["reason"]
    assert "is not known" in caplog.text


def test_other_data_in_any_files_and_row_groups_give_the_same_judgement(
    trained_run: Path, tmp_path: Path
) -> None:
    table = people(500, seed=21)
    one = evaluate(trained_run, write(tmp_path / "one.parquet", table))["data"]
    write(tmp_path / "many" / "b.parquet", table.slice(300), [0, 1, 199, 0])
    write(tmp_path / "many" / "a.parquet", table.slice(0, 300), [150, 150])
    many = evaluate(trained_run, tmp_path / "many")["data"]
    assert_equal(one, expected(binclf.load(trained_run), table))
    numbers = [name for name in one if isinstance(one[name], float)]
    assert {name: many[name] for name in numbers} == pytest.approx({n: one[n] for n in numbers}, rel=1e-12)
    assert many["confusion"] == one["confusion"]


def test_rows_without_a_label_are_refused_as_in_training(trained_run: Path, tmp_path: Path) -> None:
    table = people(300, seed=22)
    mask = pa.array(np.arange(300) % 3 == 0)
    place = table.column_names.index("bought")
    holed = table.set_column(place, "bought", pc.if_else(mask, None, table.column("bought")))
    with pytest.raises(DataError, match=r"label 'bought' of .*holed\.parquet holds 100 nulls"):
        evaluate(trained_run, write(tmp_path / "holed.parquet", holed))


def test_a_finished_run_is_judged_as_it_was_sealed(trained_run: Path) -> None:
    sealed = artifact.open_run(trained_run).contents["metrics.json"]
    assert evaluate(trained_run) == {"run": trained_run.name, **json.loads(sealed)}


def test_no_rows_are_undefined(trained_run: Path, tmp_path: Path) -> None:
    found = evaluate(trained_run, write(tmp_path / "none.parquet", people(0)))["data"]
    assert found["rows"] == 0
    assert found["log_loss"] is None


@pytest.mark.parametrize("column", ["city", "bought", "w"])
def test_a_missing_column_is_named(column: str, trained_run: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "data.parquet", people(10).drop_columns(column))
    with pytest.raises(DataError, match=rf"data\.parquet lacks column '{column}'"):
        evaluate(trained_run, path)


def test_numbers_that_no_score_comes_of_are_refused_and_never_a_score_that_is_none(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    up, down = random.normal(0, 0.01, (2, 900))
    late = random.random(900) < 1 / (1 + np.exp(100 * (down - up)))
    table = pa.table({"up": up, "down": down, "bought": late})
    config = settings(
        write(tmp_path / "data" / "a.parquet", table).parent,
        tmp_path / "store",
        data={"weight": "", "ids": []},
        features={"categorical": [], "log1p": []},
    )
    run, largest = on_disk(retrain(config)), np.where(np.arange(900) == 3, np.finfo(np.float64).max, 0.0)
    other = pa.table({"up": largest, "down": largest, "bought": late})
    with pytest.raises(
        DataError, match=r"of other\.parquet.* log-odds of row 3, first of 1 whose sum is beyond"
    ):
        evaluate(run, write(tmp_path / "other.parquet", other))


def test_labels_of_another_type_are_refused(trained_run: Path, tmp_path: Path) -> None:
    table = people(10)
    labels = pa.array(["yes", "no"] * 5)
    path = write(tmp_path / "data.parquet", table.set_column(8, "bought", labels))
    with pytest.raises(DataError, match=r"label 'bought' of data\.parquet is string, and the run"):
        evaluate(trained_run, path)


def test_a_run_that_was_altered_is_not_judged(trained_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"is no run"):
        evaluate(tmp_path)


@pytest.fixture(scope="module")
def sliced_run(people_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with slices, and a threshold that validation chose."""
    judged = {"slices": ["city", "code", "member"], "threshold": "max_f1"}
    return on_disk(retrain(settings(people_dir, tmp_path_factory.mktemp("store"), evaluate=judged)))


def part_of(run: Path, part: str) -> pa.Table:
    files = artifact.open_run(run).split.parts[part]
    return pa.concat_tables([pq.ParquetFile(file.path).read().cast(people(0).schema) for file in files])


@pytest.mark.parametrize(
    ("column", "level"), [("city", "Bremen"), ("city", None), ("code", "2"), ("member", "true")]
)
def test_a_slice_is_judged_as_its_rows(column: str, level: str | None, sliced_run: Path) -> None:
    told = json.loads((sliced_run / "metrics.json").read_text())["test"]["slices"][column]
    assert sum(row["rows"] for row in told) == part_of(sliced_run, "test").num_rows
    (row,) = [row for row in told if row["level"] == level]
    table = part_of(sliced_run, "test")
    texts = pc.utf8_lower(pc.cast(table.column(column), pa.string()))
    chosen = pc.is_null(texts) if level is None else pc.equal(texts, level.lower())
    wanted = expected(binclf.load(sliced_run), table.filter(pc.fill_null(chosen, False)))
    assert_equal(row, {name: wanted[name] for name in ("rows", "weight", "log_loss", "roc_auc", "brier")})


def test_row_groups_without_rows_have_no_slices(sliced_run: Path, tmp_path: Path) -> None:
    found = evaluate(sliced_run, write(tmp_path / "holes.parquet", people(30), [0, 30, 0]))["data"]
    assert sum(row["rows"] for row in found["slices"]["city"]) == found["rows"] == 30
    none = evaluate(sliced_run, write(tmp_path / "none.parquet", people(0), [0]))["data"]
    assert (none["rows"], none["slices"]["city"]) == (0, [])


def test_other_data_whose_slices_are_none_are_refused_by_name(people_dir: Path, tmp_path: Path) -> None:
    run, table = on_disk(retrain(settings(people_dir, tmp_path, evaluate={"slices": ["id"]}))), people(20)
    place = table.column_names.index("id")
    for wrong in (pa.array([[1]] * 20), pa.array([1] * 20, pa.timestamp("s"))):
        other = write(tmp_path / "other.parquet", table.set_column(place, "id", wrong))
        with pytest.raises(DataError, match=r"column 'id' of other\.parquet is .* evaluate\.slices"):
            evaluate(run, other)
    with pytest.raises(DataError, match=r"other\.parquet lacks column 'id'"):
        evaluate(run, write(tmp_path / "other.parquet", table.drop_columns("id")))


def test_validation_chooses_the_threshold_and_test_is_judged_by_it(sliced_run: Path) -> None:
    model = binclf.load(sliced_run)
    record = json.loads((sliced_run / "model.json").read_text())
    assert (record["threshold"], record["threshold_rule"]) == (model.threshold, "max_f1")
    found = json.loads((sliced_run / "metrics.json").read_text())
    table = part_of(sliced_run, "validation")
    p, y = model.predict_proba(table), table.column("bought").to_numpy()
    w = table.column("w").to_numpy()
    best = max(oracle.f1_score(y, p >= cut, sample_weight=w) for cut in p)
    assert found["validation"]["f1"] == pytest.approx(best, rel=1e-12)
    table = part_of(sliced_run, "test")
    decided = model.predict(table)
    assert found["test"]["f1"] == pytest.approx(
        oracle.f1_score(
            table.column("bought").to_numpy(), decided, sample_weight=table.column("w").to_numpy()
        )
    )


@pytest.fixture(scope="module")
def grouped_run(people_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose rows are taken to hang together by city."""
    made: dict[str, dict[str, Any]] = {
        "data": {"group": "city"},
        "evaluate": {"slices": ["member"]},
    }
    return on_disk(retrain(settings(people_dir, tmp_path_factory.mktemp("store"), **made)))


@pytest.mark.slow
def test_intervals_are_of_groups_where_the_data_have_them(grouped_run: Path) -> None:
    """Each city is in one part, so few of them tell little."""
    found = json.loads((grouped_run / "metrics.json").read_text())
    cities = len(pc.unique(pc.utf8_lower(part_of(grouped_run, "train").column("city"))))
    assert 1 < found["train"]["units"] <= cities
    for own in (found["train"], *found["train"]["slices"]["member"]):
        low, high = own["intervals"]["log_loss"]
        assert low < own["log_loss"] < high
        assert own["units"] <= cities
    assert "roc_auc" in found["train"]["intervals"]
    assert "roc_auc" not in found["train"]["slices"]["member"][0]["intervals"]


def unlabelled(table: pa.Table, sizes: list[int], labels: dict[int, bool | None]) -> pa.Table:
    """With one label for all rows of some row groups."""
    found, begin = table.column("bought").to_pylist(), 0
    for number, size in enumerate(sizes):
        if number in labels:
            found[begin : begin + size] = [labels[number]] * size
        begin += size
    return table.set_column(table.column_names.index("bought"), "bought", pa.array(found, pa.bool_()))


def at_home(rows: int, seed: int) -> pa.Table:
    """People of whom some live together."""
    homes = np.random.default_rng(seed).integers(0, 80, rows)
    return people(rows, seed=seed).append_column("home", pa.array(homes))


@pytest.fixture(scope="module")
def homely_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("homes")
    write(folder / "data" / "a.parquet", at_home(900, seed=30))
    data = {"group": "home", "on_null_label": "drop"}
    return on_disk(retrain(settings(folder / "data", folder / "runs", data=data, train={"epochs": 20})))


@pytest.mark.parametrize("label", [None, False, True])
def test_row_groups_without_both_labels_do_not_end_the_look_for_edges(
    label: bool | None, homely_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of eight row groups each second is looked at; where these tell nothing, the others are."""
    sizes = [50] * 8
    table = unlabelled(at_home(400, seed=31), sizes, dict.fromkeys((0, 2, 4, 6), label))
    path = write(tmp_path / "a.parquet", table, sizes)
    whole = evaluate(homely_run, path)["data"]  # so few rows are all looked at
    assert "roc_auc" in whole["intervals"]
    monkeypatch.setattr(judgement, "LOOK_ROWS", 1)
    found = evaluate(homely_run, path)["data"]
    assert found["rows"] == whole["rows"]
    assert found["intervals"]["roc_auc"] == pytest.approx(whole["intervals"]["roc_auc"], abs=0.01)


def judged_in_bins(run_dir: str, most: int) -> str:
    """In each rank: everything that evaluation tells, with so many bins."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judgement, "MOST_BINS", most)
        return judged(run_dir)


@pytest.mark.slow
def test_rows_of_a_trained_run_are_judged_as_scikit_learn_would_on_any_number_of_ranks(
    tmp_path: Path,
) -> None:
    assert beside(tmp_path, 5_000, (1, 2), is_weighted=True, is_tied=True) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ranks", "kind", "most"),
    [(2, "sliced_run", 2**21), (3, "sliced_run", 64), (3, "grouped_run", 2**21)],
)
def test_ranks_tell_the_same_bits_as_one_process(
    ranks: int, kind: str, most: int, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = request.getfixturevalue(kind)
    monkeypatch.setattr(judgement, "MOST_BINS", most)
    alone = json.dumps(of_parts(artifact.open_run(run)))
    assert run_ranks(ranks, judged_in_bins, run_dir=str(run), most=most) == [alone] * ranks


def test_crowded_scores_are_gone_over_again_until_enough_is_known(
    sliced_run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    exact = json.loads((sliced_run / "metrics.json").read_text())["train"]
    found = {}
    for most, wanted in ((64, 0.05), (64, 1e-6), (512, 1e-6)):
        monkeypatch.setattr(judgement, "MOST_BINS", most)
        monkeypatch.setattr(judgement, "LEFT_OPEN", wanted)
        with caplog.at_level("INFO", "binclf.judgement"):
            found[most, wanted] = of_parts(artifact.open_run(sliced_run))["metrics"]["train"]
        again = caplog.text.count("going over the rows once more")
        assert (again > 0) == (wanted == 1e-6)
        caplog.clear()
    for own in found.values():
        for name in ("roc_auc", "pr_auc"):
            assert own[f"{name}_bound"] > 0
            assert abs(own[name] - exact[name]) <= own[f"{name}_bound"]
        assert own["log_loss"] == exact["log_loss"]


def test_a_look_at_empty_row_groups_looks_on(
    sliced_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a look no cells are laid, and memory would grow with the rows."""
    monkeypatch.setattr(judgement, "MOST_BINS", 64)
    monkeypatch.setattr(judgement, "LOOK_ROWS", 1)  # so that each fifth row group is looked at
    data = write(tmp_path / "holes.parquet", people(400), [0, 25, 25, 25, 25] * 4)
    assert evaluate(sliced_run, data)["data"]["roc_auc_bound"] > 0


def test_a_precision_that_is_not_reached_decides_nothing_yes(people_dir: Path, tmp_path: Path) -> None:
    run = on_disk(retrain(settings(people_dir, tmp_path, evaluate={"threshold": "precision>=1"})))
    record = json.loads((run / "model.json").read_text())
    if record["threshold_amiss"]:
        assert record["threshold"] == NEVER
        assert "precision 1 is not reached: the best is 0." in record["threshold_amiss"]
        assert not binclf.load(run).predict(people(50)).any()
    else:
        assert json.loads((run / "metrics.json").read_text())["validation"]["precision"] == 1


@pytest.mark.parametrize(
    ("column", "words"),
    [("age", r"'age', which is double: boolean, integer, text columns can be slices"),
     ("town", "not in all of the files"),
     ("city:month", r"'city:month', and column 'city' is string")],
)  # fmt: skip
def test_what_cannot_be_a_slice_is_refused_before_training(
    column: str, words: str, people_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(BinclfError, match=words):
        retrain(settings(people_dir, tmp_path, evaluate={"slices": [column]}))


def test_a_rule_without_validation_rows_is_refused(people_dir: Path, tmp_path: Path) -> None:
    assert Rule.parse("max_f1").is_chosen
    with pytest.raises(ConfigError, match=r"evaluate\.threshold = 'max_f1' is chosen on validation rows"):
        settings(
            people_dir, tmp_path, evaluate={"threshold": "max_f1"}, split={"validation_fraction": 0},
            train={"epochs": 1},
        )  # fmt: skip

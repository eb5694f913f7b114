"""A feature that tells the label alone is named before training and in scoring; honest ones are not."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import datasets
from sklearn.metrics import roc_auc_score

from binclf import artifact
from binclf import score as score_rows
from binclf.check import check
from binclf.config import Config, parse
from binclf.drift import drift
from binclf.errors import ArtifactError, ConfigError, DataError
from binclf.features import roles
from binclf.labels import LabelRule
from binclf.leaks import Looked, evenly, look
from binclf.leaks.looking import LEAST_ROWS
from binclf.metrics import area_of_levels, area_of_numbers
from binclf.metrics.alone import halves
from binclf.parquet import find, footers
from binclf.retrain import begin, retrain
from binclf.scored import places_of
from tests import made
from tests.laws import examples
from tests.trained import on_disk, people, write

looking = import_module("binclf.leaks.looking")

I8 = npt.NDArray[np.int8]


def both(labels: Sequence[bool]) -> I8:
    """With both labels, twice each."""
    return np.array([*labels, True, False, True, False], dtype=np.int8)


# a column's area


@examples(200)
@given(st.lists(st.tuples(st.integers(-3, 3) | st.floats(-1e300, 1e300), st.booleans()), max_size=40))
def test_the_area_of_numbers_is_scikit_learn_s_either_way(rows: list[tuple[float, bool]]) -> None:
    labels = both([label for _, label in rows])
    values = np.array([*(value for value, _ in rows), 0.0, -0.0, 1.0, 1.0], dtype=np.float64)
    area = roc_auc_score(labels, values)
    assert area_of_numbers(values, labels) == pytest.approx(max(area, 1 - area), abs=1e-12)


@examples(200)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=60))
def test_the_area_of_levels_is_that_of_rates_on_rows_that_they_were_not_learnt_from(
    rows: list[tuple[int, bool]],
) -> None:
    labels = both([label for _, label in rows])
    codes = np.array([*(code for code, _ in rows), 0, 0, 6, 6], dtype=np.int64)
    drawn, areas = halves(labels), []
    assert [int(drawn[labels == label].sum()) for label in (0, 1)] == [
        int((labels == label).sum()) // 2 for label in (0, 1)
    ]
    for learnt in (drawn, ~drawn):
        rates = []
        for code in codes[~learnt]:
            alike = labels[learnt & (codes == code)]
            rates.append(alike.mean() if len(alike) else labels[learnt].mean())
        areas.append(roc_auc_score(labels[~learnt], rates))
    assert area_of_levels(codes, labels) == pytest.approx(np.mean(areas), abs=1e-12)


@examples(100)
@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 10), st.integers(1, 500))
def test_what_is_looked_at_is_spread_evenly_and_bounded(sizes: list[int], most: int, limit: int) -> None:
    chosen = evenly(sizes, most, limit)
    assert chosen == sorted(set(chosen))
    assert (
        len(chosen) == min(most, len(sizes))
        or sum(sizes[place] for place in chosen) <= limit
        or (len(chosen) == 1)
    )
    assert chosen[:1] == ([0] if sizes else [])
    if len(chosen) == min(most, len(sizes)) > 1:
        assert chosen[-1] == len(sizes) - 1
        assert max(np.diff(chosen)) - min(np.diff(chosen)) <= 1


# before training


def texts(of: Callable[[int, int], str | None]) -> Callable[[I8], Any]:
    """A text for each row, from its number and its label."""
    return lambda labels: pa.array([of(i, int(label)) for i, label in enumerate(labels)], pa.string())


def numbers(of: Callable[[int, int], float | None]) -> Callable[[I8], Any]:
    """Likewise a number."""
    return lambda labels: pa.array([of(i, int(label)) for i, label in enumerate(labels)], pa.float64())


LEAKS: dict[str, tuple[str, Callable[[I8], Any]]] = {
    "a number": ("its values", numbers(lambda i, y: 3.5 * y + i / 2**20)),
    "a number, less for yes": ("its values", numbers(lambda i, y: -3.5 * y + i / 2**20)),
    "a number of few rows": ("its values", numbers(lambda i, y: float(y) if i % 2 else None)),
    "a boolean": ("its values", lambda labels: pa.array(labels == 0)),
    "the label as text": ("its levels", texts(lambda i, y: "yes" if y else "no")),
    "one of many levels": ("its levels", texts(lambda i, y: f"reason {i % 7}" if y else f"{i % 5}")),
    "filled for yes alone": ("whether it is missing", numbers(lambda i, y: i % 9.0 if y else None)),
    "missing for yes": ("whether it is missing", numbers(lambda i, y: None if y else i % 9.0)),
    "free text for yes": ("whether it is missing", texts(lambda i, y: f"they said {i}" if y else None)),
}


def planted(root: Path, values: Callable[[I8], Any], rows: int = 1800, **options: Any) -> Path:
    """`mixed` rows in three files, with a column 'late'."""
    for number in range(3):
        table = made.mixed(rows // 3, first=number * rows // 3)
        labels = table["label"].to_numpy().astype(np.int8)
        made.write(root / f"{number}.parquet", table.append_column("late", values(labels)), **options)
    return root


def config_for(data: Path, **own: Any) -> Config:
    return made.config(data, data.parent / "store", data=own)


@pytest.mark.parametrize("sort", LEAKS)
def test_a_feature_that_tells_the_label_alone_is_named_before_training(sort: str, tmp_path: Path) -> None:
    by, values = LEAKS[sort]
    data = planted(tmp_path / "data", values)
    (told,) = check(config_for(data))["problems"]
    assert told.startswith(f"column 'late' tells the label 'label' alone, by {by} (ROC-AUC 1.0000 on ")
    assert told.endswith("If not, name it in data.exclude; if so, in data.not_leaks.")
    with pytest.raises(DataError, match=f"column 'late' tells .* by {by}") as caught:
        begin(config_for(data))
    assert caught.value.exit_code == 10
    assert not list((tmp_path / "store").glob("made-*"))
    excluded = config_for(data, exclude=["who", "time", "w", "late"])
    assert check(excluded)["ok"]
    assert begin(excluded).exists()


def test_what_is_done_about_it_is_a_setting(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = planted(tmp_path / "data", LEAKS["a number"][1])
    found = check(config_for(data, on_leak="warn"))
    assert found["ok"]
    assert [words for words in found["warnings"] if words.startswith("column 'late' tells the label")]
    with caplog.at_level(logging.WARNING):
        run = begin(config_for(data, on_leak="warn"))
    assert "column 'late' tells the label 'label' alone" in caplog.text
    assert Looked.from_json(json.loads((run / "alone.json").read_text())).leaks(config_for(data).data)
    caplog.clear()
    for honest in ({"on_leak": "ignore"}, {"not_leaks": ["late"]}):
        found = check(config_for(data, **honest))
        assert found["ok"]
        run = begin(config_for(data, **honest))
        assert (run / "alone.json").exists() == ("not_leaks" in honest)
        assert "alone" not in caplog.text + "".join(found["warnings"])


def test_settings_without_effect_and_names_of_no_feature_are_refused(tmp_path: Path) -> None:
    data = made.mixed_files(tmp_path / "data", (300,))
    for own in ({"leak_auc": 0.95}, {"not_leaks": ["number"]}):
        with pytest.raises(ConfigError, match=f"data.{next(iter(own))} has no effect with data.on_leak"):
            config_for(data, on_leak="ignore", **own)
    told = check(config_for(data, not_leaks=["id"]))["problems"]
    assert told == ["data.not_leaks names column 'id', which is no feature."]
    (told,) = check(config_for(data, not_leaks=["numbr"]))["problems"]
    assert "data.not_leaks names column 'numbr', which the data lack (did you mean 'number'?)" in told
    hours = config_for(data, exclude=["who", "w"], not_leaks=["time:hour"])
    hours = parse({**hours.model_dump(), "features": {"categorical": ["time:hour"]}})
    assert check(hours)["ok"]


@pytest.mark.parametrize(("yes", "is_told"), [(LEAST_ROWS, True), (LEAST_ROWS - 1, False)])
def test_of_few_rows_of_a_label_nothing_is_claimed(yes: int, is_told: bool, tmp_path: Path) -> None:
    labels = np.arange(3000) % 30 == 0
    labels[np.flatnonzero(labels)[yes:]] = False
    table = made.mixed(3000).drop_columns("label").append_column("label", pa.array(labels))
    made.write(tmp_path / "data" / "a.parquet", table.append_column("late", pa.array(labels)), group_rows=500)
    assert check(config_for(tmp_path / "data"))["ok"] != is_told


def test_rare_positives_are_all_looked_at_and_rows_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "MOST_ROWS", 150)
    labels = np.arange(12_000) % 60 == 0
    table = made.mixed(12_000).drop_columns("label").append_column("label", pa.array(labels))
    made.write(tmp_path / "data" / "a.parquet", table, group_rows=3000)
    found = check(config_for(tmp_path / "data"))["alone"]
    assert (found["positives"], found["rows"], found["row_groups"]) == (200, 200 + 4 * 150, 4)


def test_each_column_s_area_is_that_of_the_rows_that_are_read(tmp_path: Path) -> None:
    data = planted(tmp_path / "data", LEAKS["a number of few rows"][1])
    found = {own["column"]: own for own in check(config_for(data, on_leak="warn"))["alone"]["columns"]}
    frame = pq.read_table(data).to_pandas()
    frame = frame[np.isin(frame["id"] // 100, evenly([1] * 18, 8, 18))]  # row groups of 100
    for name in ("number", "single", "whole", "small", "late"):
        own = frame[frame[name].notna()]
        area = roc_auc_score(own["label"], own[name].astype(float))
        wanted = (max(area, 1 - area), len(own), "values")
        missing = frame[name].isna()
        if missing.any():
            area = roc_auc_score(frame["label"], missing)
            wanted = max(wanted, (max(area, 1 - area), len(frame), "missing"))
        told = found[name]
        assert (told["area"], told["rows"], told["by"]) == (pytest.approx(wanted[0], abs=1e-12), *wanted[1:])
    assert all(own["area"] < 0.9 for name, own in found.items() if name != "late")


def test_a_label_that_row_groups_do_not_mix_is_looked_at_over_all_of_them(tmp_path: Path) -> None:
    table = planted(tmp_path / "data", LEAKS["a number"][1])
    rows = pq.read_table(table).sort_by("label")
    made.write(tmp_path / "sorted" / "a.parquet", rows)
    assert "column 'late' tells" in check(config_for(tmp_path / "sorted"))["problems"][0]


def test_a_run_that_was_cut_off_before_it_looked_does_so_when_it_is_resumed(tmp_path: Path) -> None:
    data = planted(tmp_path / "data", LEAKS["a number"][1])
    run = begin(config_for(data, on_leak="warn"))
    seen = (run / "alone.json").read_bytes()
    (run / "alone.json").unlink()
    with pytest.raises(DataError, match="column 'late' tells"):
        begin(config_for(data), resume=run)
    assert begin(config_for(data, not_leaks=["late"]), resume=run) == run
    assert (run / "alone.json").read_bytes() == seen


def test_damage_that_would_be_quarantined_is_no_obstacle(tmp_path: Path) -> None:
    data = planted(tmp_path / "data", LEAKS["the label as text"][1], write_page_checksum=True)
    path = data / "0.parquet"
    with pq.ParquetFile(path) as file:
        chunk = file.metadata.row_group(0).column(file.schema_arrow.get_field_index("single"))
    content = bytearray(path.read_bytes())
    content[(chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size - 2] ^= 16
    path.write_bytes(content)
    found = check(config_for(data, on_bad_file="quarantine", on_leak="warn"))
    assert found["ok"]
    assert [words for words in found["warnings"] if words.startswith("0.parquet would be quarantined")]


# honest columns


def honest() -> Iterator[tuple[str, npt.NDArray[np.float64], npt.NDArray[np.bool_]]]:
    """The classification data that scikit-learn ships, each class against the others."""
    for name in ("breast_cancer", "wine", "digits", "iris"):
        data = getattr(datasets, f"load_{name}")()
        for value in np.unique(data.target)[: 10 if name != "breast_cancer" else 1]:
            yield f"{name} {value}", data.data, data.target == value


def looked_at(data: Path) -> Looked:
    config = config_for(data, ids=[], exclude=[])
    feet = footers(find(data).files)
    rule = LabelRule("label", "boolean", True, is_stated=False)
    return look(
        places_of(feet), [rows for foot in feet for rows in foot.groups], roles(config, feet[0].columns), rule
    )


@pytest.mark.slow
def test_no_column_of_scikit_learn_s_data_is_taken_for_a_leak(tmp_path: Path) -> None:
    highest = {}
    for name, values, label in honest():
        columns = {f"c{place}": column for place, column in enumerate(values.T)}
        made.write(tmp_path / name / "a.parquet", {**columns, "label": label}, group_rows=200)
        looked = looked_at(tmp_path / name)
        assert looked.leaks(config_for(tmp_path).data) == []
        highest[name] = max((own.area for own in looked.columns), default=0.0)
    assert 0.97 < highest["breast_cancer 0"] < 0.98
    assert highest["iris 0"] == 0.0  # 50 flowers, which one column tells without fault: too few to claim it


def test_no_noise_is_taken_for_a_leak(tmp_path: Path) -> None:
    """200 columns of each sort: ids that come once, some levels, numbers, and whether they are missing."""
    draw = np.random.default_rng(5)
    label = draw.random(400) < 0.4
    columns: dict[str, Any] = {"label": label}
    for place in range(200):
        columns[f"number {place}"] = pa.array(draw.normal(size=400), mask=draw.random(400) < draw.random())
        columns[f"level {place}"] = draw.integers(0, 12, 400).astype(str)
        columns[f"id {place}"] = draw.permutation(400).astype(str)
    made.write(tmp_path / "data" / "a.parquet", columns, group_rows=150)
    looked = looked_at(tmp_path / "data")
    assert len(looked.columns) == 600
    assert max(own.area for own in looked.columns) < 0.75


# when rows are scored


def changed(table: pa.Table, name: str, values: Any) -> pa.Table:
    place = table.column_names.index(name)
    return table.set_column(place, name, pa.array(values, table.schema.field(name).type))


def data_of(name: str) -> list[Any]:
    """A column as it is when it is filled in with the outcome."""
    bought = people(600, seed=9).column("bought").to_pylist()
    values: dict[str, list[Any]] = {
        "age": [45.0 + i % 5 if yes else 35.0 - i % 5 for i, yes in enumerate(bought)],
        "income": [3000.0 if yes else None for yes in bought],
        "member": bought,
        "city": ["Celle" if yes else "Bremen" for yes in bought],
    }
    return values[name]


def told_by(name: str) -> pa.Table:
    """People of whom one column was filled in with the outcome."""
    return changed(people(600, seed=9), name, data_of(name))


@pytest.mark.parametrize("name", ["age", "income", "member", "city"])
def test_rows_of_which_a_feature_tells_the_label_as_it_did_not_in_training_are_refused(
    name: str, trained_run: Path, tmp_path: Path
) -> None:
    data = write(tmp_path / "new" / "a.parquet", told_by(name), [200, 400])
    write(tmp_path / "new" / "b.parquet", people(50, seed=10).drop_columns("bought"))
    words = rf"column '{name}' tells the label 'bought' of these rows alone, by .* in training 0\.\d{{4}}\)"
    with pytest.raises(DataError, match=words):
        score_rows(trained_run, data.parent, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.parquet"))
    found = drift(trained_run, data)
    assert [skew["column"] for skew in found["skewed"]] == [name]
    assert found["is_alarm"]
    write(data, told_by(name).drop_columns("bought"))  # without labels nobody can tell
    assert score_rows(trained_run, data.parent, tmp_path / "out")["skewed"] == []


def test_honest_rows_with_labels_are_scored(trained_run: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "a.parquet", people(600, seed=9))
    assert score_rows(trained_run, data, tmp_path / "out")["skewed"] == []


def copy_of(run: Path, folder: Path, change: Callable[[Path], object]) -> Path:
    """A run with something in it changed, sealed again."""
    copy = folder / run.name
    shutil.copytree(run, copy)
    (copy / artifact.MANIFEST).unlink()
    change(copy)
    artifact.seal(copy)
    return copy


def test_who_only_warns_is_told_of_them_in_the_receipt(trained_run: Path, tmp_path: Path) -> None:
    def warn(run: Path) -> None:
        config = json.loads((run / "config.json").read_text())
        (run / "config.json").write_text(json.dumps(config | {"drift": {"on_skew": "warn"}}))

    run = copy_of(trained_run, tmp_path, warn)
    receipt = score_rows(run, write(tmp_path / "a.parquet", told_by("age")), tmp_path / "out")
    assert [(skew["column"], skew["rows"]) for skew in receipt["skewed"]] == [("age", 600)]


def test_a_column_that_told_in_training_too_is_what_it_was(trained_run: Path, tmp_path: Path) -> None:
    def told(run: Path) -> None:
        record = json.loads((run / "alone.json").read_text())
        record["columns"] = [own | {"area": 0.995} for own in record["columns"]]
        (run / "alone.json").write_text(json.dumps(record))

    data = write(tmp_path / "a.parquet", told_by("age"))
    run = copy_of(trained_run, tmp_path / "told", told)
    with pytest.raises(DataError, match=r"in training 0\.9950"):  # the negative control
        score_rows(run, data, tmp_path / "out")
    ages = data_of("age")
    ages[people(600, seed=9).column("bought").to_pylist().index(True)] = 34.5
    area = roc_auc_score(people(600, seed=9).column("bought").to_pylist(), ages)
    assert 0.999 < area < 0.9995  # hardly better than in training
    almost = changed(told_by("age"), "age", ages)
    assert score_rows(run, write(tmp_path / "b.parquet", almost), tmp_path / "others")["skewed"] == []


def test_a_run_that_has_not_looked_claims_nothing_and_one_that_was_edited_is_refused(
    trained_run: Path, tmp_path: Path
) -> None:
    data = write(tmp_path / "a.parquet", told_by("age"))
    older = copy_of(trained_run, tmp_path / "older", lambda run: (run / "alone.json").unlink())
    assert score_rows(older, data, tmp_path / "out")["skewed"] == []
    edited = copy_of(trained_run, tmp_path / "edited", lambda run: (run / "alone.json").write_text("{}"))
    with pytest.raises(ArtifactError, match=r"alone\.json is of another version or was edited"):
        score_rows(edited, data, tmp_path / "others")


def test_labels_of_another_type_keep_no_row_from_being_scored(trained_run: Path, tmp_path: Path) -> None:
    table = told_by("age")
    place = table.column_names.index("bought")
    as_text = table.set_column(place, "bought", pc.cast(table.column("bought"), pa.string()))
    assert score_rows(trained_run, write(tmp_path / "a.parquet", as_text), tmp_path / "out")["skewed"] == []


def test_labels_of_a_third_value_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = planted(tmp_path / "data", numbers(lambda i, y: float(i)), rows=600)
    for path in data.iterdir():
        table = pq.read_table(path)
        labels = pa.array([["no", "yes"][v] for v in table["label"].to_pylist()])
        made.write(path, table.set_column(table.column_names.index("label"), "label", labels))
    run = on_disk(retrain(config_for(data, positive="yes")))
    table = pq.read_table(data / "0.parquet")
    odd = pa.array(["perhaps", *table["label"].to_pylist()[1:]])
    table = table.set_column(table.column_names.index("label"), "label", odd)
    receipt = score_rows(run, made.write(tmp_path / "odd.parquet", table), tmp_path / "out")
    assert (receipt["rows"], receipt["skewed"]) == (200, [])
    assert "not looked whether a column tells the label of these rows" in caplog.text
    assert "perhaps" in caplog.text


def test_a_run_keeps_what_was_found_of_its_training_rows(trained_run: Path) -> None:
    run = artifact.open_run(trained_run)
    found = Looked.from_json(json.loads(run.contents["alone.json"]))
    assert found.of_row_groups == sum(len(file.groups) for file in run.split.parts["train"])
    assert found.rows == run.split.rows("train")
    assert sorted(own.column for own in found.columns) == sorted(c.name for c in run.features.columns)
    assert all(0.45 < own.area < 0.8 for own in found.columns)

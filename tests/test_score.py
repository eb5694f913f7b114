"""One output for each input, rows once and in order; what is done is kept, what is wrong leaves nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import binclf
from binclf import artifact
from binclf import score as score_rows
from binclf.commit import locked
from binclf.errors import ArtifactError, BusyError, DataError
from binclf.score.plan import plan
from binclf.score.records import Job, Plan
from tests.trained import people, write


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """New people in nested files of uneven row groups, one of them without rows, without label and weight."""
    folder = tmp_path / "new"
    table = people(400, seed=8).drop_columns(["bought", "w"])
    write(folder / "b.parquet", table.slice(0, 250), [100, 0, 150])
    write(folder / "day=1" / "a.parquet", table.slice(250))
    write(folder / "empty.parquet", table.slice(0, 0), [])
    write(folder / "hollow.parquet", table.slice(0, 0), [0])
    return folder


def files(folder: Path) -> dict[str, bytes]:
    """Every file but receipts, which tell an input's inode, by relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] != "_receipts"
    }


def visible(folder: Path) -> list[str]:
    """What readers of Parquet directories see."""
    return [name for name in files(folder) if not any(part.startswith("_") for part in name.split("/"))]


def test_one_output_for_each_input_with_ids_in_order_and_the_models_own_scores(
    trained_run: Path, new: Path, tmp_path: Path
) -> None:
    told = score_rows(trained_run, new, tmp_path / "out")
    model = binclf.load(trained_run)
    decided = 0
    inputs = [path.relative_to(new) for path in new.rglob("*.parquet")]
    outputs = [path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*.parquet")]
    assert sorted(outputs) == sorted(inputs)
    for relative in inputs:
        source, scored = pq.read_table(new / relative), pq.read_table(tmp_path / "out" / relative)
        assert scored.column_names[:4] == ["id", "probability", "decision", "model"]
        assert scored.schema.field("probability").type == pa.float64()
        assert scored.schema.field("decision").type == pa.bool_()
        assert pa.types.is_dictionary(scored.schema.field("model").type)
        assert scored.column("id").equals(source.column("id"))
        p = scored.column("probability").to_numpy()
        assert np.array_equal(p, model.predict_proba(source))
        assert np.array_equal(scored.column("decision").to_numpy(), p >= model.threshold)
        assert set(scored.column("model").to_pylist()) <= {trained_run.name}
        decided += int((p >= model.threshold).sum())
    assert told == {
        "model": trained_run.name, "files": 4, "rows": 400, "scored_before": 0,
        "quarantined_files": 0, "quarantined_rows": 0, "skewed": [],
        "positive_decisions": decided, "output": str(tmp_path / "out"),
    }  # fmt: skip


def test_readers_of_the_output_directory_see_the_scores_alone(
    trained_run: Path, new: Path, tmp_path: Path
) -> None:
    score_rows(trained_run, new, tmp_path / "out")
    assert pq.read_table(tmp_path / "out").num_rows == 400


def test_a_rerun_changes_nothing_and_redoes_only_what_is_missing(
    trained_run: Path, new: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = score_rows(trained_run, new, out)
    before, times = files(out), {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    again = score_rows(trained_run, new, out)
    assert again == {**first, "scored_before": 4}
    assert files(out) == before
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")} == times
    (out / "b.parquet").unlink()
    assert score_rows(trained_run, new, out) == {**first, "scored_before": 3}
    assert files(out) == before


def test_a_new_file_is_added(trained_run: Path, new: Path, tmp_path: Path) -> None:
    score_rows(trained_run, new, tmp_path / "out")
    write(new / "c.parquet", people(10, seed=12))
    told = score_rows(trained_run, new, tmp_path / "out")
    assert (told["files"], told["rows"], told["scored_before"]) == (5, 410, 4)


def test_the_same_bytes_whatever_the_row_groups_and_the_place(
    trained_run: Path, new: Path, tmp_path: Path
) -> None:
    score_rows(trained_run, new, tmp_path / "one")
    shutil.copytree(new, tmp_path / "moved")
    score_rows(trained_run, tmp_path / "moved", tmp_path / "two")
    assert files(tmp_path / "one") == files(tmp_path / "two")
    score_rows(trained_run, new / "b.parquet", tmp_path / "alone")
    assert files(tmp_path / "alone")["b.parquet"] == files(tmp_path / "one")["b.parquet"]


def test_another_models_output_and_another_input_are_refused_and_left_alone(
    trained_run: Path, new: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    score_rows(trained_run, new, out)
    before = files(out)
    other = tmp_path / "other"
    shutil.copytree(trained_run, other)
    opened = artifact.open_run(other)
    artifact.write_model(other, opened.features, opened.weights, {**opened.record, "run": "other"})
    artifact.seal(other)
    with pytest.raises(ArtifactError, match=rf"was scored by {trained_run.name}, not by other"):
        score_rows(other, new, out)
    write(new / "b.parquet", people(250, seed=9))
    with pytest.raises(
        ArtifactError, match=r"b\.parquet was scored from other content than its input has now"
    ):
        score_rows(trained_run, new, out)
    assert files(out) == before


def test_an_output_that_was_altered_or_is_no_score_is_refused(
    trained_run: Path, new: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    score_rows(trained_run, new, out)
    content = bytearray((out / "b.parquet").read_bytes())
    content[50] ^= 1
    (out / "b.parquet").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"b\.parquet was altered since it was scored"):
        score_rows(trained_run, new, out)
    with pytest.raises(ArtifactError, match="exists and has no receipt"):
        score_rows(trained_run, new, new)


Change = Callable[[pa.Table], pa.Table]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop_columns("city"), r"lacks column 'city'"),
        (lambda t: t.rename_columns([n.replace("city", "City") for n in t.column_names]), r"it has 'City'"),
        (lambda t: t.set_column(3, "visits", t.column("visits").cast(pa.string())), r"'visits' .* is string"),
        (lambda t: t.set_column(5, "city", t.column("visits")), r"'city' .* is int64"),
        (lambda t: t.drop_columns("id"), r"lacks id column 'id': each scored row needs its id"),
    ],
    ids=["missing", "renamed", "retyped number", "retyped text", "no id"],
)
def test_a_schema_that_is_not_the_models_names_file_and_column_and_leaves_nothing(
    change: Change, words: str, trained_run: Path, new: Path, tmp_path: Path
) -> None:
    write(new / "z.parquet", change(people(10)))
    with pytest.raises(DataError, match=rf"z\.parquet.*{words}|{words}.*") as caught:
        score_rows(trained_run, new, tmp_path / "out")
    assert "z.parquet" in str(caught.value)
    assert caught.value.exit_code == 10
    assert not (tmp_path / "out").exists()


def test_every_problem_of_every_file_is_told_at_once(trained_run: Path, new: Path, tmp_path: Path) -> None:
    write(new / "y.parquet", people(10).drop_columns(["city", "id"]))
    write(new / "z.parquet", people(10).drop_columns("age"))
    with pytest.raises(DataError, match=r"y\.parquet lacks column 'city'") as caught:
        score_rows(trained_run, new, tmp_path / "out")
    assert "y.parquet lacks id column 'id'" in str(caught.value)
    assert "z.parquet lacks column 'age'" in str(caught.value)


@pytest.mark.parametrize("damage", ["flipped", "cut short", "infinite"])
def test_a_damaged_input_leaves_nothing_behind(
    damage: str, trained_run: Path, new: Path, tmp_path: Path
) -> None:
    table = people(100, seed=3)
    if damage == "infinite":
        table = table.set_column(1, "age", pa.array([1.0] * 99 + [float("inf")]))
    path = write(new / "z.parquet", table)
    if damage == "flipped":
        content = bytearray(path.read_bytes())
        content[pq.ParquetFile(path).metadata.row_group(0).column(2).data_page_offset + 200] ^= 4
        path.write_bytes(content)
    elif damage == "cut short":
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"z\.parquet"):
        score_rows(trained_run, new, tmp_path / "out")
    assert visible(tmp_path / "out") == []
    (new / "z.parquet").unlink()
    assert score_rows(trained_run, new, tmp_path / "out")["rows"] == 400
    assert not (tmp_path / "out" / "_staging").exists()


def test_a_failure_keeps_what_an_earlier_call_had_scored(
    trained_run: Path, new: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    score_rows(trained_run, new, out)
    before = files(out)
    table = people(100, seed=3)
    write(new / "z.parquet", table.set_column(1, "age", pa.array([float("inf")] * 100)))
    with pytest.raises(DataError, match=r"column 'age' of z\.parquet, row group 0 holds 100 infinite"):
        score_rows(trained_run, new, out)
    assert {name: files(out)[name] for name in before} == before
    assert visible(out) == [name for name in before if name[0] != "_"]


def test_a_column_that_is_all_null_without_a_type_is_missing(
    trained_run: Path, new: Path, tmp_path: Path
) -> None:
    table = people(30, seed=4)
    for name in ("age", "member", "city", "code"):
        column = pa.nulls(30, table.schema.field(name).type)
        table = table.set_column(table.column_names.index(name), name, column)
    expected = binclf.load(trained_run).predict_proba(table)
    for name in ("age", "member", "city", "code"):
        table = table.set_column(table.column_names.index(name), name, pa.nulls(30))
    score_rows(trained_run, write(tmp_path / "nulls.parquet", table), tmp_path / "out")
    found = pq.read_table(tmp_path / "out" / "nulls.parquet").column("probability").to_numpy()
    assert np.array_equal(found, expected)


def test_two_at_once_into_one_output_are_not_let_in(trained_run: Path, new: Path, tmp_path: Path) -> None:
    with (
        locked(tmp_path / "out" / "_receipts" / ".lock", wait=False),
        pytest.raises(BusyError, match="is in use by another process"),
    ):
        score_rows(trained_run, new, tmp_path / "out")
    assert score_rows(trained_run, new, tmp_path / "out")["rows"] == 400


def test_no_input_is_refused(trained_run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist: name a Parquet file, a directory or a glob"):
        score_rows(trained_run, tmp_path / "none", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_input_that_changes_while_it_is_scored_is_an_error(
    trained_run: Path, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(job: Job, source: Path) -> Plan:
        found = plan(job, source)
        table = pq.read_table(source / "b.parquet")
        write(source / "b.parquet", table.slice(0, 250).take(list(range(249, -1, -1))), [100, 0, 150])
        return found

    monkeypatch.setattr(import_module("binclf.score.run"), "plan", changed)
    with pytest.raises(DataError, match="changed or went"):
        score_rows(trained_run, new, tmp_path / "out")
    assert visible(tmp_path / "out") == []

"""Scoring at scale: parts, shares and machines, kills, quarantine, chosen columns; never a mixture."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import binclf
from binclf import artifact
from binclf import score as score_rows
from binclf.commit import locked
from binclf.errors import ArtifactError, BusyError, ConfigError, DataError
from binclf.parquet import Reader, Rows, footer_digest
from binclf.score import conclude
from binclf.storage import sha256_of
from tests.kills import visible
from tests.trained import people, write

QUARANTINE = ("score.on_bad_file=quarantine", "score.on_bad_row=quarantine", "score.bad_limit=0.5")


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """Two files in uneven row groups, one without rows."""
    table = people(400, seed=8).drop_columns(["bought", "w"])
    write(tmp_path / "new" / "a.parquet", table.slice(0, 250), [100, 30, 120])
    write(tmp_path / "new" / "b.parquet", table.slice(250), [50, 0, 100])
    write(tmp_path / "new" / "empty.parquet", table.slice(0, 0), [])
    return tmp_path / "new"


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of more than 120 rows are cut into parts of at most 120."""
    module = import_module("binclf.score.plan")
    monkeypatch.setattr(module, "LARGE_ROWS", 120)
    monkeypatch.setattr(module, "PART_ROWS", 120)


def manifest(output: Path) -> dict[str, Any]:
    """What readers need."""
    found: dict[str, Any] = json.loads((output / "_manifest.json").read_text())
    return found


def other_run(run: Path, folder: Path) -> Path:
    """The same model under another id."""
    shutil.copytree(run, folder / "other")
    opened = artifact.open_run(run)
    artifact.write_model(folder / "other", opened.features, opened.weights, {**opened.record, "run": "other"})
    artifact.seal(folder / "other")
    return folder / "other"


class Seen:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.logits: dict[int, npt.NDArray[np.float64]] = {}
        self.ages: dict[int, npt.NDArray[np.float64]] = {}

    def see(self, number: int, rows: Rows, logits: npt.NDArray[np.float64]) -> None:
        """One row group."""
        assert number not in self.logits
        self.logits[number], self.ages[number] = logits, rows.numbers("age")


# plan, parts, commit


@pytest.mark.usefixtures("small_parts")
def test_a_large_file_becomes_parts_that_hold_its_rows_in_order(
    trained_run: Path, new: Path, tmp_path: Path
) -> None:
    seen = Seen()
    told = score_rows(trained_run, new, tmp_path / "out", observers=[seen])
    names = ["a-00000.parquet", "a-00001.parquet", "a-00002.parquet", "b-00000.parquet", "b-00001.parquet"]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.parquet")) == [*names, "empty.parquet"]
    assert (told["files"], told["rows"]) == (3, 400)
    parts = [part for file in manifest(tmp_path / "out")["files"] for part in file["parts"]]
    found = pa.concat_tables(pq.read_table(tmp_path / "out" / part["name"]) for part in parts)
    source = pq.read_table(new)
    assert found.column("id").equals(source.column("id"))
    expected = binclf.load(trained_run).predict_proba(source)
    assert np.array_equal(found.column("probability").to_numpy(), expected)
    assert pq.read_table(tmp_path / "out").num_rows == 400  # a directory as readers take it
    groups = [100, 30, 120, 50, 0, 100]
    assert [len(seen.logits[number]) for number in range(6)] == groups
    logits = np.concatenate([seen.logits[number] for number in range(6)])
    assert np.array_equal(1 / (1 + np.exp(-logits)) >= 0.5, found.column("probability").to_numpy() >= 0.5)
    ages = np.concatenate([seen.ages[number] for number in range(6)])
    expected_ages = source.column("age").to_pandas().to_numpy()
    assert np.array_equal(ages, expected_ages, equal_nan=True)


@pytest.mark.usefixtures("small_parts")
def test_the_same_bytes_for_any_number_of_threads_and_of_shares(
    trained_run: Path, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = import_module("binclf.score.run")
    for threads in (1, 4):
        monkeypatch.setattr(run, "_cores", lambda threads=threads: threads)
        score_rows(trained_run, new, tmp_path / f"by-{threads}")
    for share in ("3/3", "1/3", "2/3"):
        told = score_rows(trained_run, new, tmp_path / "shared", part=share)
        assert ("waiting_for" in told) == (share != "2/3")
        assert (tmp_path / "shared" / "_manifest.json").exists() == (share == "2/3")
        assert bool(list((tmp_path / "shared").glob("*.parquet"))) == (share == "2/3")
    assert visible(tmp_path / "by-1") == visible(tmp_path / "by-4") == visible(tmp_path / "shared")


@pytest.mark.usefixtures("small_parts")
def test_shares_are_committed_on_request_once_all_are_there(
    trained_run: Path, new: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert score_rows(trained_run, new, out, part="1/2")["waiting_for"] == 3
    with pytest.raises(DataError, match=r"3 of 6 parts are not scored .* a-00001\.parquet: score them"):
        conclude(trained_run, new, out)
    with locked(out / "_receipts" / ".lock", wait=False, is_shared=True):  # another share is at work
        assert score_rows(trained_run, new, out, part="2/2")["waiting_for"] == 0
        for whole in (score_rows, conclude):
            with pytest.raises(BusyError):
                whole(trained_run, new, out)
    with locked(out / "_receipts" / ".lock-1-of-2", wait=False), pytest.raises(BusyError):
        score_rows(trained_run, new, out, part="1/2")
    assert not (out / "_manifest.json").exists()
    assert conclude(trained_run, new, out)["rows"] == 400
    assert pq.read_table(out).num_rows == 400
    with pytest.raises(ConfigError, match="part '3/2' is none"):
        score_rows(trained_run, new, out, part="3/2")


def test_a_share_that_begins_while_another_commits_waits_for_it(
    trained_run: Path, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a job that was done before, the first share finds that nothing is missing."""
    run = import_module("binclf.score.run")
    real, out = run.seal, tmp_path / "out"
    begun: list[Future[dict[str, Any]]] = []
    first = score_rows(trained_run, new, out)
    with ThreadPoolExecutor(1) as pool:

        def seal(*arguments: Any) -> dict[str, Any]:
            if not begun:
                begun.append(pool.submit(score_rows, trained_run, new, out, part="2/2"))
                time.sleep(0.3)  # enough to be refused
            return dict(real(*arguments))

        monkeypatch.setattr(run, "seal", seal)
        told = score_rows(trained_run, new, out, part="1/2")
        assert begun[0].result() == told
    known = {"scored_before", "skewed"}
    assert {key: told[key] for key in told if key not in known} == {
        key: first[key] for key in first if key not in known
    }
    assert "scored_before" not in told  # which no share knows


def test_the_manifest_tells_each_file_and_a_finished_job_is_left_as_it_is(
    trained_run: Path, new: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    score_rows(trained_run, new, out)
    told = manifest(out)
    assert [file["input"] for file in told["files"]] == ["a.parquet", "b.parquet", "empty.parquet"]
    assert sum(file["rows"] for file in told["files"]) == 400
    for file in told["files"]:
        assert file["model"] == trained_run.name
        for part in file["parts"]:
            assert sha256_of(out / part["name"]) == part["sha256"]
            assert pq.read_metadata(out / part["name"]).num_rows == part["rows"]
    assert not (out / "_staging").exists()
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.name != ".lock"}
    score_rows(trained_run, new, out)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.name != ".lock"} == times


def swap_two_rows_behind_the_footer(path: Path) -> None:
    """Another file of the same footer, whose checksums are as long: only its pages tell."""
    table, was = pq.read_table(path), footer_digest(path)
    incomes = table.column("income").to_pylist()
    for other in range(2, 100):
        swapped = [*incomes]
        swapped[1], swapped[other] = incomes[other], incomes[1]
        place = table.column_names.index("income")
        write(path, table.set_column(place, "income", pa.array(swapped, pa.float64())), [100, 30, 120])
        if footer_digest(path) == was:
            return
    raise AssertionError("no two rows could be swapped")


def test_an_input_that_was_only_touched_is_the_same_and_one_of_other_rows_is_not(
    trained_run: Path, new: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    score_rows(trained_run, new, out)
    before = visible(out)
    os.utime(new / "a.parquet", (1, 1))
    assert score_rows(trained_run, new, out)["scored_before"] == 3
    assert visible(out) == before
    swap_two_rows_behind_the_footer(new / "a.parquet")
    with pytest.raises(ArtifactError, match=r"a\.parquet was scored from other content"):
        score_rows(trained_run, new, out)
    assert visible(out) == before


def replaced_unseen(path: Path) -> None:
    """By a file of equal footer, size, time of modification and inode."""
    before = path.stat()
    swap_two_rows_behind_the_footer(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (
        before.st_size, before.st_mtime_ns, before.st_ino
    )  # fmt: skip


def test_an_input_that_was_replaced_with_all_its_signs_is_another(
    trained_run: Path, new: Path, tmp_path: Path
) -> None:
    write(new / "a.parquet", pq.read_table(new / "a.parquet"), [100, 30, 120])
    out = tmp_path / "out"
    score_rows(trained_run, new, out)
    before = visible(out)
    (new / "a.parquet").chmod(0o600)  # which says no more than that it may be another
    assert score_rows(trained_run, new, out)["scored_before"] == 3
    replaced_unseen(new / "a.parquet")
    with pytest.raises(ArtifactError, match=r"a\.parquet was scored from other content") as caught:
        score_rows(trained_run, new, out)
    assert caught.value.exit_code == 12
    assert visible(out) == before


@pytest.mark.usefixtures("small_parts")
def test_parts_of_a_file_that_was_replaced_between_them_are_never_put_together(
    trained_run: Path, new: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    score_rows(trained_run, new, out, part="1/2")
    replaced_unseen(new / "a.parquet")
    told = score_rows(trained_run, new, out, part="2/2")
    assert told["waiting_for"] == 2  # parts of a.parquet, as it was
    with pytest.raises(DataError, match=r"2 of 6 parts are not scored .*, such as a-00000\.parquet"):
        conclude(trained_run, new, out)
    assert score_rows(trained_run, new, out, part="1/2")["rows"] == 400
    score_rows(trained_run, new, tmp_path / "whole")
    assert visible(out) == visible(tmp_path / "whole")


def test_a_file_that_is_replaced_while_it_is_scored_is_refused(
    trained_run: Path, new: Path, tmp_path: Path
) -> None:
    class Meddler:
        """Replaces the file when its first row group has been scored."""

        def see(self, number: int, rows: Rows, logits: npt.NDArray[np.float64]) -> None:
            """One row group."""
            if number == 0:
                replaced_unseen(new / "a.parquet")

    with pytest.raises(DataError, match=r"a\.parquet changed or went while it was scored: score again"):
        score_rows(trained_run, new, tmp_path / "out", observers=[Meddler()])
    assert visible(tmp_path / "out") == {}
    score_rows(trained_run, new, tmp_path / "out")
    score_rows(trained_run, new, tmp_path / "whole")
    assert visible(tmp_path / "out") == visible(tmp_path / "whole")


def test_files_that_were_left_out_stay_listed_until_they_are_scored(
    trained_run: Path, new: Path, tmp_path: Path
) -> None:
    out, asked = tmp_path / "out", [*QUARANTINE[:2], "score.bad_limit=1"]
    whole = {name: (new / name).read_bytes() for name in ("a.parquet", "b.parquet")}
    for name, content in whole.items():
        (new / name).write_bytes(content[:-9])
    score_rows(trained_run, new, out, asked)
    reasons = {own["file"]: own["reason"] for own in manifest(out)["quarantined_files"]}
    assert sorted(reasons) == ["a.parquet", "b.parquet"]
    later = write(tmp_path / "later" / "c.parquet", people(20, seed=3))
    assert score_rows(trained_run, later, out, asked)["quarantined_files"] == 0  # of this call
    assert {own["file"]: own["reason"] for own in manifest(out)["quarantined_files"]} == reasons
    (new / "a.parquet").write_bytes(whole["a.parquet"])
    (new / "b.parquet").write_bytes(b"id,age\n1,40\n2,50\n")
    score_rows(trained_run, new, out, asked)
    (left,) = manifest(out)["quarantined_files"]
    assert left["file"] == "b.parquet"
    assert left["reason"] != reasons["b.parquet"]
    (new / "b.parquet").write_bytes(whole["b.parquet"])
    score_rows(trained_run, new, out, asked)
    assert manifest(out)["quarantined_files"] == []
    assert [own["input"] for own in manifest(out)["files"]] == [
        "a.parquet", "b.parquet", "c.parquet", "empty.parquet"
    ]  # fmt: skip


def test_a_failure_keeps_the_parts_that_are_done(
    trained_run: Path, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, out = import_module("binclf.score.ledger"), tmp_path / "out"
    real: Callable[..., dict[str, Any]] = module.work
    scored: list[str] = []
    done = threading.Event()

    def failing(job: Any, part: Any, crew: Any) -> dict[str, Any]:
        if part.name == "b.parquet":
            assert done.wait(60)
            raise OSError("a fault")
        scored.append(part.name)
        receipt = real(job, part, crew)
        done.set()
        return receipt

    monkeypatch.setattr(import_module("binclf.score.run"), "_cores", lambda: 1)
    monkeypatch.setattr(module, "work", failing)
    with pytest.raises(OSError, match="a fault"):
        score_rows(trained_run, new, out)
    assert visible(out) == {}
    assert scored[0] == "a.parquet"
    assert "b.parquet" not in scored
    monkeypatch.setattr(module, "work", real)
    assert score_rows(trained_run, new, out)["scored_before"] >= 1
    score_rows(trained_run, new, tmp_path / "whole")
    assert visible(out) == visible(tmp_path / "whole")


def test_what_a_power_cut_leaves_of_receipts_and_parts_is_scored_again(
    trained_run: Path, new: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    score_rows(trained_run, new, out, part="1/2")
    (out / "_receipts" / "a.parquet.json").write_text("")
    score_rows(trained_run, new, out, part="1/2")
    (out / "_staging" / "a.parquet").write_bytes(b"")
    score_rows(trained_run, new, out, part="1/2")
    score_rows(trained_run, new, out, part="2/2")
    score_rows(trained_run, new, tmp_path / "whole")
    assert visible(out) == visible(tmp_path / "whole")


@pytest.mark.slow
def test_kills_at_any_moment_leave_what_a_rerun_completes(trained_run: Path, tmp_path: Path) -> None:
    for number in range(12):
        write(tmp_path / "new" / f"{number}.parquet", people(40, seed=number), [20, 20])
    command = [sys.executable, "-m", "tests.kills", str(trained_run), str(tmp_path / "new"), str(tmp_path)]
    told = json.loads(subprocess.run([*command, "3", "1"], check=True, capture_output=True).stdout)
    assert told["wrong"] == []
    assert told["killed"] > 0


# whose output it is


def test_an_alias_scores_new_files_with_the_new_champion_and_leaves_the_others(
    trained_run: Path, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = artifact.open_run(trained_run), artifact.open_run(other_run(trained_run, tmp_path))
    champion = [first]
    monkeypatch.setattr("binclf.registry.open_run", lambda model, uri: champion[0])
    alias, out = "models:/people@champion", tmp_path / "out"
    score_rows(alias, new, out)
    before = visible(out)
    champion[0] = second
    write(new / "c.parquet", people(10, seed=12))
    told = score_rows(alias, new, out)
    assert (told["model"], told["scored_before"], told["rows"]) == ("other", 3, 410)
    models = {file["input"]: file["model"] for file in manifest(out)["files"]}
    assert models.pop("c.parquet") == "other"
    assert set(models.values()) == {trained_run.name}
    assert all(visible(out)[name] == before[name] for name in before if name.endswith(".parquet"))
    assert set(pq.read_table(out / "c.parquet").column("model").to_pylist()) == {"other"}
    with pytest.raises(ArtifactError, match=r"was scored by models:/people@champion, not by other"):
        score_rows("models:/people/2", new, out)
    (out / "a.parquet").unlink()
    with pytest.raises(ArtifactError, match=rf"a\.parquet .* is missing, which {trained_run.name} scored"):
        score_rows(alias, new, out)


def test_a_job_that_did_not_end_before_a_promotion_is_done_by_the_new_champion_alone(
    trained_run: Path, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = artifact.open_run(trained_run), artifact.open_run(other_run(trained_run, tmp_path))
    champion = [first]
    monkeypatch.setattr("binclf.registry.open_run", lambda model, uri: champion[0])
    score_rows("models:/people@champion", new, tmp_path / "out", part="1/2")
    champion[0] = second
    told = score_rows("models:/people@champion", new, tmp_path / "out", part="2/2")
    assert told["waiting_for"] == 2
    score_rows("models:/people@champion", new, tmp_path / "out")
    assert set(pq.read_table(tmp_path / "out").column("model").to_pylist()) == {"other"}


def test_an_output_of_other_settings_is_refused(trained_run: Path, new: Path, tmp_path: Path) -> None:
    score_rows(trained_run, new, tmp_path / "out")
    with pytest.raises(ArtifactError, match="was scored with contributions = 0, not 2: choose another"):
        score_rows(trained_run, new, tmp_path / "out", ["score.contributions=2"])


# what is written


def test_the_largest_contributions_and_columns_that_are_carried(
    trained_run: Path, new: Path, tmp_path: Path
) -> None:
    asked = ["score.contributions=3", 'score.columns=["city", "age", "visits"]']
    score_rows(trained_run, new, tmp_path / "out", asked)
    source, found = pq.read_table(new / "a.parquet"), pq.read_table(tmp_path / "out" / "a.parquet")
    assert found.column_names == [
        "id", "city", "age", "visits", "probability", "decision", "model",
        "contribution_1", "contribution_1_log_odds", "contribution_2", "contribution_2_log_odds",
        "contribution_3", "contribution_3_log_odds",
    ]  # fmt: skip
    for name in ("id", "city", "age", "visits"):
        assert found.column(name).to_pylist() == source.column(name).to_pylist()
    explained = binclf.load(trained_run).explain(source)
    names = [one.column for one in explained.contributions]
    each = np.array([one.log_odds for one in explained.contributions])
    order = np.argsort(-np.abs(each), axis=0, kind="stable")[:3]
    for k in range(3):
        assert found.column(f"contribution_{k + 1}").to_pylist() == [names[j] for j in order[k]]
        told = found.column(f"contribution_{k + 1}_log_odds").to_numpy()
        assert np.array_equal(told, each[order[k], np.arange(250)])


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("score.contributions=7", "the model has 6 columns"),
        ("score.contributions=101", r"score\.contributions"),
        ('score.columns=["id"]', r"in data\.ids"),
        ('score.columns=["city", "city"]', "twice"),
        ('score.columns=["model"]', "the name of a column that scoring adds"),
        ("score.bad_limit=0.2", "no effect where nothing is quarantined"),
        ("train.epochs=2", r"'train\.epochs=2' has no effect on scoring"),
    ],
)
def test_settings_that_cannot_be_met_are_refused(
    override: str, words: str, trained_run: Path, new: Path, tmp_path: Path
) -> None:
    if "model" in override:
        for path in new.glob("[ab].parquet"):
            table = pq.read_table(path)
            write(path, table.append_column("model", pa.array([1] * table.num_rows)))
        (new / "empty.parquet").unlink()
    with pytest.raises((ConfigError, DataError), match=words):
        score_rows(trained_run, new, tmp_path / "out", [override])
    assert not (tmp_path / "out").exists()


# quarantine


def test_bad_files_are_left_out_listed_and_counted_and_scored_once_mended(
    trained_run: Path, new: Path, tmp_path: Path
) -> None:
    good = (new / "b.parquet").read_bytes()
    place = pq.ParquetFile(new / "b.parquet").metadata.row_group(2).column(2).data_page_offset + 200
    (new / "b.parquet").write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
    (new / "cut.parquet").write_bytes(good[:-100])
    write(new / "unlike.parquet", people(10).drop_columns("city"))
    with pytest.raises(DataError, match=r"3 of 5 files are bad, and score\.bad_limit = 0\.5"):
        score_rows(trained_run, new, tmp_path / "out", QUARANTINE)
    assert visible(tmp_path / "out") == {}
    asked = [*QUARANTINE[:2], "score.bad_limit=0.7"]
    told = score_rows(trained_run, new, tmp_path / "out", asked)
    assert (told["files"], told["rows"], told["quarantined_files"]) == (2, 250, 3)
    listed = manifest(tmp_path / "out")["quarantined_files"]
    assert [(one["file"], one["rows"]) for one in listed] == [
        ("b.parquet", 150), ("cut.parquet", None), ("unlike.parquet", 10),
    ]  # fmt: skip
    assert "column 'income' of b.parquet, row group 2 is damaged" in listed[0]["reason"]
    assert not (tmp_path / "out" / "b.parquet").exists()
    (new / "b.parquet").write_bytes(good)
    told = score_rows(trained_run, new, tmp_path / "out", asked)
    assert (told["rows"], told["quarantined_files"], told["scored_before"]) == (400, 2, 2)


def test_bad_rows_are_left_out_listed_and_counted(trained_run: Path, new: Path, tmp_path: Path) -> None:
    table = pq.read_table(new / "a.parquet")
    ages, incomes = table.column("age").to_pylist(), table.column("income").to_pylist()
    ages[3], ages[140], incomes[140], incomes[249] = np.inf, -np.inf, np.inf, -np.inf
    for name, values in (("age", ages), ("income", incomes)):
        table = table.set_column(table.column_names.index(name), name, pa.array(values, pa.float64()))
    write(new / "a.parquet", table, [100, 30, 120])
    with pytest.raises(DataError, match=r"column 'age' of a\.parquet, row group 0 holds 1 infinite"):
        score_rows(trained_run, new, tmp_path / "out")
    with pytest.raises(DataError, match=r"3 of 400 rows are bad, and score\.bad_limit = 0\.001"):
        score_rows(trained_run, new, tmp_path / "out", [*QUARANTINE[:2], "score.bad_limit=0.001"])
    told = score_rows(trained_run, new, tmp_path / "out", QUARANTINE)
    assert (told["rows"], told["quarantined_rows"]) == (397, 3)
    entry = manifest(tmp_path / "out")["files"][0]
    assert entry["quarantined"] == {"column 'age' is infinite": 2, "column 'income' is infinite": 1}
    kept = np.delete(np.arange(250), [3, 140, 249])
    found = pq.read_table(tmp_path / "out" / "a.parquet")
    expected = binclf.load(trained_run).predict_proba(table.take(kept))
    assert np.array_equal(found.column("probability").to_numpy(), expected)
    listed = pq.read_table(tmp_path / "out" / "_quarantine" / "a.parquet")
    assert listed.column("row").to_pylist() == [3, 140, 249]
    assert listed.column("id").to_pylist() == [table.column("id")[row].as_py() for row in (3, 140, 249)]
    assert listed.column("reason").to_pylist() == [
        "column 'age' is infinite", "column 'age' is infinite", "column 'income' is infinite",
    ]  # fmt: skip


@pytest.mark.parametrize("asked", [(), ('score.columns=["income", "city"]',)])
def test_the_same_bytes_whether_columns_are_read_together_or_one_after_the_other(
    trained_run: Path, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: tuple[str, ...]
) -> None:
    """A sample looks at whole row groups, of which here only the first is one; bad rows are read again."""
    table = pq.read_table(new / "a.parquet")
    ages = [np.inf if row in (3, 140) else age for row, age in enumerate(table.column("age").to_pylist())]
    table = table.set_column(table.column_names.index("age"), "age", pa.array(ages, pa.float64()))
    write(new / "a.parquet", table, [100, 30, 120])
    score_rows(trained_run, new, tmp_path / "together", [*QUARANTINE, *asked])
    read: list[int] = []
    real = Reader.read

    def counted(reader: Reader, group: int, columns: Sequence[str]) -> Rows:
        read.append(len(columns))
        return real(reader, group, columns)

    monkeypatch.setattr(Reader, "read", counted)
    monkeypatch.setattr(import_module("binclf.profile.watch"), "SAMPLE", 1)
    monkeypatch.setattr(import_module("binclf.terms"), "AT_ONCE_BYTES", 1)
    told = score_rows(trained_run, new, tmp_path / "in turns", [*QUARANTINE, *asked])
    assert (told["rows"], told["quarantined_rows"]) == (398, 2)
    features = len(binclf.load(trained_run).columns())
    assert read.count(1) >= 4 * features
    assert sum(count >= features for count in read) == 2  # what is looked at, and the second bad row's
    assert visible(tmp_path / "in turns") == visible(tmp_path / "together")


def test_rows_beyond_doubles_are_told_as_such(trained_run: Path) -> None:
    model = binclf.load(trained_run)
    great = replace(model, weight=model.weight * 1e308)
    rows = great.rows(people(3))
    assert set(great.terms.reasons(rows)) == {"the log-odds are beyond doubles"}

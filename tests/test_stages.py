"""A retraining in stages: cut off anywhere, it goes on where it was, and what is done is not done again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from binclf import artifact, commit, registry, stages
from binclf.config import Config, parse
from binclf.errors import ArtifactError, BusyError, ConfigError, DataError
from binclf.launch import progress_of
from binclf.report import history, last_runs
from binclf.retrain import alone, carry_out, fit
from binclf.split import Outcome, Task, attempt
from binclf.storage import Place, place_of
from tests.ranks import small_job

NEWTON = {"solver": "newton", "patience": 3, "window_rows": 16384, "epochs": 20}  # without torch
ORDER = ["fit", "measured", "conclude"]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return small_job(tmp_path, train=NEWTON)


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which work was done since, by the library's own functions; training in this process, for speed."""
    found: list[str] = []

    def counted(name: str, function: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            found.append(name)
            return function(*arguments, **{**named, **({"in_process": True} if name == "fit" else {})})

        return call

    for name in ORDER:
        monkeypatch.setattr(stages, name, counted(name, getattr(stages, name)))
    return found


def carried_out(config: Config, up_to: str = "compare") -> Place:
    run_dir = place_of(stages.begin(config).run)
    for name in ("train", "evaluate", "compare"):
        if up_to == "begin":
            break
        getattr(stages, name)(run_dir)
        if name == up_to:
            break
    return run_dir


@pytest.mark.parametrize(
    ("last", "left"),
    [
        pytest.param("begin", ORDER, marks=pytest.mark.slow),
        ("train", ORDER[1:]),
        pytest.param("evaluate", ORDER[2:], marks=pytest.mark.slow),
    ],
)
def test_a_run_that_was_cut_off_is_taken_up_where_it_was(
    config: Config, called: list[str], last: str, left: list[str]
) -> None:
    begun = carried_out(config, last)
    called.clear()
    begun_again = carried_out(config)
    assert begun_again == begun
    assert called == left
    undisturbed = place_of(carry_out(parse(config.model_dump()))["run"])
    for name in ("model.safetensors", "features.json", "metrics.json"):
        assert (begun / name).read_bytes() == (undisturbed / name).read_bytes(), name
    artifact.open_run(begun)
    assert [path.name for path in Path(str(begun)).glob(".*")] == []


def test_a_finished_job_is_not_done_again_unless_asked(config: Config, called: list[str]) -> None:
    run_dir = carried_out(config)
    called.clear()
    again = stages.begin(config)
    assert (again.run, again.rows) == (str(run_dir), 1031)
    assert again.reason == f"{run_dir.name} is of the same settings and data: nothing is done again"
    assert called == []
    other = stages.begin(config, "always")
    assert (other.run == str(run_dir), other.reason) == (False, "")


@pytest.mark.usefixtures("called")
@pytest.mark.parametrize(
    "change",
    [
        "settings",
        pytest.param("data", marks=pytest.mark.slow),
        pytest.param("version", marks=pytest.mark.slow),
    ],
)
def test_another_job_is_another_run(config: Config, change: str) -> None:
    run_dir = carried_out(config)
    if change == "settings":
        config = parse(config.model_dump(), ["features.min_count=3"])
    elif change == "data":
        one = Path(config.data.path) / "part-1.parquet"
        one.with_name("part-5.parquet").write_bytes(one.read_bytes())
    else:
        record = commit.read_json(run_dir / "model.json")
        commit.write_json(run_dir / "model.json", record | {"binclf": "0.0.1"})
    begun = stages.begin(config)
    assert (begun.run == str(run_dir), begun.reason) == (False, "")


@pytest.mark.usefixtures("called")
def test_ranks_memory_and_the_gate_make_no_other_job(config: Config) -> None:
    run_dir = carried_out(config)
    same = parse(config.model_dump(), ["train.ranks=2", "train.cache=none", "train.memory_bytes=1000000000"])
    assert stages.begin(same).run == str(run_dir)


def test_stages_are_refused_out_of_order(config: Config) -> None:
    run_dir = place_of(stages.begin(config).run)
    with pytest.raises(ArtifactError, match="is not fitted: train it first"):
        stages.evaluate(run_dir)
    with pytest.raises(ArtifactError, match=r"judged\.json is missing"):
        stages.compare(run_dir)


def test_what_would_stop_a_run_is_an_error_of_its_kind(config: Config) -> None:
    assert stages.ready(config)["rows"] == 1031
    with pytest.raises(DataError, match="no-such-column"):
        stages.ready(parse(config.model_dump(), ["data.weight=no-such-column"]))
    with pytest.raises(DataError, match="nowhere does not exist"):
        stages.ready(parse(config.model_dump(), ["data.path=nowhere"]))


def test_new_data_and_age_are_asked_of_a_champion(config: Config) -> None:
    with pytest.raises(ConfigError, match="champion"):
        stages.begin(config, "new_data")
    with pytest.raises(ConfigError, match="champion"):
        stages.due(config, 7.0, 1)
    there = parse(config.model_dump(), ["registry.uri="])
    assert stages.due(there, 7.0, 1) == "small has no champion yet"


@pytest.mark.slow
@pytest.mark.usefixtures("called")
def test_a_retraining_is_due_by_age_and_by_new_files(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    champion = artifact.open_run(carried_out(config))
    monkeypatch.setattr(registry, "champion_of", lambda *_: champion)
    there = parse(config.model_dump(), ["registry.uri="])
    assert stages.due(there, 7.0, 1) == ""
    assert stages.due(there, 0.0, 0) == "the champion is 0.0 days old, and 0 are allowed"
    one = Path(config.data.path) / "part-1.parquet"
    pq.write_table(pq.read_table(one).slice(0, 0), one.with_name("part-8.parquet"))  # night after night
    assert stages.due(there, 7.0, 1) == ""
    one.with_name("part-9.parquet").write_bytes(one.read_bytes())
    assert stages.due(there, 7.0, 1) == "the champion has not seen 1 files, such as part-9.parquet"
    assert stages.due(there, 7.0, 0) == stages.due(there, 7.0, 2) == ""


def test_a_second_retraining_of_a_model_is_refused_and_another_model_is_not(config: Config) -> None:
    with alone(config):
        with (
            pytest.raises(BusyError, match=r"small is being retrained in .* by another process: wait"),
            alone(config),
        ):
            pass
        with pytest.raises(BusyError):
            carry_out(config)
        with alone(parse(config.model_dump() | {"name": "other"})):
            pass
    with alone(config):
        pass


def test_the_split_may_be_dealt_anywhere_by_what_json_holds_of_its_tasks(config: Config) -> None:
    def elsewhere(tasks: Any, where: Place) -> list[Outcome]:
        records = json.loads(json.dumps([one.as_json() for one in tasks]))
        assert [Task.from_json(record) for record in records] == list(tasks)
        return [attempt(Task.from_json(record), place_of(str(where))) for record in reversed(records)][::-1]

    other = parse(config.model_dump() | {"store": f"{config.store}-other"})
    for one, run in ((config, stages.begin(config)), (other, stages.begin(other, "changed", elsewhere))):
        split = artifact.read_split(place_of(run.run))
        assert split.rows("train") + split.rows("validation") + split.rows("test") == 1031, one
    assert split.digest == artifact.read_split(place_of(stages.begin(config).run)).digest


@pytest.mark.slow
@pytest.mark.usefixtures("called")
def test_the_last_runs_stand_side_by_side_the_newest_first(config: Config) -> None:
    store = place_of(config.store)
    with pytest.raises(ArtifactError, match="no finished run of small"):
        history(store, "small")
    places = [carried_out(config), carried_out(parse(config.model_dump(), ["features.min_count=99"]))]
    carried_out(parse(config.model_dump(), ["features.min_count=98"]), "train")  # unfinished: not shown
    told = last_runs(store, "small")
    assert {run["run"] for run in told} == {place.name for place in places}
    metrics = commit.read_json(place_of(config.store) / told[0]["run"] / "metrics.json")
    assert (told[0]["part"], told[0]["log_loss"]) == ("test", metrics["test"]["log_loss"])
    text = history(store, "small")
    assert text.startswith("# small: the last 2 runs\n\n![trend](data:image/svg+xml;base64,")
    assert text.index(told[1]["run"]) < text.index(told[0]["run"])
    assert len(last_runs(store, "small", most=1)) == 1
    assert last_runs(store, "other") == []


@pytest.mark.slow
def test_every_line_of_progress_is_understood(config: Config) -> None:
    """The lines that the solvers really write, so that a change of theirs is noticed here."""
    seen: list[str] = []
    for settings in (NEWTON, {"epochs": 2, "lanes": 5, "window_rows": 11, "patience": 0}):
        job = parse(config.model_dump() | {"train": settings})
        fit(place_of(stages.begin(job).run), in_process=False, on_line=seen.append)
    ends = [found for line in seen if (found := progress_of(line, 2)) and found.share == 1]
    assert [one.words.split(":")[0].split()[-1] for one in ends] == ["passes", "2"]
    for one in ends:  # what is quick tells no more than how it ended
        assert one.loss is not None
        assert 0.3 < one.loss < 0.8
        assert str(one.loss) in one.words
    assert progress_of("epoch 2: 50 % of the rows", 4) is not None
    assert progress_of("rows are held in memory", 4) is None

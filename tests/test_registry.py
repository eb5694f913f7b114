"""A run is registered once, promoted only by newer data and a good decision, and found again, to the bit."""

from __future__ import annotations

import json
import pickletools
import re
import shutil
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import binclf
from binclf import artifact, cli, registry
from binclf.config import parse
from binclf.errors import ArtifactError, BusyError, ConfigError, StorageError
from binclf.parquet import from_frame
from binclf.registry import Window, aliases, register, roll_back
from binclf.registry.address import Address, known, tracking_uri
from binclf.registry.address import parse as parse_address
from binclf.registry.server import Server
from binclf.report import pictures_of
from tests import made
from tests.registered import Stub, keeping, metrics_of, promoting, sibling, template, unasked
from tests.trained import people

pytestmark = pytest.mark.slow

Make = Callable[..., artifact.Run]


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return template(tmp_path_factory.mktemp("registry"))


@pytest.fixture
def store(tmp_path: Path, empty_registry: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with an empty registry, and a local home of its own."""
    monkeypatch.setenv("BINCLF_CACHE", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "store"
    folder.mkdir()
    shutil.copy(empty_registry, folder / "mlflow.db")
    return folder


@pytest.fixture
def make(trained_run: Path, store: Path) -> Make:
    """Runs of one model in the store, by their number."""
    return lambda number, **changes: sibling(trained_run, store, number, **changes)


def server_of(store: Path) -> Server:
    return Server(f"sqlite:///{store}/mlflow.db")


def champion_of(store: Path) -> str:
    version = server_of(store).version_of(Address("people", "champion"))
    return version.tags["binclf.run"] if version else ""


# addresses and settings


@pytest.mark.parametrize("text", ["models:/churn@champion", "models:/late-flights/3", "models:/a.b_c/12"])
def test_an_address_is_what_it_says(text: str) -> None:
    assert str(parse_address(text)) == text
    assert registry.is_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "models:/", "models:/x", "models:/x@", "models:/x/0", "models:/x/latest", "models:/../x@champion",
        "models:/x' or '1'='1/1", "models:/X@champion", "models:/x@a/b", "models:/x/1/../../etc",
        "models:x/1",        "models:/x/1\n", "models:/%2e%2e/1", "models://host/x/1",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no model's address: write models:/NAME@ALIAS"):
        parse_address(text)


def config_of(store: str, **section: Any) -> binclf.Config:
    return parse({"name": "x", "store": store, "data": {"path": "d", "label": "y"}, "registry": section})


def test_the_registry_lies_in_the_store_or_where_it_is_said_to() -> None:
    assert tracking_uri(config_of("/a b/runs")) == "sqlite:////a b/runs/mlflow.db"
    assert tracking_uri(config_of("s3://bucket/runs", uri="http://mlflow:5000")) == "http://mlflow:5000"
    assert tracking_uri(config_of("s3://bucket/runs", uri="off")) == ""
    assert tracking_uri(config_of("/runs", uri="sqlite:///m.db")) == f"sqlite:///{Path.cwd()}/m.db"
    with pytest.raises(ConfigError, match=r"registry\.uri is empty, .* and s3://bucket/runs cannot hold a"):
        tracking_uri(config_of("s3://bucket/runs"))
    with pytest.raises(ConfigError, match=r"has one of .* in its path"):
        tracking_uri(config_of("/runs#1"))


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"uri": "off", "margin": 0.1}, "registry.margin has no effect with registry.uri = 'off'"),
        ({"uri": "off", "promote": "never"}, "registry.promote has no effect with registry.uri = 'off'"),
        (
            {"promote": "always", "margin": 0.1},
            "registry.margin has no effect with registry.promote = 'always'",
        ),
        ({"uri": "https://me:secret@mlflow"}, "registry.uri holds a password"),
        ({"uri": "mlflow.db"}, "registry.uri = 'mlflow.db'"),
        ({"margin": -0.1}, "registry.margin = -0.1"),
    ],
)
def test_a_setting_without_effect_is_refused(section: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        config_of("/runs", **section)


def test_a_registry_is_known_by_argument_environment_or_the_default_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert known("") == f"sqlite:///{Path.cwd()}/runs/mlflow.db"
    assert known("/store") == known("/store/mlflow.db") == "sqlite:////store/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert known("") == "http://mlflow:5000"
    assert known("http://other") == "http://other"


# windows

MOMENTS = st.sampled_from(["2026-01-01T00:00:00", "2026-01-02T00:00:00", "2026-01-03T00:00:00"])
WINDOWS = st.builds(Window, until=MOMENTS | st.just(""), begun=MOMENTS)


@given(WINDOWS, WINDOWS, WINDOWS)
def test_windows_have_one_order(a: Window, b: Window, c: Window) -> None:
    if a.order <= b.order <= c.order:
        assert a.order <= c.order
    if a.until and b.until and a.until != b.until:
        assert (a.order < b.order) == (a.until < b.until)
    elif a.until == b.until:
        assert (a.order < b.order) == (a.begun < b.begun)


def test_a_window_ends_with_the_latest_moment_of_the_data(tmp_path: Path) -> None:
    data = made.mixed_files(tmp_path / "data", [300, 217], group_rows=50)
    config = made.config(data, tmp_path / "runs", data={"time": "time"})
    run = artifact.open_run(binclf.retrain(config))
    sealed = json.loads(run.contents["window.json"])
    assert sealed["until"] == "2024-01-01T20:36:00.000000+00:00"  # noon and 516 minutes
    assert registry.window_of(run).as_json() == sealed
    assert sealed["begun"] == artifact.began(run.id).isoformat(timespec="microseconds")


# a version


def test_a_run_is_a_version_with_all_that_was_found(make: Make, store: Path) -> None:
    run = make(1)
    pictures = pictures_of(run)
    told = register(run, unasked, pictures=pictures)
    assert told["model"] == "models:/people/1"
    assert told["is_champion"]
    with server_of(store).asked() as client:
        version = client.get_model_version("people", "1")
        logged = client.get_run(version.run_id)
        files = {file.path for file in client.list_artifacts(version.run_id, "run")}
        drawn = {file.path for file in client.list_artifacts(version.run_id, "run/pictures")}
        assert client.get_registered_model("people").aliases == {"champion": 1}
    assert version.tags["binclf.run"] == run.id
    assert version.tags["binclf.split"] == run.split.digest
    assert version.description.startswith("promote: there was no champion")
    assert {f"binclf.{part}.fingerprint" for part in run.split.parts} <= set(logged.data.tags)
    assert files == {"run/report.html", "run/card.md", "run/pictures"}
    assert drawn == {f"run/pictures/{name}" for name in pictures}
    assert {"calibration.svg", "gains.svg", "pr.svg", "roc.svg", "scores.svg"} == set(pictures)
    assert all(ET.fromstring(picture).tag.endswith("}svg") for picture in pictures.values())
    assert logged.info.status == "FINISHED"
    assert logged.data.params["train.epochs"] == "4"
    assert logged.data.params["data.ids"] == '["id"]'
    sealed = json.loads(run.contents["metrics.json"])
    for part in ("train", "validation", "test"):
        for name in ("log_loss", "roc_auc", "rows"):
            assert logged.data.metrics[f"{part}/{name}"] == sealed[part][name]
    assert logged.data.metrics["test/confusion/tp"] == sealed["test"]["confusion"]["tp"]
    assert {i.dataset.name for i in logged.inputs.dataset_inputs} == {
        "people train", "people validation", "people test"
    }  # fmt: skip


def test_any_name_that_a_config_may_have_is_registered(make: Make, store: Path) -> None:
    run = make(1, name="late.flights_v2-x")
    assert register(run, unasked)["model"] == "models:/late.flights_v2-x/1"
    assert registry.open_run("models:/late.flights_v2-x@champion", str(store)).contents == run.contents


def test_metrics_of_each_epoch_are_logged_with_their_step(make: Make, store: Path) -> None:
    run = make(1)
    register(run, unasked)
    with server_of(store).asked() as client:
        version = client.get_model_version("people", "1")
        history = client.get_metric_history(version.run_id, "epoch/train_loss")
    assert [(m.step, m.value) for m in history] == [
        (entry["epoch"], entry["train_loss"]) for entry in run.record["training"]["history"]
    ]


def test_mlflow_loads_what_binclf_scores_to_the_bit(make: Make, store: Path) -> None:
    import mlflow.pyfunc

    register(make(1), unasked)
    frame = people(500, seed=5).to_pandas()
    expected = binclf.load("models:/people@champion", str(store)).predict_proba(frame)
    with server_of(store).asked() as client:
        source = client.get_model_version("people", "1").source
    loaded = mlflow.pyfunc.load_model(source)
    needed = frame[loaded.metadata.signature.inputs.input_names()]
    found = loaded.predict(needed)
    assert found["probability"].dtype == "float64"
    assert (found["probability"].to_numpy() == expected).all()
    assert (found["decision"].to_numpy() == (expected >= 0.5)).all()
    assert list(found.index) == list(frame.index)
    assert set(loaded.input_example.columns) == set(needed.columns)
    as_json = json.loads(json.dumps(json.loads(needed.to_json(orient="split", double_precision=15))))
    import pandas as pd

    again = loaded.predict(pd.DataFrame(as_json["data"], columns=as_json["columns"]))
    assert abs(again["probability"] - expected).max() < 1e-12  # pandas writes 15 digits


def is_pickle(content: bytes) -> bool:
    """Whether bytes can be read as a pickle's program."""
    try:
        return bool(list(pickletools.genops(content)))
    except Exception:  # each opcode complains in its own way
        return False


def test_a_logged_model_holds_no_pickle_and_names_no_host(make: Make, store: Path) -> None:
    register(make(1), unasked)
    files = [path for path in (store / "mlflow").rglob("*") if path.is_file()]
    assert any(path.name == "MLmodel" for path in files)
    for path in files:
        content = path.read_bytes()
        assert path.suffix not in (".pkl", ".pickle", ".joblib", ".pt", ".cloudpickle")
        assert not is_pickle(content), path
    texts = [p.read_text() for p in files if p.name in ("requirements.txt", "conda.yaml", "python_env.yaml")]
    assert len(texts) == 3
    assert all("://" not in text and "--" not in text for text in texts)
    model = next(path for path in files if path.name == "MLmodel").read_text()
    assert "loader_module: binclf.registry.pyfunc" in model


def test_a_run_is_registered_and_decided_on_once(make: Make, store: Path) -> None:
    first, second = make(1), make(2)
    register(first, unasked)
    assert not register(second, keeping)["is_champion"]
    told = register(second, promoting)  # too late: it was decided
    assert (told["version"], told["verdict"], told["is_champion"]) == (2, "keep", False)
    with server_of(store).asked() as client:
        assert len(client.search_model_versions("name='people'")) == 2
        experiment = client.get_experiment_by_name("people").experiment_id
        assert len(client.search_runs([experiment])) == 2


STEPS = [
    "create_run", "log_batch", "log_inputs", "log_artifacts", "create_logged_model", "log_model_artifacts",
    "finalize_logged_model", "create_model_version", "set_terminated", "update_model_version",
    "set_model_version_tag",    "set_registered_model_alias",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
def test_cut_off_at_any_step_and_called_again_it_is_done_once(
    step: str, is_after: bool, make: Make, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    whole, fired = getattr(MlflowClient, step), [0]

    def cut(*arguments: Any, **named: Any) -> Any:
        fired[0] += 1
        if is_after:
            whole(*arguments, **named)
        raise KeyboardInterrupt

    run = make(1)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, step, cut)
        with pytest.raises(KeyboardInterrupt):
            register(run, unasked)
    assert fired == [1]
    told = register(run, unasked)
    assert (told["version"], told["is_champion"], told["verdict"]) == (1, True, "promote")
    with server_of(store).asked() as client:
        versions = client.search_model_versions("name='people'")
        experiment = client.get_experiment_by_name("people").experiment_id
        runs = client.search_runs([experiment])
        history = client.get_metric_history(versions[0].run_id, "test/log_loss")
    assert (len(versions), len(runs), len(history)) == (1, 1, 1)
    assert runs[0].info.status == "FINISHED"


# promotion


def test_without_a_champion_the_base_rate_is_to_be_beaten(make: Make, trained_run: Path) -> None:
    worse = metrics_of(trained_run, log_loss=0.7, base_log_loss=0.69)
    undefined = metrics_of(trained_run, log_loss=None)
    better: dict[str, Any] = {"log_loss": 0.68, "base_log_loss": 0.69}
    by_chance = metrics_of(trained_run, **better, intervals={"skill": [-0.001, 0.021]})
    alone = metrics_of(trained_run, **better, intervals={})
    few = metrics_of(
        trained_run, **better, intervals={"skill": [0.001, 0.019]}, units=18.0, positive_rate=0.5
    )
    parts = json.loads((trained_run / "metrics.json").read_text())
    for number, (metrics, verdict, words) in enumerate(
        [
            (worse, "keep", "is not below 0.690000 of the base rate"),
            (
                by_chance,
                "inconclusive",
                "not beyond noise (by 0.010000, 95 % interval -0.001000 to",
            ),
            (alone, "inconclusive", "of too few rows to have an interval"),
            (few, "inconclusive", "the rarer class tells as much as 9 independent rows, and 10 are needed"),
            (undefined, "inconclusive", "its log-loss on test is undefined"),
            ({"train": parts["train"]}, "inconclusive", "no test or validation rows to judge by"),
        ]
    ):
        told = register(make(number, metrics=metrics), unasked)
        assert (told["is_champion"], told["champion"], told["verdict"]) == (False, None, verdict)
        assert words in told["reason"]
    assert register(make(9), unasked)["is_champion"]


def test_never_and_always_ask_nobody(make: Make, trained_run: Path, store: Path) -> None:
    assert not register(make(1, registry={"promote": "never"}), unasked)["is_champion"]
    worse = metrics_of(trained_run, log_loss=0.7, base_log_loss=0.69)
    for number in (2, 3):
        run = make(number, registry={"promote": "always"}, metrics=worse)
        assert register(run, unasked)["is_champion"]
        assert champion_of(store) == run.id


def test_the_decision_decides_and_its_numbers_are_kept(make: Make, store: Path) -> None:
    register(make(1), unasked)
    assert register(make(2), keeping)["champion"] == 1
    with server_of(store).asked() as client:
        assert client.get_registered_model("people").aliases == {"champion": 1, "challenger": 2}
    assert register(make(3), promoting)["champion"] == 3
    with server_of(store).asked() as client:
        assert client.get_registered_model("people").aliases == {"champion": 3}
        tags = client.get_model_version("people", "3").tags
    assert json.loads(tags["binclf.comparison"]) == {"verdict": "promote", "difference": -0.01}
    assert tags["binclf.replaced"] == "1"


def test_a_champion_that_cannot_be_compared_with_stays(make: Make, store: Path) -> None:
    def refuse(champion: artifact.Run, challenger: artifact.Run) -> Any:
        raise ArtifactError("they share no rows")

    register(make(1), unasked)
    told = register(make(2), refuse)
    assert (told["champion"], told["verdict"]) == (1, "inconclusive")
    assert "they share no rows" in told["reason"]


@pytest.mark.parametrize("rule", ["if_better", "always"])
def test_older_data_never_replace_newer_ones(rule: str, make: Make) -> None:
    newer = make(1, until="2026-01-02T00:00:00.000000+00:00")
    backfill = make(5, until="2025-06-01T00:00:00.000000+00:00", registry={"promote": rule})
    assert register(newer, unasked)["is_champion"]
    told = register(backfill, unasked)
    assert (told["is_champion"], told["champion"]) == (False, 1)
    assert "champion 1 has newer data, until 2026-01-02" in told["reason"]


def test_of_two_nightly_runs_the_one_that_began_later_wins_whoever_ends_first(
    make: Make, store: Path
) -> None:
    first, second = make(1), make(2)
    register(second, unasked)
    register(first, unasked)
    assert champion_of(store) == second.id


@pytest.mark.parametrize("is_sooner", ["older", "newer"])
@pytest.mark.parametrize("phase", ["tagged", "moved"])
def test_a_race_that_another_store_won_is_mended(
    is_sooner: str, phase: str, make: Make, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No lock holds between two stores: one promotes in the middle of the other's promotion."""
    register(make(1), unasked)
    older, newer = make(2), make(3)
    outer, inner = (older, newer) if is_sooner == "newer" else (newer, older)
    from mlflow import MlflowClient

    move, fired = MlflowClient.set_registered_model_alias, [0]

    def between(client: Any, name: str, alias: str, version: Any) -> None:
        is_ours = alias == "champion" and not fired[0]
        if is_ours:
            fired[0] = 1
            if phase == "tagged":
                register(inner, promoting)
        move(client, name, alias, version)
        if is_ours and phase == "moved":
            register(inner, promoting)

    monkeypatch.setattr(Server, "turn", without_a_lock)
    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", between)
    register(outer, promoting)
    assert fired == [1]
    assert champion_of(store) == newer.id


def without_a_lock(self: Server) -> Any:
    from contextlib import nullcontext

    return nullcontext()


def test_who_cannot_settle_the_champion_says_so(
    make: Make, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setattr(aliases, "ATTEMPTS", 2)
    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", lambda *_: None)
    with pytest.raises(BusyError, match="the champion of people changes all the time") as caught:
        register(make(1), unasked)
    assert "register it later with: binclf register" in caught.value.__notes__[0]


# rollback


def test_rolling_back_twice_goes_back_two(make: Make, store: Path) -> None:
    runs = [make(number) for number in (1, 2, 3)]
    for run in runs:
        register(run, promoting)
    assert roll_back("people", str(store)) == {
        "model": "people", "champion": 2, "rolled_back": 3, "run": runs[1].id,
        "registry": f"sqlite:///{store}/mlflow.db",
    }  # fmt: skip
    register(runs[2], promoting)  # a retry of what was rolled back brings nothing back
    assert champion_of(store) == runs[1].id
    roll_back("people", str(store))
    assert champion_of(store) == runs[0].id
    with pytest.raises(ArtifactError, match="version 1 of people is the first champion that is known"):
        roll_back("people", str(store))
    register(make(4), promoting)
    roll_back("people", str(store))
    assert champion_of(store) == runs[0].id  # not version 3 or 2, which were rolled back


@pytest.mark.parametrize("phase", ["before", "after"])
def test_a_rollback_takes_back_nothing_that_another_store_promotes_meanwhile(
    phase: str, make: Make, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No lock holds between two stores: one promotes in the middle of the other's rollback."""
    for number in (1, 2):
        register(make(number), promoting)
    newer = make(3)
    from mlflow import MlflowClient

    move, fired = MlflowClient.set_registered_model_alias, [0]

    def between(client: Any, name: str, alias: str, version: Any) -> None:
        is_ours = alias == "champion" and not fired[0]
        fired[0] = 1
        if is_ours and phase == "before":
            register(newer, promoting)
        move(client, name, alias, version)
        if is_ours and phase == "after":
            register(newer, promoting)

    monkeypatch.setattr(Server, "turn", without_a_lock)
    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", between)
    assert roll_back("people", str(store))["champion"] == 3
    assert champion_of(store) == newer.id
    with server_of(store).asked() as client:
        assert "binclf.rolled_back" in client.get_model_version("people", "2").tags


def test_nothing_is_settled_where_all_that_was_promoted_has_been_taken_back(make: Make, store: Path) -> None:
    register(make(1, registry={"promote": "never"}), unasked)
    aliases.settle(server_of(store), "people")
    assert champion_of(store) == ""


def test_there_must_be_something_to_roll_back(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="people has no champion in sqlite:"):
        roll_back("people", str(store))
    with pytest.raises(ArtifactError, match="there is no registry"):
        roll_back("people", str(tmp_path / "nowhere"))
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(ConfigError, match="is no model's address"):
        roll_back("../people", str(store))


# addresses to runs


def test_a_model_is_loaded_by_address_and_verified(make: Make, store: Path) -> None:
    run = make(1)
    register(run, unasked)
    rows = from_frame(people(50, seed=5))
    expected = binclf.load(str(run.path)).logits(rows)
    for address in ("models:/people@champion", "models:/people/1"):
        assert (binclf.load(address, str(store)).logits(rows) == expected).all()
    assert registry.open_run("models:/people/1", str(store)).contents == run.contents
    register(make(2), keeping)
    there = "Of people it has versions 1 to 2; @challenger is 2; @champion is 1."
    for address, words in (
        ("models:/people/3", there),
        ("models:/people@shadow", there),
        ("models:/nobody@champion", "It has people."),
    ):
        with pytest.raises(ArtifactError, match=rf"{address} is not in the registry .*{words}"):
            binclf.load(address, str(store))


def test_a_registration_copies_the_run_once(make: Make, store: Path) -> None:
    run = make(1)
    register(run, unasked)
    copies = Counter(path.name for path in (store / "mlflow").rglob("*") if path.name in run.contents)
    assert copies == dict.fromkeys(run.contents, 1) | {"report.html": 2, "card.md": 2}


def test_compare_looks_where_the_run_was_registered_unless_told_otherwise(
    make: Make, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make(1), make(2)
    register(first, unasked)
    asked: list[str] = []

    def open_run(_: str, where: str = "") -> artifact.Run:
        asked.append(where)
        return first

    monkeypatch.setattr(registry, "open_run", open_run)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def compare(*more: str) -> str:
        with pytest.raises(SystemExit):
            cli.main(["compare", str(second.path), "models:/people@champion", *more])
        return asked.pop()

    assert compare() == f"sqlite:///{store}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert compare() == "http://mlflow:5000"
    assert compare("--registry", "elsewhere") == "elsewhere"


def logged_run(store: Path) -> Path:
    return next((store / "mlflow").rglob("data/run"))


def test_an_altered_model_is_refused(make: Make, store: Path) -> None:
    register(make(1), unasked)
    path = logged_run(store) / "features.json"
    path.write_text(path.read_text().replace("0", "1", 1))
    with pytest.raises(ArtifactError, match="was altered since the run was sealed"):
        binclf.load("models:/people@champion", str(store))


def test_another_run_in_the_place_of_a_registered_one_is_refused(
    make: Make, store: Path, trained_run: Path
) -> None:
    register(make(1), unasked)
    shutil.rmtree(logged_run(store))
    shutil.copytree(trained_run, next((store / "mlflow").rglob("data")) / "run")
    with pytest.raises(ArtifactError, match="is not what was registered: its manifest is another"):
        binclf.load("models:/people@champion", str(store))


def test_the_module_that_a_logged_model_names_is_not_imported(
    make: Make, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(make(1), unasked)
    model = next((store / "mlflow").rglob("MLmodel"))
    model.write_text(model.read_text().replace("binclf.registry.pyfunc", "trap"))
    (tmp_path / "trap.py").write_text("raise SystemExit('it was executed')")
    monkeypatch.syspath_prepend(str(tmp_path))
    binclf.load("models:/people@champion", str(store))


def test_a_version_of_others_is_not_ours_to_load(store: Path) -> None:
    with server_of(store).asked() as client:
        client.create_registered_model("people")
        client.create_model_version("people", str(store))
    with pytest.raises(ArtifactError, match="version 1 of people was not registered by binclf"):
        binclf.load("models:/people/1", str(store))


# what goes wrong


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address where nobody listens, and a client that does not ask twice."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return "http://127.0.0.1:9"


def test_an_unreachable_registry_is_told_with_what_to_do(make: Make, impatient: str) -> None:
    run = make(1, registry={"uri": impatient})
    with pytest.raises(StorageError, match=r"the registry http://127\.0\.0\.1:9 cannot be used") as caught:
        register(run, unasked)
    assert f"register it later with: binclf register {run.path}" in caught.value.__notes__[0]


def test_a_damaged_database_is_told(make: Make, store: Path) -> None:
    (store / "mlflow.db").write_bytes(b"no database" * 100)
    with pytest.raises(StorageError, match=r"the registry sqlite:.*mlflow\.db cannot be used"):
        register(make(1), unasked)


def test_a_password_is_never_shown() -> None:
    assert Server("https://me:secret@mlflow/x").shown == "https://mlflow/x"
    assert Server("mysql://db/x?user=me&password=secret").shown == "mysql://db/x?user=me&password=***"


@pytest.mark.parametrize(
    "uri",
    [
        "https://me:secret@mlflow", "https://secret@mlflow", "postgresql://me:secret@db/x",
        "postgresql://db/x?user=me&password=secret", "mssql://db/x?PWD=secret;a=b",
        "HTTPS://me:secret@mlflow", "https:secret?token=secret",
    ],
)  # fmt: skip
def test_a_password_is_refused_without_repeating_it(uri: str) -> None:
    with pytest.raises(ConfigError, match=r"registry\.uri") as caught:
        config_of("/runs", uri=uri)
    assert "secret" not in str(caught.value).replace("https:secret", "")
    assert "secret" not in str(caught.value.__cause__)


@pytest.mark.parametrize("uri", ["postgresql://me@db:5432/x?sslkey=/k.pem", "http://mlflow:5000/a:b@c"])
def test_what_is_no_password_is_taken(uri: str) -> None:
    assert config_of("/runs", uri=uri).registry.uri == uri


def test_what_pickles_are_is_known_to_the_test_above() -> None:
    import pickle

    assert is_pickle(pickle.dumps({"a": 1}))
    assert not is_pickle(b"{}")


def test_an_alias_that_two_stores_make_at_the_same_moment_is_asked_for_once_more(
    make: Make, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    move, fired = MlflowClient.set_registered_model_alias, [0]

    def collide(*arguments: Any) -> None:
        fired[0] += 1
        if fired[0] % 2:
            raise MlflowException("UNIQUE constraint failed: registered_model_aliases")
        move(*arguments)

    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", collide)
    assert register(make(1), unasked)["is_champion"]
    assert fired == [4]  # challenger and champion, each twice


def test_a_password_in_what_mlflow_says_is_not_told_either(make: Make, impatient: str) -> None:
    run = make(1, registry={"uri": impatient})
    with pytest.raises(StorageError) as caught:
        register(run, unasked, "http://me:s@cret@127.0.0.1:9")
    told = f"{caught.value} {caught.value.__notes__}"
    assert "cret" not in told
    assert f"binclf register {run.path} --registry http://127.0.0.1:9" in told


def test_a_registry_whose_driver_lacks_is_told(make: Make) -> None:
    with pytest.raises(StorageError, match=r"mssql://x/y cannot be used \(No module named .*install it"):
        register(make(1, registry={"uri": "mssql://x/y"}), unasked)


def test_a_sqlite_file_may_be_named_from_here(
    make: Make, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(1)
    monkeypatch.chdir(store)
    assert register(run, unasked, "sqlite:///mlflow.db")["registry"] == f"sqlite:///{store}/mlflow.db"
    assert known("sqlite:///mlflow.db") == f"sqlite:///{store}/mlflow.db"


def test_who_was_made_champion_by_hand_before_the_decision_replaced_nobody(make: Make, store: Path) -> None:
    def cut_off(champion: artifact.Run, challenger: artifact.Run) -> Any:
        raise BusyError("try again")

    register(make(1), unasked)
    run = make(2)
    with pytest.raises(BusyError):
        register(run, cut_off)
    with server_of(store).asked() as client:
        client.set_registered_model_alias("people", "champion", "2")
    assert register(run, unasked)["is_champion"]
    with pytest.raises(ArtifactError, match="version 2 of people is the first champion that is known"):
        roll_back("people", str(store))


def test_versions_that_say_to_have_replaced_each_other_end_a_rollback(make: Make, store: Path) -> None:
    for number in (1, 2):
        register(make(number), promoting)
    with server_of(store).asked() as client:
        for mine, other in (("1", "2"), ("2", "1")):
            version = client.get_model_version("people", mine)
            server_of(store).tag(version, replaced=other, rolled_back="once")
    with pytest.raises(ArtifactError, match="there is nothing to go back to"):
        roll_back("people", str(store))


def test_long_numbers_of_a_decision_are_kept_whole(make: Make, store: Path) -> None:
    slices = {"town": [{"level": f"town {number}", "rows": number} for number in range(1000)]}

    class Long(Stub):
        def as_json(self) -> dict[str, Any]:
            return {"verdict": "promote", "slices": slices, "text": "words" * 5000}

    register(make(1), unasked)
    register(make(2), lambda champion, challenger: Long())
    with server_of(store).asked() as client:
        version = client.get_model_version("people", "2")
        assert json.loads(version.tags["binclf.comparison"]) == {"verdict": "promote"}
        kept = next((store / "mlflow" / version.run_id).rglob("artifacts/comparison.json"))
    assert json.loads(kept.read_text())["slices"] == slices


def test_a_margin_of_leniency_is_not_asked_of_the_first_model(make: Make, trained_run: Path) -> None:
    metrics = metrics_of(trained_run, log_loss=0.048, base_log_loss=0.056)
    first = make(1, metrics=metrics, registry={"promote": "if_better", "margin": 0.01})
    told = register(first, unasked)
    assert not told["is_champion"]
    assert told["reason"].endswith("0.056000 of the base rate less the margin of 0.01")
    assert register(make(2, metrics=metrics, registry={"promote": "if_not_worse", "margin": 0.01}), unasked)[
        "is_champion"
    ]


def test_what_was_kept_of_a_model_is_fetched_again_if_it_was_damaged(
    make: Make, store: Path, tmp_path: Path
) -> None:
    run = make(1)
    register(run, unasked)
    binclf.load("models:/people@champion", str(store))
    kept = next((tmp_path / "home").rglob("features.json"))
    kept.write_text(kept.read_text().replace("0", "1", 1))
    assert registry.open_run("models:/people/1", str(store)).contents == run.contents

"""Pruning: what someone may go back to stays, all else is told first and goes when that is meant."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from binclf import artifact, registry
from binclf.commit import locked
from binclf.config import Config
from binclf.errors import BusyError, ConfigError, StorageError
from binclf.prune import prune, text_of
from binclf.split import ensure
from binclf.storage import place_of
from tests.registered import sibling
from tests.trained import on_disk, settings

OFF = {"uri": "off"}
OLD = time.time() - 3 * 86400


@pytest.fixture
def store(trained_run: Path, tmp_path: Path) -> Path:
    """Seven runs, their parts and those of a split that no run has now, old decoded rows and new ones."""
    store = tmp_path / "store"
    shutil.copytree(trained_run.parent / "split", store / "split")
    for number in range(7):
        sibling(trained_run, store, number, registry=OFF)
    part = next((store / "split" / "parts").glob("*.parquet"))
    for name in ("0123-0.parquet", "0123.json", "4567-1.parquet"):
        shutil.copy(part, part.with_name(name))
        if not name.startswith("4567"):
            os.utime(part.with_name(name), (OLD, OLD))
    for name, used in (("aaaa", 0.0), ("bbbb", time.time())):
        (store / "cache" / name).mkdir(parents=True)
        (store / "cache" / name / "0.block").write_bytes(b"block")
        os.utime(store / "cache" / name, (used, used))
    return store


def names(store: Path) -> set[str]:
    return {path.name for path in store.iterdir() if (path / "config.json").exists()}


def run_name(number: int) -> str:
    return f"people-20260101-00000{number}-abcdef"


def test_what_would_go_is_told_and_nothing_goes_unless_meant(store: Path) -> None:
    before = sorted(store.rglob("*"))
    found = prune(store, keep=3)
    assert sorted(path for path in store.rglob("*") if path.name != ".prune.lock") == before
    assert [entry["run"] for entry in found["keep"]] == [run_name(n) for n in (6, 5, 4)]
    assert {Path(entry["path"]).name for entry in found["remove"]} == {
        *(run_name(n) for n in range(4)), "0123-0.parquet", "0123.json", "aaaa",
    }  # fmt: skip
    assert "Nothing was removed yet" in text_of(found)
    done = prune(store, keep=3, is_meant=True)
    assert done == {**found, "removed": True}
    assert names(store) == {run_name(n) for n in (4, 5, 6)}
    assert (store / "split" / "parts" / "4567-1.parquet").exists()
    assert not (store / "split" / "parts" / "0123.json").exists()
    assert sorted(path.name for path in (store / "cache").iterdir()) == ["bbbb"]
    for name in names(store):
        artifact.open_run(store / name)
    again = prune(store, keep=3, is_meant=True)
    assert (again["remove"], again["bytes"]) == ([], 0)
    assert text_of(again).splitlines()[-1] == "There is nothing to remove."


def test_parts_of_the_runs_that_stay_are_all_there(store: Path) -> None:
    for path in (store / "split" / "parts").iterdir():
        os.utime(path, (OLD, OLD))
    prune(store, keep=1, is_meant=True)
    split = artifact.open_run(store / run_name(6)).split
    for files in split.parts.values():
        for file in files:
            assert (store / "split" / "parts" / place_of(file.path).name).exists()
    assert not (store / "split" / "parts" / "4567-1.parquet").exists()


def test_champion_its_predecessor_and_unfinished_runs_stay(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def throne(name: str, uri: str) -> Mapping[str, str]:
        assert (name, uri) == ("people", "http://mlflow")
        return {run_name(1): "champion", run_name(0): "what a rollback brings back"}

    def tracking(config: Config) -> str:
        return "http://mlflow"

    monkeypatch.setattr(registry, "throne", throne)
    monkeypatch.setattr(registry, "tracking_uri", tracking)
    (store / run_name(2) / artifact.MANIFEST).unlink()
    found = prune(store, keep=1, is_meant=True)
    assert {entry["run"]: entry["why"] for entry in found["keep"]} == {
        run_name(6): "one of the newest 1",
        run_name(2): "not finished: resume it, or remove it by hand",
        run_name(1): "champion",
        run_name(0): "what a rollback brings back",
    }
    assert names(store) == {run_name(n) for n in (0, 1, 2, 6)}


def test_parts_of_a_renamed_run_and_of_one_of_another_version_stay(store: Path) -> None:
    for path in (store / "split" / "parts").iterdir():
        os.utime(path, (OLD, OLD))
    split = artifact.open_run(store / run_name(0)).split
    used = {place_of(file.path).name for files in split.parts.values() for file in files}
    (store / run_name(0)).rename(store / "the-good-one")
    config = json.loads((store / run_name(1) / "config.json").read_text())
    (store / run_name(1) / "config.json").write_text(json.dumps(config | {"of_tomorrow": 1}))
    for number in range(2, 6):
        shutil.rmtree(store / run_name(number))
    newest = store / run_name(6) / "split.json"
    record = json.loads(newest.read_text())
    for files in record["parts"].values():
        for file in files:
            file["id"] = f"ffff{file['id']}"  # made of other files
    (store / run_name(6) / artifact.MANIFEST).unlink()
    newest.write_text(json.dumps(record))
    artifact.seal(store / run_name(6))
    found = prune(store, keep=1, is_meant=True)
    assert [entry["run"] for entry in found["keep"]] == [run_name(6)]
    assert used <= {path.name for path in (store / "split" / "parts").iterdir()}
    assert names(store) == {"the-good-one", run_name(1), run_name(6)}


def test_parts_that_are_taken_up_again_stay_for_a_day(people_dir: Path, tmp_path: Path) -> None:
    config = settings(people_dir, tmp_path / "store")
    run, parts = on_disk(artifact.begin(config)), tmp_path / "store" / "split" / "parts"
    for path in parts.iterdir():
        os.utime(path, (OLD, OLD))
    split = json.loads((run / "split.json").read_text())
    shutil.rmtree(run)
    sibling_of_other_parts(config, split)
    before = sorted(path.name for path in parts.iterdir())
    goes = {Path(entry["path"]).name for entry in prune(tmp_path / "store")["remove"]}
    assert goes == {name for name in before if not name.startswith(".")}
    ensure(config)  # another training is about to begin
    assert prune(tmp_path / "store", is_meant=True)["remove"] == []
    assert sorted(path.name for path in parts.iterdir()) == before


def sibling_of_other_parts(config: Config, split: dict[str, Any]) -> None:
    """An unfinished run that was made of other files."""
    path = Path(config.store) / run_name(1)
    path.mkdir()
    for files in split["parts"].values():
        for file in files:
            file["id"] = f"ffff{file['id']}"
    (path / "split.json").write_text(json.dumps(split))
    (path / "config.json").write_text(config.model_dump_json())


def test_a_registry_that_cannot_be_asked_stops_it(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def throne(name: str, uri: str) -> Mapping[str, str]:
        raise StorageError("the registry does not answer")

    monkeypatch.setattr(registry, "throne", throne)
    monkeypatch.setattr(registry, "tracking_uri", lambda config: "http://mlflow")
    with pytest.raises(StorageError):
        prune(store, keep=1, is_meant=True)
    assert len(names(store)) == 7


def test_another_models_runs_stay_where_one_is_named(store: Path, trained_run: Path) -> None:
    other = sibling(trained_run, store, 8, registry=OFF, name="other")
    sibling(trained_run, store, 9, registry=OFF, name="other")
    found = prune(store, keep=1, name="other", is_meant=True)
    assert [Path(entry["path"]).name for entry in found["remove"] if entry["what"] == "run"] == [other.id]
    assert len(names(store)) == 8


def test_what_a_crash_left_goes_and_two_at_once_do_not(store: Path) -> None:
    (store / run_name(0)).rename(store / f".removed-{run_name(0)}")
    found = prune(store, keep=5)
    assert ".removed-" in found["remove"][0]["path"]
    with locked(store / ".prune.lock", wait=False), pytest.raises(BusyError):
        prune(store)
    prune(store, is_meant=True)
    assert not list(store.glob(".removed-*"))


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no local directory"):
        prune(tmp_path / "none")
    with pytest.raises(ConfigError, match="at least the newest run stays"):
        prune(tmp_path, keep=0)
    assert json.loads(json.dumps(prune(tmp_path)))["remove"] == []

"""A retraining ends with a comparison that is sealed with it, and the registry goes by what it says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from binclf import artifact, registry, retrain
from binclf.compare import Sealed, compare
from binclf.errors import ArtifactError, StorageError
from binclf.evaluate import of_parts
from binclf.retrain import _compare_with_champion, begin, carry_out, conclude, decide, fit
from tests.trained import on_disk, people, settings, write


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BINCLF_CACHE", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.mark.slow
def test_a_retraining_is_compared_with_the_champion_and_promoted_if_that_says_so(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write(data / "a.parquet", people(600, seed=1))
    small: dict[str, Any] = {"features": {"categorical": [], "log1p": []}, "registry": {"uri": ""}}
    few = {"weight": "", "exclude": ["age", "city", "income", "code"]}
    weak = {**small, "registry": {"uri": "", "promote": "always"}}  # 120 rows do not show that it is good
    first = carry_out(settings(data, tmp_path / "store", **weak, data=few))
    assert first["registry"]["is_champion"]
    write(data / "b.parquet", people(6000, seed=2))
    second = carry_out(settings(data, tmp_path / "store", **small, data={"weight": ""}))
    run = artifact.open_run(second["run"])
    sealed = json.loads(run.contents["comparison.json"])
    assert sealed["verdict"] == second["registry"]["verdict"] == "promote"
    assert second["registry"]["is_champion"]
    assert sealed["champion"] == Path(first["run"]).name
    assert sealed["rows_refused"] == 0  # the rows of the first file's test part are nobody's to learn from
    assert "if_better" in sealed["promoted_by"]
    assert "champion" in run.contents["report.html"].decode()


def record_of(champion: str, *promoted_by: str) -> dict[str, Any]:
    return {"champion": champion, "verdict": "inconclusive", "promoted_by": list(promoted_by)}


def test_what_is_sealed_decides_if_it_is_with_this_champion(
    trained_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = artifact.open_run(trained_run)
    contents = {**run.contents, "comparison.json": json.dumps(record_of(run.id, "if_not_worse")).encode()}
    challenger = replace(run, contents=contents)
    found = decide(run, challenger)
    assert isinstance(found, Sealed)
    assert found.is_promoted("if_not_worse")
    assert not found.is_promoted("if_better")
    contents["comparison.json"] = json.dumps(record_of("another")).encode()
    fresh = decide(run, challenger)
    assert not isinstance(fresh, Sealed)
    assert fresh.as_json() == compare(run, challenger).as_json()
    assert fresh.verdict == "keep"  # of identical models


def test_a_comparison_of_an_interrupted_end_is_not_sealed_once_there_is_no_champion(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = artifact.open_run(trained_run)
    config = run.config.model_copy(
        update={"registry": run.config.registry.model_copy(update={"uri": ""}), "store": str(tmp_path)}
    )
    (tmp_path / "comparison.json").write_text(json.dumps(record_of("the champion of then")))
    monkeypatch.setattr(registry, "champion_of", lambda name, uri: None)
    _compare_with_champion(replace(run, config=config, path=tmp_path))
    assert not (tmp_path / "comparison.json").exists()


def test_what_cannot_be_compared_keeps_the_champion(
    people_dir: Path, tmp_path: Path, trained_run: Path
) -> None:
    asked = {"label": "member", "exclude": ["bought"], "on_null_label": "drop"}
    other = retrain(settings(people_dir, tmp_path, data=asked))
    with pytest.raises(ArtifactError, match=r"only models of the same answer can be compared"):
        decide(artifact.open_run(trained_run), artifact.open_run(other))


def test_a_registry_that_cannot_be_asked_costs_no_run_its_seal(
    people_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_dir = begin(settings(people_dir, tmp_path, registry={"uri": "http://127.0.0.1:9"}))
    fit(run_dir)

    def unreachable(name: str, uri: str) -> None:
        raise StorageError(f"{uri} does not answer")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "champion_of", unreachable)
        conclude(run_dir, of_parts(artifact.open_run(run_dir, sealed=False)))
    assert artifact.is_sealed(on_disk(run_dir))
    assert "not compared with the champion: http://127.0.0.1:9 does not answer" in caplog.text


def test_a_comparison_that_a_cut_off_attempt_left_is_not_sealed(
    people_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = on_disk(begin(settings(people_dir, tmp_path, registry={"uri": "http://127.0.0.1:9"})))
    fit(run_dir)
    (run_dir / "comparison.json").write_text(json.dumps(record_of("another", "if_better")))
    monkeypatch.setattr(registry, "champion_of", lambda name, uri: None)  # it was taken away meanwhile
    conclude(run_dir, of_parts(artifact.open_run(run_dir, sealed=False)))
    assert "comparison.json" not in artifact.open_run(run_dir).contents

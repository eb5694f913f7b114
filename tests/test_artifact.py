"""A run is whole and as it was sealed, or it is refused by name; a resume is the same job or none."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import binclf
from binclf import artifact, hashing, train
from binclf.errors import ArtifactError
from binclf.retrain import fit, retrain
from binclf.storage import sha256_of
from tests.trained import people, settings, write

FILES = {
    "config.json", "split.json", "features.json", "model.safetensors", "model.json", "metrics.json",
    "report.html", "card.md", "receipts.json", "window.json", "profile.json", "alone.json",
    "golden.parquet",
}  # fmt: skip


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    """A copy of the trained run."""
    return Path(shutil.copytree(trained_run, tmp_path / trained_run.name))


def test_a_run_has_its_files_and_a_manifest_with_their_hashes(trained_run: Path) -> None:
    manifest = json.loads((trained_run / "manifest.json").read_text())
    assert {path.name for path in trained_run.iterdir()} == FILES | {"manifest.json"}
    assert manifest["files"] == {name: sha256_of(trained_run / name) for name in FILES}
    newest = max(trained_run.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert newest.name == "manifest.json"


def test_what_was_trained_is_what_is_read_back(trained_run: Path) -> None:
    run = artifact.open_run(trained_run)
    assert run.id == trained_run.name
    assert {name: len(array) for name, array in run.weights.items()} == {
        "weight": run.features.width,
        "table": run.features.table_size,
        "bias": 1,
    }
    assert all(array.dtype == np.float64 for array in run.weights.values())
    assert run.config == artifact.read_config(trained_run)
    assert run.split.rows("train") == run.features.rows


@pytest.mark.parametrize("name", sorted(FILES | {"manifest.json"}))
def test_a_flipped_bit_in_any_file_is_refused_by_name(name: str, run: Path) -> None:
    whole = (run / name).read_bytes()
    for place in range(0, len(whole), max(len(whole) // 50, 1)):
        flipped = whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :]
        (run / name).write_bytes(flipped)
        with pytest.raises(ArtifactError, match=f"{name}|lacks|manifest"):
            artifact.open_run(run)
    (run / name).write_bytes(whole)
    artifact.open_run(run)


def test_every_bit_of_the_manifest_counts(run: Path) -> None:
    path = run / "manifest.json"
    whole = path.read_bytes()
    for place in range(len(whole) - 1):  # the last is a line feed
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << place % 7)]) + whole[place + 1 :])
        with pytest.raises(ArtifactError, match=str(run)):
            artifact.open_run(run)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_missing_file_is_refused_by_name(name: str, run: Path) -> None:
    (run / name).unlink()
    with pytest.raises(ArtifactError, match=f"lacks {name}|no config.json"):
        artifact.open_run(run)


def test_a_file_that_was_added_is_refused_by_name(run: Path) -> None:
    (run / "notes.txt").write_text("better than the last")
    with pytest.raises(ArtifactError, match=r"notes\.txt was added since the run was sealed"):
        artifact.open_run(run)


def test_a_manifest_cannot_name_files_outside(run: Path) -> None:
    path = run / "manifest.json"
    manifest = json.loads(path.read_text())
    (run.parent / "other.json").write_text("{}")
    manifest["files"]["../other.json"] = sha256_of(run.parent / "other.json")
    manifest["digest"] = hashing.digest({k: v for k, v in manifest.items() if k != "digest"})
    path.write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match=r"lacks \.\./other\.json"):
        artifact.open_run(run)


def test_an_unfinished_run_is_refused_with_the_way_to_resume_it(run: Path) -> None:
    (run / "manifest.json").unlink()
    with pytest.raises(ArtifactError, match=rf"no manifest\.json.*--resume {run}"):
        artifact.open_run(run)
    assert artifact.open_run(run, sealed=False).id == run.name


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"is no run: it has no config\.json"):
        artifact.open_run(tmp_path)
    with pytest.raises(ArtifactError, match=r"models:/x@y is a registry's address: a run directory"):
        artifact.open_run("models:/x@y")


def test_a_run_of_another_format_is_refused_with_the_version_that_reads_it(run: Path) -> None:
    record = json.loads((run / "model.json").read_text())
    (run / "model.json").write_text(json.dumps({**record, "format": 99, "binclf": "9.9"}))
    artifact.seal(run)
    with pytest.raises(ArtifactError, match=r"is of format 99, and this binclf reads 1: use binclf 9\.9"):
        artifact.open_run(run)


@pytest.mark.parametrize("change", ["short", "nan", "extra"])
def test_weights_that_do_not_fit_the_features_are_refused(change: str, run: Path) -> None:
    opened = artifact.open_run(run)
    weights = {name: array.copy() for name, array in opened.weights.items()}
    if change == "short":
        weights["weight"] = weights["weight"][:-1]
    elif change == "nan":
        weights["bias"][0] = np.nan
    else:
        weights["other"] = np.zeros(1)
    artifact.write_model(run, opened.features, weights, opened.record)
    artifact.seal(run)
    with pytest.raises(ArtifactError, match=r"does not fit features\.json"):
        artifact.open_run(run)


def test_a_sealed_run_has_nothing_to_resume(trained_run: Path) -> None:
    with pytest.raises(ArtifactError, match="is finished: there is nothing to resume"):
        artifact.begin(artifact.read_config(trained_run), resume=trained_run)


def test_other_settings_are_refused_by_key_and_ranks_and_workers_may_differ(tmp_path: Path) -> None:
    data = write(tmp_path / "data.parquet", people(300))
    run = artifact.begin(settings(data, tmp_path / "store"))
    same = settings(data, tmp_path / "store", train={"ranks": 3, "workers": 1})
    assert artifact.begin(same, resume=run) == run
    other = settings(data, tmp_path / "store", train={"epochs": 9}, features={"min_count": 3})
    with pytest.raises(ArtifactError, match=r"other settings \(features\.min_count, train\.epochs\)"):
        artifact.begin(other, resume=run)


def test_other_data_are_refused(tmp_path: Path) -> None:
    data = write(tmp_path / "data.parquet", people(300))
    config = settings(data, tmp_path / "store")
    run = artifact.begin(config)
    write(data, people(300, seed=5))
    with pytest.raises(ArtifactError, match=r"was begun on other data than .*data\.parquet holds now"):
        artifact.begin(config, resume=run)


def test_what_is_no_run_is_not_resumed(tmp_path: Path) -> None:
    data = write(tmp_path / "data.parquet", people(300))
    with pytest.raises(ArtifactError, match=r"is no run: it has no config\.json"):
        artifact.begin(settings(data, tmp_path / "store"), resume=tmp_path / "none")


@pytest.mark.slow
def test_a_run_that_crashed_goes_on_to_the_bits_of_an_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write(tmp_path / "data.parquet", people(600))
    config = settings(data, tmp_path / "store", train={"epochs": 3})
    whole = artifact.open_run(retrain(config))
    run = artifact.begin(config)
    with monkeypatch.context() as patched:
        patched.setattr(train, "_write", lambda *_: (_ for _ in ()).throw(ArtifactError("power cut")))
        with pytest.raises(ArtifactError, match="power cut") as caught:
            fit(run)
    assert any(f"--resume {run}" in note for note in caught.value.__notes__)
    assert (run / "checkpoints").is_dir()
    resumed = artifact.open_run(retrain(config, resume=run))
    assert not (run / "checkpoints").exists()
    assert all(np.array_equal(resumed.weights[name], whole.weights[name]) for name in whole.weights)
    assert json.loads((run / "metrics.json").read_text()) == json.loads(
        (whole.path / "metrics.json").read_text()
    )


def sources() -> list[Path]:
    root = Path(binclf.__file__).parent
    found = [*root.rglob("*.py"), *(root.parent / "flows").rglob("*.py")]
    assert len(found) > 30
    return found


@pytest.mark.parametrize("path", sources(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_nothing_in_the_source_executes_what_it_loads(path: Path) -> None:
    banned = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                assert not {name.name.split(".")[0] for name in names} & banned
            case ast.ImportFrom(module=str(module)):
                assert module.split(".")[0] not in banned
            case ast.Call(func=ast.Name(id=name)):
                assert name not in {"eval", "exec", "compile", "__import__"}
            case ast.Attribute(value=ast.Name(id="torch"), attr=name):
                assert name not in {"load", "save"}
            case ast.Attribute(attr=name):
                assert "object_list" not in name
                assert not name.endswith("gather_object")
            case ast.keyword(arg="shell" | "allow_pickle", value=ast.Constant(value=value)):
                assert not value

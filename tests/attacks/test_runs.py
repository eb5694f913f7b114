"""A run whose files were replaced, and sealed anew by whoever did it: refused, and nothing is executed."""

from __future__ import annotations

import copy
import json
import os
import shutil
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

import binclf
from binclf import artifact, train
from binclf.config import parse
from binclf.errors import ArtifactError, BinclfError, ConfigError
from binclf.evaluate import evaluate
from binclf.loader.steps import Loader, StepDataset
from binclf.retrain import fit, retrain
from binclf.score import score
from binclf.solvers import checkpoint
from binclf.solvers.checkpoint import Checkpoint
from tests.attacks.payload import execute, is_pickle, pickled, tensors
from tests.laws import examples
from tests.test_artifact import FILES
from tests.test_loader import ORDERS, store_of
from tests.trained import people, settings, stores, whole, write

LOADED = ("config.json", "split.json", "features.json", "model.safetensors", "model.json", "golden.parquet")


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    """A copy of the trained run."""
    return Path(shutil.copytree(trained_run, tmp_path / trained_run.name))


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is there once a payload was executed; torch is told to load whatever it finds."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    return tmp_path / "executed"


def test_the_payload_would_be_executed_by_whoever_unpickles_it(mark: Path) -> None:
    """The control of all others."""
    assert not mark.exists()
    execute(pickled(mark))
    assert mark.exists()
    assert is_pickle(pickled(mark))
    assert not is_pickle(b"{}")
    assert not is_pickle(b".and more")


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_pickle_in_the_place_of_a_file_is_not_executed(name: str, run: Path, mark: Path) -> None:
    (run / name).write_bytes(pickled(mark))
    with pytest.raises(ArtifactError, match=f"{name} was altered since the run was sealed"):
        binclf.load(run)
    artifact.seal(run)
    if name in LOADED:
        with pytest.raises(ArtifactError, match=str(run)):
            binclf.load(run)
    else:
        binclf.load(run)
        with suppress(ArtifactError):  # of the profile, which rows are compared with
            score(run, write(run.parent / "new.parquet", people(20)), run.parent / "out")
    assert not mark.exists()


@pytest.mark.parametrize("name", ["model.pkl", "model.pt", "model.joblib", "__init__.py", ".hidden.pkl"])
def test_a_pickle_or_code_beside_the_files_is_not_looked_at(name: str, run: Path, mark: Path) -> None:
    (run / name).write_bytes(pickled(mark))
    if not name.startswith("."):
        with pytest.raises(ArtifactError, match=f"{name} was added since the run was sealed"):
            binclf.load(run)
        artifact.seal(run)
    binclf.load(run)
    assert not mark.exists()


def test_a_pickle_in_the_place_of_a_checkpoint_is_not_executed(tmp_path: Path, mark: Path) -> None:
    folder = tmp_path / "checkpoints"
    good = Checkpoint(1, 100, {"w": np.ones(3)}, {"steps": 7})
    checkpoint.write(folder, good)
    evil = folder / "at-000002-000000000000200.safetensors"
    evil.write_bytes(pickled(mark))
    found = checkpoint.newest(folder)
    assert found is not None
    assert (found.epoch, found.position) == (1, 100)
    for path in folder.iterdir():
        path.write_bytes(pickled(mark))
    with pytest.raises(ArtifactError, match=r"all checkpoints in .* are damaged"):
        checkpoint.newest(folder)
    assert not mark.exists()


RECORDS = ["[]", "3", "null", '"x"', "[" * 100_000, '{"epoch": 1}', '{"epoch": {}, "position": []}']


@pytest.mark.parametrize("record", RECORDS, ids=lambda text: text[:12])
def test_a_checkpoint_that_says_something_else_is_damaged(record: str, tmp_path: Path) -> None:
    for header in (json.loads(record) if len(record) < 100 else {}, {"__metadata__": {"record": record}}):
        (tmp_path / "at-000001-000000000000000.safetensors").write_bytes(tensors(header))
        with pytest.raises(ArtifactError, match="are damaged: start a new run"):
            checkpoint.newest(tmp_path)


def replaced(weights: dict[str, Any], name: str, array: Any) -> bytes:
    """The file of weights with one array changed, left out (None) or added."""
    arrays = {**weights, name: array}
    return save({key: np.ascontiguousarray(value) for key, value in arrays.items() if value is not None})


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def hostile_weights(weights: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """What safetensors refuses, and what is none of this model's, each with what it is."""
    whole, eight = save(weights), bytes(8)
    yield "nothing", b""
    yield "less than a length", b"\1\2\3"
    for length in (2**63 - 1, 2**64 - 1, 100_000_001, len(whole)):
        yield f"a header of {length} bytes", length.to_bytes(8, "little") + whole[8:]
    yield "a header of 0 bytes", bytes(8)
    yield "no JSON", tensors(b"\x80\x04.")
    yield "a list", tensors([])
    yield "lists without end", tensors(b"[" * 200_000)
    yield "not UTF-8", tensors(b'{"\xff": 1}')
    yield "beyond the end", tensors({"bias": entry("F64", [1], 0, 2**40)}, eight)
    yield "before the begin", tensors({"bias": entry("F64", [1], -8, 0)}, eight)
    yield "the end before the begin", tensors({"bias": entry("F64", [1], 8, 0)}, eight)
    yield "one over the other", tensors({n: entry("F64", [1], 0, 8) for n in ("bias", "weight")}, eight)
    yield "a hole", tensors({"bias": entry("F64", [1], 8, 16)}, bytes(16))
    yield "more than is listed", tensors({"bias": entry("F64", [1], 0, 8)}, bytes(4096))
    yield "a shape of 2^124", tensors({"bias": entry("F64", [2**62, 2**62], 0, 8)}, eight)
    yield "a shape that is not that of its bytes", tensors({"bias": entry("F64", [2**61], 0, 8)}, eight)
    yield "a type that there is not", tensors({"bias": entry("PICKLE", [1], 0, 8)}, eight)
    yield "a type that NumPy has not", tensors({"bias": entry("BF16", [4], 0, 8)}, eight)
    yield "a name twice", tensors(
        b'{"bias":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},'
        b'"bias":{"dtype":"F64","shape":[1],"data_offsets":[8,16]}}', bytes(16),
    )  # fmt: skip
    width = weights["weight"]
    yield "two axes", replaced(weights, "weight", np.stack([width, width], axis=1))
    yield "a row", replaced(weights, "weight", width[np.newaxis])
    yield "no axis", tensors({"bias": entry("F64", [], 0, 8)}, eight)
    yield "float32", replaced(weights, "weight", width.astype(np.float32))
    yield "integers", replaced(weights, "weight", width.astype(np.int64))
    yield "one more", replaced(weights, "weight", np.append(width, 1.0))
    yield "NaN", replaced(weights, "weight", np.where(np.arange(len(width)) == 1, np.nan, width))
    yield "infinity", replaced(weights, "bias", np.array([np.inf]))
    yield "another array", replaced(weights, "__init__", np.zeros(1))
    yield "no bias", replaced(weights, "bias", None)
    yield "no table", replaced(weights, "table", None)


def test_weights_that_are_none_are_refused(run: Path) -> None:
    weights = load((run / "model.safetensors").read_bytes())
    hostile = list(hostile_weights(weights))
    assert len(hostile) >= 30
    loaded: list[str] = []
    for what, content in hostile:
        (run / "model.safetensors").write_bytes(content)
        artifact.seal(run)
        with suppress(ArtifactError):
            binclf.load(run)
            loaded.append(what)
    assert loaded == []
    (run / "model.safetensors").write_bytes(save(weights))
    artifact.seal(run)
    binclf.load(run)  # the control


WRONG: list[Any] = [
    None, True, -1, 0, 3, 2**31, 2**70, 0.5, -1e308, 1e-320, "", "x", "../../x", "\x1b[31m", "\ud800", [], {},
    [None], {"a": 1},
]  # fmt: skip
GONE = object()


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value within JSON."""
    yield above
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, own in inner:
        yield from places(own, (*above, key))


def edited(record: Any, way: tuple[Any, ...], value: Any) -> Any:
    """A copy with one value changed, or removed where it is `GONE`."""
    if not way:
        return value
    changed = copy.deepcopy(record)
    inner = changed
    for key in way[:-1]:
        inner = inner[key]
    if value is GONE:
        del inner[way[-1]]
    else:
        inner[way[-1]] = value
    return changed


@pytest.fixture(scope="module")
def victim(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that the examples of a law spoil and mend."""
    return Path(shutil.copytree(trained_run, tmp_path_factory.mktemp("victim") / trained_run.name))


@examples(150)
@given(data=st.data())
def test_whatever_is_edited_and_sealed_anew_is_refused_or_scores(data: st.DataObject, victim: Path) -> None:
    """No exception but ours, no score that is none: the kernels look up nothing beyond the weights."""
    name = data.draw(st.sampled_from(["features.json", "features.json", "model.json", "config.json"]))
    whole = (victim / name).read_bytes()
    record = json.loads(whole)
    way = data.draw(st.sampled_from(list(places(record))))
    value = data.draw(st.sampled_from([*WRONG, GONE] if way else WRONG))
    (victim / name).write_text(json.dumps(edited(record, way, value)))
    artifact.seal(victim)
    try:
        found = binclf.load(victim).predict_proba(people(30, seed=5))
    except BinclfError:
        pass
    else:
        assert ((found >= 0) & (found <= 1)).all()
    finally:
        (victim / name).write_bytes(whole)
        artifact.seal(victim)


NO_OBJECTS = ["NaN", "-Infinity", "[" * 100_000, '{"a":' * 50_000, "1" * 5000, "[]", '"x"']


@pytest.mark.parametrize("text", NO_OBJECTS, ids=lambda text: text[:10])
@pytest.mark.parametrize("name", ["features.json", "model.json", "split.json", "config.json"])
def test_json_that_is_none_of_ours_is_refused(name: str, text: str, run: Path) -> None:
    (run / name).write_text(text)
    artifact.seal(run)
    with pytest.raises(ArtifactError, match=str(run)):
        binclf.load(run)


def test_a_manifest_that_lists_something_else_is_refused(run: Path) -> None:
    from binclf import hashing

    path = run / "manifest.json"
    whole = json.loads(path.read_text())
    (run.parent / "secret.json").write_text("{}")
    others: list[Any] = [
        [], None, 3, {"/etc/passwd": ""}, {"..": ""}, {".": ""}, {"a\0b": ""}, {"x" * 5000: ""},
        {"../secret.json": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},
    ]  # fmt: skip
    for files in others:
        manifest = {key: value for key, value in whole.items() if key != "digest"} | {"files": files}
        path.write_text(json.dumps({**manifest, "digest": hashing.digest(manifest)}))
        with pytest.raises((ArtifactError, OSError), match=r"run|people"):
            artifact.open_run(run)


@pytest.mark.parametrize("kind", ["a link out", "a link to nothing", "a pipe", "a socket", "a folder"])
@pytest.mark.parametrize("name", ["features.json", "model.safetensors"])
def test_what_is_no_file_of_the_run_is_not_read(kind: str, name: str, run: Path) -> None:
    path = run / name
    if kind == "a link out":
        path.rename(run.parent / "outside")
        path.symlink_to(run.parent / "outside")
    else:
        path.unlink()
        if kind == "a link to nothing":
            path.symlink_to(run.parent / "nowhere")
        elif kind == "a pipe":
            os.mkfifo(path)  # whoever reads it waits for ever
        elif kind == "a socket":
            with socket.socket(socket.AF_UNIX) as made:
                here = os.getcwd()
                os.chdir(run)  # a socket's address is short
                try:
                    made.bind(name)
                finally:
                    os.chdir(here)
        else:
            path.mkdir()
    with pytest.raises(ArtifactError, match=f"lacks {name}, which its manifest lists"):
        binclf.load(run)


NAMES = [
    "../x", "/abs", "a/../../b", "..\\x", "%2e%2e%2f", "file:///etc", "http:///#/../../etc",
    "//proc/self/root", "x\0y", "~root", ".", "..", "", " a", "a ", "CON:", "x" * 65, "a\u2215b", "a\u202eb",
    "--help", "-rf", "a\n", "a\nb", "Ä", "A", "a;touch x", "$(id)", "{{7*7}}", "'x'", "models:/x",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_is_of_few_letters_or_refused(name: str, tmp_path: Path) -> None:
    """It becomes part of paths, of addresses and of queries."""
    asked = {"name": name, "store": str(tmp_path / "store"), "data": {"path": "d", "label": "y"}}
    with pytest.raises(ConfigError, match="name = "):
        parse(asked)
    assert list(tmp_path.iterdir()) == []
    parse(asked | {"name": "a..b"})  # no part of a path, and allowed


def test_an_output_s_manifest_moves_and_reads_nothing_elsewhere(run: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / "new" / f"{name}.parquet", people(20))
    out, victim = tmp_path / "out", tmp_path / "victim.parquet"
    victim.write_bytes(b"precious")
    score(run, tmp_path / "new", out)
    path = out / "_manifest.json"
    whole = json.loads(path.read_text())
    edits: list[Any] = [[], 3, {}, {**whole, "files": 3}, {**whole, "files": [{"input": "a.parquet"}]},
                        {**whole, "settings": None}]  # fmt: skip
    for edit in edits:
        path.write_text(json.dumps(edit))
        with pytest.raises(ArtifactError, match=r"_manifest\.json is of another version or was edited"):
            score(run, tmp_path / "new", out)
    elsewhere = copy.deepcopy(whole)
    elsewhere["files"][0]["parts"][0]["name"] = "../victim.parquet"
    path.write_text(json.dumps(elsewhere))
    score(run, tmp_path / "new", out)
    assert victim.read_bytes() == b"precious"
    for receipt in (out / "_receipts").glob("*.json"):
        receipt.write_text("[1, 2]")
    path.write_text(json.dumps(whole))
    assert score(run, tmp_path / "new", out)["rows"] == 40


def test_nothing_that_is_ever_written_is_a_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts, decoded rows, checkpoints, a run, scores, exports."""
    data = write(tmp_path / "data.parquet", people(600))
    config = settings(data, tmp_path / "store", train={"epochs": 2})
    begun = artifact.begin(config)
    with monkeypatch.context() as patched:
        patched.setattr(train, "_write", lambda *_: (_ for _ in ()).throw(ArtifactError("power cut")))
        with pytest.raises(ArtifactError, match="power cut"):
            fit(begun)
    _, features, made = stores(config)
    held = (made["train"].source, features, whole(made["train"]))
    list(
        Loader(StepDataset(store_of("disk", held, tmp_path / "cache"), ORDERS["tiny windows"], 0, 1)).epoch(0)
    )
    seen = {path.suffix for path in files_below(tmp_path)}
    assert {".parquet", ".json", ".block", ".safetensors"} <= seen
    sealed = retrain(config, resume=begun)
    score(sealed, data, tmp_path / "scored")
    evaluate(sealed, data)
    binclf.export(sealed, "sql", tmp_path / "model.sql")
    binclf.export(sealed, "sklearn", tmp_path / "model.py")
    for path in files_below(tmp_path):
        content = path.read_bytes()
        assert path.suffix not in (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".npy", ".npz"), path
        assert not is_pickle(content), path
        assert b"\x80\x04\x95" not in content[:3], path


def files_below(folder: Path) -> list[Path]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    assert found
    return found


def test_golden_rows_that_are_a_bomb_or_of_another_model_are_refused(run: Path) -> None:
    many = pa.table({"age": pa.array(np.zeros(2_000_000)), "probability": pa.array(np.zeros(2_000_000))})
    for table, words in (
        (many, "has 2,000,000 rows, where 32 at most"),
        (pa.table({"age": ["x"], "probability": [0.5]}), "is not of its model"),
        (pa.table({"age": [1.0], "probability": ["x"]}), "does not end in a column of numbers"),
        (pa.table({"age": [1.0], "probability": [[1.0]]}), "does not end in a column of numbers"),
        (pa.table({}), "does not end in a column of numbers"),
    ):
        write(run / "golden.parquet", table)
        artifact.seal(run)
        with pytest.raises(ArtifactError, match=words):
            binclf.load(run)


def test_what_is_verified_is_what_is_used(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file is read once: between looking and loading it cannot be exchanged."""
    real, reads = Path.read_bytes, Counter[str]()

    def counted(self: Path) -> bytes:
        if self.parent == run:
            reads[self.name] += 1
        return real(self)

    monkeypatch.setattr(Path, "read_bytes", counted)
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: pytest.fail("it was read as text, too"))
    binclf.load(run).predict_proba(people(5))
    assert reads == dict.fromkeys([*FILES, "manifest.json"], 1)

"""Whole jobs in an object store: to the bit those on a disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load

from binclf import artifact
from binclf.config import parse
from binclf.parquet import Reader
from binclf.retrain import retrain
from binclf.score import score
from binclf.storage import Place
from binclf.storage.remote import filesystem
from tests.bucket import Bucket
from tests.commands import run
from tests.ranks import as_toml, small_job
from tests.trained import on_disk


def weights(run: Place) -> dict[str, Any]:
    """The model of a run."""
    return dict(load((run / "model.safetensors").read_bytes()))


@pytest.mark.slow
def test_a_job_in_a_store_is_the_job_on_a_disk_to_the_bit(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_job(tmp_path)
    expected = on_disk(retrain(config))
    bucket.put_folder("data", tmp_path / "data")
    changes = [f"data.path={bucket.root}/data", f"store={bucket.root}/runs"]
    remote = parse(config.model_dump(mode="json"), changes)
    for tier in ("ram", "disk", "none"):
        bucket.fail(2)  # whichever comes; they are asked for again
        run = retrain(parse(remote.model_dump(mode="json"), [f"train.cache={tier}"]))
        assert str(run).startswith(f"{bucket.root}/runs/small-")
        mine, theirs = weights(expected), weights(run)
        assert all(np.array_equal(mine[name], theirs[name]) for name in mine)
        assert (run / "metrics.json").read_bytes() == (expected / "metrics.json").read_bytes()
    assert not (run / "checkpoints").exists()
    assert artifact.open_run(str(run)).id == run.name
    assert bucket.counts()["failed"] == 6

    told = score(str(run), f"{bucket.root}/data", f"{bucket.root}/scored")
    here = score(expected, tmp_path / "data", tmp_path / "scored")
    assert (told["rows"], told["positive_decisions"]) == (here["rows"], here["positive_decisions"])
    again = score(str(run), f"{bucket.root}/data", f"{bucket.root}/scored")
    assert again["scored_before"] == 5
    for path in (tmp_path / "scored").glob("*.parquet"):
        reader = Reader(bucket.root / "scored" / path.name)
        mine_table = pq.read_table(path)
        rows = pa.concat_tables([part.table for part in reader.all(["id", "probability"])])
        assert rows.equals(mine_table.select(["id", "probability"]))


@pytest.mark.slow
def test_a_run_is_resumed_from_its_checkpoint_in_the_store(bucket: Bucket, tmp_path: Path) -> None:
    config = small_job(tmp_path)
    bucket.put_folder("data", tmp_path / "data")
    changes = [f"data.path={bucket.root}/data", f"store={bucket.root}/runs"]
    remote = parse(config.model_dump(mode="json"), changes)
    expected = weights(retrain(remote))
    from binclf.solvers import minibatch

    run = artifact.begin(remote)
    from binclf import train

    class Killed(BaseException):
        pass

    real, seen = minibatch._Run._keep, list[int]()

    def killed(self: Any, epoch: int, position: int) -> None:
        real(self, epoch, position)
        seen.append(epoch)
        raise Killed

    minibatch._Run._keep = killed  # type: ignore[method-assign]
    try:
        with pytest.raises(Killed):
            train.train(run)
    finally:
        minibatch._Run._keep = real  # type: ignore[method-assign]
    assert list((run / "checkpoints").glob("at-*.safetensors")) != []
    resumed = retrain(remote, resume=run)
    assert resumed == run
    assert all(np.array_equal(expected[name], weights(run)[name]) for name in expected)


@pytest.mark.slow
def test_commands_on_a_store_end_with_their_own_codes(
    bucket: Bucket, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """How their processes end is another test's: see `tests.commands`."""
    config = small_job(tmp_path, train={"solver": "newton"})
    bucket.put_folder("data", tmp_path / "data")
    path = tmp_path / "job.toml"
    path.write_text(as_toml(config))
    there = [f"data.path={bucket.root}/data", f"store={bucket.root}/runs"]
    for verb in ("check", "plan", "split"):
        assert run(verb, path, *there) == 0
    capfd.readouterr()
    assert run("retrain", path, *there, "--ranks", "2", "--json") == 0
    trained = json.loads(capfd.readouterr().out)["run"]
    assert run("evaluate", trained, f"{bucket.root}/data") == 0
    assert run("score", trained, f"{bucket.root}/data/*.parquet", f"{bucket.root}/scored") == 0
    frame = ds.dataset(f"{bucket.root.key}/scored", filesystem=filesystem(bucket.root)).to_table()
    assert frame.num_rows == 1031
    assert run("evaluate", trained, f"{bucket.root}/nowhere") == 10
    assert "does not exist" in capfd.readouterr().err
    bucket.fail(100_000, "part-2")
    assert run("split", path, *there, "split.seed=7", "data.on_bad_file=quarantine") == 13
    assert "cannot be read" in capfd.readouterr().err

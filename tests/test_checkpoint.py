"""Checkpoints come back as they were, or not at all."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf.errors import ArtifactError
from binclf.solvers import checkpoint
from binclf.solvers.checkpoint import Checkpoint
from tests.laws import examples


def state_after(epochs: int) -> Checkpoint:
    random = np.random.default_rng(epochs)
    arrays = {"model.weight": random.normal(size=5).astype(np.float32), "optimizer.0.step": np.array(3.0)}
    return Checkpoint(epochs, 100 * epochs, arrays, {"progress": {"steps": 10 * epochs, "best_loss": 0.25}})


def test_comes_back_as_it_was(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, state_after(7))
    found = checkpoint.newest(tmp_path)
    assert found is not None
    assert (found.epoch, found.position) == (7, 700)
    assert found.record == state_after(7).record
    assert np.array_equal(found.arrays["model.weight"], state_after(7).arrays["model.weight"])
    assert found.arrays["optimizer.0.step"].tolist() == [3.0]


def test_there_is_none_in_an_empty_or_missing_folder(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path) is None
    assert checkpoint.newest(tmp_path / "none") is None


def test_two_are_kept_and_the_newest_is_taken(tmp_path: Path) -> None:
    for epochs in (8, 9, 10, 11):
        checkpoint.write(tmp_path, state_after(epochs))
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "at-000010-000000000001000.safetensors",
        "at-000011-000000000001100.safetensors",
    ]
    found = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.epoch == 11


def test_any_flipped_bit_makes_the_one_before_be_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for epochs in (1, 2):
        checkpoint.write(tmp_path, state_after(epochs))
    path = tmp_path / "at-000002-000000000000200.safetensors"
    whole = path.read_bytes()
    caplog.set_level(logging.ERROR)
    unnoticed = []
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        found = checkpoint.newest(tmp_path)
        assert found is not None
        if found.epoch != 1:
            unnoticed.append((place, whole[max(place - 20, 0) : place + 5]))
    assert not unnoticed


@examples(20)
@given(st.floats(0, 0.999))
def test_a_checkpoint_cut_short_makes_the_one_before_be_taken(share: float) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for epochs in (1, 2):
            checkpoint.write(folder, state_after(epochs))
        path = folder / "at-000002-000000000000200.safetensors"
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        found = checkpoint.newest(folder)
        assert found is not None
        assert found.epoch == 1


def test_all_damaged_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    for epochs in (1, 2):
        checkpoint.write(tmp_path, state_after(epochs))
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"all checkpoints in .* are damaged: start a new run"):
        checkpoint.newest(tmp_path)

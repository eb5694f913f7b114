"""Data that would teach a model what it must not know, or only half of what there is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import binclf
from binclf.errors import DataError
from binclf.evaluate import evaluate
from binclf.retrain import retrain
from binclf.split import ensure
from tests import made
from tests.trained import on_disk

NEWTON = {"solver": "newton"}
MINIBATCH = pytest.param({"solver": "minibatch"}, marks=pytest.mark.slow)


def test_whatever_test_rows_say_the_model_has_the_same_bits(tmp_path: Path) -> None:
    """Statistics, levels, weights: nothing is learnt from them, and the metrics of train do not move."""
    rows = made.mixed(900)
    is_test = np.arange(900) % 3 == 1
    part = pa.array(np.where(is_test, "test", "train").tolist())
    other = rows.to_pandas()
    other.loc[is_test, "number"] = 1e9
    other.loc[is_test, "whole"] = -(2**40)
    other.loc[is_test, "word"] = "a level that only test rows have"
    other.loc[is_test, "label"] = ~other.loc[is_test, "label"].astype(bool)
    runs = []
    for name, table in (("as it is", rows), ("other", pa.Table.from_pandas(other, rows.schema))):
        made.write(tmp_path / name / "a.parquet", table.append_column("part", part))
        split = {"method": "column", "column": "part"}
        config = made.config(tmp_path / name, tmp_path / f"store of {name}", split=split, train=NEWTON)
        runs.append(on_disk(retrain(config)))
    for file in ("model.safetensors", "features.json"):
        assert (runs[0] / file).read_bytes() == (runs[1] / file).read_bytes()
    metrics = [evaluate(run) for run in runs]
    assert metrics[0]["train"] == metrics[1]["train"]
    assert metrics[0]["test"]["log_loss"] < metrics[1]["test"]["log_loss"]  # the rows did change


def test_an_index_that_pandas_wrote_is_never_a_feature(tmp_path: Path) -> None:
    frame = made.mixed(300).to_pandas().sample(frac=1.0, random_state=1)
    frame.index = frame.index.rename(None)
    (tmp_path / "data").mkdir()
    frame.to_parquet(tmp_path / "data" / "a.parquet", index=True)
    config = made.config(tmp_path / "data", tmp_path / "store", train=NEWTON)
    with pytest.raises(
        DataError, match=r"column '__index_level_0__' is an index that pandas wrote: write the"
    ):
        retrain(config)
    exclude = {"exclude": ["who", "time", "w", "__index_level_0__"]}
    run = retrain(made.config(tmp_path / "data", tmp_path / "store", data=exclude, train=NEWTON))
    assert "__index_level_0__" not in binclf.load(run).columns()


@pytest.mark.parametrize("train", [NEWTON, MINIBATCH], ids=["newton", "minibatch"])
def test_rows_that_lie_by_their_label_are_learnt_as_any_others(train: dict[str, str], tmp_path: Path) -> None:
    """Whole files of one class, the negatives first: the loss is that of the rows as they came."""
    rows = made.mixed(3000)
    ordered = rows.take(np.argsort(rows["label"].to_numpy(zero_copy_only=False), kind="stable"))
    losses = []
    for name, table in (("mixed", rows), ("ordered", ordered)):
        for number in range(6):
            made.write(tmp_path / name / f"{number}.parquet", table.slice(500 * number, 500))
        config = made.config(
            tmp_path / name, tmp_path / f"store of {name}", split={"method": "none"}, train=train
        )
        assert ensure(config).receipt["rows"] == 3000
        losses.append(evaluate(retrain(config))["train"]["log_loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-6 if train is NEWTON else 0.02)

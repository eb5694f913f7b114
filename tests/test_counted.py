"""A plan tells exactly what a split then finds, where no fraction says how many rows a part gets."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf.config import Config
from binclf.errors import ConfigError, DataError
from binclf.plan import foresee, text_of
from binclf.split import ensure, goes_by_data
from tests import made
from tests.laws import examples
from tests.test_check import tree
from tests.test_quarantine import flip_a_time

SIZES = (300, 200, 250)


def at(minute: float) -> str:
    return str(made.NOON + pd.Timedelta(minutes=minute))


def assert_exact(config: Config) -> None:
    """The plan's parts are the split's."""
    before = tree(Path(config.data.path))
    foreseen = foresee(config, 1)
    assert tree(Path(config.data.path)) == before
    assert not (Path(config.store) / "split").exists()
    assert foreseen["parts_by"] == "count"
    split = ensure(config)
    assert foreseen["parts"] == {part: split.rows(part) for part in split.parts if split.rows(part)}
    assert foresee(config, 1, split)["parts"] == foreseen["parts"]
    assert "about" not in text_of(foreseen).split("solver")[0]


@examples(8)
@given(
    test=st.integers(200, 700),
    validation=st.integers(100, 180),
    is_stated=st.booleans(),
    holes=st.sets(st.integers(0, 749), max_size=40),
)
def test_rows_from_a_stated_moment_on_are_counted(
    test: int, validation: int, is_stated: bool, holes: set[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("counted")
    made.mixed_files(root / "data", SIZES)
    for path in (root / "data").iterdir():
        table = pq.read_table(path)
        mask = np.isin(table["id"].to_numpy(), list(holes))
        labels = pa.array(table["label"].to_numpy(), mask=mask)
        made.write(path, table.set_column(table.column_names.index("label"), "label", labels))
    split: dict[str, Any] = {"method": "time", "test_from": at(test)}
    split |= {"validation_from": at(validation)} if is_stated else {"validation_fraction": 0.05}
    data = {"time": "time", "on_null_label": "drop"}
    assert_exact(made.config(root / "data", root / "store", split=split, data=data))
    shutil.rmtree(root)


def test_rows_of_parts_that_a_column_names_are_counted(tmp_path: Path) -> None:
    made.mixed_files(tmp_path / "data", SIZES)
    for number, path in enumerate(sorted((tmp_path / "data").iterdir())):
        table = pq.read_table(path)
        names = [
            ("train", "test", "validation")[(i % 7 == 0) + (i % 11 == number)] for i in range(len(table))
        ]
        made.write(path, table.append_column("part", pa.array(names)))
    assert_exact(
        made.config(tmp_path / "data", tmp_path / "store", split={"method": "column", "column": "part"})
    )


def test_a_file_of_damaged_pages_is_left_out_as_the_split_does(tmp_path: Path) -> None:
    made.mixed_files(tmp_path / "data", SIZES)
    flip_a_time(tmp_path / "data" / "part-001.parquet")
    split = {"method": "time", "test_from": at(400)}
    data = {"time": "time", "on_bad_file": "quarantine"}
    assert_exact(made.config(tmp_path / "data", tmp_path / "store", split=split, data=data))


def test_where_fractions_say_it_no_page_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made.mixed_files(tmp_path / "data", SIZES)
    config = made.config(tmp_path / "data", tmp_path / "store")
    assert not goes_by_data(config)
    monkeypatch.setattr("binclf.parquet.Reader.read", None)
    found = foresee(config, 1)
    assert (found["parts_by"], sum(found["parts"].values())) == ("fractions", sum(SIZES))
    assert "parts     about train 525" in text_of(found)


def test_a_plan_refuses_what_the_split_would(tmp_path: Path) -> None:
    made.mixed_files(tmp_path / "data", SIZES)
    late = {"method": "time", "test_from": at(10), "validation_from": at(20)}
    with pytest.raises(ConfigError, match="validation begins at"):
        foresee(made.config(tmp_path / "data", tmp_path / "store", split=late, data={"time": "time"}), 1)
    wrong = {"method": "column", "column": "word"}
    with pytest.raises(DataError, match=r"split\.column 'word' of part-000\.parquet, row group 0 holds"):
        foresee(made.config(tmp_path / "data", tmp_path / "store", split=wrong), 1)


def test_memory_is_foreseen_for_the_rows_that_are_trained_on(tmp_path: Path) -> None:
    """A test part of nine tenths leaves a tenth to hold."""
    made.mixed_files(tmp_path / "data", (4000, 4000), group_rows=4000)
    late = {"method": "time", "test_from": at(800), "validation_fraction": 0.0}
    few = foresee(made.config(tmp_path / "data", tmp_path / "store", split=late, data={"time": "time"}), 1)
    every = foresee(made.config(tmp_path / "data", tmp_path / "store", split={"method": "none"}), 1)
    assert few["parts"] == {"train": 800, "test": 7200}
    assert few["memory_bytes"] < every["memory_bytes"]

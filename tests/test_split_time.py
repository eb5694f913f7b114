"""Splits by time: exact cuts, and only what a moved cut touches is written anew."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf.config import Config
from binclf.errors import ConfigError, DataError
from binclf.split import deal, ensure, plan
from tests import made
from tests.laws import examples
from tests.splits import ids, stamps


def time_config(path: Path, store: Path, **split: Any) -> Config:
    return made.config(path, store, data={"time": "time"}, split={"method": "time", **split})


def test_the_last_rows_are_test_and_those_before_validation(tmp_path: Path) -> None:
    path = made.mixed_files(tmp_path / "data", [100, 150, 250])
    split = ensure(time_config(path, tmp_path / "store"))
    assert ids(split) == {
        "train": list(range(350)),
        "validation": list(range(350, 400)),
        "test": list(range(400, 500)),
    }
    assert split.cuts == {"validation": "2024-01-01 17:50:00", "test": "2024-01-01 18:40:00"}


@examples(50)
@given(
    st.lists(st.integers(0, 30), min_size=5, max_size=60),
    st.floats(0.01, 0.49),
    st.floats(0.0, 0.4),
)
def test_rows_of_one_moment_stay_together(moments: list[int], test: float, validation: float) -> None:
    times = np.array(moments, dtype=np.int64)
    labels = np.zeros(len(times), dtype=np.int8)
    first_validation, first_test = deal.cut_points(times, (validation, test), test_from=None)
    cuts = [cut for cut in (first_validation, first_test) if cut is not None]
    slots = deal.by_time(times, labels, tuple(cuts))
    for moment in set(moments):
        assert len(set(slots[times == moment].tolist())) == 1
    late = slots == len(cuts)
    assert np.array_equal(late, times >= first_test)
    # at least the asked share, and no more than the ties at the cut make of it
    assert late.sum() >= math.ceil(test * len(times))
    assert (times > first_test).sum() < math.ceil(test * len(times))
    assert (np.diff(slots[np.argsort(times, kind="stable")]) >= 0).all()


def test_stated_cuts_hold_and_a_row_on_the_cut_is_after_it(tmp_path: Path) -> None:
    path = made.mixed_files(tmp_path / "data", [100, 150, 250])
    split = ensure(
        time_config(
            path, tmp_path / "store", validation_from="2024-01-01 17:00", test_from="2024-01-01T18:00:00"
        )
    )
    parts = ids(split)
    assert parts["validation"] == list(range(300, 360))
    assert parts["test"] == list(range(360, 500))


def test_a_moved_cut_rewrites_only_the_files_that_straddle_it(tmp_path: Path) -> None:
    path, store = made.mixed_files(tmp_path / "data", [100] * 5), tmp_path / "store"

    def at(minute: int) -> Config:
        moment = made.NOON + pd.Timedelta(minutes=minute)
        return time_config(path, store, test_from=str(moment), validation_fraction=0.0)

    one, other = plan(at(250)), plan(at(350))
    changed = [a.id != b.id for a, b in zip(one.tasks, other.tasks, strict=True)]
    assert changed == [False, False, True, True, False]
    assert [task.slots for task in one.tasks] == [("train",)] * 2 + [("train", "test")] + [("test",)] * 2
    ensure(at(250))
    before = stamps(store)
    split = ensure(at(350))
    after = stamps(store)
    assert {name: after[name] for name in before} == before
    assert ids(split)["test"] == list(range(350, 500))
    written = {name.split("/")[-1][:24] for name in after if name not in before and "/parts/" in name}
    assert written == {other.tasks[2].id, other.tasks[3].id}


def test_a_cut_at_a_file_s_first_row_splits_no_file(tmp_path: Path) -> None:
    path = made.mixed_files(tmp_path / "data", [100, 100])
    split = ensure(time_config(path, tmp_path / "s", test_from=str(made.NOON + pd.Timedelta(minutes=100))))
    assert ids(split)["test"] == list(range(100, 200))
    assert [
        len(task.slots)
        for task in plan(
            time_config(
                path,
                tmp_path / "s",
                test_from=str(made.NOON + pd.Timedelta(minutes=100)),
                validation_fraction=0.0,
            )
        ).tasks
    ] == [1, 1]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata", "+05:30"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_date_without_an_offset_is_meant_in_the_column_s_zone(zone: str, unit: str, tmp_path: Path) -> None:
    instants = pd.date_range("2024-06-30", periods=300, freq="15min", tz="UTC")
    table = made.mixed(300).drop_columns(["time"])
    time = pa.array(instants.tz_localize(None).to_numpy()).cast(pa.timestamp(unit))
    time = time.cast(pa.int64()).cast(pa.timestamp(unit, tz=zone))
    path = made.write(tmp_path / "a.parquet", table.append_column("time", time))
    split = ensure(time_config(path, tmp_path / "store", test_from="2024-07-01"))
    local = "Asia/Kolkata" if zone == "+05:30" else zone
    late = np.flatnonzero(instants >= pd.Timestamp("2024-07-01", tz=local)).tolist()
    assert 0 < len(late) < 300
    assert ids(split)["test"] == late
    explicit = time_config(
        path, tmp_path / "store", test_from=pd.Timestamp("2024-07-01", tz=local).isoformat()
    )
    assert ids(ensure(explicit))["test"] == late
    again = time_config(
        path, tmp_path / "store", test_from=split.cuts["test"], validation_from=split.cuts["validation"]
    )
    assert ensure(again).digest == split.digest, "recorded cuts read back as themselves"


def test_an_offset_does_not_fit_a_column_without_a_zone(tmp_path: Path) -> None:
    path = made.write(tmp_path / "a.parquet", made.mixed(100))
    with pytest.raises(
        ConfigError, match=r"split\.test_from = '2024-01-01T13:00:00Z' does not fit a time column"
    ):
        ensure(time_config(path, tmp_path / "store", test_from="2024-01-01T13:00:00Z"))


@pytest.mark.parametrize("kind", [pa.int64(), pa.int32(), pa.uint16(), pa.date32(), pa.date64()])
def test_integers_and_dates_are_times(kind: Any, tmp_path: Path) -> None:
    days = np.random.default_rng(0).permutation(np.repeat(np.arange(19_000, 19_050), 8))
    table = made.mixed(400).drop_columns(["time"])
    time = pa.array(days.astype(np.int32)).cast(pa.date32()) if pa.types.is_date(kind) else pa.array(days)
    path = made.write(tmp_path / "a.parquet", table.append_column("time", time.cast(kind)))
    cut = "2022-02-10" if pa.types.is_date(kind) else "19033"  # the same day
    split = ensure(time_config(path, tmp_path / "store", test_from=cut))
    assert ids(split)["test"] == np.flatnonzero(days >= 19_033).tolist()
    derived = ensure(time_config(path, tmp_path / "store"))
    assert derived.rows("test") == 80


@pytest.mark.parametrize(
    ("split", "error", "words"),
    [
        ({"test_from": "soon"}, ConfigError, r"split\.test_from = 'soon' does not fit a time column of type"),
        (
            {"test_from": "2024-01-01 13:00", "validation_from": "2024-01-01 14:00"},
            ConfigError,
            r"validation begins at 2024-01-01 14:00:00, after test at 2024-01-01 13:00:00",
        ),
        ({"test_from": "2030-01-01"}, DataError, "the test part is empty: 200 rows in 1 files are too few"),
        ({"test_from": "2020-01-01", "validation_fraction": 0.0}, DataError, "the train part is empty"),
    ],
)
def test_cuts_that_cannot_be_are_refused(
    split: dict[str, str], error: type[Exception], words: str, tmp_path: Path
) -> None:
    path = made.write(tmp_path / "a.parquet", made.mixed(200))
    with pytest.raises(error, match=words):
        ensure(time_config(path, tmp_path / "store", **split))


def test_null_times_and_times_that_are_none_are_refused(tmp_path: Path) -> None:
    table = made.mixed(200)
    time = table["time"].to_pylist()
    time[150] = None
    changed = table.drop_columns(["time"]).append_column("time", pa.array(time))
    path = made.write(tmp_path / "a.parquet", changed)
    with pytest.raises(
        DataError, match=r"time column 'time' of a\.parquet, row group 1 holds 1 nulls, the first in row 50"
    ):
        ensure(time_config(path, tmp_path / "store"))
    changed = table.drop_columns(["time"]).append_column("time", table["word"])
    made.write(path, changed)
    with pytest.raises(
        DataError, match=r"time column 'time' of a\.parquet, row group 0 is string: a timestamp"
    ):
        ensure(time_config(path, tmp_path / "store"))

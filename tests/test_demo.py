"""The demo: real flights, the leaks left out, a model better than the base rate, and new flights scored."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from binclf import artifact
from binclf.demo import FLIGHTS_TOML, demo


@pytest.mark.slow
def test_the_demo_runs_and_keeps_what_the_user_edited(tmp_path: Path) -> None:
    edited = FLIGHTS_TOML + "\n[train]\nepochs = 2\n"
    (tmp_path / "flights.toml").write_text(edited)
    result = demo(tmp_path)
    assert (tmp_path / "flights.toml").read_text() == edited
    run = artifact.open_run(result["runs"]["flights"]["run"])
    assert run.split.receipt["rows"] == 336_776
    assert run.split.receipt["dropped_null_label"] == 9_430
    after_departure = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"}
    assert not after_departure & {column.name for column in run.features.columns}
    for name in ("flights", "breast_cancer"):
        test = result["runs"][name]["metrics"]["test"]
        assert test["log_loss"] < 0.95 * test["base_log_loss"]
        assert result["runs"][name]["registry"]["is_champion"]
    scored = pq.read_table(Path(result["scored"]["output"]) / "never_arrived.parquet")
    assert scored.column_names == ["flight_id", "probability", "decision", "model"]
    assert scored.num_rows == 9_430
    assert str(tmp_path / "flights.toml") in result["text"]

"""Scores joined with labels that came later: each row accounted for, each period as scikit-learn has it."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from sklearn import metrics as oracle

from binclf import score as score_rows
from binclf.backtest import backtest
from binclf.errors import ArtifactError, ConfigError, DataError
from binclf.retrain import retrain
from tests.trained import on_disk, people, settings, write

START = datetime.datetime(2026, 1, 20, tzinfo=datetime.UTC)


def timed(table: pa.Table) -> pa.Table:
    """With a moment, an hour after the one before."""
    moments = [START + datetime.timedelta(hours=hour) for hour in range(table.num_rows)]
    return table.append_column("when", pa.array(moments, pa.timestamp("us", tz="America/New_York")))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("timed")
    write(folder / "data" / "a.parquet", timed(people(1500, seed=1)))
    config = settings(folder / "data", folder / "runs", data={"time": "when"}, train={"epochs": 20})
    return on_disk(retrain(config))


@pytest.fixture(scope="module")
def scored(run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pa.Table]:
    """Scores of 1,200 rows in two files, and the rows."""
    folder = tmp_path_factory.mktemp("scored")
    table = timed(people(1200, seed=5))
    write(folder / "new" / "a.parquet", table.slice(0, 700), [300, 0, 400])
    write(folder / "new" / "b.parquet", table.slice(700))
    score_rows(run, folder / "new", folder / "out")
    return folder / "out", table


def labels_of(table: pa.Table, folder: Path, seed: int = 0) -> Path:
    """Labels in another order."""
    order = np.random.default_rng(seed).permutation(table.num_rows)
    return write(folder / "labels.parquet", table.select(["id", "bought", "w", "when"]).take(order), None)


@pytest.mark.parametrize(
    ("by", "form"), [("month", "%Y-%m"), ("week", "%G-W%V"), ("day", "%Y-%m-%d"), ("batch", "")]
)
def test_each_period_is_judged_as_scikit_learn_judges_its_rows(
    by: str, form: str, run: Path, scored: tuple[Path, pa.Table], tmp_path: Path
) -> None:
    out, table = scored
    found = backtest(run, out, labels_of(table, tmp_path), by=by)
    frame = table.to_pandas()
    frame["p"] = pd.concat([pq.read_table(out / name).to_pandas() for name in ("a.parquet", "b.parquet")])[
        "probability"
    ].to_numpy()
    frame["period"] = (
        frame["when"].dt.strftime(form) if form else np.where(frame.index < 700, "a.parquet", "b.parquet")
    )
    assert [own["period"] for own in found["periods"]] == sorted(frame["period"].unique())
    for own in found["periods"]:
        rows = frame[frame["period"] == own["period"]]
        assert own["rows"] == len(rows)
        loss = oracle.log_loss(rows["bought"], rows["p"], sample_weight=rows["w"], labels=[False, True])
        assert own["log_loss"] == pytest.approx(loss, rel=1e-9)
    assert sum(own["rows"] for own in found["periods"]) == found["counts"]["judged"] == 1200
    assert found["whole"]["roc_auc"] == pytest.approx(
        oracle.roc_auc_score(frame["bought"], frame["p"], sample_weight=frame["w"])
    )
    assert found["promised"] == json.loads((run / "metrics.json").read_text())["test"]


def test_the_order_of_labels_leaves_no_trace(
    run: Path, scored: tuple[Path, pa.Table], tmp_path: Path
) -> None:
    out, table = scored
    one, other = (backtest(run, out, labels_of(table, tmp_path / str(s), s)) for s in (1, 2))
    assert one == other


def test_every_row_is_accounted_for(run: Path, scored: tuple[Path, pa.Table], tmp_path: Path) -> None:
    out, table = scored
    null = pc.if_else(pc.less(table.column("id"), pa.scalar(5_000_003)), None, table.column("bought"))
    some = table.set_column(table.column_names.index("bought"), "bought", null).slice(0, 1000)
    unscored = timed(people(50, seed=6))
    null = pc.if_else(pc.less(unscored.column("id"), pa.scalar(6_000_002)), None, unscored.column("bought"))
    more = pa.concat_tables([some, unscored.set_column(some.column_names.index("bought"), "bought", null)])
    found = backtest(run, out, labels_of(more, tmp_path))
    assert found["counts"] == {
        "scored": 1200, "labels": 1045, "labels_null": 5, "matched": 1000, "scored_without_label": 200,
        "labels_without_score": 48, "matched_other_model": 0, "matched_null_label": 3, "judged": 997,
    }  # fmt: skip
    assert "Scored, no label yet: 200" in found["text"]
    assert "Rows whose label is null: 5" in found["text"]


def test_rows_that_an_earlier_champion_scored_are_counted_and_not_judged(
    run: Path, scored: tuple[Path, pa.Table], tmp_path: Path
) -> None:
    """As a folder is that was scored by an alias, after a promotion."""
    out, table = scored
    for name, who in (("a", "earlier"), ("b", run.name)):
        rows = pq.read_table(out / f"{name}.parquet")
        model = pa.array([who] * rows.num_rows).dictionary_encode()
        write(
            tmp_path / "out" / f"{name}.parquet",
            rows.set_column(rows.column_names.index("model"), "model", model),
        )
    null = pc.if_else(pc.less(table.column("id"), pa.scalar(5_000_003)), None, table.column("bought"))
    labels = labels_of(table.set_column(table.column_names.index("bought"), "bought", null), tmp_path)
    found = backtest(run, tmp_path / "out", labels, by="batch")
    assert found["counts"]["matched_other_model"] == 700
    assert (found["counts"]["matched"], found["counts"]["judged"]) == (1200, 500)
    assert [own["period"] for own in found["periods"]] == ["b.parquet"]
    assert "- In both, scored by another model: 700" in found["text"]
    alone = backtest(run, out / "b.parquet", labels, by="batch")
    assert found["whole"] == alone["whole"]


def test_without_a_row_to_judge_no_promise_is_said_to_be_kept(
    run: Path, scored: tuple[Path, pa.Table], tmp_path: Path
) -> None:
    out, table = scored
    null = pa.nulls(table.num_rows, pa.bool_())
    labels = labels_of(table.set_column(table.column_names.index("bought"), "bought", null), tmp_path)
    found = backtest(run, out, labels, output=tmp_path / "page.html")
    assert (found["counts"]["judged"], found["periods"]) == (0, [])
    assert found["text"].startswith("# No row has both a score of this run and a label.")
    assert "was kept" not in (tmp_path / "page.html").read_text()


def test_a_month_in_which_labels_turn_is_told_in_words_and_on_a_page(
    run: Path, scored: tuple[Path, pa.Table], tmp_path: Path
) -> None:
    out, table = scored
    is_february = pc.equal(pc.month(table.column("when")), 2)
    turned = pc.if_else(is_february, pc.invert(table.column("bought")), table.column("bought"))
    path = labels_of(table.set_column(table.column_names.index("bought"), "bought", turned), tmp_path)
    found = backtest(run, out, path, output=tmp_path / "page.html")
    assert [own["period"] for own in found["periods"] if own["is_worse"]] == ["2026-02"]
    page = (tmp_path / "page.html").read_text()
    assert "Log-loss in 2026-02 is above what was promised." in page
    assert page.count("<svg") == 2
    assert "Worse than promised in 1 of 3 periods." in found["text"]
    backtest(run, out, path, output=tmp_path / "told.json")
    found.pop("text")
    assert json.loads((tmp_path / "told.json").read_text()) == json.loads(json.dumps(found))


Change = Any


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda t: pa.concat_tables([t, t.slice(5, 2)]),
            r"2 rows of labels .* have the ids \(id\)",
        ),
        (lambda t: t.set_column(0, "id", pc.add(t.column("id"), 10**9)), "no row of .* has the ids"),
        (
            lambda t: t.set_column(0, "id", pc.cast(t.column("id"), "int32")),
            "id column 'id' is int64",
        ),
        (lambda t: t.drop_columns("w"), "lacks column 'w'"),
    ],
    ids=["twice", "no match", "another type", "no weight"],
)
def test_labels_that_do_not_fit_are_refused(
    change: Change, words: str, run: Path, scored: tuple[Path, pa.Table], tmp_path: Path
) -> None:
    out, table = scored
    path = write(tmp_path / "labels.parquet", change(table))
    with pytest.raises(DataError, match=words) as caught:
        backtest(run, out, path)
    assert caught.value.exit_code == 10


def test_scores_of_another_model_and_impossible_periods_are_refused(
    run: Path, trained_run: Path, scored: tuple[Path, pa.Table], tmp_path: Path
) -> None:
    out, table = scored
    path = labels_of(table, tmp_path)
    with pytest.raises(ArtifactError, match=f"are of {run.name}, not of {trained_run.name}"):
        backtest(trained_run, out, path)
    timeless = write(tmp_path / "timeless.parquet", table.drop_columns("when"))
    assert backtest(run, out, timeless)["by"] == "batch"
    with pytest.raises(ConfigError, match=r"--by day needs a time of each row, and .* has no column 'when'"):
        backtest(run, out, timeless, by="day")
    with pytest.raises(ConfigError, match="it is one of day, week, month, batch"):
        backtest(run, out, path, by="year")

"""Rao's test of a champion on new labelled rows: the books' statistic, its null, and gains that come true."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from binclf import artifact, golden
from binclf.drift import drift, rao
from binclf.errors import DataError
from binclf.parquet import find, footers
from binclf.retrain import retrain
from binclf.scored import places_of
from tests.refits import simulate
from tests.trained import people, settings, write


def brute(run: artifact.Run, table: Any) -> tuple[float, int]:
    """T and its degrees of freedom of a one-hot design, row weights taken for counts."""
    model, columns = golden.model_of(run), []
    for column in run.features.numeric:
        values = table.column(column.name).cast("double").to_numpy(zero_copy_only=False)
        values = np.sign(values) * np.log1p(np.abs(values)) if column.is_log1p else values
        missing = np.isnan(values)
        columns.append((np.where(missing, column.fill, values) - column.centre) / column.scale)
        if column.indicator >= 0:
            columns.append(missing.astype(float))
    for categorical in run.features.categorical:
        values = [None if v is None else str(v) for v in table.column(categorical.name).to_pylist()]
        own = [v if v is None or v in categorical.levels else "other" for v in values]
        columns += [np.array([v == level for v in own], float) for level in {*own}]
    x = np.column_stack([*columns, np.ones(table.num_rows)])
    y, w = table.column("bought").to_numpy().astype(float), table.column("w").to_numpy()
    p = model.predict_proba(table)
    gradient, hessian = x.T @ (w * (p - y)), (x.T * (w * p * (1 - p))) @ x
    return float(gradient @ np.linalg.pinv(hessian, rcond=1e-10, hermitian=True) @ gradient), int(
        np.linalg.matrix_rank(hessian, tol=1e-8 * np.abs(hessian).max())
    )


def test_the_statistic_is_that_of_a_one_hot_design(people_dir: Path, tmp_path: Path) -> None:
    run = artifact.open_run(
        retrain(settings(people_dir, tmp_path / "runs", train={"epochs": 20, "l2": 0.0, "tolerance": 0.0}))
    )
    table = people(1200, seed=77)
    path = write(tmp_path / "new.parquet", table, [500, 0, 700])
    found = rao(run, golden.model_of(run), places_of(footers(find(path).files)), run.config.drift)
    assert found is not None
    statistic, freedom = brute(run, table)
    w = table.column("w").to_numpy()
    effect = (w**2).sum() / w.sum()
    assert found.freedom == freedom
    assert found.gain_on_these == pytest.approx(statistic / (2 * w.sum()), rel=1e-4)
    null = effect * (1 + w.sum() / run.split.weight("train"))
    assert found.statistic == pytest.approx(statistic / null, rel=1e-4)
    assert found.untested == 3  # rare or unseen levels, and missing codes: no row has them


def test_where_nothing_changed_few_refits_are_advised(tmp_path: Path) -> None:
    found = [simulate(tmp_path / str(seed), seed, is_changed=False).found for seed in range(6)]
    assert not any(one.is_advised for one in found)
    assert min(one.p_value for one in found) > 0.01  # three times as many new rows as the champion had
    assert all("no need to retrain" in one.words for one in found)


def test_where_the_world_changed_a_refit_is_advised_and_gains_what_was_foretold(tmp_path: Path) -> None:
    told = simulate(tmp_path, 1, is_changed=True, is_refitted=True)
    assert told.found.is_advised
    assert told.found.words.startswith(
        "retrain: on 60,000 labelled rows a refit would lower log-loss by about"
    )
    assert told.found.gain_on_these == pytest.approx(told.gain_on_these, rel=0.2)
    assert told.found.gain == pytest.approx(told.gain, rel=0.2)


def test_labels_are_read_where_all_files_have_them(trained_run: Path, tmp_path: Path) -> None:
    table = people(600, seed=12)
    write(tmp_path / "new" / "a.parquet", table)
    found = drift(trained_run, tmp_path / "new")
    assert found["retrain"]["rows"] == 600
    assert "retrain" in found["text"]
    write(tmp_path / "new" / "b.parquet", table.drop_columns("bought"))
    assert drift(trained_run, tmp_path / "new")["retrain"] is None
    write(tmp_path / "c.parquet", table.drop_columns("w"))
    with pytest.raises(DataError, match=r"c\.parquet has labels and lacks the weight column 'w'"):
        drift(trained_run, tmp_path / "c.parquet")
    text = table.set_column(8, "bought", pc.cast(table.column("bought"), "string"))
    write(tmp_path / "d.parquet", text)
    with pytest.raises(DataError, match=r"label 'bought' of d\.parquet is string"):
        drift(trained_run, tmp_path / "d.parquet")

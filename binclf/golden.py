"""Golden rows: a few training rows and what the model said of them, sealed with it (`golden.parquet`).

Whoever loads the run scores them again, and a difference beyond 1e-9 refuses it: then some library, machine
or change of ours reads or reckons otherwise than when the run was sealed, and no score can be trusted. They
are real rows, as evenly from one row group as can be, with the columns that the model reads and no others; a
run is therefore to be kept as the training data are. Exports are tried on them, too.
"""

from __future__ import annotations

import numpy as np

from binclf import artifact, commit, predict
from binclf.errors import ArtifactError, BinclfError, DataError
from binclf.parquet import Rows, of_bytes, write_rows
from binclf.predict import Model, probability

GOLDEN = "golden.parquet"
MOST = 32  # rows
WITHIN = 1e-9  # of a probability


def write(run: artifact.Run) -> None:
    """Choose the rows of an unsealed run and write them, with their probabilities in the last column."""
    model = predict.of_run(run)
    names = model.columns()
    for file in run.split.parts["train"]:
        with file.reader() as reader:
            for group, count in enumerate(file.groups):
                if not count:
                    continue
                rows = reader.read(group, names)
                kept = np.zeros(len(rows), dtype=np.bool_)
                kept[np.linspace(0, len(rows) - 1, min(MOST, len(rows))).astype(np.int64)] = True
                chosen = rows.where(kept)
                with commit.beside(run.path / GOLDEN) as temporary:
                    write_rows(temporary, chosen, names, probability(model.logits(chosen)))
                return


def rows_of(run: artifact.Run) -> tuple[Rows, predict.F64] | None:
    """The golden rows of a run and their probabilities, float64 [n]; None of one from before there were any.

    Raises:
        ArtifactError: they cannot be read.
    """
    content = run.contents.get(GOLDEN)
    if content is None:
        return None
    try:
        return of_bytes(content, f"{GOLDEN} of {run.path}", MOST)
    except BinclfError as error:
        raise ArtifactError(f"{error} Train again.") from error


def model_of(run: artifact.Run) -> Model:
    """The model of a sealed run, seen to say of its golden rows what it said then.

    Raises:
        ArtifactError: it says otherwise.
    """
    model, golden = predict.of_run(run), rows_of(run)
    if golden is not None:
        rows, expected = golden
        try:
            found = model.predict_proba(rows.table)
        except DataError as error:
            raise ArtifactError(
                f"{GOLDEN} of {run.path} is not of its model ({error}): train again."
            ) from error
        away = np.abs(found - expected)
        if not (away <= WITHIN).all():  # NaN, too
            row = int(np.argmax(np.where(np.isnan(away), np.inf, away)))
            raise ArtifactError(
                f"{run.path} says {float(found[row])!r} of its golden row {row}, and said "
                f"{float(expected[row])!r} when binclf {run.record.get('binclf')} sealed it: its scores "
                "are not to be trusted here. Use that version on the machine it was trained on, or train "
                "again."
            )
    return model

"""The sections of the config as pydantic models, in the order in which a form shows them.

No unions, no optional values and no dictionaries: "" and 0 mean off, so that a form can show each field.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from binclf.config.rules import problems


def _number_fields(schema: dict[str, Any]) -> None:
    """Give each field its place: a Prefect form is alphabetical otherwise."""
    for place, field in enumerate(schema.get("properties", {}).values()):
        field["position"] = place


class Section(BaseModel):
    """What all sections share: frozen, unknown keys refused, fields shown in source order."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=_number_fields)


def _as_text(value: object) -> object:
    """TOML's true, 1, 0.5 and dates as the text that the user would have written."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, int | float | datetime.date):
        return str(value)
    return value


Text = Annotated[str, BeforeValidator(_as_text)]
Names = tuple[str, ...]


class Data(Section):
    """Which Parquet, and what its columns are for."""

    path: str = Field(
        description="Parquet to learn from: a file, a directory (read recursively) or a glob; a path or "
        "a URI, such as s3://bucket/folder."
    )
    label: str = Field(description="Column with the answer: two values, such as true and false.")
    positive: Text = Field(
        "",
        description="The label value that counts as yes, as text. May be left empty only where the "
        "label is boolean or holds exactly 0 and 1.",
    )
    weight: str = Field("", description="Column with row weights (finite, at least 0); empty: all 1.")
    ids: Names = Field((), description="Columns carried to the scored output; never features.")
    time: str = Field("", description="Time column; never a feature. Needed by split method 'time'.")
    group: str = Field("", description="Rows that share a value here never straddle parts; never a feature.")
    exclude: Names = Field((), description="Columns that are not features: leaks, free text.")
    on_null_label: Literal["error", "drop"] = Field(
        "error", description="Rows without a label: stop with an error, or drop and count them."
    )
    on_bad_file: Literal["error", "quarantine"] = Field(
        "error",
        description="Files that are damaged or do not fit the others: stop with an error, or leave them out, "
        "list and count them.",
    )


class Split(Section):
    """Which rows are for training, validation and test."""

    method: Literal["random", "hash", "time", "column", "none"] = Field(
        "random",
        description="random: exact counts, seeded. hash: by key columns. time: the last are test. "
        "column: the data says. none: everything is for training.",
    )
    test_fraction: float = Field(
        0.2, ge=0.001, le=0.499, description="Share of rows held out for test: 0.001 to 0.499."
    )
    validation_fraction: float = Field(
        0.1,
        ge=0.0,
        le=0.499,
        description="Share of rows for early stopping: 0 (none) to 0.499.",
    )
    seed: int = Field(42, ge=0, le=2**63 - 1, description="Seed of methods random and hash.")
    stratify: bool = Field(True, description="Method random: the same share of positives in every part.")
    test_from: Text = Field(
        "", description="Method time: rows from here on are test (ISO); empty: from test_fraction."
    )
    validation_from: Text = Field(
        "",
        description="Method time: rows from here on, up to the test rows, are validation (ISO); "
        "empty: from validation_fraction.",
    )
    key: Names = Field((), description="Method hash: rows with the same key share a part.")
    column: str = Field("", description="Method column: the column that says train, validation or test.")


class Features(Section):
    """What is learnt from each column before the model sees it."""

    numeric: Names = Field(
        (),
        description="Columns to take as numbers beside those that are by type: moments, durations, or a part "
        "of a moment such as 'when:hour' (weekday, month, age_days: the days up to data.time).",
    )
    categorical: Names = Field(
        (),
        description="Columns to take as categories, such as integer codes, or a part of a moment such as "
        "'when:weekday' (hour, month); empty: by their types.",
    )
    impute: Literal["mean", "median", "zero"] = Field(
        "median", description="What stands in for a missing number."
    )
    standardise: bool = Field(
        True,
        description="Centre and scale numbers inside; coefficients are told in original units.",
    )
    log1p: Names = Field((), description="Numeric columns taken as sign(x) log(1 + |x|), in scoring too.")
    missing_indicator: bool = Field(True, description="A weight of its own for 'this number is missing'.")
    max_levels: int = Field(
        1000, ge=1, le=1_000_000, description="A category with more levels is hashed: 1 to 1000000."
    )
    hash_bits: int = Field(18, ge=4, le=26, description="Hashed categories share 2^bits weights: 4 to 26.")
    min_count: int = Field(
        10, ge=1, le=1_000_000_000, description="Levels with fewer training rows share one weight."
    )


class Train(Section):
    """How the weights are found."""

    solver: Literal["auto", "minibatch"] = Field(
        "auto", description="minibatch: stochastic gradient descent under DDP. auto chooses it too."
    )
    l2: float = Field(
        -1.0,
        ge=-1.0,
        le=1e6,
        description="Penalty l2/2 |w|^2 beside the mean log-loss; the intercept is free. 0: none. "
        "-1: one over the training weight (scikit-learn's C = 1), within 1e-6 and 1e-3.",
    )
    ranks: int = Field(
        0,
        ge=0,
        le=65536,
        description="Processes to train on. 0: one per GPU, and on CPU as many as pay.",
    )
    batch_rows: int = Field(
        0, ge=0, le=2**30, description="Rows of a step, all ranks together. 0: from the row count."
    )
    epochs: int = Field(20, ge=1, le=1_000_000, description="Passes over the rows, at most.")
    shuffle: bool = Field(True, description="A new order in each epoch; false: the files' order.")
    workers: int = Field(
        0,
        ge=0,
        le=256,
        description="DataLoader processes. 0: one prefetch thread, which is faster.",
    )
    lanes: int = Field(
        32,
        ge=1,
        le=65536,
        description="Streams a step draws from; ranks share them: ranks <= lanes.",
    )
    window_rows: int = Field(16384, ge=1, le=2**30, description="Rows of a lane that are shuffled together.")
    optimizer: Literal["sgd", "adam", "adagrad"] = Field("adam", description="Rule of a step.")
    learning_rate: float = Field(
        0.0,
        ge=0.0,
        le=1000.0,
        description="Constant step size. 0: the optimiser's own, decaying to nothing.",
    )
    momentum: float = Field(0.0, ge=0.0, le=0.999, description="Momentum of sgd.")
    patience: int = Field(
        3,
        ge=0,
        le=1_000_000,
        description="Epochs without gain on validation before stopping. 0: never stop early.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto: CUDA where there is a device, else the CPU."
    )
    seed: int = Field(42, ge=0, le=2**63 - 1, description="Seed of the order of the rows.")
    cache: Literal["auto", "ram", "disk", "none"] = Field(
        "auto",
        description="Where decoded rows are kept: in memory, on disk for later runs too, or nowhere. "
        "auto: the first that memory_bytes and cache_bytes allow. The result is the same.",
    )
    memory_bytes: int = Field(
        0, ge=0, le=2**60, description="Memory of a rank beside Python's and torch's own. 0: what is free."
    )
    cache_bytes: int = Field(
        0, ge=0, le=2**60, description="Disk for decoded rows, all runs together. 0: half of what is free."
    )
    checkpoint_seconds: float = Field(
        30.0,
        ge=0.0,
        le=86400.0,
        description="Time between checkpoints, beside one after each epoch. 0: after each step.",
    )


class Evaluate(Section):
    """How the result is judged."""

    threshold: Text = Field(
        "0.5",
        pattern=r"^(0(\.\d+)?|1(\.0+)?|\.\d+)$",
        description="A row is decided yes at this probability or above: 0 to 1.",
    )


class Config(Section):
    """A retraining: which data, how they are split, learnt from and judged."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$",
        description="Name of the model: a-z, 0-9, '.', '_', '-'; at most 64.",
    )
    store: str = Field(
        "runs",
        description="Directory for the runs and the split data: a path or a URI, such as s3://bucket/runs.",
    )
    data: Data
    split: Split = Split()
    features: Features = Features()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()

    @model_validator(mode="after")
    def _check_across_sections(self) -> Config:
        found = problems(self)
        if found:
            raise ValueError("; ".join(found))
        return self

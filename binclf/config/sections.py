"""The sections of the config as pydantic models, in the order in which a form shows them.

No unions, no optional values and no dictionaries: "" and 0 mean off, so that a form can show each field.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from binclf.config.drift import Drift
from binclf.config.rules import problems
from binclf.config.section import Names, Section, Text
from binclf.config.threshold import PATTERN, Rule
from binclf.config.training import Train

Name = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$",
        description="Name of the model: a-z, 0-9, '.', '_', '-'; at most 64.",
    ),
]


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
    weight: str = Field("", description="Column with row weights (0, or 1e-24 to 1e24); empty: all 1.")
    ids: Names = Field((), description="Columns carried to the scored output; never features.")
    time: str = Field("", description="Time column; never a feature. Needed by split method 'time'.")
    group: str = Field("", description="Rows that share a value here never straddle parts; never a feature.")
    exclude: Names = Field((), description="Columns that are not features: leaks, free text.")
    downsample_majority: float = Field(
        1.0,
        ge=0.000001,
        le=1.0,
        description="Share of the training rows of the larger class that are trained on, 1e-6 to 1; 1: all. "
        "Probabilities are corrected back; validation and test rows stay as they are.",
    )
    on_null_label: Literal["error", "drop"] = Field(
        "error", description="Rows without a label: stop with an error, or drop and count them."
    )
    on_bad_file: Literal["error", "quarantine"] = Field(
        "error",
        description="Files that are damaged or do not fit the others: stop with an error, or leave them out, "
        "list and count them.",
    )
    on_leak: Literal["error", "warn", "ignore"] = Field(
        "error",
        description="Features of which one alone tells the label (leak_auc), as what is known only after the "
        "outcome does: stop with an error, warn, or do not look.",
    )
    leak_auc: float = Field(
        0.999,
        ge=0.9,
        le=1.0,
        description="A feature whose own ROC-AUC is at least this tells the label: 0.9 to 1.",
    )
    not_leaks: Names = Field(
        (), description="Features that may tell the label alone: they are known before the outcome."
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
        description="Share of rows for early stopping and calibration: 0 (none) to 0.499.",
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


class Evaluate(Section):
    """How the result is judged."""

    threshold: Text = Field(
        "0.5",
        pattern=PATTERN,
        description="A row is decided yes at this probability or above: 0 to 1. Or a rule by which "
        "validation rows choose it: max_f1, precision>=0.9, recall>=0.8 or cost(fp=1,fn=5).",
    )
    slices: Names = Field(
        (),
        description="Columns with few values (text, integers, booleans, or a part of a moment such as "
        "'when:month') by whose values every metric is told too.",
    )

    @field_validator("threshold")
    @classmethod
    def _check_threshold(cls, text: str) -> str:
        Rule.parse(text)
        return text


class Score(Section):
    """What is written beside the probabilities of new rows, and what is done about bad ones."""

    columns: Names = Field(
        (), description="Columns of the input that are carried to the scored output, beside data.ids."
    )
    contributions: int = Field(
        0,
        ge=0,
        le=100,
        description="For each row, so many columns that add most to its log-odds, or take most away: 0 to "
        "100; 0: none.",
    )
    on_bad_file: Literal["error", "quarantine"] = Field(
        "error",
        description="Files that are damaged or lack a column of the model: stop with an error, or leave them "
        "out, list and count them.",
    )
    on_bad_row: Literal["error", "quarantine"] = Field(
        "error",
        description="Rows with infinite numbers, or log-odds beyond doubles: stop with an error, or leave "
        "them out, list and count them.",
    )
    bad_limit: float = Field(
        0.1,
        ge=0.0,
        le=1.0,
        description="Share of the files, and of the rows, above which quarantine fails the job: 0 to 1.",
    )


class Registry(Section):
    """Where models are kept by name and version, and which of them is the champion."""

    uri: str = Field(
        "",
        pattern=r"^(|off|databricks|[a-z][a-z0-9+.-]*://.+)$",
        description="MLflow tracking URI, such as http://mlflow:5000; empty: mlflow.db in the store; off: "
        "runs are kept in the store alone.",
    )
    promote: Literal["if_better", "if_not_worse", "always", "never"] = Field(
        "if_better",
        description="When a new model becomes champion: if it is better than the champion beyond noise, if "
        "it is not worse, always, or never. Older data never replace newer ones.",
    )
    margin: float = Field(
        0.0, ge=0.0, le=1.0, description="By how much better, or not worse, in log-loss: 0 to 1."
    )

    @property
    def is_on(self) -> bool:
        """Whether models are registered at all."""
        return self.uri != "off"


class Config(Section):
    """A retraining: which data, how they are split, learnt from and judged."""

    name: Name
    store: str = Field(
        "runs",
        description="Directory for the runs and the split data: a path or a URI, such as s3://bucket/runs.",
    )
    data: Data
    split: Split = Split()
    features: Features = Features()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    score: Score = Score()
    registry: Registry = Registry()
    drift: Drift = Drift()

    @model_validator(mode="after")
    def _check_across_sections(self) -> Config:
        found = problems(self)
        if found:
            raise ValueError("; ".join(found))
        return self

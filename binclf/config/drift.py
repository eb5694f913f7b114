"""The section [drift]: what new rows may be, beside those that a run was trained on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from binclf.config.section import Section


class Drift(Section):
    """From where on new rows are refused, or told as other than those of training."""

    on_skew: Literal["error", "warn"] = Field(
        "error",
        description="Rows to be scored that cannot mean what those of training did (unit_factor, "
        "unseen_share): stop with an error, or score them and warn.",
    )
    unit_factor: float = Field(
        30.0,
        ge=2.0,
        le=1e12,
        description="A number that is typically so many times larger or smaller than in training is taken "
        "for one in another unit: 2 to 1e12.",
    )
    unseen_share: float = Field(
        0.3,
        ge=0.0,
        le=1.0,
        description="Of a categorical column, the share of rows with levels that are rare in training or "
        "not in it, beyond what that share is there: 0 to 1 (no limit).",
    )
    shift: float = Field(
        0.1,
        ge=0.0,
        le=100.0,
        description="Alarm where the mean log-odds, or what one column adds to them, has moved by more, "
        "beyond noise: 0 to 100. At 0.1 all odds are a tenth higher.",
    )
    psi: float = Field(
        0.25,
        ge=0.0,
        le=100.0,
        description="Alarm where the population stability index of a column or of the score is higher, "
        "beyond noise: 0 to 100. Below 0.1 little has changed, above 0.25 much.",
    )
    retrain_level: float = Field(
        0.01,
        ge=1e-12,
        le=0.5,
        description="Labelled rows speak for retraining where, without a change, they would do so with this "
        "chance at most: 1e-12 to 0.5.",
    )
    retrain_gain: float = Field(
        0.001,
        ge=0.0,
        le=1.0,
        description="... and where a refit would lower the log-loss of new rows by at least this: 0 to 1.",
    )

"""What evaluation found, for people: a column of numbers for each part, and what they are worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from binclf.report import numbers
from binclf.split import PART_NAMES

SHARES = ("positive_rate", "precision", "recall")
SHOWN = (
    "rows", "positive_rate", "log_loss", "base_log_loss", "roc_auc", "pr_auc", "brier", "ece", "threshold",
    "precision", "recall", "f1",
)  # fmt: skip


def evaluation(found: Mapping[str, Any]) -> str:
    """The outcome of `binclf.evaluate`; --json has all of it, with slices and reasons."""
    parts = [part for part in ("data", *PART_NAMES) if part in found]
    table = [["", *parts], *([name, *(_cell(found[part], name) for part in parts)] for name in SHOWN)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [f"run {found['run']}", ""]
    lines += [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    for part in parts:
        lines += [f"{part}: {name} is undefined: {why}" for name, why in found[part]["undefined"].items()]
    if found.get("dropped_null_label"):
        lines.append(f"{found['dropped_null_label']:,} rows without a label were left out")
    return "\n".join(lines)


def _cell(metrics: Mapping[str, Any], name: str) -> str:
    if name == "rows":
        return f"{metrics[name]:,}"
    return numbers.with_interval(metrics, name, percent=name in SHARES)

"""What a flow run shows in the Prefect UI: the model card with its pictures, and the metrics as a table."""

from __future__ import annotations

import re
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from binclf.report import card_with_pictures


def key_of(name: str, what: str) -> str:
    """An artifact's key: Prefect takes lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", f"{name}-{what}".lower()).strip("-")


def show_run(name: str, summary: dict[str, Any]) -> None:
    """Publish a run's model card, pictures included, and its metrics."""
    text = card_with_pictures(summary["run"])
    create_markdown_artifact(text, key=key_of(name, "report"), description=summary["verdict"])
    shown = ("rows", "log_loss", "base_log_loss", "roc_auc", "pr_auc", "brier", "ece", "f1")
    table = [
        {"part": part, **{metric: values.get(metric) for metric in shown}}
        for part, values in summary["metrics"].items()
    ]
    create_table_artifact(table, key=key_of(name, "metrics"), description=summary["verdict"])

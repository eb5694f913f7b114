"""What a flow run shows in the Prefect UI: the report with its pictures, and the metrics as a table."""

from __future__ import annotations

import base64
import re
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from binclf.storage import place_of


def key_of(name: str, what: str) -> str:
    """An artifact's key: Prefect takes lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", f"{name}-{what}".lower()).strip("-")


def show_run(name: str, summary: dict[str, Any]) -> None:
    """Publish a run's report, pictures included, and its metrics."""
    run_dir = place_of(summary["run"])
    text = (run_dir / "report.md").read_text()
    for picture in run_dir.glob("*.svg"):
        data = base64.b64encode(picture.read_bytes()).decode()
        text = text.replace(f"({picture.name})", f"(data:image/svg+xml;base64,{data})")
    create_markdown_artifact(text, key=key_of(name, "report"), description=summary["verdict"])
    shown = ("rows", "log_loss", "base_log_loss", "roc_auc", "pr_auc", "brier", "ece", "f1")
    table = [
        {"part": part, **{metric: values.get(metric) for metric in shown}}
        for part, values in summary["metrics"].items()
    ]
    create_table_artifact(table, key=key_of(name, "metrics"), description=summary["verdict"])

"""What a flow run shows in the Prefect UI when it is done: report, metrics, and the runs before it."""

from __future__ import annotations

import os
import re
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from binclf.registry import is_address, page_of
from binclf.report import card_with_pictures, history
from binclf.report.text import markdown
from binclf.storage import place_of

METRICS = ("rows", "log_loss", "base_log_loss", "roc_auc", "pr_auc", "brier", "ece", "f1")
PAGES = "BINCLF_PAGES_URL"  # where the store is served, for links that a browser can follow
MLFLOW_PAGES = "BINCLF_MLFLOW_URL"  # where MLflow's pages of a registry in a file are served


def key_of(name: str, what: str) -> str:
    """An artifact's key: Prefect takes lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", f"{name}-{what}".lower()).strip("-")


def last_of(path: str) -> str:
    """The last name in a path or URI; an address of a model as it is.

    >>> last_of("/data/runs/churn-1/"), last_of("s3://b/new"), last_of("models:/churn/3")
    ('churn-1', 'new', 'models:/churn/3')
    """
    return path if is_address(path) else path.rstrip("/").rpartition("/")[2]


def show_run(name: str, store: str, summary: dict[str, Any]) -> None:
    """Publish a run's model card with its pictures and links, its metrics, and the model's last runs."""
    text = f"{card_with_pictures(summary['run'])}\n{links(summary)}"
    create_markdown_artifact(text, key=key_of(name, "report"), description=summary["verdict"])
    table = [
        {"part": part, **{metric: values.get(metric) for metric in METRICS}}
        for part, values in summary["metrics"].items()
    ]
    create_table_artifact(table, key=key_of(name, "metrics"), description=summary["verdict"])
    create_markdown_artifact(
        history(place_of(store), name), key=key_of(name, "history"), description=f"the last runs of {name}"
    )


def links(summary: dict[str, Any]) -> str:
    """Where the rest is: an address where it is served, else a path, which no browser opens from here."""
    folder = last_of(summary["run"])
    served = os.environ.get(PAGES, "").rstrip("/")
    report = f"[report.html]({served}/{folder}/report.html)" if served else f"`{summary['report']}`"
    lines = ["## Where it is", "", f"- Run directory: `{summary['run']}`", f"- Report: {report}"]
    if registered := summary.get("registry"):
        page = page_of(registered, os.environ.get(MLFLOW_PAGES, ""))
        shown = f"[{registered['model']}]({page})" if page else f"`{registered['model']}`"
        standing = "champion" if registered["is_champion"] else f"not champion: {registered['reason']}"
        lines.append(f"- MLflow: {shown}, {standing}")
        if not page:
            lines.append(f"- Its pages: `mlflow server --backend-store-uri {registered['registry']}`")
    return "\n".join(lines) + "\n"


def show_scores(name: str, receipt: dict[str, Any]) -> None:
    """Publish what a scoring says of itself, and how its rows differ from those of training."""
    told = f"{receipt['rows']:,} rows by {receipt['model']}"
    create_markdown_artifact(receipt_of(receipt), key=key_of("score", "receipt"), description=told)
    if drift := receipt["drift"]:
        create_markdown_artifact(drift["text"], key=key_of(name, "drift"), description=drift["sentence"])


def receipt_of(receipt: dict[str, Any]) -> str:
    """What scoring says of itself, as Markdown."""
    drift = receipt.get("drift")
    told = {key: value for key, value in receipt.items() if key != "drift"}
    told["skewed"] = ", ".join(markdown(skew["column"]) for skew in receipt["skewed"]) or "none"
    rows = {key.replace("_", " "): f"{v:,}" if isinstance(v, int) else v for key, v in told.items()}
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    text = f"# {receipt['rows']:,} rows scored by `{receipt['model']}`\n\n| | |\n|---|---|\n{table}\n"
    text += "".join(f"\n- skew: column {markdown(skew['words'], 400)}" for skew in receipt["skewed"])
    return text + (f"\n\nDrift: {drift['sentence']}\n".replace("<", "\\<") if drift else "")

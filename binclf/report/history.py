"""The last runs of a model side by side, so that a trend is seen."""

from __future__ import annotations

import base64
from typing import Any

from binclf import artifact, commit
from binclf.errors import ArtifactError
from binclf.registry import WINDOW
from binclf.report import numbers
from binclf.report.charts import trend
from binclf.report.facts import comparison_of, judged_part
from binclf.report.svg import alone
from binclf.report.text import markdown
from binclf.storage import Place

METRICS = ("log_loss", "base_log_loss", "roc_auc", "pr_auc", "brier", "ece")
MOST = 30


def last_runs(store: Place, name: str, most: int = MOST) -> list[dict[str, Any]]:
    """Of each of the last finished runs: run, until, part, rows, its metrics, and the verdict; oldest first.

    The files are read as they lie, without the manifests: a list of what was, and nothing to score with.
    """
    return [_told(path) for path in reversed(artifact.runs_of(store, name, sealed=True)[:most])]


def history(store: Place, name: str, most: int = MOST) -> str:
    """The last runs of a model as Markdown: a picture of the log-loss and a table, the newest first."""
    runs = last_runs(store, name, most)
    if not runs:
        raise ArtifactError(f"{store} has no finished run of {name}: retrain it first.")
    picture = base64.b64encode(alone(trend(runs)).encode()).decode()
    heads = ("run", "data until", "rows", "log-loss", "base rate's", "ROC-AUC", "ECE", "beside the champion")
    lines = [
        f"# {markdown(name)}: the last {len(runs)} runs" if len(runs) > 1 else f"# {markdown(name)}: one run",
        "",
        f"![trend](data:image/svg+xml;base64,{picture})",
        "",
        f"| {' | '.join(heads)} |",
        "|---" * len(heads) + "|",
    ]
    for run in reversed(runs):
        known = [run[name] for name in ("log_loss", "base_log_loss", "roc_auc", "ece")]
        cells = ["undefined" if value is None else numbers.number(value) for value in known]
        whole = [
            markdown(run["run"]),
            markdown(run["until"][:16]),
            f"{run['rows']:,}",
            *cells,
            run["verdict"],
        ]
        lines.append(f"| {' | '.join(whole)} |")
    return "\n".join(lines) + "\n"


def _told(path: Place) -> dict[str, Any]:
    metrics = commit.read_json(path / "metrics.json")
    part, compared = judged_part(metrics), comparison_of(path)
    window = path / WINDOW
    return {
        "run": path.name,
        "until": commit.read_json(window)["until"] if window.exists() else "",
        "part": part,
        "rows": metrics[part]["rows"],
        **{name: metrics[part].get(name) for name in METRICS},
        "verdict": compared["verdict"] if compared is not None else "",
    }

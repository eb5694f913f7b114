"""The report of a run: one Markdown page and three pictures, beside the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from binclf import artifact, commit
from binclf.pictures import PICTURES, pictures
from binclf.storage import Place

SHOWN_COEFFICIENTS = 15


def write(run: artifact.Run, found: Mapping[str, Any]) -> None:
    """Write `report.md` and the pictures into an unsealed run.

    Args:
        run: the run.
        found: what `evaluate.of_parts` gave.
    """
    for name, picture in pictures(judged_part(found["metrics"]), found).items():
        commit.write_bytes(run.path / f"{name}.svg", picture)
    text = markdown(run, found["metrics"], {name: f"{name}.svg" for name in PICTURES})
    commit.write_bytes(run.path / "report.md", text.encode())


def judged_part(metrics: Mapping[str, Any]) -> str:
    """The part that a run is judged by: test, or what comes nearest to it."""
    return next(part for part in ("test", "validation", "train") if part in metrics)


def markdown(run: artifact.Run, metrics: Mapping[str, Any], links: Mapping[str, str]) -> str:
    """The report as Markdown; `links` says where each picture is (a path or a data URI)."""
    part = judged_part(metrics)
    lines = [
        f"# {run.config.name}: {run.id}",
        "",
        verdict(part, metrics[part]),
        "",
        *_metrics_table(metrics),
        "",
        *(f"![{name}]({links[name]})" for name in PICTURES if name in links),
        "",
        *_training(run),
        "",
        *_coefficients(run),
        "",
    ]
    return "\n".join(lines)


def verdict(part: str, metrics: Mapping[str, Any]) -> str:
    """One sentence: is the model better than knowing the base rate, and by how much."""
    loss, base = metrics["log_loss"], metrics["base_log_loss"]
    if loss is None:
        return f"**Not judged**: the {part} part has no rows with weight."
    rows = f"{metrics['rows']:,} {part} rows"
    rate = f"{metrics['positive_rate']:.2%} positive"
    if part == "train":
        rows += " (there is no test part: this says nothing about new data)"
    auc = metrics["roc_auc"]
    ranking = "" if auc is None else f", ROC-AUC {auc:.4f}"
    if loss >= base:
        return (
            f"**Do not trust the probabilities**: log-loss {loss:.4f} on {rows} ({rate}) is no better "
            f"than {base:.4f}, that of telling the base rate to everyone{ranking}."
        )
    return (
        f"**Log-loss {loss:.4f}** on {rows} ({rate}): {1 - loss / base:.1%} below {base:.4f}, that of "
        f"telling the base rate to everyone{ranking}."
    )


def _metrics_table(metrics: Mapping[str, Any]) -> list[str]:
    rows = {
        "rows": "{:,}", "positive_rate": "{:.4%}", "log_loss": "{:.6f}", "base_log_loss": "{:.6f}",
        "roc_auc": "{:.6f}", "pr_auc": "{:.6f}", "brier": "{:.6f}", "ece": "{:.6f}",
        "threshold": "{:g}", "precision": "{:.4f}", "recall": "{:.4f}", "f1": "{:.4f}",
    }  # fmt: skip
    lines = ["| | " + " | ".join(metrics) + " |", "|---" * (len(metrics) + 1) + "|"]
    for name, form in rows.items():
        cells = [
            "undefined" if part.get(name) is None else form.format(part[name]) for part in metrics.values()
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _training(run: artifact.Run) -> list[str]:
    training, data = run.record["training"], run.config.data
    split = run.split
    parts = ", ".join(f"{split.rows(part):,} {part}" for part in split.parts)
    dropped = split.receipt["dropped_null_label"]
    lines = [
        "## What was trained on what",
        "",
        f"- Data: `{data.path}`, {split.receipt['files']} files, {split.receipt['rows']:,} rows: "
        f"{parts}, {dropped:,} dropped without a label.",
        f"- Label: `{data.label}` = `{run.record['positive']}`; split by {split.method}.",
        *(f"- {part.capitalize()} from {start}." for part, start in split.cuts.items()),
        *_solver(training),
    ]
    if training.get("best_epoch"):
        best = training["best_epoch"]
        lines.append(
            f"- Best on validation, of the epochs judged, after epoch {best}: those weights were kept."
        )
    return lines


def _solver(training: Mapping[str, Any]) -> list[str]:
    took = f"{training['ranks']} ranks, {training['seconds']:.1f} s."
    if training["solver"] == "minibatch":
        how = (
            f"- Solver: minibatch ({training['optimizer']}), {training['epochs']} epochs of "
            f"{training['steps_per_epoch']:,} steps of {training['batch_rows']:,} rows on {took}"
        )
    else:
        how = f"- Solver: {training['solver']}, {training['passes']} passes on {took}"
    lines = [how, _certificate(training)]
    for names in training.get("dependent_columns", ()):
        listed = ", ".join(_cell(name) for name in names)
        lines.append(
            f"- {listed} is constant, or nearly so beside its size: it has no effect of its own."
            if len(names) == 1
            else f"- {listed} depend on each other: their coefficients share one effect."
        )
    return lines


def _certificate(training: Mapping[str, Any]) -> str:
    """How far the optimum is, in a sentence."""
    found = training["certificate"]
    if found is None:
        return f"- How far the optimum of the training rows is remains unknown: {training['no_certificate']}."
    if found["gap"] is None:
        return (
            f"- The least objective on the training rows is about {found['model_gap']:.1e} lower, and the "
            f"optimum {found['model_errors']:.1e} standard errors away, as the curvature here has it."
        )
    proven = "Proven: within" if found["is_proven"] else "By the curvature here, within"
    return (
        f"- {proven} {found['gap']:.1e} of the least objective on the training rows; each coefficient within "
        f"{found['errors']:.1e} standard errors of the optimum's."
    )


def _coefficients(run: artifact.Run) -> list[str]:
    """The heaviest numbers by their effect per standard deviation, and the heaviest levels."""
    numeric = sorted(
        run.features.numeric,
        key=lambda column: -abs(run.record["numeric"][column.name]["per_unit"] * column.deviation),
    )
    lines = [
        "## Largest coefficients",
        "",
        "Log-odds per unit of the column, and per standard deviation; of a missing value against the mean; "
        "of a level as it is. Intervals are of 95 %, where the solver knows them.",
        "",
        "| column | per unit | interval | p | per standard deviation | missing |",
        "|---|---|---|---|---|---|",
    ]
    known = run.record.get("inference", {}).get("numeric", {})
    for column in numeric[:SHOWN_COEFFICIENTS]:
        entry = run.record["numeric"][column.name]
        missing = ""
        if "missing" in entry:
            missing = f"{entry['missing'] - entry['per_unit'] * column.mean:+.4f}"
        name = column.name + (" (log1p)" if entry["log1p"] else "")
        cells = _interval(known.get(column.name, {}).get("per_unit"))
        effect = f"{entry['per_unit'] * column.deviation:+.4f}"
        lines.append(f"| {_cell(name)} | {entry['per_unit']:+.6g} | {cells} | {effect} | {missing} |")
    levels = [
        (abs(value), f"| {_cell(name)} = {_cell(level)} | {value:+.4f} |")
        for name, entry in run.record["categorical"].items()
        for level, value in entry.get("levels", {}).items()
    ]
    if levels:
        lines += ["", "| level | log-odds |", "|---|---|"]
        lines += [line for _, line in sorted(levels, reverse=True)[:SHOWN_COEFFICIENTS]]
    return lines


def _interval(entry: Mapping[str, float | None] | None) -> str:
    """The cells of an interval and a p-value; empty where nothing is known."""
    if not entry or entry["se"] is None:
        return " | "
    p = entry["p"] or 0.0
    return f"{entry['low']:+.6g} to {entry['high']:+.6g} | {'< 1e-16' if p < 1e-16 else format(p, '.2g')}"


def _cell(text: str) -> str:
    """Text from the data, harmless inside a Markdown table."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    if len(plain) > 80:  # cut before escaping: never between a backslash and its mark
        plain = plain[:79] + "…"
    for mark in "\\`|<>[]*_":
        plain = plain.replace(mark, "\\" + mark)
    return plain


def read(path: str | Place) -> str:
    """The report of a finished run, as Markdown.

    Raises:
        ArtifactError: there is no such run, or it was altered.
    """
    return artifact.open_run(path).contents["report.md"].decode()

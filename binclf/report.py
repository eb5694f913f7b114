"""The report of a run: one Markdown page and three pictures, beside the model."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

from binclf import artifact, commit
from binclf.storage import Place

PICTURES = ("roc", "pr", "calibration")
SHOWN_COEFFICIENTS = 15


def write(run: artifact.Run, found: Mapping[str, Any]) -> None:
    """Write `report.md` and the pictures into an unsealed run.

    Args:
        run: the run.
        found: what `evaluate.of_parts` gave.
    """
    for name, picture in pictures(found).items():
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
        return [
            f"- Solver: minibatch ({training['optimizer']}), {training['epochs']} epochs of "
            f"{training['steps_per_epoch']:,} steps of {training['batch_rows']:,} rows on {took}"
        ]
    certificate = training["certificate"]
    proven = "Proven: within" if certificate["is_proven"] else "By its model there, within"
    lines = [
        f"- Solver: {training['solver']}, {training['passes']} passes on {took}",
        f"- {proven} {certificate['gap']:.1e} of the least objective; each coefficient within "
        f"{certificate['errors']:.1e} standard errors of the optimum's.",
    ]
    for names in training["dependent_columns"]:
        listed = ", ".join(_cell(name) for name in names)
        lines.append(
            f"- {listed} is constant, or nearly so beside its size: it has no effect of its own."
            if len(names) == 1
            else f"- {listed} depend on each other: their coefficients share one effect."
        )
    return lines


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


def pictures(found: Mapping[str, Any]) -> dict[str, bytes]:
    """ROC, precision-recall and calibration of the judged part as SVG, the same bytes each time."""
    part = judged_part(found["metrics"])
    metrics, curves = found["metrics"][part], found["curves"][part]

    def roc(axes: Any) -> None:  # noqa: ANN401 - matplotlib
        axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1)
        axes.plot(curves.get("false_positive_rate", []), curves.get("true_positive_rate", []))
        axes.set(title=f"ROC, {part}", xlabel="false positive rate", ylabel="true positive rate")

    def pr(axes: Any) -> None:  # noqa: ANN401 - matplotlib
        axes.axhline(metrics["positive_rate"] or 0, color="0.6", linestyle="--", linewidth=1)
        axes.plot(curves.get("recall", []), curves.get("precision", []))
        axes.set(title=f"Precision and recall, {part}", xlabel="recall", ylabel="precision")

    def calibration(axes: Any) -> None:  # noqa: ANN401 - matplotlib
        bins = found["calibration"][part]
        heaviest = max((b["weight"] for b in bins), default=1.0)
        axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1)
        axes.plot([b["predicted"] for b in bins], [b["observed"] for b in bins], linewidth=1)
        axes.scatter(
            [b["predicted"] for b in bins],
            [b["observed"] for b in bins],
            s=[10 + 90 * b["weight"] / heaviest for b in bins],
        )
        axes.set(title=f"Calibration, {part}", xlabel="predicted", ylabel="observed")

    return {"roc": _svg(roc), "pr": _svg(pr), "calibration": _svg(calibration)}


def _svg(draw: Callable[[Any], None]) -> bytes:
    # matplotlib is imported here: it takes half a second that scoring and the ranks do not need
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "binclf", "font.size": 9}):
        figure = Figure(figsize=(4.2, 3.6), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        axes.grid(visible=True, alpha=0.3)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def read(path: str | Place) -> str:
    """The report of a finished run, as Markdown.

    Raises:
        ArtifactError: there is no such run, or it was altered.
    """
    return artifact.open_run(path).contents["report.md"].decode()

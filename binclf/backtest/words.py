"""A backtest as Markdown and as a page: the table, and its two pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from binclf.report import Finding, Level, Verdict, numbers
from binclf.report.blocks import Cell, Chart, Charts, Section, Table, Terms
from binclf.report.charts import over_periods
from binclf.report.page import laid_out
from binclf.report.text import markdown, plain

Record = Mapping[str, Any]

COUNTS = {
    "scored": "Scored rows",
    "labels": "Rows with a label",
    "labels_null": "Rows whose label is null",
    "matched": "Rows in both",
    "scored_without_label": "Scored, no label yet",
    "labels_without_score": "Label, never scored",
    "matched_other_model": "In both, scored by another model",
    "matched_null_label": "In both, and the label is null",
    "judged": "Judged",
}
HEADS = ("Rows", "Positive", "Predicted", "Log-loss", "Base rate's", "ROC-AUC", "Promise")


def headline(found: Record) -> str:
    """Whether the promise was kept."""
    if not found["periods"]:
        return "No row has both a score of this run and a label."
    worse = [own for own in found["periods"] if own["is_worse"]]
    if not worse:
        return "What was promised was kept, as far as these rows tell."
    return f"Worse than promised in {len(worse)} of {len(found['periods'])} periods."


def lead(found: Record) -> str:
    """Log-loss now and as promised."""
    now, then = (numbers.with_interval(found[key], "log_loss") for key in ("whole", "promised"))
    part, rows = found["promised_by"], found["whole"]["rows"]
    return f"Log-loss {now} on {rows:,} rows; promised by the {part} rows: {then}."


def markdown_of(found: Record) -> str:
    """One Markdown text."""
    lines = [f"# {headline(found)}", "", lead(found), ""]
    lines += [f"- {COUNTS[name]}: {count:,}" for name, count in found["counts"].items()]
    lines += ["", f"| {found['by']} | {' | '.join(HEADS)} |", "|---|" + "--:|" * len(HEADS)]
    for name, own in _rows(found):
        lines.append(f"| {markdown(name)} | {' | '.join(_cells(own))} |")
    return "\n".join(lines) + "\n"


def html(found: Record) -> str:
    """The page."""
    worse = [own["period"] for own in found["periods"] if own["is_worse"]]
    level: Level = "care" if worse or not found["periods"] else "good"
    findings = tuple(
        Finding("care", "worse", f"Log-loss in {plain(name)} is above what was promised.", "table")
        for name in worse[:5]
    )
    terms = [(COUNTS[name], Cell(f"{count:,}")) for name, count in found["counts"].items()]
    rows = [
        [Cell(plain(name), is_data=True), *(Cell(text) for text in _cells(own))] for name, own in _rows(found)
    ]
    table = Table("periods", "The promise first.", (found["by"], *HEADS), rows, is_long=False)
    sections = [
        *([Section("pictures", "Over time", [Charts(_charts(found))])] if found["periods"] else []),
        Section("table", "Period by period", [table]),
        Section("rows", "Rows", [Terms(terms)]),
    ]
    verdict = Verdict(level, headline(found), lead(found), findings)
    return laid_out("Backtest", (found["run"], f"by {found['by']}"), verdict, sections)


def _rows(found: Record) -> Sequence[tuple[str, Record]]:
    named = [(own["period"], own) for own in found["periods"]]
    return [(f"promised ({found['promised_by']})", found["promised"]), *named, ("all", found["whole"])]


def _cells(own: Record) -> list[str]:
    return [
        f"{own['rows']:,}",
        numbers.share(own["positive_rate"]),
        numbers.share(own["mean_prediction"]),
        numbers.with_interval(own, "log_loss"),
        numbers.number(own["base_log_loss"]),
        numbers.with_interval(own, "roc_auc"),
        "" if "is_worse" not in own else "worse" if own["is_worse"] else "kept",
    ]


def _charts(found: Record) -> list[Chart]:
    names = [own["period"] for own in found["periods"]]
    told = found["periods"]
    loss = over_periods(
        "losses", names, {"log-loss": _series(told, "log_loss")}, _promise(found["promised"], "log_loss")
    )
    rates = over_periods(
        "rates", names,
        {
            "came true": _series(told, "positive_rate"),
            "predicted": [(own["mean_prediction"], None) for own in told],
        },
        None,
        is_share=True,
    )  # fmt: skip
    return [
        Chart("losses", "Log-loss", "With 95 % intervals; the band is what training promised.", loss),
        Chart("rates", "Positives", "Came true (95 % intervals) and predicted, on average.", rates),
    ]


def _series(told: Sequence[Record], name: str) -> list[tuple[float | None, Sequence[float] | None]]:
    return [(own[name], own["intervals"].get(name)) for own in told]


def _promise(promised: Record, name: str) -> Sequence[float] | None:
    found: Sequence[float] | None = promised["intervals"].get(name)
    return found

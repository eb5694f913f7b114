"""The model card: what `model.json` holds and how the run did, in Markdown, for people and model hubs."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

from binclf.report import numbers, proof, source
from binclf.report.against import in_words
from binclf.report.facts import Facts
from binclf.report.judged import METRICS, WHOLE, decides
from binclf.report.svg import alone
from binclf.report.text import markdown
from binclf.report.verdict import verdict

SHOWN = (
    "rows", "positive_rate", "mean_prediction", "log_loss", "base_log_loss", "roc_auc", "pr_auc", "brier",
    "ece", "threshold", "precision", "recall", "f1",
)  # fmt: skip
CHART = re.compile(r'<svg class="chart" id="(?P<name>[a-z]+)-chart".*?</svg>', re.DOTALL)


def text(facts: Facts) -> str:
    """The card of a run."""
    run, told = facts.run, verdict(facts.metrics, facts.comparison)
    lines = [
        f"# {markdown(run.config.name)}",
        "",
        f"**{told.title}** {told.lead}",
        "",
        *(f"- {markdown(finding.words, 600)}" for finding in told.findings),
        "" if told.findings else None,
        *_model(facts),
        "",
        *_data(facts),
        "",
        *_metrics(facts),
        "",
        "## Again",
        "",
        f"    {proof.command(run)}",
        "",
        "Curves, coefficients, slices and receipts are in `report.html`, all numbers in `model.json` and "
        "`metrics.json`.",
        "",
    ]
    return "\n".join(line for line in lines if line is not None)


def pictures(page: str) -> dict[str, str]:
    """The charts of a report by their names, each an SVG that stands alone."""
    return {found["name"]: alone(found[0]) for found in CHART.finditer(page)}


def with_pictures(card: str, page: str) -> str:
    """A card with the charts of its page as pictures in it, for a viewer that has no HTML.

    Args:
        card: the Markdown.
        page: the report of the same run.
    """
    shown = []
    for name, picture in pictures(page).items():
        data = base64.b64encode(picture.encode()).decode()
        shown.append(f"![{name}](data:image/svg+xml;base64,{data})")
    return "\n\n".join([card.rstrip(), *shown]) + "\n"


def _model(facts: Facts) -> Iterator[str]:
    run = facts.run
    record, training = run.record, run.record["training"]
    weights = run.features.width + run.features.table_size + 1
    yield "## Model"
    yield ""
    yield f"- Run {markdown(run.id)}, {markdown(record['created'])}, by binclf {markdown(record['binclf'])}"
    yield (
        f"- Logistic regression: {len(run.features.numeric):,} numeric and {len(run.features.categorical):,} "
        f"categorical columns, {weights:,} weights"
    )
    yield f"- Answers whether {markdown(record['label'])} is {markdown(record['positive'])}"
    yield f"- {markdown(decides(record), 300)}"
    yield f"- Solver: {markdown(source.solver(training), 200)}"
    yield f"- {markdown(proof.certificate(training), 400)}"
    if facts.comparison is not None:
        yield f"- Against the champion: {markdown(in_words(facts.comparison), 200)}"


def _data(facts: Facts) -> Iterator[str]:
    run = facts.run
    receipt, split = run.split.receipt, run.split
    parts = ", ".join(f"{split.rows(part):,} {part}" for part in split.parts)
    yield "## Data"
    yield ""
    yield f"- {markdown(run.config.data.path, 200)}: {receipt['files']:,} files, {receipt['rows']:,} rows"
    dropped = receipt["dropped_null_label"]
    yield f"- {parts}{f', {dropped:,} dropped without a label' if dropped else ''}; split by {split.method}"
    yield f"- {numbers.share(run.record['base_rate'])} of the training rows positive"
    if run.config.data.exclude:
        yield f"- Left out: {markdown(source.listed(run.config.data.exclude), 600)}"


def _metrics(facts: Facts) -> Iterator[str]:
    names: dict[str, tuple[str, Any]] = {name: (title, form) for name, title, form, _ in METRICS}
    yield "## Metrics"
    yield ""
    yield f"| | {' | '.join(facts.metrics)} |"
    yield "|---" * (len(facts.metrics) + 1) + "|"
    for name in SHOWN:
        title, form = names[name]
        if any(name in found for found in facts.metrics.values()):
            cells = [_cell(found, name, form) for found in facts.metrics.values()]
            yield f"| {title} | {' | '.join(cells)} |"


def _cell(found: Any, name: str, form: str) -> str:  # noqa: ANN401 - the metrics of a part
    if found.get(name) is None:
        return "undefined"
    if form in WHOLE:
        return WHOLE[form](found[name])
    return numbers.with_interval(found, name, percent=form == "share")

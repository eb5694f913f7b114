"""How good the model is: metrics of each part, curves with what they say in words, and the threshold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from binclf.config import Rule
from binclf.report import charts, numbers
from binclf.report.blocks import Block, Cell, Chart, Charts, Chooser, Section, Table, Words
from binclf.report.facts import Facts
from binclf.report.text import plain

# name, what it is called, whether it is a share, and what it means
METRICS = (
    ("rows", "Rows", "count", ""),
    ("positive_rate", "Positive", "share", ""),
    ("mean_prediction", "Predicted on average", "share", "should be the share of positives"),
    ("log_loss", "Log-loss", "number", "lower is better"),
    ("base_log_loss", "Log-loss of the base rate", "number", "what knowing nothing costs"),
    ("skill", "Gain over the base rate", "number", "above 0, or the model is of no use"),
    ("roc_auc", "ROC-AUC", "number", "0.5 is chance, 1 perfect order"),
    ("pr_auc", "PR-AUC", "number", "the share of positives is chance"),
    ("brier", "Brier score", "number", "mean squared error"),
    ("brier_reliability", "of it, miscalibration", "number", "0 is best"),
    ("brier_resolution", "of it, resolution", "number", "higher is better"),
    ("ece", "Calibration error (ECE)", "share", "mean distance from what came true"),
    ("calibration_slope", "Calibration slope", "number", "1 is right; below, too sure of itself"),
    ("calibration_intercept", "Calibration intercept", "number", "0 is right"),
    ("ks", "Kolmogorov-Smirnov", "number", "largest distance between the classes' scores"),
    ("threshold", "Threshold", "exactly", "decided yes from here on"),
    ("precision", "Precision", "share", "of those decided yes, positive"),
    ("recall", "Recall", "share", "of the positive, decided yes"),
    ("specificity", "Specificity", "share", "of the negative, decided no"),
    ("f1", "F1", "number", ""),
)
# forms of what has no interval
WHOLE: Mapping[str, Callable[[Any], str]] = {"count": numbers.count, "exactly": numbers.exactly}
HANG = (
    "Rows with one value of {} hang together: intervals, and what is called beyond chance, go by groups of "
    "them, which here tell as much as {} of equal weight."
)
TOP_SHARE = 0.1  # of rows, told of the gains


def metrics(facts: Facts) -> Section:
    """The metrics of each part, the judged one first."""
    parts = [facts.part, *(part for part in facts.metrics if part != facts.part)]
    rows = [
        [Cell(title, note=meaning), *(_metric(facts.metrics[part], name, form) for part in parts)]
        for name, title, form, meaning in METRICS
        if any(name in facts.metrics[part] for part in parts)
    ]
    judged = f"{facts.part} (judged)"
    caption = "Of each part"
    if any(facts.metrics[part].get("intervals") for part in parts):
        caption += ", with intervals of 95%"
    table = Table("metrics-table", f"{caption}.", ("Metric", judged, *parts[1:]), rows)
    group, units = facts.run.config.data.group, facts.metrics[facts.part].get("units")
    hang = [Words([HANG.format(plain(group), numbers.count(round(units)))])] if group and units else []
    return Section("metrics", "How good it is", [table, *hang])


def _metric(found: Mapping[str, Any], name: str, form: str) -> Cell:
    value = found.get(name)
    if value is None:
        return Cell(numbers.UNKNOWN, note=plain(found.get("undefined", {}).get(name, "")))
    if form in WHOLE:
        return Cell(WHOLE[form](value))
    interval = found.get("intervals", {}).get(name)
    shown = numbers.share(value, interval) if form == "share" else numbers.number(value, interval)
    return Cell(shown, note=numbers.between(interval, percent=form == "share"))


def curves(facts: Facts) -> Section | None:
    """The charts of the judged part, each with its reading; None where there is nothing to draw."""
    found, part, pictures = facts.judged, facts.part, facts.pictures.get(facts.part, {})
    drawn: list[Chart] = []
    if pictures.get("calibration"):
        svg = charts.calibration(pictures["calibration"], is_counted=not facts.is_weighted)
        drawn.append(Chart("calibration", f"Calibration, {part}", _calibration_reading(found), svg))
    if pictures.get("scores"):
        svg = charts.scores(pictures["scores"], found["threshold"])
        reading = "The further apart the two classes' probabilities lie, the better they are told apart."
        drawn.append(Chart("scores", f"Probabilities of each class, {part}", reading, svg))
    if found.get("gains"):
        drawn.append(Chart("gains", f"Gains, {part}", _gains_reading(found), charts.gains(found["gains"])))
    if pictures.get("roc"):
        auc = numbers.with_interval(found, "roc_auc")
        reading = f"ROC-AUC {auc}: how often a positive row scores above a negative one."
        drawn.append(Chart("roc", f"ROC, {part}", reading, charts.roc(pictures["roc"])))
    if pictures.get("pr"):
        reading = (
            f"PR-AUC {numbers.with_interval(found, 'pr_auc')}; chance would be "
            f"{numbers.number(found['positive_rate'])}, the dashed line."
        )
        svg = charts.precision_recall(pictures["pr"], found["positive_rate"])
        drawn.append(Chart("pr", f"Precision and recall, {part}", reading, svg))
    return Section("calibration", "Pictures", [Charts(drawn)]) if drawn else None


def _calibration_reading(found: Mapping[str, Any]) -> str:
    words = "On the dashed line as many come true as are predicted; above it more, below it fewer."
    if found.get("ece") is not None:
        words += f" The mean distance is {numbers.share(found['ece'])}."
    return words


def _gains_reading(found: Mapping[str, Any]) -> str:
    top = min(found["gains"], key=lambda row: abs(row["share"] - TOP_SHARE))
    if top.get("captured") is None or top.get("lift") is None:
        return "The share of all positives among the rows with the highest probabilities."
    share = f"{numbers.exactly(100 * top['share'])}%"
    return (
        f"The {share} of rows with the highest probabilities hold {numbers.share(top['captured'])} of all "
        f"positives: {numbers.number(top['lift'])} times as many as any {share}."
    )


def threshold(facts: Facts) -> Section:
    """What the threshold decides, and what others would."""
    found, record = facts.judged, facts.run.record
    chosen, rule = found["threshold"], Rule.parse(record["threshold_rule"])
    words = (
        f"{decides(record)}. On {facts.part}: precision {_told(found, 'precision')}, recall "
        f"{_told(found, 'recall')}."
    )
    blocks: list[Block] = [Words([words], mark="care" if record["threshold_amiss"] else "")]
    points = list(facts.pictures.get(facts.part, {}).get("thresholds") or [])
    if found.get("confusion"):
        own = {"threshold": chosen, **found["confusion"]}
        unit = "; sums of row weights" if facts.is_weighted else ""
        blocks.append(_thresholds(points, own, f"What other thresholds would have decided{unit}."))
        if points:
            among = sorted([*points, own], key=lambda point: point["threshold"])
            costs = rule.values if rule.kind == "cost" else (1.0, 1.0)
            blocks.insert(1, Chooser(among, chosen, *costs))
    return Section("threshold", "The threshold", blocks)


def decides(record: Mapping[str, Any]) -> str:
    """How the model decides, by `model.json`: its threshold and where it came from."""
    amiss, rule = record["threshold_amiss"], record["threshold_rule"]
    if amiss:
        return f"No row is decided yes, as {plain(rule)} can choose no threshold: {plain(amiss, 200)}"
    by = f", chosen on validation by {plain(rule)}" if Rule.parse(rule).is_chosen else ""
    return f"A row is decided yes from a probability of {numbers.exactly(record['threshold'])} on{by}"


def _told(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    return (
        f"undefined ({plain(found.get('undefined', {}).get(name, ''))})"
        if value is None
        else numbers.share(value)
    )


def _thresholds(points: list[Mapping[str, Any]], own: Mapping[str, Any], caption: str) -> Table:
    """About twelve thresholds over what they decide, and the chosen one among them."""
    step = max(1, len(points) // 11)
    kept = [*points[::step], own]
    rows = [
        _decided(point, is_own=point is own) for point in sorted(kept, key=lambda point: point["threshold"])
    ]
    heads = (
        "Threshold", "True positives", "False positives", "False negatives", "True negatives",
        "Precision", "Recall", "F1",
    )  # fmt: skip
    return Table("thresholds-table", caption, heads, rows)


def _decided(point: Mapping[str, Any], *, is_own: bool) -> list[Cell]:
    tp, fp, fn, tn = (point[name] for name in ("tp", "fp", "fn", "tn"))
    shares = (_ratio(tp, tp + fp), _ratio(tp, tp + fn))
    f1 = _ratio(2 * tp, 2 * tp + fp + fn)
    return [
        Cell(
            numbers.exactly(point["threshold"]),
            note="chosen" if is_own else "",
            mark="chosen" if is_own else "",
        ),
        *(Cell(numbers.count(value)) for value in (tp, fp, fn, tn)),
        *(Cell(numbers.share(value)) for value in shares),
        Cell(numbers.number(f1)),
    ]


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None

"""The verdict in words: what is wrong first, and a first line that hides nothing.

A pure function of `metrics.json` and `comparison.json`, so that the page, the card, the log and every command
say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from binclf.report import numbers
from binclf.report.against import in_words, is_worse
from binclf.report.facts import judged_part
from binclf.report.slices import judged as judged_slices

Level = Literal["stop", "care", "good"]
RANKS = 0.55  # a ROC-AUC from which an order is worth a word
NAMED_SLICES = 3
PERFECT = 0.05  # of the base rate's log-loss
SLIGHT = 0.05  # of the share of positives: sure, and yet of little weight


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know, and where the page says more."""

    level: Level
    short: str  # for the first line, in lower case
    words: str
    section: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be thought of a run."""

    level: Level
    title: str
    lead: str
    findings: tuple[Finding, ...]  # the worst first

    @property
    def text(self) -> str:
        """In one line, as logs and commands tell it."""
        return f"{self.title} {self.lead}"


def verdict(metrics: Mapping[str, Mapping[str, Any]], comparison: Mapping[str, Any] | None = None) -> Verdict:
    """Judge a run by its metrics of each part, and by its comparison with the champion."""
    part = judged_part(metrics)
    found = metrics[part]
    if found.get("log_loss") is None or found.get("base_log_loss") is None:
        reason = found.get("undefined", {}).get("log_loss", "no rows")
        words = f"The {part} part has {reason}, so nothing is known of the model."
        return Verdict("stop", "Not judged.", words, ())
    findings = [
        *_skill(part, found), *_leak(found), *_new_data(part), *_slices(found), *_calibration(found),
        *_threshold(found), *_champion(comparison),
    ]  # fmt: skip
    findings.sort(key=lambda finding: ("stop", "care", "good").index(finding.level))
    level, title = _title(findings)
    return Verdict(level, title, _lead(part, found), tuple(findings))


def _title(findings: list[Finding]) -> tuple[Level, str]:
    worst = [finding for finding in findings if finding.level == "stop"]
    if worst:
        return "stop", f"Do not trust the probabilities: {'; '.join(one.short for one in worst)}."
    cares = [finding.short for finding in findings if finding.level == "care"]
    if cares:
        return "care", f"To be used with care: {'; '.join(cares)}."
    return "good", "Better than the base rate, and nothing found that speaks against it."


def _lead(part: str, found: Mapping[str, Any]) -> str:
    """The few numbers behind the verdict."""
    loss, base = found["log_loss"], found["base_log_loss"]
    percent = 100 * abs(1 - loss / base) if base else 0.0
    size = f"{percent:.0f}" if percent >= 10 else f"{percent:.2g}"
    way = f"{size}% {'below' if loss < base else 'above'}" if base else "against"
    loss = numbers.with_interval(found, "log_loss")
    words = (
        f"Log-loss {loss} on {found['rows']:,} {part} rows, {numbers.share(found['positive_rate'])} of them "
        f"positive: {way} {numbers.number(base)}, that of telling everyone the base rate."
    )
    if found.get("roc_auc") is not None:
        words += f" ROC-AUC {numbers.with_interval(found, 'roc_auc')}."
    return words


def _skill(part: str, found: Mapping[str, Any]) -> list[Finding]:
    loss, base, auc = found["log_loss"], found["base_log_loss"], found.get("roc_auc")
    if found["positive_rate"] in (0, 1):
        which = "positive" if found["positive_rate"] else "negative"
        words = (
            f"All {part} rows with weight are {which}: of such rows alone their base rate knows everything, "
            "so nothing can be better, and no order is seen."
        )
        return [Finding("stop", f"the {part} rows have one class alone", words, "metrics")]
    low, _ = found.get("intervals", {}).get("skill") or (base - loss, 0)
    if loss < base and (low is None or low > 0):
        return []
    if loss < base:
        words = (
            f"The log-loss is below that of the base rate by {numbers.with_interval(found, 'skill')}, an "
            "interval that holds 0: these rows do not show that the model knows more."
        )
        return [Finding("care", "not shown to be better than the base rate", words, "metrics")]
    words = (
        f"The log-loss, {numbers.number(loss)}, is no better than {numbers.number(base)}, that of telling "
        "everyone the base rate."
    )
    if auc is not None and auc >= RANKS:
        words += (
            f" The order of the rows is worth something (ROC-AUC {numbers.with_interval(found, 'roc_auc')}): "
            "use ranks, not probabilities, or calibrate."
        )
    return [Finding("stop", "they are no better than telling everyone the base rate", words, "metrics")]


def _leak(found: Mapping[str, Any]) -> list[Finding]:
    """A model that is all but perfect: seldom a good one, and mostly one that was told the answer."""
    loss, base, auc = found["log_loss"], found["base_log_loss"], found.get("roc_auc")
    if not (loss < PERFECT * base or (auc is not None and auc > 1 - PERFECT / 50)):
        return []
    words = (
        "It is all but perfect, which real questions hardly ever allow: look for a column that tells the "
        "answer, such as one that is filled in only afterwards, and list it in data.exclude. The largest "
        "effects come first in the table of what was learnt."
    )
    return [Finding("care", "too good to be true", words, "coefficients")]


def _new_data(part: str) -> list[Finding]:
    if part == "test":
        return []
    if part == "validation":
        words = "There is no test part: it is judged on validation, which training may have looked at."
        return [Finding("care", "judged on validation rows, as there is no test part", words, "metrics")]
    words = (
        "There is no test part: it is judged on the rows it learnt from, which says nothing about new ones."
    )
    return [Finding("care", "judged on the rows it learnt from, as there is no test part", words, "metrics")]


def _calibration(found: Mapping[str, Any]) -> list[Finding]:
    """Calibration in the large, where it is off beyond its interval."""
    excess, interval = found.get("excess"), found.get("intervals", {}).get("excess")
    if excess is None or not interval or None in interval or interval[0] <= 0 <= interval[1]:
        return []
    way = "too high" if excess > 0 else "too low"
    if abs(excess) < SLIGHT * found["positive_rate"]:
        way = f"slightly {way}"
    ends = sorted(abs(end) for end in interval)
    words = (
        f"On average the probabilities are {way}: {numbers.share(found.get('mean_prediction'))} predicted, "
        f"{numbers.share(found['positive_rate'])} came true, {numbers.points(abs(excess), ends)} apart "
        f"({numbers.between([100 * end for end in ends])})."
    )
    return [Finding("care", f"the probabilities are {way} on average", words, "calibration")]


def _slices(found: Mapping[str, Any]) -> list[Finding]:
    bad = [one for one in judged_slices(found.get("slices") or {}) if one.state == "bad"]
    if not bad:
        return []
    many = "one slice" if len(bad) == 1 else f"{len(bad)} slices"
    listed = "; ".join(
        f"{one.name} ({one.found['rows']:,} rows: {numbers.share(one.found.get('mean_prediction'))} "
        f"predicted, {numbers.share(one.found.get('positive_rate'))} came true)"
        for one in bad[:NAMED_SLICES]
    )
    more = f"; and {len(bad) - NAMED_SLICES} more" if len(bad) > NAMED_SLICES else ""
    words = f"In {many} the probabilities are worse than that slice's own base rate: {listed}{more}."
    return [Finding("care", f"worse than the base rate in {many}", words, "slices")]


def _threshold(found: Mapping[str, Any]) -> list[Finding]:
    if found.get("threshold", 0) <= 1:
        return []
    words = "No threshold does what evaluate.threshold asks for on validation, so no row is decided yes."
    return [Finding("care", "no row is decided yes, as no threshold could be chosen", words, "threshold")]


def _champion(comparison: Mapping[str, Any] | None) -> list[Finding]:
    if comparison is None:
        return []
    told = str(comparison.get("verdict"))
    if told == "promote":
        return [Finding("good", "better than the champion", "It is better than the champion.", "champion")]
    if comparison.get("identical") is True:  # nothing new was learnt, and nothing is wrong with it
        words = "It says the same of every row as the champion."
        return [Finding("good", "the same as the champion", words, "champion")]
    short = "inconclusive against the champion"
    if told == "keep":
        short = f"{'worse' if is_worse(comparison) else 'not better'} than the champion"
    return [Finding("care", short, in_words(comparison), "champion")]

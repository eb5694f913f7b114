"""From sums to a verdict: promote, keep or inconclusive, and what each rule makes of it.

The verdict goes by the 95 % interval of the difference of log-loss, challenger minus champion. Promote: all
of it is below -margin. Keep: all of it is at or above -margin. Else inconclusive, with the number of further
rows that would decide. So a challenger whose true log-loss is not lower by more than the margin is promoted
in about 2.5 % of comparisons at most. What is undefined (no rows, no weight, one class, fewer than 50
independent rows of the rarer class) is inconclusive, and no rule but `always` promotes on it. (With 10
positives among 20,000 rows such intervals promoted equals in 7 % of simulated comparisons, with 3 in 15 %.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from binclf.compare import inference
from binclf.compare.inference import LEAST_UNITS, Estimate
from binclf.compare.tally import Tally
from binclf.errors import ConfigError
from binclf.metrics import MOST_LEVELS, NEVER

Verdict = Literal["promote", "keep", "inconclusive"]
RULES = ("if_better", "if_not_worse", "always", "never")
FALSE_SHARE = 0.05  # of the slices that are called worse, at most


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric of both models on the same rows, and the difference; None where it is undefined."""

    champion: float | None
    challenger: float | None
    found: Estimate | None

    def as_json(self) -> dict[str, Any]:
        """For `comparison.json`."""
        found = self.found
        return {
            "champion": self.champion,
            "challenger": self.challenger,
            "difference": found.difference if found else None,
            "standard_error": found.standard_error if found else None,
            "interval": [found.low, found.high] if found else None,
        }


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a slice column: is the challenger worse there, or better?"""

    level: str | None  # None: rows where the column is null
    rows: int
    weight: float
    log_loss: Measured
    p_value: float | None  # None: fewer than 50 independent rows of the rarer class, not tested
    q_value: float | None  # adjusted for all slices that are tested

    @property
    def finding(self) -> Literal["worse", "better", "no difference shown", "not tested"]:
        """What is claimed of it, at most 5 % of all such claims being false."""
        if self.log_loss.found is None or self.q_value is None:
            return "not tested"
        if self.q_value > FALSE_SHARE or self.log_loss.found.difference == 0:
            return "no difference shown"
        return "worse" if self.log_loss.found.difference > 0 else "better"

    def as_json(self) -> dict[str, Any]:
        """For `comparison.json`."""
        numbers = {"rows": self.rows, "weight": self.weight, **self.log_loss.as_json()}
        return {
            "level": self.level, **numbers, "p_value": self.p_value, "q_value": self.q_value,
            "finding": self.finding,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the sums of one pass say."""

    margin: float
    rows: int
    weight: float
    positive_rate: float | None
    rarer_units: float  # effective number of independent rows or clusters of the rarer class
    log_loss: Measured
    roc_auc: Measured
    ranked_rows: int  # that ROC-AUC is of: all, or a sample
    decisions: Mapping[str, Any]
    slices: Mapping[str, tuple[Level, ...] | None]  # None: too many levels
    undefined: Mapping[str, str]  # what is null, and why
    identical: bool  # both models told every row the same

    @property
    def lacking(self) -> str:
        """Why nothing can be decided; empty: something can."""
        return self.undefined.get("verdict", "")

    @property
    def verdict(self) -> Verdict:
        """See the module."""
        found = self.log_loss.found
        if self.lacking or found is None:
            return "inconclusive"
        if found.high < -self.margin:
            return "promote"
        return "keep" if found.low >= -self.margin else "inconclusive"

    @property
    def further_rows(self) -> int | None:
        """Rows beyond these that would decide with 90 % chance; None where decided or not to be told."""
        found = self.log_loss.found
        if self.verdict != "inconclusive" or found is None:
            return None
        further = inference.further_rows(found, found.difference + self.margin, self.rows)
        if further is None:
            return None
        return max(further, math.ceil(self.rows * LEAST_UNITS / self.rarer_units) - self.rows)

    def is_promoted(self, rule: str) -> bool:
        """Whether the challenger takes the champion's place by `registry.promote`.

        if_better: the verdict is promote. if_not_worse: it is shown to be worse by at most the margin (the
        whole interval is); with margin 0 that is to be better, or to tell every row the same.

        Raises:
            ConfigError: there is no such rule.
        """
        if rule not in RULES:
            raise ConfigError(f"registry.promote = '{rule}': it is one of {', '.join(RULES)}.")
        found = self.log_loss.found
        if rule in ("always", "never"):
            return rule == "always"
        if self.lacking or found is None:
            return False
        return self.verdict == "promote" if rule == "if_better" else found.high <= self.margin


def judge(found: Tally, margin: float) -> Judgement:
    """What the sums of a pass say of champion and challenger."""
    rows, weight, positive, loss, _ = (float(value) for value in _total(found))
    undefined: dict[str, str] = {}
    if reason := _undefined(int(rows), weight, positive):
        undefined |= dict.fromkeys(("log_loss", "roc_auc", "verdict"), reason)
    roc_auc, ranked = (Measured(None, None, None), 0) if reason else _roc_auc(found, undefined)
    estimate = None if reason else inference.mean_difference(found.all.moments()[0])
    units = min(estimate.units, float(found.all.units()[0])) if estimate else 1.0
    if not reason and units < LEAST_UNITS:
        undefined["verdict"] = (
            f"they tell as much as {units:.0f} independent {'clusters' if found.is_clustered else 'rows'} of "
            f"the rarer class, and {LEAST_UNITS} are needed for an interval to be trusted"
        )
    return Judgement(
        margin=margin,
        rows=int(rows),
        weight=weight,
        positive_rate=positive / weight if weight else None,
        rarer_units=units,
        log_loss=_measured(loss, weight, estimate) if not reason else Measured(None, None, None),
        roc_auc=roc_auc,
        ranked_rows=ranked,
        decisions=_decisions(found, weight),
        slices=_slices(found, undefined),
        undefined=undefined,
        identical=found.identical,
    )


def _total(found: Tally) -> Any:  # noqa: ANN401 - float64 [5]
    return found.all.sums[0] if len(found.all.sums) else (0.0,) * 5


def _undefined(rows: int, weight: float, positive: float) -> str:
    if rows == 0:
        return "no rows are left to compare on"
    if weight == 0:
        return "all rows weigh 0"
    if not 0 < positive < weight:
        return "only one class has rows with weight"
    return ""


def _measured(loss: float, weight: float, estimate: Estimate | None) -> Measured:
    champion = loss / weight
    return Measured(champion, champion + estimate.difference if estimate else None, estimate)


def _roc_auc(found: Tally, undefined: dict[str, str]) -> tuple[Measured, int]:
    rows = found.ranked()
    clusters = rows.clusters if found.is_clustered else None
    areas = inference.auc_difference(
        (rows.scores[:, 0], rows.scores[:, 1]), rows.labels, rows.weights, clusters
    )
    if areas is None:
        undefined["roc_auc"] = "only one class has rows among those that are ranked"
        return Measured(None, None, None), len(rows.labels)
    if areas[2] is None:
        undefined["roc_auc_difference"] = "a class has rows of one unit only"
    return Measured(*areas), len(rows.labels)


def _decisions(found: Tally, weight: float) -> dict[str, Any]:
    """How many rows flip at each model's own threshold, both ways, and which share of that is right."""
    told: dict[str, Any] = {
        f"{who}_threshold": None if threshold == NEVER else threshold  # none could be chosen: never yes
        for who, threshold in zip(("champion", "challenger"), found.thresholds, strict=True)
    }
    for name, (rows, flipped, rightly) in zip(("yes_to_no", "no_to_yes"), found.flips.tolist(), strict=True):
        told[name] = {
            "rows": int(rows),
            "share": flipped / weight if weight else None,
            "rightly": rightly / flipped if flipped else None,
        }
    return told


def _slices(found: Tally, undefined: dict[str, str]) -> dict[str, tuple[Level, ...] | None]:
    """Every level of every slice column, most rows first; p-values are adjusted over all of them together."""
    levels: list[tuple[str, Level]] = []
    for column, population in found.slices.items():
        if population is None:
            undefined[f"slices.{column}"] = f"it has more than {MOST_LEVELS} values"
            continue
        moments, rarer = population.moments(), population.units()
        for name, place in population.place_of.items():
            rows, weight, _, loss, _ = (float(value) for value in population.sums[place])
            estimate = inference.mean_difference(moments[place])
            is_tested = estimate is not None and min(estimate.units, rarer[place]) >= LEAST_UNITS
            p_value = estimate.p_value if is_tested and estimate else None
            measured = _measured(loss, weight, estimate) if weight else Measured(None, None, None)
            levels.append((column, Level(name, int(rows), weight, measured, p_value, None)))
    tested = [level.p_value for _, level in levels if level.p_value is not None]
    adjusted = iter(inference.false_discovery(tested))
    levels = [
        (name, level if level.p_value is None else replace(level, q_value=next(adjusted)))
        for name, level in levels
    ]
    done: dict[str, tuple[Level, ...] | None] = {}
    for column, population in found.slices.items():
        own = (level for name, level in levels if name == column)
        ordered = tuple(sorted(own, key=lambda one: (-one.rows, one.level is None, one.level)))
        done[column] = None if population is None else ordered
    return done

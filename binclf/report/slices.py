"""Slices, the bad ones first: where the probabilities are worse than the slice's own base rate.

A slice is bad beyond chance by a test that needs no interval. If the model's probabilities were right, the
likelihood of telling all N rows of a slice one rate, over the model's, would be above K at most once in K
times (Markov), and the rate that fits best afterwards costs log(N) / 2 more. So a slice of S is called bad
where N (log-loss - base log-loss) > log(ODDS S) + log(N) / 2; worse but not by so much may be chance, and is
called so.

A slice is off where predicted and observed share lie further apart than chance does once in ODDS S times. The
variance of the sum of N draws with mean p is at most N p (1 - p), so that claim too errs on the quiet side.
Where rows have weights, or hang together in groups, fewer than there are speak: so the 95 % interval, made as
wide for as many units as it rests on, must agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

from binclf.metrics.intervals import Z95, student_of
from binclf.report import numbers
from binclf.report.blocks import Block, Cell, Section, Table, Words, cut
from binclf.report.text import plain

ODDS = 1000.0  # of all slices together, one in so many runs of a right model
MOST_ROWS = 200
NONE = "No slices were asked for. Name columns in evaluate.slices, and a bad one cannot hide."
HEADS = (
    "Slice", "Rows", "Positive", "Predicted", "Log-loss", "Base rate's", "ROC-AUC", "Precision", "Recall",
)  # fmt: skip

State = Literal["bad", "care", "fine", "unknown"]
Off = Literal["too high", "too low", ""]


@dataclass(frozen=True, slots=True)
class Slice:
    """One level of one column, judged."""

    column: str
    level: str | None  # None: the column is null there
    found: Mapping[str, Any]  # its metrics
    state: State
    off: Off  # on average, beyond chance

    @property
    def gain(self) -> float:
        """Share of the base rate's log-loss that the model takes away; below 0 it adds to it."""
        loss, base = self.found.get("log_loss"), self.found.get("base_log_loss")
        return 1 - loss / base if loss is not None and base else 0.0

    @property
    def name(self) -> str:
        """Column and level, fit to be shown."""
        if self.level is None:
            return f"{plain(self.column, 40)} is missing"
        return f"{plain(self.column, 40)} = {plain(self.level, 40)}"


def judged(slices: Mapping[str, Any]) -> list[Slice]:
    """All slices, bad ones first, then the larger first."""
    many = sum(len(levels or ()) for levels in slices.values())
    found = [
        Slice(column, level["level"], level, _state(level, many), _off(level, many))
        for column, levels in slices.items()
        for level in levels or ()
    ]
    return sorted(found, key=_place)


def _place(one: Slice) -> tuple[int, float, int]:
    """Bad ones, those that are off, those that may be chance, and all others by their size."""
    if one.state == "bad":
        return 0, one.gain, 0
    place = 1 if one.off else {"care": 2, "fine": 3}.get(one.state, 4)
    return place, 0.0, -one.found["rows"]


def _state(found: Mapping[str, Any], many: int) -> State:
    loss, base, rows = found.get("log_loss"), found.get("base_log_loss"), found["rows"]
    if loss is None or base is None or not rows:
        return "unknown"
    if loss <= base:
        return "fine"
    is_sure = rows * (loss - base) > math.log(ODDS * many) + math.log(rows) / 2
    return "bad" if is_sure and _is_beyond(found, "skill", many) else "care"


def _off(found: Mapping[str, Any], many: int) -> Off:
    predicted, observed, rows = found.get("mean_prediction"), found.get("positive_rate"), found["rows"]
    if predicted is None or observed is None or not rows:
        return ""
    spread = math.sqrt(predicted * (1 - predicted) / rows)
    if abs(predicted - observed) <= _reach(many) * spread or not _is_beyond(found, "excess", many):
        return ""
    return "too high" if predicted > observed else "too low"


def _reach(many: int) -> float:
    """Standard errors beyond which chance goes once in ODDS S times."""
    return NormalDist().inv_cdf(1 - 1 / (2 * ODDS * many))


def _is_beyond(found: Mapping[str, Any], name: str, many: int) -> bool:
    """Whether a metric's interval, made as wide, holds no 0; where none can be, there must be two units."""
    interval, units = found.get("intervals", {}).get(name), found.get("units", found["rows"])
    if not interval or units <= 1 + 1e-9:
        return bool(units > 1 + 1e-9)
    middle, half = (interval[0] + interval[1]) / 2, (interval[1] - interval[0]) / 2
    return bool(abs(middle) > half * student_of(_reach(many), units - 1) / Z95)


def section(metrics: Mapping[str, Any], part: str) -> Section:
    """The slices of the judged part."""
    slices, reasons = metrics.get("slices") or {}, metrics.get("undefined", {})
    crowded = [
        f"{plain(column)} is told for no level: {plain(reasons.get(f'slices.{column}', ''), 200)}."
        for column, levels in slices.items()
        if levels is None
    ]
    found, blocks = judged(slices), list[Block]()
    if not slices:
        blocks.append(Words([NONE]))
    if crowded:
        blocks.append(Words(crowded, mark="care"))
    if found:
        blocks += [*_summary(found), _table(found, part)]
    return Section("slices", "Slices", blocks)


def _table(found: list[Slice], part: str) -> Table:
    shown, hidden = cut([_row(one) for one in found], MOST_ROWS)
    return Table(
        id="slices-table",
        caption=f"Each level of the columns of evaluate.slices, {part} rows; the worst first.",
        heads=HEADS,
        rows=shown,
        hidden=hidden,
        elsewhere=f"metrics.json, {part}.slices",
        is_long=len(found) > 12,
    )


def _summary(found: list[Slice]) -> list[Words]:
    bad = [one for one in found if one.state == "bad"]
    care, off = sum(one.state == "care" for one in found), sum(bool(one.off) for one in found)
    first = f"None of {len(found)} slices is worse than its own base rate beyond chance."
    if bad:
        first = (
            f"In {len(bad)} of {len(found)} slices the probabilities are worse than telling everyone that "
            "slice's own rate, beyond chance."
        )
    lines: list[str] = []
    if off:
        lines.append(f"In {off} the probabilities are too high or too low on average, beyond chance.")
    if care:
        lines.append(f"{_many(care)} worse by what may be chance: too few rows to tell.")
    return [Words([first], mark="bad" if bad else ""), Words(lines)]


def _many(care: int) -> str:
    return "One is" if care == 1 else f"{care} are"


def _row(one: Slice) -> list[Cell]:
    found = one.found
    note = {"bad": "worse than its base rate", "care": "worse, may be chance", "unknown": "undefined"}
    mark = one.state if one.state in ("bad", "care") else ""
    values = [
        Cell(numbers.count(found["rows"]), order=found["rows"]),
        _cell(found, "positive_rate", numbers.share),
        _cell(found, "mean_prediction", numbers.share, one.off),
        *(_cell(found, name, numbers.number) for name in ("log_loss", "base_log_loss", "roc_auc")),
        *(_cell(found, name, numbers.share) for name in ("precision", "recall")),
    ]
    return [Cell(one.name, note=note.get(one.state, ""), mark=mark, is_data=True), *values]


def _cell(found: Mapping[str, Any], name: str, form: Callable[[float | None], str], note: str = "") -> Cell:
    value = found.get(name)
    return Cell(form(value), order=-1.0 if value is None else value, note=note, mark="care" if note else "")

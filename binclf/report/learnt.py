"""What was learnt: odds ratios with their intervals, of numbers, missing values, levels and rare levels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from binclf import artifact
from binclf.features import CategoricalColumn, NumericColumn, collisions
from binclf.report import numbers, whole
from binclf.report.blocks import Block, Cell, Section, Table, Words, cut
from binclf.report.text import plain

MOST_ROWS = 400
UNKNOWN: Mapping[str, Any] = {}

ABOUT = (
    "An odds ratio of 2 doubles the odds of yes, all else equal. Of a number it is for one standard "
    "deviation more; the coefficient is per unit. Of a missing value both are against the column's mean, "
    "of which no interval is known. Of a level it is against the weight 0, that of no level. The largest "
    "effects come first."
)
HOLDS = {
    "model": "Intervals of 95% hold if the model is right, and take a row's weight for its number of rows",
    "hc0": "Intervals of 95% hold whether or not the model is right (HC0), if rows are independent",
    "hc1": "Intervals of 95% hold whether or not the model is right (HC1), if rows are independent",
    "clustered": "Intervals of 95% hold whether or not the model is right, if groups of rows are independent",
}
PENALISED = "with a penalty they tell the spread around what it shrinks to"
NO_SPREAD = "There are no intervals: with this solver, penalty or bounds no honest ones are known."


def section(run: artifact.Run) -> Section:
    """The coefficients, the largest effects first."""
    known = run.record.get("inference") or UNKNOWN
    rows = sorted(_rows(run, known), key=lambda pair: -pair[0])
    widest = rows[0][0] if rows else 1.0
    cells = [_barred(row, effect / widest if widest else 0.0) for effect, row in rows]
    shown, hidden = cut(cells, MOST_ROWS)
    lines = [ABOUT, _spread(known) if known else NO_SPREAD, *_left_out(run)]
    blocks: list[Block] = [Words(lines)]
    intercept = numbers.signed(run.record["intercept"])
    if shown:
        blocks.append(
            Table(
                id="coefficients-table",
                caption=f"Intercept {intercept} (log-odds where every number is 0).",
                heads=("Column", "Of", "Odds ratio", "p", "Coefficient", "Effect"),
                rows=shown,
                words=2,
                hidden=hidden,
                elsewhere="model.json, under numeric, categorical and inference",
                is_long=True,
            )
        )
    return Section("coefficients", "What was learnt", [*blocks, *whole.tables(known)])


def _spread(known: Mapping[str, Any]) -> str:
    """What the intervals rest on; runs that do not say had the model's."""
    errors = known.get("errors") or {"kind": "model"}
    groups = ""
    if errors["kind"] == "clustered":
        groups = f" ({errors['groups']:,} values of {plain(errors['group'])})"
    return f"{HOLDS[errors['kind']]}{groups}; {PENALISED}."


def _left_out(run: artifact.Run) -> Iterator[str]:
    hashed = [plain(c.name) for c in run.features.categorical if c.is_hashed]
    if hashed:
        yield (
            f"Hashed into 2^{run.features.hash_bits} shared weights, which are not told one by one: "
            f"{', '.join(hashed[:20])}{f' and {len(hashed) - 20} more' if len(hashed) > 20 else ''}."
        )
    if (shared := collisions(run.features)) is not None:
        yield f"{shared.words[0].upper()}{shared.words[1:]}."
    unseen = [plain(c.name) for c in run.features.numeric if c.deviation == 0]
    if unseen:
        yield f"Constant in train, so without effect: {', '.join(unseen[:20])}."


def _rows(run: artifact.Run, known: Mapping[str, Any]) -> Iterator[tuple[float, list[Cell]]]:
    """Of each coefficient the size of its effect, and its cells."""
    for column in run.features.numeric:
        entry = run.record["numeric"][column.name]
        yield from _number(column, entry, known.get("numeric", UNKNOWN).get(column.name, UNKNOWN))
    for categorical in run.features.categorical:
        if not categorical.is_hashed:
            entry = run.record["categorical"][categorical.name]
            told = known.get("categorical", UNKNOWN).get(categorical.name, UNKNOWN)
            yield from _levels(categorical, entry, told)


def _number(
    column: NumericColumn, entry: Mapping[str, Any], known: Mapping[str, Any]
) -> Iterator[tuple[float, list[Cell]]]:
    slope, told = entry["per_unit"], known.get("per_unit", UNKNOWN)
    scale = column.deviation
    ends = [None if told.get(end) is None else told[end] * scale for end in ("low", "high")]
    unit = "of log1p" if column.is_log1p else ""
    name = Cell(plain(column.name), note="log1p" if column.is_log1p else "", is_data=True)
    of = Cell("one standard deviation", note=f"{numbers.number(scale)} {unit}".strip())
    yield abs(slope * scale), [name, of, *_effect(slope * scale, ends, told, slope)]
    if "missing" in entry:
        effect = entry["missing"] - slope * column.mean
        of = Cell("missing", note=f"{column.missing:,} rows")
        yield abs(effect), [name, of, *_effect(effect, [None, None], UNKNOWN, effect)]


def _levels(
    column: CategoricalColumn, entry: Mapping[str, Any], known: Mapping[str, Any]
) -> Iterator[tuple[float, list[Cell]]]:
    name = Cell(plain(column.name), is_data=True)
    rows: list[tuple[Cell, float, Mapping[str, Any]]] = [
        (Cell(plain(level), is_data=True), value, known.get(f"level {level}", UNKNOWN))
        for level, value in entry["levels"].items()
    ]
    if column.missing:
        rows.append(
            (
                Cell("missing", note=f"{column.missing:,} rows"),
                entry["missing"],
                known.get("missing", UNKNOWN),
            )
        )
    if column.rare_rows:
        of = Cell("rare or unseen", note=f"{column.rare_levels:,} levels, {column.rare_rows:,} rows")
        rows.append((of, entry["other"], known.get("other", UNKNOWN)))
    for of, value, told in rows:
        ends = [told.get("low"), told.get("high")]
        yield abs(value), [name, of, *_effect(value, ends, told, value)]


def _effect(
    effect: float, ends: list[float | None], told: Mapping[str, Any], coefficient: float
) -> list[Cell]:
    """Odds ratio, p-value, coefficient and the effect that is sorted by."""
    low, high = map(_exp, ends)
    spread = f"{numbers.odds(low)} to {numbers.odds(high)}" if None not in ends else ""
    own = (
        "" if told.get("low") is None else f"{numbers.signed(told['low'])} to {numbers.signed(told['high'])}"
    )
    p = told.get("p")
    return [
        Cell(numbers.odds(_exp(effect)), note=spread, order=effect),
        Cell(numbers.p_value(p), order=2.0 if p is None else p),
        Cell(numbers.signed(coefficient), note=own, order=coefficient),
        Cell("", order=abs(effect), bar=effect),
    ]


def _barred(row: list[Cell], share: float) -> list[Cell]:
    """The row with the bar of its effect, scaled so that the largest is 1."""
    last = row[-1]
    signed = math.copysign(share, last.bar or 0.0)
    return [*row[:-1], Cell(last.text, order=last.order, bar=round(signed, 3))]


def _exp(value: float | None) -> float | None:
    return None if value is None or value > 700 else math.exp(value)

"""Columns as wholes: tests of all levels of a category at once, and how much columns say the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from binclf.report import numbers
from binclf.report.blocks import Cell, Table, cut
from binclf.report.text import plain

MOST_ROWS = 100
MUCH = 10.0  # of a variance inflation factor, by custom


def tables(known: Mapping[str, Any]) -> Iterator[Table]:
    """From what `model.json` has under `inference`; of runs that did not tell, none."""
    joint, inflation = known.get("joint") or {}, known.get("variance_inflation") or {}
    if joint:
        rows = [_joint(name, found) for name, found in joint.items()]
        yield _table(
            "joint-table",
            "Does a category matter? Wald's test that all of its levels have the same weight.",
            ("Column", "Chi-square", "Degrees of freedom", "p"),
            rows,
        )
    if len(inflation) > 1:
        order = sorted(inflation, key=lambda name: -(inflation[name] or float("inf")))
        yield _table(
            "inflation-table",
            "By how much the variance of a number's coefficient is inflated by what other columns say too.",
            ("Column", "Variance inflation"),
            [[Cell(plain(name), is_data=True), _inflation(inflation[name])] for name in order],
        )


def _table(name: str, caption: str, heads: tuple[str, ...], rows: list[list[Cell]]) -> Table:
    shown, hidden = cut(rows, MOST_ROWS)
    return Table(name, caption, heads, shown, hidden=hidden, elsewhere="model.json, under inference")


def _joint(name: str, found: Mapping[str, Any]) -> list[Cell]:
    chi2, p = found["chi2"], found["p"]
    return [
        Cell(plain(name), is_data=True),
        Cell(numbers.number(chi2), order=-1.0 if chi2 is None else chi2),
        Cell(str(found["df"]), order=found["df"]),
        Cell(numbers.p_value(p), order=2.0 if p is None else p),
    ]


def _inflation(factor: float | None) -> Cell:
    if factor is None:
        return Cell("all of it", note="others say the same", mark="bad")
    return Cell(numbers.number(factor), order=factor, mark="care" if factor >= MUCH else "")

"""The comparison with the champion: its verdict, and its numbers with their intervals, whichever they are.

The shape of `comparison.json` is the room `compare`'s to change. What is known of it here: `verdict`,
`further_rows`, `identical`, records that have both a `champion` and a `challenger`, and lists of records
(slices, whose `finding` may be worse). All else is shown by its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from binclf.report import numbers
from binclf.report.blocks import Block, Cell, Section, Table, Words, cut
from binclf.report.text import plain

MOST_ROWS = 60
TOLD = (  # in words, or of no use beside them
    "verdict", "further_rows", "identical", "text", "format", "level", "power", "error_rate", "promoted_by",
    "slices_false_share", "undefined",
)  # fmt: skip
ASIDE = ("standard_error", "weight", "p_value")  # of slices: the interval and q say it
TITLES = {"log_loss": "Log-loss", "roc_auc": "ROC-AUC"}
VERDICTS = {
    "promote": "It is better than the champion, beyond chance.",
    "keep": "It is not better than the champion.",
    "inconclusive": "These rows do not decide between it and the champion.",
}
WORSE = "It is worse than the champion, beyond chance."
SAME = "It says the same of every row as the champion."

Record = Mapping[str, Any]


def section(comparison: Record | None) -> Section | None:
    """The comparison; None where there was none."""
    if comparison is None:
        return None
    is_fine = comparison.get("verdict") == "promote" or comparison.get("identical") is True
    lines = [in_words(comparison)]
    blocks: list[Block] = [Words(lines, mark="" if is_fine else "care")]
    measured = {key: value for key, value in comparison.items() if _is_measured(value)}
    if measured:
        blocks.append(_measured(measured))
    blocks += _lists(comparison)
    told = {*measured, *TOLD}
    rest = {key: value for key, value in comparison.items() if key not in told and value not in ({}, [], "")}
    shown, hidden = cut([[Cell(name), cell] for name, cell in _flat("", rest)], MOST_ROWS)
    if shown:
        blocks.append(Table("champion-rest", "What else was found.", ("", "Found"), shown, words=2,
                            hidden=hidden, elsewhere="comparison.json"))  # fmt: skip
    return Section("champion", "Against the champion", blocks)


def in_words(comparison: Record) -> str:
    """The verdict, and how many rows more would decide where it is open."""
    told = str(comparison.get("verdict"))
    words = VERDICTS.get(told, f"Verdict: {plain(told)}.")
    if comparison.get("identical") is True or is_worse(comparison):
        words = SAME if comparison.get("identical") is True else WORSE
    further = comparison.get("further_rows")
    return f"{words} About {numbers.count(further)} more rows would decide." if further else words


def is_worse(comparison: Record) -> bool:
    """Whether the whole interval of the difference in log-loss speaks against this run."""
    loss = comparison.get("log_loss")
    interval: Any = loss.get("interval") if isinstance(loss, Mapping) else None
    return comparison.get("verdict") == "keep" and _is_interval(interval) and bool(interval[0] > 0)


def _measured(records: Mapping[str, Record]) -> Table:
    rows: list[list[Cell]] = []
    for key, value in records.items():
        spread = value.get("interval")
        sides = [Cell(numbers.number(value[side], spread)) for side in ("champion", "challenger")]
        difference = Cell(numbers.number(value.get("difference"), spread), note=numbers.between(spread))
        rows.append([Cell(TITLES.get(key, _named(key))), *sides, difference])
    heads = ("On the same rows", "Champion", "This run", "Difference")
    return Table("champion-table", "This run's minus the champion's, with the 95% interval.", heads, rows)


def _lists(comparison: Record) -> Iterator[Table]:
    """Lists of records, and those of each column, as one table each."""
    for place, (key, value) in enumerate(comparison.items()):
        rows = _rows(value)
        if rows:
            rows.sort(key=lambda row: row.get("finding") != "worse")
            heads = [head for head in dict.fromkeys(h for row in rows for h in row) if head not in ASIDE]
            cells = [[_marked(row, head) for head in heads] for row in rows]
            shown, hidden = cut(cells, MOST_ROWS)
            yield Table(
                id=f"champion-{place}",
                caption=f"{_named(key).capitalize()}, what is worse first.",
                heads=list(map(_named, heads)),
                rows=shown,
                words=2,
                hidden=hidden,
                elsewhere=f"comparison.json, {plain(key, 30)}",
                is_long=len(shown) > 12,
            )


def _rows(value: object) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [dict(row) for row in value if isinstance(row, Mapping)]
    if isinstance(value, Mapping) and value and all(isinstance(entry, list) for entry in value.values()):
        return [
            {"column": column, **row}
            for column, rows in value.items()
            for row in rows
            if isinstance(row, Mapping)
        ]
    return []


def _flat(before: str, record: Record) -> Iterator[tuple[str, Cell]]:
    """Names and values; those of nested records behind the names of these."""
    for key, value in record.items():
        name = f"{before}{_named(key)}"
        if _rows(value):
            continue
        if isinstance(value, Mapping):
            yield from _flat(f"{name}: ", value)
        else:
            yield name, _cell(value)


def _marked(row: Record, head: str) -> Cell:
    cell = _cell(row.get(head))
    mark = "bad" if head == "finding" and row.get(head) == "worse" else ""
    return Cell(cell.text, order=cell.order, is_data=cell.is_data, mark=mark)


def _is_measured(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and {"champion", "challenger"} <= set(value)
        and all(isinstance(value[side], float | int | None) for side in ("champion", "challenger"))
    )


def _is_interval(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(end, int | float) for end in value)


def _cell(value: Any) -> Cell:  # noqa: ANN401 - anything that JSON can hold
    if _is_interval(value):
        return Cell(numbers.between(value))
    if value is None:
        return Cell(numbers.UNKNOWN)
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    if isinstance(value, int):
        return Cell(numbers.count(value), order=float(value))
    if isinstance(value, float):
        return Cell(numbers.number(value), order=value)
    if isinstance(value, list):
        return Cell(", ".join(plain(entry, 40) for entry in value[:8]), is_data=True)
    return Cell(plain(value, 200), is_data=True)


def _named(key: str) -> str:
    return plain(key.replace("_", " "), 40)

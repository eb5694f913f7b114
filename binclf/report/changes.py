"""What changed in the training data since the run before, in units of the score where that can be told.

Of a number: how far its mean went, in standard deviations of then, and what that shift adds to the mean
log-odds by today's coefficient. Of a category: levels that came and went.
"""

from __future__ import annotations

from binclf import artifact
from binclf.features import CategoricalColumn, NumericColumn
from binclf.report import numbers
from binclf.report.blocks import Block, Cell, Section, Table, Words, cut
from binclf.report.facts import Facts
from binclf.report.source import listed
from binclf.report.text import plain

TITLE = "Since the run before"
HEADS = (
    "Column", "Mean moved, in standard deviations", "Adds to the log-odds", "Missing", "Missing then",
    "Levels that came", "Levels that went",
)  # fmt: skip
MOST_ROWS = 100
FAR = 0.25  # standard deviations, or log-odds, from which a shift is marked
EMPTY = Cell("", order=0)


def section(facts: Facts) -> Section:
    """Columns beside those of the previous run of the same name."""
    previous = facts.previous
    if previous is None:
        return Section(
            "changes", "Since the run before", [Words([f"Nothing to compare with: {facts.no_previous}."])]
        )
    run = facts.run
    rate, before = run.record["base_rate"], previous.record["base_rate"]
    lines = [
        f"Beside {plain(previous.id)}: {run.features.rows:,} training rows, then {previous.features.rows:,}; "
        f"{numbers.share(rate)} positive, then {numbers.share(before)}.",
        *_columns_changed(run, previous),
    ]
    rows = sorted(_rows(run, previous), key=lambda pair: -pair[0])
    shown, hidden = cut([row for _, row in rows], MOST_ROWS)
    blocks: list[Block] = [Words(lines)]
    if shown:
        blocks.append(
            Table(
                id="changes-table",
                caption="The columns that both runs have; the largest changes first.",
                heads=HEADS,
                rows=shown,
                hidden=hidden,
                elsewhere="the features.json of both",
                is_long=len(shown) > 12,
            )
        )
    return Section("changes", TITLE, blocks)


def _columns_changed(run: artifact.Run, previous: artifact.Run) -> list[str]:
    now, then = ({column.name: column.kind for column in r.features.columns} for r in (run, previous))
    lines: list[str] = []
    for words, names in (
        ("New columns", [name for name in now if name not in then]),
        ("Columns that went", [name for name in then if name not in now]),
        ("Columns of another kind", [name for name in now if then.get(name, now[name]) != now[name]]),
    ):
        if names:
            lines.append(f"{words}: {listed(names)}.")
    return lines


def _rows(run: artifact.Run, previous: artifact.Run) -> list[tuple[float, list[Cell]]]:
    then = {column.name: column for column in previous.features.columns}
    whole = (run.features.rows, previous.features.rows)
    found: list[tuple[float, list[Cell]]] = []
    for column in run.features.columns:
        old = then.get(column.name)
        if isinstance(column, NumericColumn) and isinstance(old, NumericColumn):
            if column.is_log1p == old.is_log1p:
                found.append(_number(run, column, old, whole))
        elif isinstance(column, CategoricalColumn) and isinstance(old, CategoricalColumn):
            found.append(_category(column, old, whole))
    return found


def _number(
    run: artifact.Run, column: NumericColumn, old: NumericColumn, whole: tuple[int, int]
) -> tuple[float, list[Cell]]:
    moved = column.mean - old.mean
    by = moved / old.deviation if old.deviation else (0.0 if moved == 0 else None)
    adds = run.record["numeric"][column.name]["per_unit"] * moved
    gone = abs(column.missing / whole[0] - old.missing / whole[1])
    size = max(abs(by or 0.0) if by is not None else 1e9, abs(adds), gone)
    shown = "was constant" if by is None else _shift(by)
    mark = "care" if by is None or abs(by) >= FAR else ""
    return size, [
        Cell(plain(column.name), is_data=True),
        Cell(shown, order=by or 0.0, mark=mark),
        Cell(_shift(adds), order=adds, mark="care" if abs(adds) >= FAR else ""),
        *_missing(column, old, whole),
        EMPTY,
        EMPTY,
    ]


def _shift(value: float) -> str:
    """To a thousandth: less is of no account."""
    return numbers.signed(round(value, 3), 3) if round(value, 3) else "0"


def _category(
    column: CategoricalColumn, old: CategoricalColumn, whole: tuple[int, int]
) -> tuple[float, list[Cell]]:
    came = [level for level in column.levels if level not in set(old.levels)]
    went = [level for level in old.levels if level not in set(column.levels)]
    gone = abs(column.missing / whole[0] - old.missing / whole[1])
    size = gone + (len(came) + len(went)) / max(len(column.levels), len(old.levels), 1)
    return size, [
        Cell(plain(column.name), is_data=True),
        EMPTY,
        EMPTY,
        *_missing(column, old, whole),
        *(Cell(f"{len(names):,}", note=listed(names), order=len(names)) for names in (came, went)),
    ]


def _missing(
    column: NumericColumn | CategoricalColumn, old: NumericColumn | CategoricalColumn, whole: tuple[int, int]
) -> list[Cell]:
    return [
        Cell(numbers.share(one.missing / rows), order=one.missing / rows)
        for one, rows in zip((column, old), whole, strict=True)
    ]

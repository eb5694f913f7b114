"""What changed in the training data since the run before, in units of the score where that can be told.

Of a number: how far its mean went, in standard deviations of then, and what that shift adds to the mean
log-odds by today's coefficient. Of a category: levels that came and went, the population stability index of
all shares, the share that moved most, and what the shares' shifts add to the mean log-odds.

The index is the sum of (a - b) log(a / b) over shares now and then (J divergence, Kullback and Leibler 1951;
by custom 0.1 is some change and 0.25 much). A level that one of the runs does not know may have had rows
there, too few to count: as many as rare levels can have, or else half a one, stand for them. (Of no row, the
many levels that are rare by a row in one run and known by a row in the other would be a drift of their own.)
What is within the noise of such samples is not marked, however large.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from binclf import artifact
from binclf.features import CategoricalColumn, NumericColumn
from binclf.metrics.chisquare import noise_of_stability
from binclf.report import numbers
from binclf.report.blocks import Block, Cell, Section, Table, Words, cut
from binclf.report.facts import Facts
from binclf.report.source import listed
from binclf.report.text import plain

TITLE = "Since the run before"
HEADS = (
    "Column", "Mean moved, in standard deviations", "Stability index", "Share moved most",
    "Adds to the log-odds", "Missing", "Missing then", "Levels that came", "Levels that went",
)  # fmt: skip
MOST_ROWS = 100
FAR = 0.25  # standard deviations, log-odds, or of the stability index, from which a shift is marked
EMPTY = Cell("", order=0)
MISSING, RARE = "missing", "rare or unseen"

Key = tuple[str, bool]  # a level; or MISSING or RARE, which are none


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
            found.append(_category(run, previous, column, old))
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
        EMPTY,
        EMPTY,
        Cell(_shift(adds), order=adds, mark="care" if abs(adds) >= FAR else ""),
        *_missing(column, old, whole),
        EMPTY,
        EMPTY,
    ]


def _shift(value: float) -> str:
    """To a thousandth: less is of no account."""
    return numbers.signed(round(value, 3), 3) if round(value, 3) else "0"


def _category(
    run: artifact.Run, previous: artifact.Run, column: CategoricalColumn, old: CategoricalColumn
) -> tuple[float, list[Cell]]:
    whole = (run.features.rows, previous.features.rows)
    came = [level for level in column.levels if level not in set(old.levels)]
    went = [level for level in old.levels if level not in set(column.levels)]
    gone = abs(column.missing / whole[0] - old.missing / whole[1])
    size = gone + (len(came) + len(went)) / max(len(column.levels), len(old.levels), 1)
    cells = [EMPTY, EMPTY, EMPTY]
    if _is_counted(column) and _is_counted(old):
        now, then = shares(column, whole[0]), shares(old, whole[1])
        index = stability((now, then), whole, (_unknown(column, run), _unknown(old, previous)))
        is_far = index >= FAR and index > noise_of_stability(len(now.keys() | then.keys()), whole)
        moved = {key: now.get(key, 0.0) - then.get(key, 0.0) for key in {**then, **now}}
        most = max(moved, key=lambda key: (abs(moved[key]), key))
        weights = run.record["categorical"][column.name]
        adds = math.fsum(by * _weight(weights, key) for key, by in moved.items())
        size = max(size, index, abs(adds))
        told = plain(most[0], 40) if most[1] else most[0]
        cells = [
            Cell(numbers.number(round(index, 4)), order=index, mark="care" if is_far else ""),
            Cell(f"{_shift(100 * moved[most])} points", note=told, order=moved[most], is_data=True)
            if moved[most]
            else EMPTY,
            Cell(_shift(adds), order=adds, mark="care" if abs(adds) >= FAR else ""),
        ]
    return size, [
        Cell(plain(column.name), is_data=True),
        EMPTY,
        *cells,
        *_missing(column, old, whole),
        *(Cell(f"{len(names):,}", note=listed(names), order=len(names)) for names in (came, went)),
    ]


def _is_counted(column: CategoricalColumn) -> bool:
    """Whether the rows of each level are known: of hashed columns, and in older runs, they are not."""
    return not column.is_hashed and len(column.level_rows) == len(column.levels)


def shares(column: CategoricalColumn, rows: int) -> dict[Key, float]:
    """Of the rows of train, the share of each level, of the rare ones together, and of missing values."""
    own: dict[Key, int] = {
        (level, True): count for level, count in zip(column.levels, column.level_rows, strict=True)
    }
    own |= {(RARE, False): column.rare_rows, (MISSING, False): column.missing}
    return {key: count / rows for key, count in own.items()}


def _unknown(column: CategoricalColumn, run: artifact.Run) -> int:
    """Rows that a level which a run does not know may have had there: rarer than those that are known."""
    return min(run.config.features.min_count - 1, column.rare_rows)


def stability(
    sides: tuple[Mapping[Key, float], Mapping[Key, float]], whole: tuple[int, int], unknown: tuple[int, int]
) -> float:
    """Population stability index of shares now and then; see the module.

    Args:
        sides: the shares of each.
        whole: of so many rows.
        unknown: rows that stand for a level which one of them does not know; at least half a one does.
    """
    total = 0.0
    for key in {**sides[1], **sides[0]}:
        shares = [own.get(key, 0.0) for own in sides]
        if any(shares):
            least = [max(rows if key[1] else 0, 0.5) for rows in unknown]
            a, b = (own or few / rows for own, few, rows in zip(shares, least, whole, strict=True))
            total += (a - b) * math.log(a / b)
    return total


def _weight(weights: Mapping[str, Any], key: Key) -> float:
    """Today's log-odds of a level; one that today's training knows nothing of is scored as the rare ones."""
    level, is_level = key
    if not is_level:
        return float(weights["missing" if level == MISSING else "other"])
    return float(weights["levels"].get(level, weights["other"]))


def _missing(
    column: NumericColumn | CategoricalColumn, old: NumericColumn | CategoricalColumn, whole: tuple[int, int]
) -> list[Cell]:
    return [
        Cell(numbers.share(one.missing / rows), order=one.missing / rows)
        for one, rows in zip((column, old), whole, strict=True)
    ]

"""Rows that try every kind of value, on which an export must agree before it is handed over.

Of each column in turn, the others at their first value: its mean, its ends in train, far beyond them, zero,
missing, NaN; each level, an unseen one, the empty text; moments in each hour, weekday and month, around
changes of clocks, before 1970. Then all missing, and mixtures. Where log-odds are calibrated by steps, the
number with the largest weight is moved until they are on each edge, just below and just above. Then real
rows: the golden ones that the run was sealed with, and the first of the test part.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Mapping, Sequence

from binclf import golden, predict
from binclf.artifact import Run
from binclf.calibration import Steps
from binclf.export.formula import Number, formula_of
from binclf.features import CategoricalColumn, NumericColumn
from binclf.parquet import Column, Reader, Rows, from_values

MIXTURES = 100
REAL_ROWS = 1000
INTEGERS = 2**53  # beyond, predict_proba refuses numbers
SECOND = 1_000_000  # in microseconds
BESIDE = 1e-8  # an edge, in log-odds: more than `verify` takes for rounding
_UTC = datetime.UTC

# seconds since 1970: each hour, weekday and month, and what calendars get wrong
MOMENTS = [
    *(datetime.datetime(2024, 1 + hour % 12, 1 + hour, hour, 59, 59, tzinfo=_UTC) for hour in range(24)),
    *(datetime.datetime(2023, 5, day, tzinfo=_UTC) for day in range(1, 9)),
    *(datetime.datetime(2024, month, day, hour, 30, tzinfo=_UTC)
      for month, day in ((3, 10), (3, 31), (10, 27), (11, 3)) for hour in (0, 1, 5, 6, 7)),
    datetime.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=_UTC),
    datetime.datetime(1970, 1, 1, tzinfo=_UTC),
    datetime.datetime(2000, 2, 29, 12, tzinfo=_UTC),
    datetime.datetime(1900, 3, 1, tzinfo=_UTC),
    datetime.datetime(2036, 12, 31, 23, 59, 59, 999999, tzinfo=_UTC),
]  # fmt: skip


def trial_rows(run: Run) -> list[Rows]:
    """The made rows; then real ones, from the test part too if that still lies where the run left it."""
    sealed = golden.rows_of(run)
    return [_made(run), *([sealed[0]] if sealed else []), *_real(run)]


def _made(run: Run) -> Rows:
    columns, tried = _columns(run), _tried(run)
    names = [column.name for column in columns]
    rows = [{name: tried[name][0] for name in names}]
    rows += [{**rows[0], name: value} for name in names for value in tried[name]]
    rows.append(dict.fromkeys(names))
    for row in range(MIXTURES):  # strides that share no factor with most counts of values
        rows.append(
            {
                name: tried[name][(row * 7919 + place * 104729) % len(tried[name])]
                for place, name in enumerate(names)
            }
        )
    rows += _on_edges(run, columns, rows[0])
    return _of_records(columns, rows)


def _of_records(columns: Sequence[Column], rows: Sequence[Mapping[str, object]]) -> Rows:
    return from_values(columns, {column.name: [row[column.name] for row in rows] for column in columns})


def _on_edges(run: Run, columns: Sequence[Column], row: Mapping[str, object]) -> list[dict[str, object]]:
    """A row whose log-odds are brought to each edge of the steps; none where no number can do that."""
    model = predict.of_run(run)
    movable = [term for term in formula_of(run).numbers if _is_movable(term)]
    if not isinstance(model.calibration, Steps) or not movable:
        return []
    moved = max(movable, key=lambda term: abs(term.weight))
    name, centre = moved.column.column.source, moved.column.centre
    rest = float(model.sums(_of_records(columns, [{**row, name: centre}]))[0])
    return [
        {**row, name: centre + (edge + side * BESIDE - rest) / moved.factor}
        for edge in model.calibration.edges
        for side in (-1, 0, 1)
    ]


def _is_movable(term: Number) -> bool:
    return term.column.kind == "number" and not term.column.is_log1p and term.factor != 0.0


def _real(run: Run) -> Iterator[Rows]:
    """The first rows of the test part, row group by row group."""
    names = list(dict.fromkeys(name for column in run.features.columns for name in column.column.reads))
    left = REAL_ROWS
    for file in run.split.parts.get("test", ()):
        if left <= 0 or not file.path.exists():
            return
        with Reader(file.path) as reader:
            for group in range(len(file.groups)):
                rows = reader.read(group, names)
                if len(rows) and left > 0:
                    yield Rows(rows.table.slice(0, left), rows.place)
                    left -= len(rows)


def _columns(run: Run) -> list[Column]:
    """The table's columns that the model reads, each once."""
    found: dict[str, Column] = {}
    for learnt in run.features.columns:
        for name in learnt.column.reads:
            found.setdefault(name, Column(name, learnt.kind, learnt.column.type))
    return list(found.values())


def _tried(run: Run) -> dict[str, list[object]]:
    """Values of each column that are tried."""
    found: dict[str, list[object]] = {}
    for learnt in run.features.columns:
        for name in learnt.column.reads:
            values = found.setdefault(name, [])
            new = _levels(learnt) if isinstance(learnt, CategoricalColumn) else _numbers(learnt)
            values += [value for value in new if value not in values]
    return {name: [*values, None] for name, values in found.items()}


def _levels(column: CategoricalColumn) -> Sequence[object]:
    if column.column.part:
        return [_microseconds(moment) for moment in MOMENTS]
    if column.kind == "boolean":
        return [True, False]
    if column.kind == "integer":
        known = [int(level) for level in column.levels]
        return [*known, next(value for value in range(len(known) + 1) if value not in set(known))]
    unseen = "a level never seen"
    while unseen in column.levels:
        unseen += "!"
    return [*column.levels, unseen, "", 'O\'Brien \\ "x"', *(f"{level} " for level in column.levels[:1])]


def _numbers(column: NumericColumn) -> Sequence[object]:
    if column.column.part:
        return [_microseconds(moment) for moment in MOMENTS]
    if column.kind == "boolean":
        return [True, False]
    centre = math.copysign(math.expm1(abs(column.mean)), column.mean) if column.is_log1p else column.mean
    reach = 1000 * (max(abs(column.low), abs(column.high), column.high - column.low) or 1.0)
    values = [centre, column.low, column.high, 0.0, column.low - reach, column.high + reach]
    if column.kind in ("moment", "duration"):
        inside = [*values[:4], column.low - 999_999.999999, column.high + 1e6]
        return [round(value * SECOND) for value in inside]
    if column.kind == "integer":
        return [max(-INTEGERS, min(round(value), INTEGERS)) for value in values]
    return [*values, float("nan")]


def _microseconds(moment: datetime.datetime) -> int:
    return (moment - datetime.datetime(1970, 1, 1, tzinfo=_UTC)) // datetime.timedelta(microseconds=1)

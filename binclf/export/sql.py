"""A formula as one SELECT: every column of the table, then `probability` and `decision`.

Numbers are written with 17 digits and an exponent, which every engine reads as the same double (DuckDB and
Spark would take 0.1 for a decimal). NULL and NaN are missing; an infinite number and log-odds beyond the
doubles, which `predict_proba` refuses, give NULL. The sigmoid never leaves the range of exp, which PostgreSQL
and BigQuery would refuse. A calibration is of `binclf_logit`: steps are a tree of CASE, as deep as the
logarithm of their number, with a probability at each leaf.

DuckDB runs the query before it is handed over: the very text where that is its dialect, else its twin in
DuckDB's words, which shows that the numbers are right; the other dialects' words are kept right by tests.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from binclf.calibration import AS_THEY_ARE, Line, Steps
from binclf.errors import ConfigError
from binclf.export.dialects import DUCKDB, Dialect
from binclf.export.formula import Formula, Levels, Number, offset_of, probabilities_of
from binclf.export.verify import Scores, engine
from binclf.parquet import Column, Rows, values_of, zone_of

LOGIT = "binclf_logit"
LARGEST = 1.7976931348623157e308
TOGETHER = 50  # terms in a bracket: engines bound how deep an expression may be


def statement(formula: Formula, dialect: Dialect, table: str) -> str:
    """The whole query over a table, whose name may have parts behind dots.

    Raises:
        ConfigError: the engine cannot say a column, which is named.
    """
    _refuse(formula, dialect)
    home = ".".join(dialect.identifier(part) for part in table.split("."))
    probability = _probability(formula, dialect)
    return (
        f"-- {' '.join(formula.run.split())}, written by binclf: the probability of yes, and whether it "
        f"reaches {formula.threshold!r}\n"
        f"SELECT\n  scored.*,\n  {probability} AS probability,\n"
        f"  {_decision(formula, probability)} AS decision\n"
        f"FROM (\n  SELECT\n    t.*,\n    {dialect.double.format(_sum(formula, dialect))} AS {LOGIT}\n"
        f"  FROM {home} AS t\n) AS scored\n"
    )


def _sum(formula: Formula, dialect: Dialect) -> str:
    """Intercept and terms, in the model's order while one bracket holds them."""
    terms = [_number(formula.intercept)]
    terms += [
        _of_number(term, dialect) if isinstance(term, Number) else _of_levels(term, dialect)
        for term in formula.terms
    ]
    bundles = [terms[first : first + TOGETHER] for first in range(0, len(terms), TOGETHER)]
    return " + ".join("(\n      " + "\n      + ".join(bundle) + "\n    )" for bundle in bundles)


def _probability(formula: Formula, dialect: Dialect) -> str:
    """Of the logit, NULL where that is not finite (for some engines NaN is greater than all numbers)."""
    logit, calibration = f"scored.{LOGIT}", formula.calibration
    if isinstance(calibration, Steps):
        found = _on_steps(logit, calibration, dialect)
    else:
        found = _sigmoid(_on_line(logit, calibration))
    return _where_finite(logit, found)


def _decision(formula: Formula, probability: str) -> str:
    """Steps ascend, so that of them the logit decides, and no engine looks for a row's step once more."""
    logit, steps = f"scored.{LOGIT}", formula.calibration
    if not isinstance(steps, Steps):
        return f"{probability} >= {_number(formula.threshold)}"
    first = bisect_left(probabilities_of(steps), formula.threshold)  # step that is decided yes
    reached = ["TRUE", *(f"{logit} >= {_number(edge)}" for edge in steps.edges), "FALSE"]
    return _where_finite(logit, reached[first])


def _where_finite(logit: str, found: str) -> str:
    return f"CASE WHEN abs({logit}) <= {_number(LARGEST)} THEN {found} END"


def _on_line(logit: str, line: Line) -> str:
    if line == AS_THEY_ARE:
        return logit
    return f"({logit} * {_number(line.slope)} + {_number(line.intercept)})"


def _sigmoid(logit: str) -> str:
    # not least() and greatest(): most engines pass over NULL there
    return (
        f"CASE WHEN {logit} > 700 THEN 1e0 WHEN {logit} < -700 THEN 0e0 ELSE 1e0 / (1e0 + exp(-{logit})) END"
    )


def _on_steps(logit: str, steps: Steps, dialect: Dialect) -> str:
    values, edges = map(_number, probabilities_of(steps)), map(_number, steps.edges)
    if dialect.steps and steps.edges:
        return dialect.steps.format(logit, values=", ".join(values), edges=", ".join(edges))
    return _leaf(logit, list(edges), list(values))


def _leaf(logit: str, edges: Sequence[str], values: Sequence[str]) -> str:
    """The value of the step that a logit stands on, by halving; an edge belongs to the step above it."""
    if not edges:
        return values[0]
    middle = len(edges) // 2
    below = _leaf(logit, edges[:middle], values[: middle + 1])
    above = _leaf(logit, edges[middle + 1 :], values[middle + 1 :])
    return f"CASE WHEN {logit} < {edges[middle]} THEN {below} ELSE {above} END"


def _of_number(term: Number, dialect: Dialect) -> str:
    column = term.column.column
    source, missing = f"t.{dialect.identifier(column.source)}", _number(term.missing)
    if column.kind == "boolean":
        return (
            f"CASE WHEN {source} IS NULL THEN {missing} WHEN {source} THEN {_number(term.of(1.0))} "
            f"ELSE {_number(term.of(0.0))} END"
        )
    value = _double(column, dialect)
    absent = f"{value} IS NULL"
    if column.kind in ("integer", "number"):
        absent += f" OR {dialect.is_nan.format(value)}"
    taken = f"sign({value}) * ln(1e0 + abs({value}))" if term.column.is_log1p else value
    if column.part in ("", "age_days") and column.kind != "duration":
        missing += f" WHEN abs({value}) > {_number(LARGEST)} THEN NULL"
    return (
        f"CASE WHEN {absent} THEN {missing} "
        f"ELSE ({taken} - {_number(term.column.centre)}) * {_number(term.factor)} END"
    )


def _of_levels(term: Levels, dialect: Dialect) -> str:
    column = term.column.column
    source, null = f"t.{dialect.identifier(column.source)}", _number(term.null)
    other = _number(term.other)
    if column.kind == "boolean":
        yes, no = (_number(term.weights.get(level, term.other)) for level in ("true", "false"))
        return f"CASE WHEN {source} IS NULL THEN {null} WHEN {source} THEN {yes} ELSE {no} END"
    if column.part:
        value = _part(column, dialect)
        literals = {level: str(values_of(column.part)[level]) for level in term.weights}
    elif column.kind == "integer":
        value, literals = source, {level: level for level in term.weights}
    else:
        value = dialect.string.format(source)
        literals = {level: dialect.text(level) for level in term.weights}
    arms = [f"WHEN {literals[level]} THEN {_number(weight)}" for level, weight in term.weights.items()]
    known = "\n        ".join([f"CASE {value}", *arms, f"ELSE {other} END"]) if arms else other
    return f"CASE WHEN {source} IS NULL THEN {null} ELSE {known} END"


def _double(column: Column, dialect: Dialect) -> str:
    """A numeric column's value as the model reads it."""
    source = f"t.{dialect.identifier(column.source)}"
    seconds = dialect.seconds_zoned if zone_of(column.type) else dialect.seconds
    if column.part == "age_days":
        since = f"t.{dialect.identifier(column.against)}"
        return f"(({seconds.format(since)} - {seconds.format(source)}) / 86400e0)"
    if column.part:
        return dialect.double.format(_part(column, dialect))
    if column.kind == "moment":
        return f"({seconds.format(source)})"
    if column.kind == "duration":
        return f"({dialect.duration.format(source)})"
    return dialect.double.format(source)


def _part(column: Column, dialect: Dialect) -> str:
    """An hour, weekday or month as a whole number."""
    source, zone = f"t.{dialect.identifier(column.source)}", zone_of(column.type)
    template: str = {"hour": dialect.hour, "weekday": dialect.weekday, "month": dialect.month}[column.part]
    if zone:
        source = dialect.clock.format(source, zone=dialect.text(zone))
        template = dialect.clock_parts.get(column.part, template)
    return f"({template.format(source)})"


def _number(value: float) -> str:
    """A double's literal."""
    shown = repr(value) if "e" in repr(value) else f"{value!r}e0"
    return f"({shown})" if shown.startswith("-") else shown


def _refuse(formula: Formula, dialect: Dialect) -> None:
    """What the engine cannot say, or would say wrongly."""
    problems: list[str] = []
    for term in formula.terms:
        column = term.column.column
        if column.kind == "duration" and not dialect.duration:
            problems.append(
                f"column '{column.name}' is a duration or a time of day, for which it has no one type"
            )
        zone = zone_of(column.type)
        if column.part in ("hour", "weekday", "month") and offset_of(zone) not in (0, None):
            problems.append(
                f"'{column.name}' is taken on clocks at {zone}: engines disagree on what the sign means"
            )
        if isinstance(term, Levels) and any("\0" in level for level in term.weights):
            problems.append(f"column '{column.name}' has a level with a NUL character")
    problems += _unnameable(formula.reads, dialect)
    if problems:
        raise ConfigError(
            "\n".join(f"{formula.run} has no query for {dialect.engine}: {problem}." for problem in problems)
        )


def _unnameable(names: Sequence[str], dialect: Dialect) -> Iterable[str]:
    seen: dict[str, str] = {}
    for name in names:
        if "\0" in name or not name or (dialect.substitutes and "${" in name):
            yield f"'{name}' is no name that a column of a query can have"
        if len(name.encode()) > dialect.longest_name:
            yield f"the name '{name}' has more than {dialect.longest_name} bytes"
        other = seen.setdefault(name.lower(), name)
        if dialect.folds_case and other != name:
            yield f"it takes columns '{other}' and '{name}' for one"
        if name.lower() == LOGIT:
            yield f"column '{name}' has the name that the query gives to its own"


def scores(text: str, table: str) -> Callable[[Rows], Scores]:
    """A query in DuckDB's dialect as a function of the table's rows."""
    duckdb = engine("duckdb")

    def run(rows: Rows) -> Scores:
        parts = [DUCKDB.identifier(part) for part in table.split(".")]
        with duckdb.connect(":memory:") as connection:
            connection.register("binclf trial rows", rows.table)
            if len(parts) == 3:
                connection.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {parts[0]}")
            if len(parts) > 1:
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {'.'.join(parts[:-1])}")
            connection.execute(f'CREATE TABLE {".".join(parts)} AS SELECT * FROM "binclf trial rows"')
            found = connection.execute(f"SELECT probability, decision FROM (\n{text}\n)").fetchnumpy()
        probability = np.ma.filled(found["probability"].astype(np.float64), np.nan)
        return probability, np.ma.filled(found["decision"].astype(np.bool_), fill_value=False)

    return run

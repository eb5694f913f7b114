"""An export: written beside, run, compared, and only then renamed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from binclf import artifact, commit, golden, registry
from binclf.errors import ConfigError
from binclf.export import graph, pipeline_file, sql
from binclf.export.dialects import DIALECTS, DUCKDB
from binclf.export.formula import Formula, formula_of
from binclf.export.trial import trial_rows
from binclf.export.verify import Scores, verify
from binclf.parquet import Rows
from binclf.storage import Place, place_of

FORMATS = ("sql", "onnx", "sklearn")


@dataclass(frozen=True, slots=True)
class _Format:
    """What is written, and what runs it."""

    content: bytes
    engine: str
    scores: Callable[[Path], Callable[[Rows], Scores]]  # of the written file


def export(
    run: str | Place | artifact.Run, format: str, output: str | Place, *, dialect: str = "", table: str = ""
) -> dict[str, Any]:
    """Write a run's model for another engine, seen to give the same probabilities to 1e-6.

    Args:
        run: a sealed run, or an address such as models:/churn@champion.
        format: `sql` (a query), `onnx` (a graph for ONNX Runtime) or `sklearn` (a Python file that
            constructs a pipeline).
        output: the file; one that is there is replaced.
        dialect: of sql: duckdb (unless another is named), postgres, bigquery or spark.
        table: of sql: the table to score, with at most two dots; unless named, the model's name.

    Returns:
        The receipt: what was written where, which engine ran it, on how many rows, and how far off it was.

    Raises:
        ConfigError: the format cannot say the model, or its engine is not installed.
        BinclfError: the engine's probabilities differ; nothing is written then.
    """
    if format not in FORMATS:
        raise ConfigError(f"format '{format}' is none of {', '.join(FORMATS)}.")
    if format != "sql" and (dialect or table):
        raise ConfigError(f"dialect and table have no effect on format '{format}': leave them out.")
    opened = registry.open_run(run)
    formula, model = formula_of(opened), golden.model_of(opened)
    if format == "sql":
        made = _sql(formula, dialect or "duckdb", table or formula.name.replace(".", "_"))
    elif format == "onnx":
        made = _Format(graph.content(formula), "ONNX Runtime", lambda file: graph.scores(file, formula))
    else:
        made = _Format(pipeline_file.content(formula), "scikit-learn", pipeline_file.scores)
    place = place_of(output)
    with commit.beside(place) as temporary:
        temporary.write_bytes(made.content)
        seen = verify(model, trial_rows(opened), made.scores(temporary))
    return {
        "model": formula.run,
        "format": format,
        **({"dialect": dialect or "duckdb"} if format == "sql" else {}),
        "output": str(place),
        "verified_in": made.engine,
        "rows": seen.rows,
        "real_rows": seen.real_rows,
        "largest_difference": seen.largest_difference,
    }


def _sql(formula: Formula, dialect: str, table: str) -> _Format:
    if dialect not in DIALECTS:
        raise ConfigError(f"dialect '{dialect}' is none of {', '.join(DIALECTS)}.")
    if not all(table.split(".")) or table.count(".") > 2:
        raise ConfigError(f"table '{table}' is no name: give TABLE, SCHEMA.TABLE or CATALOG.SCHEMA.TABLE.")
    text = sql.statement(formula, DIALECTS[dialect], table)
    if dialect == "duckdb":
        return _Format(text.encode(), "DuckDB", lambda file: sql.scores(file.read_bytes().decode(), table))
    twin = sql.statement(formula, DUCKDB, "trial")
    return _Format(text.encode(), "DuckDB, in its own dialect", lambda _: sql.scores(twin, "trial"))

"""Calibrated log-odds in exports: a line or steps, exact on each side of an edge and on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import sqlglot
from hypothesis import Phase, given
from hypothesis import strategies as st

import binclf
from binclf import predict
from binclf.artifact import Run
from binclf.calibration import AS_THEY_ARE, Calibration, Line, Steps
from binclf.errors import BinclfError
from binclf.export import graph, pipeline_file, sql
from binclf.export.dialects import BIGQUERY, DIALECTS, DUCKDB, POSTGRES
from binclf.export.formula import Formula, Number, formula_of, probabilities_of
from binclf.export.trial import trial_rows
from binclf.export.verify import verify
from binclf.golden import GOLDEN
from binclf.parquet import Column, Rows
from tests.exports import NUMBER, odd
from tests.laws import examples
from tests.postgres import Postgres
from tests.test_export import ENGINES, Engine, agree

pytestmark = pytest.mark.slow

STEPS = Steps((-2.0, -0.75, 0.0, 0.015625, 1.5), (-3.0, -1.0, -0.25, 0.125, 0.5, 2.25))
LINE = Line(0.625, -0.3)


def calibrated(run: Run, mapped: Calibration | None) -> Run:
    """The run as it were with this map in its record; its golden rows, which know no map, left out."""
    contents = {name: content for name, content in run.contents.items() if name != GOLDEN}
    record = {**run.record, "calibration": {"map": mapped and mapped.as_json()}}
    return replace(run, record=record, contents=contents)


def staircase(steps: int) -> Steps:
    """So many, over what log-odds there are."""
    return Steps(
        tuple(np.linspace(-6, 6, steps - 1).tolist()), tuple((np.linspace(-5, 5, steps) ** 3 / 25).tolist())
    )


@pytest.mark.parametrize(("engine", "name"), ENGINES)
@pytest.mark.parametrize("mapped", [LINE, STEPS, Steps((), (0.25,))])
def test_an_engine_gives_the_calibrated_probabilities_of_predict(
    mapped: Calibration, engine: Engine, name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    run = calibrated(request.getfixturevalue(name), mapped)
    table = odd(400, seed=7)
    agree(run, table, engine(run, tmp_path, table))


def test_a_calibration_that_was_not_kept_changes_nothing(odd_run: Run) -> None:
    assert formula_of(calibrated(odd_run, None)) == formula_of(odd_run)


@pytest.fixture(scope="module")
def itself(odd_run: Run) -> Formula:
    """A model whose logit is its one column, to the bit."""
    formula = formula_of(odd_run)
    number = next(term for term in formula.numbers if term.column.name == NUMBER)
    column = replace(
        number.column, name="z", column=Column("z", "number", "double"),
        centre=0.0, scale=1.0, fill=0.0, indicator=-1,
    )  # fmt: skip
    term = replace(number, column=column, weight=1.0, indicator=0.0)
    return replace(formula, intercept=0.0, numbers=(term,), levels=(), threshold=0.5)


def engines(formula: Formula, folder: Path) -> list[Callable[[Rows], Any]]:
    """DuckDB, BigQuery as sqlglot reads it, ONNX Runtime, scikit-learn."""
    bigquery = sqlglot.transpile(sql.statement(formula, BIGQUERY, "t"), read="bigquery", write="duckdb")[0]
    (folder / "model.onnx").write_bytes(graph.content(formula))
    (folder / "model.py").write_bytes(pipeline_file.content(formula))
    return [
        sql.scores(sql.statement(formula, DUCKDB, "t"), "t"),
        sql.scores(bigquery, "t"),
        graph.scores(folder / "model.onnx", formula),
        pipeline_file.scores(folder / "model.py"),
    ]


def rows_of(logits: Sequence[float]) -> Rows:
    return Rows(pa.table({"z": pa.array(logits, pa.float64())}), "here")


def around(edges: Sequence[float]) -> list[float]:
    """Each edge and its neighbours among doubles, and what is far."""
    beside = [math.nextafter(edge, side) for edge in edges for side in (-math.inf, math.inf)]
    return [*edges, *beside, -1e300, -710.0, -5e-324, -0.0, 0.0, 5e-324, 710.0, 1e300]


FLOATS = st.floats(-40, 40, allow_subnormal=True)
ASCENDING = st.lists(FLOATS, max_size=9, unique=True).map(sorted)


@st.composite
def steps(draw: st.DrawFn) -> Steps:
    edges = draw(ASCENDING)
    values = draw(st.lists(FLOATS, min_size=len(edges) + 1, max_size=len(edges) + 1, unique=True))
    return Steps(tuple(edges), tuple(sorted(values)))


@examples(20, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(mapped=steps(), others=st.lists(FLOATS, max_size=5), at=st.integers(0, 11))
def test_a_logit_stands_on_the_step_that_begins_at_its_edge_to_the_bit(
    mapped: Steps,
    others: list[float],
    at: int,
    itself: Formula,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    levels = probabilities_of(mapped)
    # what rounding would decide for a whole step; none, and all
    threshold = [*levels, 2.0, 0.0][at % (len(levels) + 2)]
    formula = replace(itself, calibration=mapped, threshold=threshold)
    logits = [*around(mapped.edges), *others]
    expected = predict.probability(mapped.of(np.array(logits)))
    for engine in engines(formula, tmp_path_factory.mktemp("steps")):
        found, decided = engine(rows_of(logits))
        assert found.tolist() == expected.tolist()
        assert decided.tolist() == (expected >= threshold).tolist()


@examples(15, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(mapped=st.builds(Line, st.floats(1e-6, 50), FLOATS), others=st.lists(FLOATS, min_size=1, max_size=9))
def test_a_line_is_applied_before_the_sigmoid(
    mapped: Line, others: list[float], itself: Formula, tmp_path_factory: pytest.TempPathFactory
) -> None:
    logits = [*others, *around(())]
    expected = predict.probability(mapped.of(np.array(logits)))
    for engine in engines(replace(itself, calibration=mapped), tmp_path_factory.mktemp("line")):
        np.testing.assert_allclose(engine(rows_of(logits))[0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("count", [2, 3, 4, 5, 255, 256, 257, 4096])  # 4096: as many as there can be
def test_any_number_of_steps_is_no_deeper_than_its_logarithm(
    count: int, itself: Formula, tmp_path: Path
) -> None:
    formula = replace(itself, calibration=staircase(count))
    logits = np.linspace(-7, 7, 5000)
    expected = predict.probability(staircase(count).of(logits))
    for engine in engines(formula, tmp_path):
        assert np.array_equal(engine(rows_of(logits.tolist()))[0], expected)
    for dialect in DIALECTS.values():
        text = sql.statement(formula, dialect, "t")
        assert len(text) < 500_000  # half of what BigQuery takes
        assert _depth(text) <= 2 + math.ceil(math.log2(count))


def _depth(text: str) -> int:
    """Of CASE in CASE."""
    deepest = depth = 0
    for word in text.split():
        depth += (word.lstrip("(") == "CASE") - (word.rstrip("),") == "END")
        deepest = max(deepest, depth)
    return deepest


@pytest.mark.slow
def test_postgres_gives_the_calibrated_probabilities(
    odd_run: Run, itself: Formula, postgres: Postgres
) -> None:
    logits = around(STEPS.edges)
    for mapped in (LINE, STEPS, Steps((), (0.25,)), staircase(300)):
        run = calibrated(odd_run, mapped)
        table = odd(300, seed=7)
        agree(run, table, postgres.scores(sql.statement(formula_of(run), POSTGRES, "t"), table, "t"))
        text = sql.statement(replace(itself, calibration=mapped), POSTGRES, "t")
        found, _ = postgres.scores(text, rows_of(logits).table, "t")
        expected = predict.probability(mapped.of(np.array(logits)))
        np.testing.assert_allclose(found, expected, rtol=1e-14)
    kind = postgres.sql(f"SELECT pg_typeof(probability) FROM ({text}) AS done LIMIT 1")
    assert kind.strip() == "double precision"


# log-odds beyond doubles


@pytest.mark.parametrize("mapped", [AS_THEY_ARE, LINE, STEPS])
def test_log_odds_beyond_doubles_have_no_probability_in_any_engine(
    mapped: Calibration, itself: Formula, tmp_path: Path
) -> None:
    one = itself.numbers[0]

    def number(name: str, weight: float) -> Number:
        column = replace(one.column, name=name, column=Column(name, "number", "double"))
        return replace(one, weight=weight, column=column)

    up, down = number("up", 1e10), number("down", -1e10)
    formula = replace(itself, numbers=(up, down), calibration=mapped)
    table = pa.table(
        {"up": [1e-10, 1e300, 1e300, 0.0], "down": [0.0, 1e300, 0.0, 1e300]}
    )  # 1, NaN, inf, -inf
    for engine in engines(formula, tmp_path)[:3]:
        found, decided = engine(Rows(table, "here"))
        assert np.isnan(found).tolist() == [False, True, True, True]
        assert not decided[1:].any()
    with pytest.raises(ValueError, match="infinity"):
        pipeline_file.scores(tmp_path / "model.py")(Rows(table, "here"))


# what is seen before a file is there


def test_trial_rows_stand_on_both_sides_of_every_edge(odd_run: Run) -> None:
    mapped = staircase(200)
    model = predict.of_run(calibrated(odd_run, mapped))
    logits = model.sums(trial_rows(calibrated(odd_run, mapped))[0])
    for edge in mapped.edges:
        beside = logits[np.abs(logits - edge) < 2e-8] - edge
        assert (beside > 5e-9).any()
        assert (beside < -5e-9).any()
        assert (np.abs(beside) < 1e-10).any()
    assert len(trial_rows(odd_run)[0]) < len(logits)


@pytest.mark.parametrize("mapped", [LINE, staircase(200)])
@pytest.mark.parametrize("format", ["sql", "onnx", "sklearn"])
def test_a_calibrated_model_is_handed_over_with_a_receipt(
    format: str,
    mapped: Calibration,
    run_without_clocks: Run,
    tmp_path: Path,
) -> None:
    run = calibrated(run_without_clocks, mapped)
    receipt = binclf.export(run, format, tmp_path / "model")
    assert receipt["largest_difference"] < 1e-12
    assert receipt["rows"] > 1000 + 3 * len(getattr(mapped, "edges", ()))


def test_steps_that_are_off_by_one_edge_are_never_handed_over(
    odd_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapped = staircase(200)
    whole = sql._leaf

    def broken(logit: str, edges: Sequence[str], values: Sequence[str]) -> str:
        moved = [f"({edge} + 1e-7)" if place == 117 else edge for place, edge in enumerate(edges)]
        return whole(logit, moved if len(edges) == 199 else edges, values)

    monkeypatch.setattr(sql, "_leaf", broken)
    with pytest.raises(BinclfError, match=r"was not written: for \d+ of \d+ rows of the made rows"):
        binclf.export(calibrated(odd_run, mapped), "sql", tmp_path / "a.sql")
    assert list(tmp_path.iterdir()) == []


def test_a_row_on_an_edge_may_stand_on_either_side_and_nowhere_else(odd_run: Run) -> None:
    rows = trial_rows(odd_run)[:1]
    plain = predict.of_run(odd_run)
    edge = float(plain.sums(rows[0])[5])
    model = replace(plain, calibration=Steps((edge - 4, edge), (-2.0, 0.0, 2.0)), threshold=0.5)
    expected = predict.probability(model.logits(rows[0]))

    def with_row(probability: float, decision: bool) -> Callable[[Rows], Any]:
        def scores(_: Rows) -> Any:
            found = expected.copy()
            found[5] = probability
            decided = found >= 0.5
            decided[5] = decision
            return found, decided

        return scores

    low, middle, high = predict.probability(np.array([-2.0, 0.0, 2.0])).tolist()
    for probability in (middle, high):
        assert verify(model, rows, with_row(probability, True)).rows == len(rows[0])
    # 0.5 is the threshold: of steps it is decided to the bit
    for probability, decision in ((low, False), (middle, False), (high, False), (math.nan, False)):
        with pytest.raises(BinclfError, match=r"for 1 of \d+ rows of the made rows .* row 5"):
            verify(model, rows, with_row(probability, decision))


def test_the_pipeline_tells_log_odds_before_and_probabilities_after(odd_run: Run, tmp_path: Path) -> None:
    run = calibrated(odd_run, STEPS)
    (tmp_path / "model.py").write_bytes(pipeline_file.content(formula_of(run)))
    import runpy

    pipeline = runpy.run_path(str(tmp_path / "model.py"))["load"]()
    table = odd(100, seed=5)
    frame = table.to_pandas().convert_dtypes(dtype_backend="pyarrow")
    told = predict.of_run(run).explain(table)
    regression = pipeline[-1].estimator_
    np.testing.assert_allclose(regression.decision_function(pipeline[:-1].transform(frame)), told.logits)
    np.testing.assert_allclose(pipeline.predict_proba(frame)[:, 1], told.probabilities, rtol=1e-15)

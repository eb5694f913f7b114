"""What an export says is what `predict_proba` says, and it is seen to before the file is there."""

from __future__ import annotations

import datetime
import importlib.util
import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pyarrow as pa
import pytest
import sqlglot
from hypothesis import Phase, given
from hypothesis import strategies as st

import binclf
from binclf import predict
from binclf.artifact import Run
from binclf.errors import BinclfError, ConfigError
from binclf.export import graph, pipeline_file, sql
from binclf.export.dialects import BIGQUERY, DIALECTS, DUCKDB, POSTGRES, SPARK
from binclf.export.formula import Formula, formula_of
from binclf.export.trial import trial_rows
from binclf.parquet import Column, Rows
from tests.commands import run as command
from tests.exports import CODE, LEVELS, NUMBER, SINGLE, WHOLE, WORD, YES, odd, train
from tests.laws import examples
from tests.postgres import Postgres

WITHIN = 1e-12
Engine = Callable[[Run, Path, pa.Table], tuple[np.ndarray, np.ndarray]]


def by_duckdb(run: Run, folder: Path, table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    return sql.scores(sql.statement(formula_of(run), DUCKDB, "a.b.c"), "a.b.c")(Rows(table, "here"))


def by_onnx(run: Run, folder: Path, table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    file = folder / "model.onnx"
    file.write_bytes(graph.content(formula_of(run)))
    return graph.scores(file, formula_of(run))(Rows(table, "here"))


def by_sklearn(run: Run, folder: Path, table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    file = folder / "model.py"
    file.write_bytes(pipeline_file.content(formula_of(run)))
    return pipeline_file.scores(file)(Rows(table, "here"))


def by_bigquery(run: Run, folder: Path, table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """As sqlglot understands BigQuery, in DuckDB."""
    text = sql.statement(formula_of(run), BIGQUERY, "t")
    return sql.scores(sqlglot.transpile(text, read="bigquery", write="duckdb")[0], "t")(Rows(table, "here"))


def agree(run: Run, table: pa.Table, found: tuple[np.ndarray, np.ndarray]) -> None:
    model = predict.of_run(run)
    expected = model.predict_proba(table)
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=WITHIN)
    near = np.abs(expected - model.threshold) < WITHIN
    assert np.array_equal(found[1] | near, (expected >= model.threshold) | near)


ENGINES = [
    (by_duckdb, "odd_run"), (by_sklearn, "odd_run"), (by_onnx, "run_without_clocks"),
    (by_bigquery, "run_without_durations"),
]  # fmt: skip


@pytest.mark.parametrize(("engine", "name"), ENGINES)
def test_an_engine_gives_the_probabilities_and_decisions_of_predict(
    engine: Engine, name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    run = request.getfixturevalue(name)
    table = odd(1500, seed=7)
    agree(run, table, engine(run, tmp_path, table))
    strange = pa.array(["never seen", "plain\0", "Plain", None] * 25)
    table = table.slice(0, 100).set_column(table.column_names.index(WORD), WORD, strange)
    agree(run, table, engine(run, tmp_path, table))
    made = trial_rows(run)[0].table
    agree(run, made, engine(run, tmp_path, made))


@pytest.mark.slow
def test_postgres_gives_the_probabilities_of_predict(odd_run: Run, postgres: Postgres) -> None:
    statement = sql.statement(formula_of(odd_run), POSTGRES, "public.t")
    for table in (odd(1500, seed=7), trial_rows(odd_run)[0].table):
        agree(odd_run, table, postgres.scores(statement, table, "t"))


@pytest.mark.slow
def test_postgres_reads_every_literal_back(postgres: Postgres) -> None:
    texts = [*LEVELS, *map(chr, range(1, 128))]
    literals = ", ".join(f"({place}, {POSTGRES.text(text)})" for place, text in enumerate(texts))
    hexes = postgres.sql(
        f"SET standard_conforming_strings = off; "
        f"SELECT encode(convert_to(t, 'UTF8'), 'hex') FROM (VALUES {literals}) AS v(i, t) ORDER BY i"
    )
    assert [bytes.fromhex(line.strip('"')).decode() for line in hexes.splitlines()] == texts


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("pyspark") is None, reason="pyspark is not installed here")
def test_spark_gives_the_probabilities_of_predict(run_without_durations: Run, tmp_path: Path) -> None:
    from tests.spark import scores

    statement = sql.statement(formula_of(run_without_durations), SPARK, "t")
    tables = [odd(1500, seed=7), trial_rows(run_without_durations)[0].table]
    for table, found in zip(tables, scores(statement, tables, tmp_path), strict=True):
        agree(run_without_durations, table, found)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_query_is_one_statement_in_its_dialect(dialect: str, run_without_durations: Run) -> None:
    text = sql.statement(formula_of(run_without_durations), DIALECTS[dialect], "my.table")
    parsed = sqlglot.parse(text, read=dialect)
    assert len(parsed) == 1
    table = next(parsed[0].find_all(sqlglot.exp.Table))  # type: ignore[union-attr]
    assert (table.db, table.name) == ("my", "table")


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


@pytest.mark.slow
@examples(80)
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12))
def test_every_text_and_name_is_read_back_as_it_was(text: str, connection: duckdb.DuckDBPyConnection) -> None:
    assert connection.execute(f"SELECT {DUCKDB.text(text)}").fetchone() == (text,)
    for name in ("bigquery", "spark"):
        literal = sqlglot.parse_one(DIALECTS[name].text(text), read=name)
        assert _unescaped(literal.this) == text
    if text:
        found = connection.execute(f"SELECT 1 AS {DUCKDB.identifier(text)}").description
        assert found is not None
        assert found[0][0] == text


def _unescaped(text: str) -> str:
    """Of the characters that the literal has by number, which sqlglot leaves."""
    return re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), text)


NUMBERS = st.one_of(
    st.none(), st.floats(-1e6, 1e6), st.sampled_from([float("nan"), 0.0, -0.0, 5e-324, 1e300, -1e300])
)
MOMENTS = st.one_of(st.none(), st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1)))
DRAWN = {
    NUMBER: NUMBERS,
    WHOLE: st.one_of(st.none(), st.integers(-(2**53), 2**53)),
    WORD: st.one_of(st.none(), st.sampled_from(LEVELS), st.text(max_size=5)),
    CODE: st.one_of(st.none(), st.integers(-8, 8), st.integers(-(2**63), 2**63 - 1)),
    YES: st.one_of(st.none(), st.booleans()),
    "born": MOMENTS,
    "day": st.one_of(st.none(), st.dates(datetime.date(1700, 1, 1), datetime.date(2200, 1, 1))),
}


@pytest.fixture(scope="module")
def engines(
    run_without_clocks: Run, tmp_path_factory: pytest.TempPathFactory
) -> list[Callable[[Rows], tuple[np.ndarray, np.ndarray]]]:
    folder, formula = tmp_path_factory.mktemp("engines"), formula_of(run_without_clocks)
    (folder / "model.onnx").write_bytes(graph.content(formula))
    (folder / "model.py").write_bytes(pipeline_file.content(formula))
    return [
        sql.scores(sql.statement(formula, DUCKDB, "t"), "t"),
        graph.scores(folder / "model.onnx", formula),
        pipeline_file.scores(folder / "model.py"),
    ]


@pytest.mark.slow
@examples(25, phases=[Phase.explicit, Phase.reuse, Phase.generate])  # to shrink takes minutes
@given(data=st.data())
def test_engines_agree_on_whatever_a_frame_holds(
    data: st.DataObject, run_without_clocks: Run, engines: list[Callable[[Rows], Any]]
) -> None:
    table = odd(8, seed=data.draw(st.integers(0, 99)))
    for name, values in DRAWN.items():
        drawn = data.draw(st.lists(values, min_size=8, max_size=8))
        kind = table.schema.field(name).type
        table = table.set_column(table.column_names.index(name), name, pa.array(drawn, kind))
    for engine in engines:
        agree(run_without_clocks, table, engine(Rows(table, "here")))


@pytest.mark.parametrize("infinity", [float("inf"), float("-inf")])
@pytest.mark.parametrize("name", [NUMBER, SINGLE])
def test_an_infinite_number_has_no_probability_in_any_engine(
    name: str, infinity: float, run_without_clocks: Run, tmp_path: Path
) -> None:
    table = odd(3, seed=3)
    place = table.column_names.index(name)
    broken = table.set_column(place, name, pa.array([1.0, infinity, 2.0], table.schema.field(name).type))
    found, _ = by_duckdb(run_without_clocks, tmp_path, broken)
    assert np.isnan(found).tolist() == [False, True, False]
    with pytest.raises(ValueError, match="infinity"):
        by_sklearn(run_without_clocks, tmp_path, broken)
    formula = formula_of(run_without_clocks)
    inputs = graph.inputs_of(formula, Rows(table, "here"))
    inputs[name][1] = infinity
    session = onnxruntime.InferenceSession(graph.content(formula))
    assert np.isnan(session.run(["probability"], inputs)[0]).tolist() == [False, True, False]


@pytest.mark.parametrize("levels", [1, pytest.param(3000, marks=pytest.mark.slow)])
def test_columns_without_levels_and_nothing_but_columns_of_one_sort(levels: int, tmp_path: Path) -> None:
    table = odd(400)
    for place, names in enumerate(([WORD, YES, "label"], [NUMBER, "label"])):
        run = train(
            tmp_path / str(place), table.select(names), categorical=[YES][: 1 - place], min_count=levels
        )
        for engine in (by_duckdb, by_onnx, by_sklearn):
            agree(run, table, engine(run, tmp_path, table))


@pytest.mark.slow
def test_a_thousand_columns_are_no_deeper_than_duckdb_bears(odd_run: Run, tmp_path: Path) -> None:
    formula = formula_of(odd_run)
    number = next(term for term in formula.numbers if term.column.name == NUMBER)
    names = [f"c{place}" for place in range(1100)]
    terms = tuple(
        replace(number, column=replace(number.column, column=Column(name, "number", "double")))
        for name in names
    )
    wide = replace(formula, numbers=terms, levels=())
    table = pa.table({name: [0.01 * place, None] for place, name in enumerate(names)})
    found, _ = sql.scores(sql.statement(wide, DUCKDB, "t"), "t")(Rows(table, "here"))
    z = wide.intercept + sum(number.of(0.01 * place) for place in range(1100))
    expected = predict.probability(np.array([z, wide.intercept + 1100 * number.missing]))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


# the file


def test_a_file_is_written_with_a_receipt_of_what_was_seen(odd_run: Run, tmp_path: Path) -> None:
    receipt = binclf.export(odd_run.path, "sql", tmp_path / "score.sql", table="flights")
    assert receipt["largest_difference"] < WITHIN
    assert (receipt["dialect"], receipt["verified_in"], receipt["real_rows"]) == ("duckdb", "DuckDB", 632)
    assert receipt["rows"] > 800
    text = (tmp_path / "score.sql").read_bytes().decode()
    table = odd(50, seed=1)
    agree(odd_run, table, sql.scores(text, "flights")(Rows(table, "here")))
    assert [path.name for path in tmp_path.iterdir()] == ["score.sql"]


def test_what_disagrees_is_never_handed_over(
    odd_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "score.sql").write_text("as before")
    monkeypatch.setattr(sql, "_number", lambda value: f"({value:.4f}e0)")
    with pytest.raises(BinclfError, match=r"was not written: for \d+ of \d+ rows of the made rows"):
        binclf.export(odd_run.path, "sql", tmp_path / "score.sql")
    assert (tmp_path / "score.sql").read_text() == "as before"
    assert [path.name for path in tmp_path.iterdir()] == ["score.sql"]


@pytest.mark.parametrize(
    ("format", "module"),
    [("sql", "duckdb"), ("onnx", "onnx"), ("onnx", "onnxruntime"), ("sklearn", "sklearn")],
)
def test_an_engine_that_is_not_there_is_named_with_what_installs_it(
    format: str, module: str, run_without_clocks: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=rf"{module} is not here .* pip install 'binclf\[export\]'"):
        binclf.export(run_without_clocks.path, format, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_exports(
    run_without_clocks: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)  # else later tests would log to capsys
    run, output = str(run_without_clocks.path), tmp_path / "score.sql"
    options = ["--format", "sql", "--output", str(output), "--dialect", "postgres", "--table", "shop.orders"]
    assert command("export", run, *options, "--json") == 0
    receipt = json.loads(capsys.readouterr().out)
    assert receipt["verified_in"] == "DuckDB, in its own dialect"
    assert 'FROM "shop"."orders" AS t' in output.read_text()
    assert command("export", run, "--format", "onnx", "--output", tmp_path / "m.onnx") == 0
    assert "largest_difference" in capsys.readouterr().out
    assert command("export", run, "--format", "onnx", "--output", tmp_path / "m", "--table", "t") == 2
    assert "dialect and table have no effect on format 'onnx'" in capsys.readouterr().err


@pytest.mark.slow
def test_the_pipeline_loads_where_there_is_no_binclf(odd_run: Run, tmp_path: Path) -> None:
    binclf.export(odd_run.path, "sklearn", tmp_path / "churn_pipeline.py")
    table = odd(300, seed=2)
    import pyarrow.parquet as pq

    pq.write_table(table, tmp_path / "rows.parquet")
    code = (
        "import sys; sys.modules['binclf'] = None\n"
        "import pandas, numpy; from churn_pipeline import load\n"
        "numpy.save('p.npy', load().predict_proba(pandas.read_parquet('rows.parquet'))[:, 1])"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=tmp_path, timeout=60)
    expected = predict.of_run(odd_run).predict_proba(table)
    np.testing.assert_allclose(np.load(tmp_path / "p.npy"), expected, rtol=0, atol=WITHIN)


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
def test_the_pipeline_takes_frames_of_every_backend(backend: Any, odd_run: Run, tmp_path: Path) -> None:
    table = odd(200, seed=4)
    frame = table.to_pandas().convert_dtypes(dtype_backend=backend)
    file = tmp_path / "model.py"
    file.write_bytes(pipeline_file.content(formula_of(odd_run)))
    import runpy

    pipeline = runpy.run_path(str(file))["load"]()
    found = pipeline.predict_proba(frame)
    assert list(pipeline.classes_) == [False, True]
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    agree(odd_run, table, (found[:, 1], pipeline.predict(frame)))


def test_a_graph_tells_what_a_missing_text_is_written_as(tmp_path: Path) -> None:
    table = pa.table({"word": ["<null>", "a", None, "b"] * 50, "label": [True, False, True, False] * 50})
    run = train(tmp_path / "run", table)
    binclf.export(run.path, "onnx", tmp_path / "model.onnx")
    onnx.checker.check_model(str(tmp_path / "model.onnx"))
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    assert session.get_modelmeta().custom_metadata_map == {"run": run.id, "missing_text": "<<null>>"}
    words = np.array([["<null>"], ["a"], ["<<null>>"], ["other"]], dtype=object)
    found, _ = session.run(None, {"word": words})
    expected = predict.of_run(run).predict_proba(pd.DataFrame({"word": ["<null>", "a", None, "other"]}))
    np.testing.assert_allclose(found, expected, atol=WITHIN)


def test_a_model_without_a_threshold_never_says_yes(run_without_clocks: Run, tmp_path: Path) -> None:
    never = replace(run_without_clocks, record={**run_without_clocks.record, "threshold": None})
    for engine in (by_duckdb, by_onnx, by_sklearn):
        found, decided = engine(never, tmp_path, odd(100, seed=3))
        assert found.max() > 0.5
        assert not decided.any()


# what is refused


def small(folder: Path, columns: dict[str, Any], **features: Any) -> Run:
    rows = len(next(iter(columns.values())))
    return train(
        folder, pa.table({**columns, "label": [True, False, False, True, True] * (rows // 5)}), **features
    )


def test_hashed_columns_are_refused_by_name(tmp_path: Path) -> None:
    run = small(tmp_path, {"word": ["a", "b", "c", "d"] * 50}, max_levels=3, hash_bits=8)
    for format in ("sql", "onnx", "sklearn"):
        with pytest.raises(ConfigError, match=r"hashes 'word' into 256 buckets .* set features\.max_levels"):
            binclf.export(run.path, format, tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("dialect", ["bigquery", "spark"])
def test_durations_are_refused_where_no_type_is_both(dialect: str, odd_run: Run) -> None:
    with pytest.raises(ConfigError, match="column 'took' is a duration") as caught:
        sql.statement(formula_of(odd_run), DIALECTS[dialect], "t")
    assert "column 'at' is a duration" in str(caught.value)


def test_clocks_of_a_zone_are_refused_by_onnx(odd_run: Run) -> None:
    with pytest.raises(ConfigError, match="'seen:hour' is taken on the clocks of America/New_York") as caught:
        graph.content(formula_of(odd_run))
    assert "'seen:month'" in str(caught.value)


def renamed(formula: Formula, *names: str) -> Formula:
    """The first numbers under other names."""
    terms = [
        replace(term, column=replace(term.column, column=Column(name, "number", "double")))
        for term, name in zip(formula.numbers, names, strict=False)
    ]
    return replace(formula, numbers=tuple(terms))


@pytest.mark.parametrize(
    ("dialect", "names", "words"),
    [
        ("postgres", ["x" * 64], "has more than 63 bytes"),
        ("duckdb", ["Age", "age"], "takes columns 'Age' and 'age' for one"),
        ("spark", ["${x}"], "no name that a column of a query can have"),
        ("duckdb", ["a\0b"], "no name that a column of a query can have"),
        ("duckdb", ["binclf_logit"], "has the name that the query gives to its own"),
    ],
)
def test_names_that_an_engine_would_not_read_as_they_are_are_refused(
    dialect: str, names: list[str], words: str, run_without_durations: Run
) -> None:
    formula = renamed(formula_of(run_without_durations), *names)
    with pytest.raises(ConfigError, match=f"has no query for {DIALECTS[dialect].engine}: .*{words}"):
        sql.statement(formula, DIALECTS[dialect], "t")


def test_offsets_in_place_of_zones_are_refused_by_sql_and_known_to_onnx(tmp_path: Path) -> None:
    moments = pa.array([datetime.datetime(2024, 1, 1 + i % 28, i % 24) for i in range(400)])
    moments = moments.cast(pa.timestamp("us", tz="+05:30"))
    run = small(tmp_path, {"when": moments}, categorical=["when:hour", "when:month"])
    with pytest.raises(ConfigError, match=r"'when:hour' is taken on clocks at \+05:30"):
        binclf.export(run.path, "sql", tmp_path / "model")
    table = pa.table({"when": moments})
    agree(run, table, by_onnx(run, tmp_path, table))
    agree(run, table, by_sklearn(run, tmp_path, table))


def test_integers_that_a_double_cannot_hold_are_refused_by_onnx_and_exact_in_sql(tmp_path: Path) -> None:
    column = pa.array([2**63 + 1, 2**63 + 2, 5, None] * 50, pa.uint64())
    run = small(tmp_path, {"code": column}, categorical=["code"])
    with pytest.raises(ConfigError, match=f"column 'code' has levels beyond 2.53, such as {2**63 + 1}"):
        graph.content(formula_of(run))
    table = pa.table({"code": column})
    for engine in (by_duckdb, by_sklearn):
        agree(run, table, engine(run, tmp_path, table))


def test_settings_without_effect_or_sense_are_refused(odd_run: Run, tmp_path: Path) -> None:
    for options, words in (
        ({"format": "pmml"}, "format 'pmml' is none of sql, onnx, sklearn"),
        ({"format": "sklearn", "dialect": "spark"}, "dialect and table have no effect on format 'sklearn'"),
        ({"format": "sql", "dialect": "oracle"}, "dialect 'oracle' is none of duckdb, postgres, bigquery"),
        ({"format": "sql", "table": "a..b"}, "table 'a..b' is no name"),
    ):
        with pytest.raises(ConfigError, match=words):
            binclf.export(odd_run.path, output=tmp_path / "x", **options)

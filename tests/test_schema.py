"""One schema for all files: what differs is named with its files, and what is widened loses nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf.errors import DataError
from binclf.parquet import Column, Footer, Found, footer, union
from binclf.parquet.kinds import closest, kind_of
from binclf.parquet.widen import common
from binclf.registry import load
from binclf.retrain import retrain
from binclf.score import score
from binclf.split import ensure, plan
from tests import made
from tests.laws import examples

MANY = examples(300)


def foot(relative: str, columns: dict[str, Any]) -> Footer:
    """A footer as a file with these Arrow types would have it."""
    made_of = tuple(Column(name, kind_of(kind), str(kind)) for name, kind in columns.items())
    return Footer(relative=relative, path=Path(relative), stamp=(1, 0, 0), groups=(1,), columns=made_of)


# Which types have one in common: against the values themselves

INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
FLOATS = [pa.float16(), pa.float32(), pa.float64()]
DECIMALS = [pa.decimal128(5, 2), pa.decimal128(38, 0), pa.decimal256(60, 10), pa.decimal256(76, 70)]
TEXTS = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
NAIVE = [pa.date32(), pa.date64(), pa.timestamp("s"), pa.timestamp("ns")]
ZONED = [pa.timestamp("ms", "UTC"), pa.timestamp("us", "Asia/Tokyo")]
SPANS = [pa.duration("s"), pa.duration("ns")]
CLOCKS = [pa.time32("s"), pa.time64("ns")]
OTHERS = [pa.binary(), pa.list_(pa.int8()), pa.struct([("a", pa.int8())])]
FAMILIES = [[pa.bool_()], INTEGERS + FLOATS, DECIMALS, TEXTS, NAIVE, ZONED, SPANS, CLOCKS]
TYPES = [kind for family in FAMILIES for kind in family] + OTHERS + [pa.null()]


def range_of(kind: Any) -> tuple[int, int]:
    """Integers that a type holds, each: its own range, or up to 2^digits of a float."""
    if pa.types.is_floating(kind):
        digits = {16: 11, 32: 24, 64: 53}[kind.bit_width]
        return -(2**digits), 2**digits
    if pa.types.is_signed_integer(kind):
        return -(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1) - 1
    return 0, 2**kind.bit_width - 1


def digits_of(kind: Any) -> tuple[int, int]:
    return kind.precision - kind.scale, kind.scale


def can_be_one(kinds: Sequence[Any]) -> bool:
    """The oracle: whether some Arrow type holds each value of all of them, told from their ranges."""
    kinds = [kind for kind in kinds if kind != pa.null()]
    if len(set(kinds)) <= 1:
        return True
    family = [family for family in FAMILIES if all(kind in family for kind in kinds)]
    if not family:
        return False
    if family[0] is DECIMALS:
        whole, scale = (max(part) for part in zip(*map(digits_of, kinds), strict=True))
        return bool(whole + scale <= 76)
    if family[0] == INTEGERS + FLOATS:
        integers = [kind for kind in kinds if pa.types.is_integer(kind)]
        if any(pa.types.is_floating(kind) for kind in kinds):
            return all(max(map(abs, range_of(kind))) <= 2**53 for kind in integers)
        low = min(range_of(kind)[0] for kind in integers)
        return low >= 0 or max(range_of(kind)[1] for kind in integers) <= 2**63 - 1
    return True


@MANY
@given(st.lists(st.sampled_from(TYPES), min_size=1, max_size=5))
def test_types_are_one_exactly_where_some_type_holds_every_value(kinds: list[Any]) -> None:
    columns = [Column("c", kind_of(kind), str(kind)) for kind in kinds]
    assert (common(columns) is not None) == can_be_one(kinds)


@MANY
@given(st.lists(st.sampled_from(INTEGERS + FLOATS), min_size=2, max_size=4), st.data())
def test_a_widened_number_has_its_value_in_the_common_type(kinds: list[Any], data: st.DataObject) -> None:
    found = common([Column("c", kind_of(kind), str(kind)) for kind in kinds])
    if found is None:
        return
    wide = {"halffloat": pa.float16(), "float": pa.float32(), "double": pa.float64()}.get(found[1])
    wide = wide or pa.type_for_alias(found[1])
    for kind in kinds:
        low, high = range_of(kind)
        value = data.draw(st.integers(low, high))
        number = np.float16(value) if kind == pa.float16() else value
        assert (
            pa.array([number], kind).cast(wide).cast(kind).to_pylist() == pa.array([number], kind).to_pylist()
        )


@MANY
@given(st.lists(st.sampled_from(TYPES), min_size=1, max_size=5), st.randoms())
def test_the_common_type_does_not_depend_on_the_order_or_on_repeats(kinds: list[Any], random: Any) -> None:
    columns = [Column("c", kind_of(kind), str(kind)) for kind in kinds]
    shuffled = columns + columns
    random.shuffle(shuffled)
    assert common(columns) == common(shuffled)


# Files against each other


@st.composite
def data_sets(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Two to six files with some of five columns, each of one of a few types."""
    types = [pa.int32(), pa.int64(), pa.float64(), pa.string(), pa.large_string(), pa.null(), pa.binary()]
    names = st.sampled_from(["a", "b", "A", "d ", "e"])
    return draw(st.lists(st.dictionaries(names, st.sampled_from(types), min_size=1), min_size=2, max_size=6))


@MANY
@given(data_sets())
def test_a_union_is_what_looking_at_each_pair_of_files_says(files: list[dict[str, Any]]) -> None:
    schema = union([foot(f"{place}.parquet", columns) for place, columns in enumerate(files)])
    names = {name for columns in files for name in columns}
    lacking = {name for name in names if any(name not in columns for columns in files)}
    clashing = {name for name in names if not can_be_one([c[name] for c in files if name in c])}
    assert [column.name for column in schema.columns] == [name for name in files[0] if name not in lacking]
    assert len(schema.problems) == len(lacking) + len(clashing)
    for name in lacking | clashing:
        assert any(f"column '{name}'" in problem for problem in schema.problems)
    assert bool(schema.problems) == bool(schema.misfits)


@MANY
@given(data_sets())
def test_leaving_out_the_misfits_comes_to_an_end_in_files_that_fit(files: list[dict[str, Any]]) -> None:
    feet = [foot(f"{place}.parquet", columns) for place, columns in enumerate(files)]
    for _ in range(len(files) + 1):
        schema = union(feet)
        if not schema.misfits:
            break
        feet = [one for one in feet if one.relative not in schema.misfits]
    assert not schema.problems
    kept = [files[int(one.relative.split(".")[0])] for one in feet]
    assert all(set(columns) == set(kept[0]) for columns in kept)


def test_the_majority_says_which_file_does_not_fit_and_in_a_tie_the_first() -> None:
    full, short = {"a": pa.int64(), "b": pa.int64()}, {"a": pa.int64()}
    texts = {"a": pa.string(), "b": pa.int64()}

    def misfits(*files: dict[str, Any]) -> list[str]:
        return list(union([foot(str(place), one) for place, one in enumerate(files)]).misfits)

    assert misfits(full, full, short) == ["2"]
    assert misfits(short, full, full) == ["0"]
    assert misfits(short, short, full) == ["2"]
    assert misfits(short, full) == ["1"]
    assert misfits(full, short) == ["1"]
    assert misfits(texts, full, full) == ["0"]
    assert misfits(texts, full) == ["1"]


def test_names_are_close_by_case_and_blanks_before_they_are_close_by_letters() -> None:
    assert closest("id", ["Id", "idx"]) == "Id"
    assert closest("name", ["game", " Name "]) == " Name "
    assert closest("carier", ["carrier", "age"]) == "carrier"
    assert closest("x", ["yyyy"]) == ""


def test_a_column_that_was_renamed_is_told_with_what_was_probably_meant() -> None:
    one, other = {"a": pa.int64(), "id": pa.int64()}, {"a": pa.int64(), "Id ": pa.int64()}
    problems = union([foot("0.parquet", one), foot("1.parquet", other), foot("2.parquet", one)]).problems
    assert problems[0] == (
        "1.parquet lacks column 'id', which the other 2 files have (it has 'Id '): write the file again, or "
        "list the column in data.exclude."
    )
    assert (
        "0.parquet and 1 more files lack column 'Id ', which the other file has (it has 'id')" in problems[1]
    )


def test_integers_beside_doubles_are_refused_with_a_remedy_unless_all_are_safe() -> None:
    wide = union([foot("0", {"a": pa.int64()}), foot("1", {"a": pa.float64()})])
    assert "'a' is int64 in 0 and double in 1: no type holds both, since floating point" in wide.problems[0]
    assert "astype('Int64')" in wide.problems[0]
    safe = union([foot("0", {"a": pa.int32()}), foot("1", {"a": pa.float64()})])
    assert not safe.problems
    assert safe.columns == (Column("a", "number", "double"),)


def test_what_is_widened_is_recorded_with_its_files() -> None:
    files = [{"a": pa.int64()}, {"a": pa.int32()}, {"a": pa.int32()}, {"a": pa.null()}]
    schema = union([foot(str(place), one) for place, one in enumerate(files)])
    told = {(w.column, w.narrow, w.wide, w.files, w.first) for w in schema.widened}
    assert told == {("a", "int32", "int64", 2, "1"), ("a", "null", "int64", 1, "3")}
    texts = union([foot(str(place), {"a": kind}) for place, kind in enumerate(TEXTS)])
    assert texts.columns[0].kind == "text"
    assert texts.widened == ()  # ways of storing one type


def test_times_of_two_zones_are_instants_and_times_without_one_are_not() -> None:
    zoned = union([foot(str(place), {"a": kind}) for place, kind in enumerate(ZONED)])
    assert zoned.columns[0].type == "timestamp[us, tz=UTC]"
    assert len(zoned.widened) == 2
    mixed = union([foot("0", {"a": NAIVE[2]}), foot("1", {"a": ZONED[0]})])
    assert "times with and without a zone cannot be compared" in mixed.problems[0]


def test_what_is_ignored_may_differ_and_be_absent() -> None:
    files = [{"a": pa.int64(), "b": pa.string()}, {"a": pa.int64(), "b": pa.binary()}, {"a": pa.int64()}]
    feet = [foot(str(place), one) for place, one in enumerate(files)]
    assert [column.name for column in union(feet, ignore=["b"]).columns] == ["a"]
    assert not union(feet, ignore=["b"]).problems
    assert len(union(feet).problems) == 2


@pytest.mark.slow
def test_three_thousand_columns_in_two_hundred_files_take_seconds() -> None:
    wide = {f"column_{place}": pa.int64() for place in range(3000)}
    feet = [foot(f"{place:03}.parquet", wide | {f"own_{place}": pa.int64()}) for place in range(200)]
    began = time.process_time()  # other processes' turns do not count
    schema = union(feet)
    assert time.process_time() - began < 20  # minutes, if each file were held against each other
    assert len(schema.columns) == 3000
    assert len(schema.problems) == 200


def test_all_problems_of_all_files_are_told_at_once_and_capped(tmp_path: Path) -> None:
    for place in range(30):
        table = made.mixed(20).append_column(f"own_{place}", pa.array(range(20)))
        made.write(tmp_path / "data" / f"{place:02}.parquet", table)
    with pytest.raises(DataError) as caught:
        plan(made.config(tmp_path / "data", tmp_path / "store"))
    lines = str(caught.value).split("\n")
    assert len(lines) == 21
    assert lines[-1] == "and 10 more problems"
    assert "column 'own_0'" in lines[0]


def test_files_of_other_widths_are_split_and_the_receipt_says_so(tmp_path: Path) -> None:
    first, second = made.mixed(200), made.mixed(200, first=200)
    place = second.column_names.index("small")
    second = second.set_column(place, "small", second["small"].cast(pa.float64()))  # as pandas writes nulls
    second = second.set_column(second.column_names.index("word"), "word", pa.nulls(200))
    made.write(tmp_path / "data" / "a.parquet", first)
    made.write(tmp_path / "data" / "b.parquet", second)
    split = ensure(made.config(tmp_path / "data", tmp_path / "store"))
    assert {(w["column"], w["from"], w["to"], w["files"]) for w in split.receipt["widened_columns"]} == {
        ("small", "int16", "double", 1),
        ("word", "null", "string", 1),
    }
    kinds = {column.name: column.kind for column in split.columns}
    assert (kinds["small"], kinds["word"]) == ("number", "text")
    assert footer(Found("b.parquet", tmp_path / "data" / "b.parquet")).column("word") == Column(
        "word", "other", "null"
    )


@pytest.mark.slow
def test_training_and_scoring_read_each_file_by_its_own_type(tmp_path: Path) -> None:
    """The same rows in one type, and spread over files of narrower types and without any: the same model."""
    plain, mixed = [], []
    for place in range(4):
        table = made.mixed(300, first=300 * place).drop_columns(["flag"])
        names = table.column_names
        if place == 1:  # this day nobody had a word or a number
            table = table.set_column(names.index("word"), "word", pa.nulls(300, pa.string()))
            table = table.set_column(names.index("number"), "number", pa.nulls(300, pa.float64()))
        plain.append(table)
        if place == 1:
            table = table.set_column(names.index("word"), "word", pa.nulls(300))
            table = table.set_column(names.index("number"), "number", pa.nulls(300))
        if place == 2:
            table = table.set_column(names.index("small"), "small", table["small"].cast(pa.float64()))
            table = table.set_column(names.index("whole"), "whole", table["whole"].cast(pa.int8()))
            table = table.set_column(names.index("word"), "word", table["word"].cast(pa.large_string()))
        if place == 3:
            table = table.set_column(names.index("single"), "single", table["single"].cast(pa.float64()))
            table = table.set_column(names.index("carrier"), "carrier", table["carrier"].cast(pa.string()))
        mixed.append(table)
    runs = []
    for name, tables in (("plain", plain), ("mixed", mixed)):
        for place, table in enumerate(tables):
            made.write(tmp_path / name / f"{place}.parquet", table)
        config = made.config(tmp_path / name, tmp_path / f"store-{name}", train={"epochs": 2})
        runs.append(load(retrain(config)))
    assert runs[0].features.rows == runs[1].features.rows
    for left, right in zip(runs[0].features.numeric, runs[1].features.numeric, strict=True):
        assert (left.mean, left.deviation, left.fill) == (right.mean, right.deviation, right.fill)
    assert [c.levels for c in runs[0].features.categorical] == [
        c.levels for c in runs[1].features.categorical
    ]
    assert np.array_equal(runs[0].weight, runs[1].weight)
    assert np.array_equal(runs[0].table, runs[1].table)
    (run,) = (tmp_path / "store-mixed").glob("made-*")
    done = score(run, tmp_path / "mixed", tmp_path / "scored")
    assert done["rows"] == 1200


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("label", "label 'label' of 1.parquet, row group 0 holds 100 nulls"),
        ("w", "weight column 'w' of 1.parquet, row group 0 holds 100 values that are negative or missing"),
        ("time", "time column 'time' of 1.parquet, row group 0 holds 100 nulls"),
        ("id", "column 'id' of 1.parquet, row group 0 is null: a key is text"),
    ],
)
def test_a_file_without_values_where_values_are_needed_is_named(
    name: str, words: str, tmp_path: Path
) -> None:
    made.write(tmp_path / "data" / "0.parquet", made.mixed(300))
    table = made.mixed(300, first=300)
    table = table.set_column(table.column_names.index(name), name, pa.nulls(300))
    made.write(tmp_path / "data" / "1.parquet", table)
    split = {"method": "hash", "key": ["id"]} if name == "id" else {"method": "time"}
    data = {"weight": "w", "time": "time"} if name != "id" else {}
    with pytest.raises(DataError, match=words):
        ensure(made.config(tmp_path / "data", tmp_path / "store", data=data, split=split))

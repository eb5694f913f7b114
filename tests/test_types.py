"""Every Arrow type has one decision: the table in docs/types.md and the code say the same."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf.config import Config, parse
from binclf.errors import BinclfError, ConfigError, DataError
from binclf.features import Decoding, decode, roles
from binclf.labels import LabelRule
from binclf.parquet import Column, Found, Reader, Rows, footer
from binclf.parquet.kinds import kind_of
from binclf.split import plan
from tests import made
from tests.laws import examples

TABLE = Path(__file__).parents[1] / "docs" / "types.md"
CANNOT_BE_MADE = {"INTERVAL_MONTHS", "INTERVAL_DAY_TIME"}  # pyarrow has names for them and nothing else
ALL = {name.removeprefix("Type_") for name in dir(pa.lib) if name.startswith("Type_")} | {"EXTENSION"}

INSTANCES: dict[str, list[Any]] = {
    "NA": [pa.null()],
    "BOOL": [pa.bool_()],
    **{name: [pa.type_for_alias(name.lower())] for name in ("INT8", "INT16", "INT32", "INT64")},
    **{name: [pa.type_for_alias(name.lower())] for name in ("UINT8", "UINT16", "UINT32", "UINT64")},
    "HALF_FLOAT": [pa.float16()],
    "FLOAT": [pa.float32()],
    "DOUBLE": [pa.float64()],
    "DECIMAL128": [pa.decimal128(20, 3)],
    "DECIMAL256": [pa.decimal256(60, 3)],
    "STRING": [pa.string()],
    "LARGE_STRING": [pa.large_string()],
    "STRING_VIEW": [pa.string_view()],
    "BINARY": [pa.binary()],
    "LARGE_BINARY": [pa.large_binary()],
    "BINARY_VIEW": [pa.binary_view()],
    "FIXED_SIZE_BINARY": [pa.binary(4)],
    "DATE32": [pa.date32()],
    "DATE64": [pa.date64()],
    "TIMESTAMP": [pa.timestamp(u, z) for u in ("s", "ms", "us", "ns") for z in (None, "UTC", "Asia/Tokyo")],
    "TIME32": [pa.time32("s"), pa.time32("ms")],
    "TIME64": [pa.time64("us"), pa.time64("ns")],
    "DURATION": [pa.duration(u) for u in ("s", "ms", "us", "ns")],
    "LIST": [pa.list_(pa.int64())],
    "LARGE_LIST": [pa.large_list(pa.int64())],
    "LIST_VIEW": [pa.list_view(pa.int64())],
    "LARGE_LIST_VIEW": [pa.large_list_view(pa.int64())],
    "FIXED_SIZE_LIST": [pa.list_(pa.int64(), 2)],
    "STRUCT": [pa.struct([("a", pa.int64())])],
    "MAP": [pa.map_(pa.string(), pa.int64())],
    "SPARSE_UNION": [pa.sparse_union([pa.field("a", pa.int64())])],
    "DENSE_UNION": [pa.dense_union([pa.field("a", pa.int64())])],
    "RUN_END_ENCODED": [pa.run_end_encoded(pa.int32(), pa.int64())],
    "INTERVAL_MONTH_DAY_NANO": [pa.month_day_nano_interval()],
    "DICTIONARY": [pa.dictionary(pa.int32(), pa.string())],
    "EXTENSION": [pa.fixed_shape_tensor(pa.int64(), [2])],
}
for later, make in {
    "DECIMAL32": lambda: [pa.decimal32(5, 2)],
    "DECIMAL64": lambda: [pa.decimal64(15, 2)],
}.items():
    if later in ALL:
        INSTANCES[later] = make()
for later in ("uuid", "json_", "bool8"):
    if hasattr(pa, later):
        INSTANCES["EXTENSION"].append(getattr(pa, later)())


def decisions() -> dict[str, tuple[str, ...]]:
    """Arrow type to (kind, by itself, numeric, categorical), as the docs say."""
    found: dict[str, tuple[str, ...]] = {}
    for line in TABLE.read_text().split("## How precise")[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for name in re.findall(r"`([A-Z0-9_]+)`", cells[0]) if line.startswith("| `") else ():
            assert name not in found, f"{name} stands twice in the table"
            found[name] = tuple(cells[1:5])
    return found


def config(**features: Any) -> Config:
    data = {"path": "x", "label": "y"}
    return parse({"name": "x", "data": data, "features": features})


def outcome(column: Column, **features: Any) -> str:
    try:
        used = roles(config(**features), [column, Column("also", "number", "double")])
    except BinclfError as error:
        is_named = f"'{column.name}'" in str(error) and column.type in str(error)
        return "refused" if is_named else f"refused, but not by name: {error}"
    return "numeric" if column.name in {one.name for one in used.numeric} else "categorical"


def test_the_table_names_every_arrow_type_that_there_is() -> None:
    missing = {"DECIMAL32", "DECIMAL64"} - ALL  # of older versions of Arrow
    assert set(decisions()) - missing == ALL
    assert set(INSTANCES) == ALL - CANNOT_BE_MADE


@pytest.mark.parametrize("name", sorted(set(INSTANCES) - {"DICTIONARY"}))
def test_the_table_says_what_the_code_does(name: str) -> None:
    kind, itself, numeric, categorical = decisions()[name]
    for arrow_type in INSTANCES[name]:
        column = Column("c", kind_of(arrow_type), str(arrow_type))
        assert column.kind == kind, arrow_type
        assert outcome(column) == itself
        assert outcome(column, numeric=["c"]) == ("numeric" if numeric == "yes" else "refused")
        assert outcome(column, categorical=["c"]) == ("categorical" if categorical == "yes" else "refused")


@pytest.mark.parametrize("name", sorted(set(INSTANCES) - {"DICTIONARY", "EXTENSION"}))
def test_a_dictionary_is_what_its_values_are(name: str) -> None:
    for arrow_type in INSTANCES[name]:
        assert kind_of(pa.dictionary(pa.int32(), arrow_type)) == kind_of(arrow_type)
    assert set(decisions()["DICTIONARY"]) == {"as its values"}


@pytest.mark.parametrize("name", sorted(INSTANCES))
def test_an_excluded_column_may_be_anything_in_any_file(name: str, tmp_path: Path) -> None:
    for arrow_type in INSTANCES[name]:
        table = made.mixed(20).append_column("odd", pa.nulls(20, arrow_type))
        try:
            made.write(tmp_path / "a.parquet", table)
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
            assert name in {"SPARSE_UNION", "DENSE_UNION", "RUN_END_ENCODED", "INTERVAL_MONTH_DAY_NANO"}
            continue
        made.write(tmp_path / "b.parquet", made.mixed(20, first=20))
        exclude = ["who", "time", "w", "odd"]
        todo = plan(made.config(tmp_path, tmp_path / "store", data={"exclude": exclude}))
        assert "odd" not in [column.name for column in todo.columns]


NUMBERS: list[tuple[Any, list[Any], list[float]]] = [
    (pa.duration("s"), [5, None, -1], [5.0, np.nan, -1.0]),
    (pa.duration("ms"), [1500, None], [1.5, np.nan]),
    (pa.duration("us"), [1, None], [1e-6, np.nan]),
    (pa.duration("ns"), [2_500_000_000, None], [2.5, np.nan]),
    (pa.time32("s"), [3600, None], [3600.0, np.nan]),
    (pa.time32("ms"), [1, None], [0.001, np.nan]),
    (pa.time64("us"), [86_399_999_999, None], [86_399.999999, np.nan]),
    (pa.time64("ns"), [500, None], [5e-7, np.nan]),
    (pa.null(), [None, None], [np.nan, np.nan]),
    (pa.dictionary(pa.int8(), pa.duration("ms")), [1500, None], [1.5, np.nan]),
    (pa.decimal256(60, 2), [Decimal("12.25"), None], [12.25, np.nan]),
]


@pytest.mark.parametrize(("kind", "values", "wanted"), NUMBERS, ids=[str(kind) for kind, _, _ in NUMBERS])
def test_durations_and_times_of_day_are_seconds(kind: Any, values: list[Any], wanted: list[float]) -> None:
    if pa.types.is_dictionary(kind):
        array = pa.array(values, kind.value_type).dictionary_encode()
    else:
        array = pa.array(values, kind)
    got = Rows(pa.table({"c": array}), "a").numbers("c")
    assert got.dtype == np.float64
    assert np.array_equal(got, wanted, equal_nan=True)


@pytest.mark.parametrize("unit", ["s", "ms"])
def test_moments_beyond_what_microseconds_count_are_refused(unit: str) -> None:
    rows = Rows(pa.table({"c": pa.array([0, 2**62], pa.timestamp(unit))}), "a, row group 3")
    for read in (rows.moments, rows.numbers):
        with pytest.raises(DataError, match=r"column 'c' of a, row group 3 holds moments more than 292,000"):
            read("c")


def decoded(values: Any, tmp_path: Path) -> tuple[Any, float]:
    """A column as training holds it, and its centre."""
    table = pa.table({"c": pa.array(values), "y": pa.array(np.arange(len(values)) % 2)})
    path = made.write(tmp_path / "a.parquet", table, group_rows=len(values))
    used = roles(config(), [Column("c", "integer", "int64")])
    with Reader(path, "a.parquet") as reader:
        block = decode(reader, 0, Decoding(used, LabelRule("y", "integer", 1, is_stated=False), ""))
    return block.residuals[:, 0].astype(np.float64) + block.centre[0], float(block.centre[0])


@examples(60)
@given(
    middle=st.integers(-(2**52), 2**52),
    bits=st.integers(0, 51),
    seed=st.integers(0, 2**32 - 1),
)
def test_an_integer_is_exact_within_2_to_the_24_and_else_rounded_by_no_more_than_that_share_of_the_spread(
    middle: int, bits: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    draw = np.random.default_rng(seed)
    values = middle + draw.integers(-(2**bits), 2**bits, 200, endpoint=True)
    got, centre = decoded(values, tmp_path_factory.mktemp("ints"))
    spread = int(values.max()) - int(values.min())
    assert (np.abs(got - values) <= 2.0**-24 * spread).all()
    near = np.abs(values - centre) <= 2**24
    assert (got[near] == values[near]).all()
    if spread <= 2**24:
        assert (got == values).all()


def test_integers_that_float64_would_round_are_refused_as_numbers_and_kept_as_categories(
    tmp_path: Path,
) -> None:
    values = [2**53 + 1, 2**53 + 3] * 10
    with pytest.raises(DataError, match=r"column 'c' of a\.parquet, row group 0 holds integers beyond 2\^53"):
        decoded(values, tmp_path)
    codes, texts = Rows(pa.table({"c": values}), "a").codes("c")
    assert [list(texts)[code] for code in codes] == [str(value) for value in values]


def test_a_type_that_a_file_brings_is_never_executed(tmp_path: Path) -> None:
    """The metadata of arrow.py_extension_type was unpickled by pyarrow before 14.0.1."""
    mark = tmp_path / "executed"

    class Payload:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
            return Path.touch, (mark,)

    metadata = {"ARROW:extension:name": "arrow.py_extension_type"}
    metadata["ARROW:extension:metadata"] = pickle.dumps(Payload(), 0).decode("latin-1")
    field = pa.field("c", pa.int64(), metadata=metadata)
    table = pa.Table.from_arrays([pa.array([1, 2])], schema=pa.schema([field]))
    path = tmp_path / "a.parquet"
    pq.write_table(table, path)
    with Reader(path, "a.parquet") as reader:
        assert len(reader.read(0, ["c"])) == 2
    assert footer(Found("a.parquet", path)).rows == 2
    assert not mark.exists()
    pickle.loads(metadata["ARROW:extension:metadata"].encode("latin-1"))  # the control: it would have been
    assert mark.exists()


def test_a_moment_or_a_duration_is_no_label(tmp_path: Path) -> None:
    for arrow_type in (pa.duration("s"), pa.timestamp("us"), pa.time32("s"), pa.binary()):
        column = Column("y", kind_of(arrow_type), str(arrow_type))
        with pytest.raises(DataError, match=r"label column 'y' is .*: a boolean, a number or text is needed"):
            LabelRule.of(config(), column)


def test_dates_and_datetimes_name_a_part_in_the_refusal() -> None:
    column = Column("when", "moment", "timestamp[us]")
    with pytest.raises(DataError, match=r"'when' \(timestamp\[us\]\).*name parts, such as 'when:hour'"):
        roles(config(), [column])
    with pytest.raises(ConfigError, match="name parts of it, such as 'when:weekday'"):
        roles(config(categorical=["when"]), [column])

"""Columns as NumPy: every type's values, texts and codes, without loss."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf.errors import DataError
from binclf.parquet import Reader, Rows, Texts, from_frame
from tests import made
from tests.laws import examples
from tests.rows import rows_of

SORTS: list[tuple[Any, list[Any]]] = [
    (pa.bool_(), [True, None, False]),
    (pa.int8(), [-128, None, 127]),
    (pa.uint64(), [0, None, 2**53]),
    (pa.int64(), [-(2**53), None, 7]),
    (pa.float16(), [0.5, None, math.nan]),
    (pa.float32(), [0.1, None, math.nan]),
    (pa.float64(), [1e300, None, math.nan]),
    (pa.decimal128(20, 3), [Decimal("1.125"), None, Decimal("-7.5")]),
    (pa.dictionary(pa.int8(), pa.int64()), [5, None, 5]),
]


@pytest.mark.parametrize(("kind", "values"), SORTS)
def test_numbers_are_float64_and_what_is_missing_is_nan(kind: Any, values: list[Any]) -> None:
    got = rows_of(values, kind).numbers("c")
    stored = pa.array(values, kind).to_pylist()
    assert got.dtype == np.float64
    assert np.array_equal(got, [math.nan if v is None else float(v) for v in stored], equal_nan=True)


@pytest.mark.parametrize("kind", [kind for kind, _ in SORTS] + [pa.timestamp("s"), pa.date32()])
def test_no_rows_are_no_numbers_of_any_sort(kind: Any) -> None:
    assert rows_of([], kind).numbers("c").tolist() == []
    assert rows_of([None, None], kind).numbers("c").tolist() == pytest.approx([math.nan] * 2, nan_ok=True)


@pytest.mark.parametrize(
    "kind",
    [
        pa.timestamp("s"),
        pa.timestamp("ms"),
        pa.timestamp("us", "Asia/Kolkata"),
        pa.timestamp("ns"),
        pa.date32(),
        pa.date64(),
    ],
)
def test_moments_are_counted_from_1970_in_utc(kind: Any) -> None:
    days = [0, 19_000, -1, 60_000]
    values = pa.array([d * 86400 for d in days]).cast(pa.timestamp("s"))
    column = (
        pa.concat_arrays(
            [
                values.cast(pa.timestamp("us")).cast(pa.int64()).cast(pa.timestamp("us")).cast(kind),
                pa.nulls(1, kind),
            ]
        )
        if not getattr(kind, "tz", None)
        else pa.array([d * 86_400_000_000 for d in days] + [None]).cast(kind)
    )
    rows = Rows(pa.table({"c": column}), "a")
    counts, missing = rows.moments("c")
    assert counts[:4].tolist() == [d * 86_400_000_000 for d in days]
    assert missing.tolist() == [False] * 4 + [True]
    assert rows.numbers("c")[:4].tolist() == [d * 86_400 for d in days]
    assert math.isnan(rows.numbers("c")[4])


def test_what_a_number_cannot_hold_is_refused_with_its_place() -> None:
    with pytest.raises(DataError, match=r"column 'c' of a\.parquet, row group 2 holds integers beyond 2\^53"):
        rows_of([1, 2**53 + 1]).numbers("c")
    with pytest.raises(DataError, match=r"beyond 2\^53"):
        rows_of([1, 2**64 - 1], pa.uint64()).numbers("c")
    with pytest.raises(DataError, match=r"row group 2 holds 2 infinite values, the first in row 1"):
        rows_of([1.0, math.inf, -math.inf]).numbers("c")
    with pytest.raises(DataError, match=r"a\.parquet, row group 2 lacks column 'd'"):
        rows_of([1]).numbers("d")
    with pytest.raises(DataError, match=r"holds integers beyond 2\^63"):
        rows_of([2**64 - 1], pa.uint64()).moments("c")


@examples(40)
@given(
    st.lists(st.one_of(st.none(), st.sampled_from(["a", "", "ü", "null"]), st.text(max_size=3)), max_size=30)
)
def test_codes_spell_the_column_however_it_is_stored(texts: list[str | None]) -> None:
    plain = pa.array(texts, pa.string())
    dictionary = plain.dictionary_encode()
    unsigned = pa.DictionaryArray.from_arrays(dictionary.indices.cast(pa.uint8()), dictionary.dictionary)
    halves = pa.chunked_array(
        [plain[: len(texts) // 2].dictionary_encode(), plain[len(texts) // 2 :].dictionary_encode()]
    )
    for stored in (
        plain,
        plain.cast(pa.large_string()),
        plain.cast(pa.string_view()),
        dictionary,
        unsigned,
        halves,
    ):
        codes, values = Rows(pa.table({"c": stored}), "a").codes("c")
        assert codes.dtype == np.int32
        assert [None if code < 0 else values[code] for code in codes] == texts
        labels, found = Rows(pa.table({"c": stored}), "a").values("c")
        assert [None if code < 0 else found[code] for code in labels] == texts


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_texts_of_a_slice_are_those_of_the_slice(kind: pa.DataType) -> None:
    texts = ["zero", "", "zwölf", None, "drei", "8 bytes."]
    array = pa.array(texts, kind)
    for low in range(len(texts) + 1):
        for high in range(low, len(texts) + 1):
            found = Texts.of_array(array.slice(low, high - low))
            assert list(found) == [text or "" for text in texts[low:high]]
            assert found.offsets.dtype == np.int64
            assert found.hashes(3).tolist() == [Texts.of([t or ""]).hashes(3)[0] for t in texts[low:high]]


def test_a_null_among_a_dictionary_s_values_is_null() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 2]), pa.array(["a", None, "b"]))
    codes, values = Rows(pa.table({"c": column}), "a").codes("c")
    assert [None if code < 0 else values[code] for code in codes] == ["a", None, None, "b"]


def test_integers_and_booleans_are_spelt_as_in_json() -> None:
    for values, texts in (([7, -1, None], ["7", "-1", None]), ([True, None, False], ["true", None, "false"])):
        codes, spelt = rows_of(values).codes("c")
        assert [None if code < 0 else spelt[code] for code in codes] == texts


def test_text_that_is_no_utf8_is_refused_by_name(tmp_path: Path) -> None:
    broken = pa.array([b"fine", b"\xff\xfe"]).view(pa.string())
    path = made.write(tmp_path / "a.parquet", pa.table({"c": broken}))
    with (
        Reader(path, "a.parquet") as reader,
        pytest.raises(DataError, match=r"column 'c' of a\.parquet, row group 0 "),
    ):
        reader.read(0, ["c"]).codes("c")


@examples(40)
@given(st.lists(st.one_of(st.none(), st.integers(-128, 127)), max_size=20), st.integers(0, 2**63 - 1))
def test_equal_integers_hash_equally_at_any_width(values: list[int | None], seed: int) -> None:
    kinds = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.dictionary(pa.int32(), pa.int64())]
    found = [rows_of(values, kind).hashes("c", seed).tolist() for kind in kinds]
    assert all(hashes == found[0] for hashes in found)
    assert len(set(found[0])) == len(set(values))


def test_equal_moments_hash_equally_in_any_unit() -> None:
    days = pa.array([0, 19_000, None], pa.int32()).cast(pa.date32())
    kinds = [
        pa.date32(),
        pa.date64(),
        pa.timestamp("s"),
        pa.timestamp("ms"),
        pa.timestamp("us"),
        pa.timestamp("ns"),
    ]
    found = [Rows(pa.table({"c": days.cast(kind)}), "a").hashes("c", 5).tolist() for kind in kinds]
    assert all(hashes == found[0] for hashes in found)


def test_seeds_hash_apart() -> None:
    one, other = (rows_of(list(range(50))).hashes("c", seed) for seed in (1, 2))
    assert (one != other).all()


def test_frames_and_tables_are_rows_and_other_things_are_not() -> None:
    frame = pd.DataFrame({"a": [1.5, None], "b": pd.Categorical(["x", None]), "c": ["u", "v"]}, index=[5, 9])
    rows = from_frame(frame)
    assert [(c.name, c.kind) for c in rows.columns()] == [("a", "number"), ("b", "text"), ("c", "text")]
    assert from_frame(pa.table({"a": [1]})).numbers("a").tolist() == [1.0]
    for thing in ([1, 2], None, pd.DataFrame({"a": [object(), 1]})):
        with pytest.raises(
            DataError, match=r"the frame cannot be read: .*Give a pandas DataFrame or a pyarrow Table"
        ):
            from_frame(thing)

"""A footer cut to one row group says of it what the whole one says; what is no record is nothing."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf.kernels import IS_COMPILED, chunks, elements, library
from binclf.kernels.chunks import DICTIONARY, UNTOLD, VALUES
from binclf.parquet import Reader, pages
from binclf.parquet.rowgroup import RowGroup
from binclf.parquet.tail import Tail
from tests.laws import examples

ROW_GROUPS = 4  # the field of a footer


def footer_of(path: Path) -> bytes:
    """The footer and what follows it."""
    content = path.read_bytes()
    return content[-int.from_bytes(content[-8:-4], "little") - 8 :]


def made(path: Path, rows: int = 100, group_rows: int = 30, **options: Any) -> pa.Table:
    """A file of all kinds of columns and of several row groups."""
    table = pa.table(
        {
            "number": np.arange(rows, dtype=np.float32),
            "text": [f"t{i % 7}" if i % 5 else None for i in range(rows)],
            "list": [[i, i + 1] for i in range(rows)],
            "flag": [i % 3 == 0 for i in range(rows)],
        },
        metadata={"made": "here"},
    )
    pq.write_table(table, path, row_group_size=group_rows, write_page_index=True, **options)
    return table


def in_numpy(record: bytes, field: int) -> list[int] | None:
    """What is found without the compiled loops."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "loops", None)
        found = elements(record, field)
    return None if found is None else found.tolist()


def found_in(record: bytes, field: int) -> list[int] | None:
    """What is found."""
    found = elements(record, field)
    return None if found is None else found.tolist()


def test_row_groups_are_what_they_are_in_the_whole_footer(tmp_path: Path) -> None:
    table = made(tmp_path / "a.parquet")
    tail, whole = Tail.of(footer_of(tmp_path / "a.parquet")), pq.read_metadata(tmp_path / "a.parquet")
    assert tail.places is not None
    assert len(tail.places) == whole.num_row_groups + 2 == 6
    for groups in (range(1), range(1, 4), range(3, 4), range(4)):
        cut = tail.cut(groups)
        assert cut.num_row_groups == len(groups)
        for place, group in enumerate(groups):
            assert cut.row_group(place).to_dict() == whole.row_group(group).to_dict()
        assert cut.schema.equals(whole.schema)
        assert cut.metadata == whole.metadata
    with Reader(tmp_path / "a.parquet") as reader:
        for group in (3, 0, 2, 2, 1, 2, 3):
            read = reader.read(group, table.column_names).table
            assert read.equals(table.slice(30 * group, 30).combine_chunks())


@pytest.mark.skipif(not IS_COMPILED, reason="there was no compiler when binclf was installed")
@pytest.mark.parametrize(
    "options", [{}, {"compression": "gzip"}, {"use_dictionary": False}, {"version": "1.0"}]
)
def test_what_a_record_says_of_its_columns_is_what_pyarrow_says(
    options: dict[str, Any], tmp_path: Path
) -> None:
    made(tmp_path / "a.parquet", **options)
    tail, whole = Tail.of(footer_of(tmp_path / "a.parquet")), pq.read_metadata(tmp_path / "a.parquet")
    for group in range(whole.num_row_groups):
        ours, theirs = RowGroup.of_record(tail.record(group)), RowGroup.of_metadata(whole.row_group(group))
        assert ours is not None
        assert ours.rows == theirs.rows
        # types and codecs that are not read without pyarrow have no names there
        unnamed = theirs.chunks == UNTOLD
        assert not unnamed[:, VALUES:DICTIONARY].any()
        ours.chunks[:, :VALUES][unnamed[:, :VALUES]] = UNTOLD
        assert np.array_equal(ours.chunks, theirs.chunks)


def test_files_of_one_form_are_told_from_others(tmp_path: Path) -> None:
    forms = []
    for rows, options in ((100, {}), (70, {"compression": "gzip"}), (100, {"store_schema": False})):
        made(tmp_path / "a.parquet", rows, **options)
        forms.append(Tail.of(footer_of(tmp_path / "a.parquet")).form)
    pq.write_table(pa.table({"number": [1]}), tmp_path / "a.parquet")
    forms.append(Tail.of(footer_of(tmp_path / "a.parquet")).form)
    assert forms[0] == forms[1]
    assert len(set(forms)) == 3


@given(st.data())
@examples(300, keeps_fixtures=True)
def test_a_damaged_record_is_none_or_says_something_and_nothing_beyond_it_is_looked_at(
    tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / "a.parquet"
    if not path.exists():
        made(path)
    record = bytearray(Tail.of(footer_of(path)).record(1))
    whole = chunks(bytes(record))
    end = data.draw(st.integers(0, len(record)))
    for place in data.draw(st.lists(st.integers(0, len(record) - 1), max_size=4)):
        record[place] = data.draw(st.integers(0, 255))
    behind = data.draw(st.binary(min_size=0, max_size=9))
    found, again = chunks(bytes(record[:end])), chunks(bytes(record[:end]) + behind)
    if found is not None:
        assert again is not None
        assert found[0] == again[0]
        assert np.array_equal(found[1], again[1])
        assert len(found[1]) <= len(record)
    if bytes(record) == Tail.of(footer_of(path)).record(1) and end < len(record):
        assert whole is None or found is None


def test_what_is_parsed_does_not_grow_with_the_row_groups(tmp_path: Path) -> None:
    sizes = []
    for rows in (100, 1000):
        made(tmp_path / "a.parquet", rows, 10)
        sizes.append(Tail.of(footer_of(tmp_path / "a.parquet")).cut(range(1)).serialized_size)
    assert sizes[1] < 1.1 * sizes[0]


def test_what_was_parsed_goes_with_its_reader(tmp_path: Path) -> None:
    """Metadata that its own schema holds would stay until Python looks for such rings."""
    table = made(tmp_path / "a.parquet")
    with Reader(tmp_path / "a.parquet") as reader:  # the first file of a form is asked for its schema, once
        reader.read(1, table.column_names)
    del reader
    gc.collect()
    gc.disable()
    try:
        with Reader(tmp_path / "a.parquet") as reader:
            reader.read(0, table.column_names)
            metadata = weakref.ref(reader._cut)
        del reader
        assert metadata() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("rows", [0, 1, 100])
def test_files_of_no_and_of_many_row_groups(tmp_path: Path, rows: int) -> None:
    made(tmp_path / "a.parquet", rows, 1)
    record = footer_of(tmp_path / "a.parquet")
    found = found_in(record, ROW_GROUPS)
    assert found is not None
    assert len(found) - 2 == pq.read_metadata(tmp_path / "a.parquet").num_row_groups
    assert found == in_numpy(record, ROW_GROUPS)


@given(st.data())
@examples(300, keeps_fixtures=True)
def test_damaged_records_are_walked_alike_by_both(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "a.parquet"
    if not path.exists():
        made(path)
    record = bytearray(footer_of(path))
    for place in data.draw(st.lists(st.integers(0, len(record) - 1), min_size=1, max_size=4)):
        record[place] = data.draw(st.integers(0, 255))
    short = bytes(record[: data.draw(st.integers(0, len(record)))])
    for field in (2, ROW_GROUPS, 7):
        assert found_in(short, field) == in_numpy(short, field)


@given(st.binary(max_size=60), st.integers(0, 9))
@examples(500)
def test_any_bytes_are_walked_alike_and_never_beyond_their_end(record: bytes, field: int) -> None:
    found = found_in(record, field)
    assert found == in_numpy(record, field)
    if found is not None:
        assert found == sorted(found)
        assert found[-1] <= len(record)


def test_records_in_records_without_end_are_none() -> None:
    assert found_in(b"\x1c" * 100_000, 2) is None
    assert in_numpy(b"\x1c" * 100_000, 2) is None
    assert found_in(b"\x19\xf8" + b"\xff" * 9 + b"\x01", 1) is None  # 2^63 texts


@pytest.mark.skipif(not IS_COMPILED, reason="there was no compiler when binclf was installed")
def test_pyarrow_is_not_asked_what_the_compiled_walk_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path / "a.parquet")

    def fatal(_: Any) -> RowGroup:
        raise AssertionError("of a damaged record this would end the process")

    monkeypatch.setattr(RowGroup, "of_metadata", fatal)
    monkeypatch.setattr(pages, "_known", {})
    with Reader(tmp_path / "a.parquet", coded=["text"]) as reader:
        assert len(reader.read(0, ["number", "text", "flag"])) == 30


def test_a_footer_that_pyarrow_alone_can_walk_is_read_all_the_same(tmp_path: Path) -> None:
    table = made(tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    footer = footer_of(tmp_path / "a.parquet")
    schema = elements(footer, 2)
    assert schema is not None
    last = int(schema[2]) - 1  # the end of the first column's record: Thrift looks at half of that byte
    assert footer[last] == 0
    odd = footer[:last] + b"\x10" + footer[last + 1 :]
    assert Tail.of(odd).places is None
    assert Tail.of(odd).form != Tail.of(footer).form
    (tmp_path / "b.parquet").write_bytes(content[: -len(footer)] + odd)
    with Reader(tmp_path / "b.parquet", coded=["text"]) as reader:
        rows = [one.table["number"].to_pylist() for one in reader.all(["number"])]
        assert reader.read(3, ["text"]).table["text"].to_pylist() == table["text"].to_pylist()[90:]
    assert [value for some in rows for value in some] == table["number"].to_pylist()


def test_a_row_group_of_fewer_columns_than_the_file_is_left_to_pyarrow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path / "a.parquet")
    monkeypatch.setattr(pages, "_known", {})
    monkeypatch.setattr(RowGroup, "of_record", lambda _: RowGroup(30, np.zeros((1, 7), dtype=np.int64)))
    with Reader(tmp_path / "a.parquet", coded=["text"]) as reader:  # pyarrow has all of them here
        assert len(reader.read(0, ["number", "text"])) == 30


def test_a_file_without_columns_has_rows_of_nothing(tmp_path: Path) -> None:
    pq.write_table(pa.table({}), tmp_path / "a.parquet")
    with Reader(tmp_path / "a.parquet") as reader:
        assert [rows.arrow.num_columns for rows in reader.all([])] == [0]
    assert RowGroup.of_metadata(pq.read_metadata(tmp_path / "a.parquet").row_group(0)).chunks.shape == (0, 7)

"""A footer cut to one row group says of it what the whole one says; what is no record is nothing."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf.errors import DamageError
from binclf.kernels import chunks, elements, library, text_at
from binclf.kernels.chunks import BYTES, DATA, DICTIONARY, FIELDS, HIGH, LOW, PATH, UNTOLD
from binclf.parquet import Found, Reader, footer, layout, pages
from binclf.parquet.copied import copied
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


TYPES = {"BOOLEAN": 0, "INT64": 2, "FLOAT": 4, "BYTE_ARRAY": 6}  # as parquet.thrift numbers them
CODECS = {"UNCOMPRESSED": 0, "SNAPPY": 1, "GZIP": 2}


def as_pyarrow_says(meta: Any) -> npt.NDArray[np.int64]:
    """What `chunks` finds of a row group, up to where it is in the record."""
    return np.array(
        [
            (
                TYPES[chunk.physical_type],
                CODECS[chunk.compression],
                chunk.num_values,
                chunk.total_uncompressed_size,
                chunk.total_compressed_size,
                chunk.data_page_offset,
                chunk.dictionary_page_offset if chunk.has_dictionary_page else UNTOLD,
                chunk.statistics.null_count if chunk.is_stats_set else UNTOLD,
            )
            for chunk in (meta.column(place) for place in range(meta.num_columns))
        ]
    )


@pytest.mark.usefixtures("either_loops")
@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "gzip"}, {"use_dictionary": False}, {"version": "1.0"}, {"write_statistics": False}],
)
def test_what_a_record_says_of_its_columns_is_what_pyarrow_says(
    options: dict[str, Any], tmp_path: Path
) -> None:
    made(tmp_path / "a.parquet", **options)
    tail, whole = Tail.of(footer_of(tmp_path / "a.parquet")), pq.read_metadata(tmp_path / "a.parquet")
    for group in range(whole.num_row_groups):
        ours, theirs = RowGroup.of_record(tail.record(group)), whole.row_group(group)
        assert ours is not None
        assert ours.rows == theirs.num_rows
        assert np.array_equal(ours.chunks[:, :PATH], as_pyarrow_says(theirs))
        assert [ours.name(place) for place in range(4)] == [
            theirs.column(place).path_in_schema for place in range(4)
        ]
        ends = [text_at(ours.record, int(ours.chunks[0, end])) for end in (LOW, HIGH)]
        told = theirs.column(0).statistics
        assert ends == ([np.float32(end).tobytes() for end in (told.min, told.max)] if told else [None, None])


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
def test_damaged_footers_are_walked_alike_by_both(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "a.parquet"
    if not path.exists():
        made(path)
    record = bytearray(footer_of(path))
    for place in data.draw(st.lists(st.integers(0, len(record) - 1), min_size=1, max_size=4)):
        record[place] = data.draw(st.integers(0, 255))
    short = bytes(record[: data.draw(st.integers(0, len(record)))])
    for field in (2, ROW_GROUPS, 7):
        assert found_in(short, field) == in_numpy(short, field)


@given(st.data())
@examples(300, keeps_fixtures=True)
def test_damaged_row_groups_are_walked_alike_by_both(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "a.parquet"
    if not path.exists():
        made(path)
    record = bytearray(Tail.of(footer_of(path)).record(1))
    for place in data.draw(st.lists(st.integers(0, len(record) - 1), max_size=4)):
        record[place] = data.draw(st.integers(0, 255))
    short = bytes(record[: data.draw(st.integers(0, len(record)))])
    found = chunks(short)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "loops", None)
        again = chunks(short)
    assert (found is None) == (again is None)
    if found is not None and again is not None:
        assert found[0] == again[0]
        assert np.array_equal(found[1], again[1])


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


class _Fatal:
    """A file as pyarrow has it, whose metadata is only counted and handed on."""

    def __init__(self, file: Any) -> None:
        self.file, self.metadata = file, self

    def __getattr__(self, name: str) -> Any:
        if name in ("row_group", "schema"):
            raise AssertionError(f"of a damaged record {name} would end the process")
        return getattr(self.file.metadata if name == "num_columns" else self.file, name)


def test_pyarrow_is_not_asked_what_a_row_group_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = made(tmp_path / "a.parquet")
    real = Reader._parquet
    monkeypatch.setattr(Reader, "_parquet", lambda *given: _Fatal(real(*given)))
    monkeypatch.setattr(pages, "_known", {})
    footer(Found("a.parquet", tmp_path / "a.parquet"))
    assert layout(Found("a.parquet", tmp_path / "a.parquet")).written_bytes > 0
    with Reader(tmp_path / "a.parquet", coded=["text"]) as reader:
        assert reader.read(0, table.column_names).table.to_pydict() == table.slice(0, 30).to_pydict()
        assert len(list(reader.all(["list"]))) == 4


def test_a_footer_whose_records_end_in_odd_bytes_is_walked_as_thrift_walks_it(tmp_path: Path) -> None:
    table = made(tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    footer = footer_of(tmp_path / "a.parquet")
    schema, found = elements(footer, 2), elements(footer, ROW_GROUPS)
    assert schema is not None
    assert found is not None
    ends = [int(schema[2]) - 1, *(int(place) - 1 for place in found[2:])]  # of a column, of each row group
    odd = bytearray(footer)
    for end in ends:
        assert odd[end] == 0
        odd[end] = 0x10  # Thrift looks at half of that byte
    assert found_in(bytes(odd), ROW_GROUPS) == in_numpy(bytes(odd), ROW_GROUPS) == found.tolist()
    assert Tail.of(bytes(odd)).form != Tail.of(footer).form
    (tmp_path / "b.parquet").write_bytes(content[: -len(footer)] + odd)
    with Reader(tmp_path / "b.parquet", coded=["text"]) as reader:
        rows = [one.table["number"].to_pylist() for one in reader.all(["number"])]
        assert reader.read(3, ["text"]).table["text"].to_pylist() == table["text"].to_pylist()[90:]
    assert [value for some in rows for value in some] == table["number"].to_pylist()


@pytest.mark.usefixtures("either_loops")
def test_columns_that_lie_in_another_file_are_refused_by_name(tmp_path: Path) -> None:
    made(tmp_path / "a.parquet")
    whole = pq.read_metadata(tmp_path / "a.parquet")
    for path in ("", "b.parquet"):
        whole.set_file_path(path)
        whole.write_metadata_file(tmp_path / "footer")
        content, footer = (tmp_path / "a.parquet").read_bytes(), (tmp_path / "footer").read_bytes()[4:]
        (tmp_path / "c.parquet").write_bytes(content[: -len(footer_of(tmp_path / "a.parquet"))] + footer)
        with Reader(tmp_path / "c.parquet", "c.parquet") as reader:
            if not path:  # which is this one
                assert len(reader.read(2, ["text"])) == 30
                continue
            words = "footer of c.parquet does not say what row group 2 has and where in the file"
            with pytest.raises(DamageError, match=words):
                reader.read(2, ["text"])


def test_a_row_group_of_fewer_columns_than_the_file_is_left_to_pyarrow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path / "a.parquet")
    monkeypatch.setattr(pages, "_known", {})
    lacking = RowGroup(30, np.zeros((1, len(FIELDS)), dtype=np.int64), b"")
    monkeypatch.setattr(RowGroup, "of_record", lambda _: lacking)
    with Reader(tmp_path / "a.parquet") as reader:  # pyarrow has all of them here
        assert len(reader.read(0, ["number", "text"])) == 30


def test_a_row_group_is_copied_to_its_place_or_refused_by_name(tmp_path: Path) -> None:
    made(tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    with Reader(tmp_path / "a.parquet") as reader:
        said = reader.said(1)
    with copied(tmp_path / "a.parquet", len(whole), said, "o.parquet", 1) as path:
        content = Path(path).read_bytes()
    low, high = said.begins.min(), (said.begins + said.chunks[:, BYTES]).max()
    assert content == bytes(low) + whole[low:high] + bytes(len(whole) - high)
    for field, wrong in ((DATA, -5), (DATA, 2**40), (BYTES, -1), (BYTES, 2**62), (BYTES, len(whole))):
        damaged = RowGroup(said.rows, said.chunks.copy(), said.record)
        damaged.chunks[0, [DICTIONARY, field]] = UNTOLD, wrong
        words = r"column 'number' of o\.parquet, row group 1 lies outside the file"
        with pytest.raises(DamageError, match=words):
            copied(tmp_path / "a.parquet", len(whole), damaged, "o.parquet", 1).__enter__()


def test_a_file_without_columns_has_rows_of_nothing(tmp_path: Path) -> None:
    pq.write_table(pa.table({}), tmp_path / "a.parquet")
    with Reader(tmp_path / "a.parquet") as reader:
        assert [rows.arrow.num_columns for rows in reader.all([])] == [0]

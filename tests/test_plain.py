"""Plain pages that are read without pyarrow say what pyarrow says, or are left to it."""

from __future__ import annotations

import gc
import os
import weakref
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf import kernels
from binclf.errors import DataError
from binclf.parquet import Reader
from binclf.parquet.buffers import KEPT, Buffers
from binclf.parquet.floats import Plain
from binclf.parquet.handle import Handle
from binclf.parquet.plain import _ENDS, MOST_HEADER, _around_checksum, _varint, plain_places, read_plain
from binclf.parquet.rowgroup import RowGroup
from tests.laws import examples

KINDS = ("float", "double", "nullable", "text", "integer")
OURS: dict[str, Any] = {"compression": "none", "write_page_checksum": True, "write_statistics": False}


def table_of(kinds: list[str], rows: int, draw: np.random.Generator) -> pa.Table:
    """Columns of these kinds; only floats without nulls can be plain."""
    arrays, fields = [], []
    for place, kind in enumerate(kinds):
        noise = draw.normal(size=rows)
        made = {
            "float": lambda n=noise: pa.array(n.astype(np.float32)),
            "double": lambda n=noise: pa.array(n),
            "nullable": lambda n=noise: pa.array(n, mask=n > 1),
            "text": lambda n=noise: pa.array([f"{v:.1f}" for v in n], pa.string()),
            "integer": lambda n=noise: pa.array((n * 100).astype(np.int64)),
        }[kind]()
        arrays.append(made)
        fields.append(pa.field(f"{kind}{place}", made.type, nullable=kind == "nullable"))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def plain_of(path: Path, names: list[str]) -> Plain:
    """The plain columns of a file of one row group."""
    return looked_at(opened(path), names)


def opened(path: Path) -> tuple[Handle, RowGroup, Any]:
    """A file, what its footer says of its row group, and its schema."""
    with Reader(path) as reader:
        return Handle(path), reader.said(0), reader.file.schema_arrow


def looked_at(file: tuple[Handle, RowGroup, Any], names: list[str]) -> Plain:
    """The plain columns of a file that is open."""
    handle, group, schema = file
    return read_plain(handle, group, plain_places(schema), names)


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=9),
    st.integers(0, 5000),
    st.sampled_from([700, 4096, 10**6]),
    st.sampled_from(["ours", "statistics", "unchecked", "small pages", "snappy", "dictionary", "version 2"]),
)
@examples(60, keeps_fixtures=True)
def test_what_is_read_is_what_pyarrow_reads(
    tmp_path: Path, seed: int, kinds: list[str], rows: int, group_rows: int, written: str
) -> None:
    draw = np.random.default_rng(seed)
    table, path = table_of(kinds, rows, draw), tmp_path / "a.parquet"
    floats = [f.name for f in table.schema if f.name.startswith(("float", "double"))]
    options = OURS | {"use_dictionary": [n for n in table.column_names if n not in floats]}
    other: dict[str, dict[str, Any]] = {
        "statistics": {"write_statistics": True}, "unchecked": {"write_page_checksum": False},
        "small pages": {"data_page_size": 400, "write_batch_size": 50}, "snappy": {"compression": "snappy"},
        "dictionary": {"use_dictionary": True}, "version 2": {"data_page_version": "2.0"},
    }  # fmt: skip
    pq.write_table(table, path, row_group_size=group_rows, **options | other.get(written, {}))
    wanted = [str(n) for n in draw.permutation(table.column_names)]
    with Reader(path) as reader:
        read = list(reader.all(wanted))
    assert pa.concat_tables([one.table for one in read]).equals(table.select(wanted))
    if not rows:
        return
    plain = plain_of(path, wanted)
    if written == "ours":
        assert sorted(plain) == sorted(floats)
    if written in ("snappy", "unchecked", "version 2") and rows > 100:
        assert not plain
    assert {*(floats if kernels.IS_COMPILED else plain)} <= {*read[0].plain}  # the others by `dense`


def test_columns_lie_together_as_the_file_has_them(tmp_path: Path) -> None:
    table = table_of(["float"] * 700 + ["double"] * 3, 50, np.random.default_rng(0))
    pq.write_table(table, tmp_path / "a.parquet", use_dictionary=False, **OURS)
    found = plain_of(tmp_path / "a.parquet", table.column_names[::-1])
    assert len(found) == 703
    together = found.together(table.column_names[3:40])
    assert together is not None
    assert np.array_equal(together, np.stack([table[i].to_numpy() for i in range(3, 40)]))
    assert found.together(table.column_names[690:]) is None  # of two types
    assert found.together(table.column_names[5:3:-1]) is None
    assert found.together(["float3", "none"]) is None


def test_every_flipped_bit_of_a_plain_page_is_left_to_pyarrow(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = table_of(["float", "float", "double"], 20, np.random.default_rng(0))
    pq.write_table(table, path, use_dictionary=False, **OURS)
    chunk = pq.read_metadata(path).row_group(0).column(1)
    whole, file, name = path.read_bytes(), opened(path), table.column_names[1]
    silent = refused = 0
    for place in range(chunk.data_page_offset, chunk.data_page_offset + chunk.total_compressed_size):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            found = looked_at(file, table.column_names)
            assert name not in found
            assert len(found) == 2
            try:
                with Reader(path) as reader:
                    silent += not reader.read(0, [name]).table.equals(table.select([name]))
            except DataError as error:
                refused += f"column '{name}' of {path}, row group 0 is damaged" in str(error)
    assert silent == 0
    assert refused > 8 * 80


def test_without_the_checksum_flipped_values_would_be_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: it is the checksum that tells."""
    path = tmp_path / "a.parquet"
    table = table_of(["float"], 20, np.random.default_rng(0))
    pq.write_table(table, path, use_dictionary=False, **OURS)
    good, damaged = zlib.crc32(table[0].to_numpy()), bytearray(path.read_bytes())
    damaged[pq.read_metadata(path).row_group(0).column(0).data_page_offset + 60] ^= 1
    path.write_bytes(damaged)
    assert not plain_of(path, ["float0"])
    monkeypatch.setattr(kernels, "crc32s", lambda rows: np.full(len(rows), good, dtype=np.uint32))
    assert "float0" in plain_of(path, ["float0"])


def test_compressed_values_are_not_taken_for_plain_ones_of_the_same_length(tmp_path: Path) -> None:
    """A page header tells not of compression: only the footer does."""
    path, as_long = tmp_path / "a.parquet", 0
    for seed in range(300):
        draw = np.random.default_rng(seed)
        values = draw.normal(size=int(draw.integers(20, 60))).astype(np.float32)
        values[-int(draw.integers(1, 8)) :] = values[0]
        column = pa.field("float0", pa.float32(), nullable=False)
        table = pa.Table.from_arrays([pa.array(values)], schema=pa.schema([column]))
        pq.write_table(table, path, use_dictionary=False, **OURS | {"compression": "gzip"})
        chunk = pq.read_metadata(path).row_group(0).column(0)
        as_long += chunk.total_compressed_size == chunk.total_uncompressed_size
        with Reader(path) as reader:
            assert reader.read(0, ["float0"]).table.equals(table)
    assert as_long


def test_a_reader_that_is_dropped_lets_go_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(table_of(["float"], 20, np.random.default_rng(0)), path, use_dictionary=False, **OURS)

    def opened() -> int:
        gc.collect()
        return sum(os.path.realpath(f"/proc/self/fd/{fd}") == str(path) for fd in os.listdir("/proc/self/fd"))

    reader = Reader(path)
    assert reader.read(0, ["float0"]).plain
    assert opened() == 2  # pyarrow's own, and that of the plain pages
    del reader
    assert opened() == 0


class OfOthers(pa.ExtensionType):  # type: ignore[misc]
    """Python types have no hash."""

    def __init__(self) -> None:
        super().__init__(pa.float32(), "tests.of_others")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, *_: Any) -> OfOthers:
        return cls()


def test_a_column_of_a_type_that_somebody_registered_is_left_to_pyarrow(tmp_path: Path) -> None:
    own = OfOthers()
    pa.register_extension_type(own)
    try:
        arrays = [pa.ExtensionArray.from_storage(own, pa.array([1, 2], pa.float32())), pa.array([3.0, 4.0])]
        fields = [pa.field("own", own, nullable=False), pa.field("other", pa.float64(), nullable=False)]
        table = pa.Table.from_arrays(arrays, schema=pa.schema(fields))
        pq.write_table(table, tmp_path / "a.parquet", use_dictionary=False, **OURS)
        with Reader(tmp_path / "a.parquet") as reader:
            rows = reader.read(0, ["own", "other"])
        assert list(rows.plain) == ["other"]
        assert rows.table.equals(table)
    finally:
        pa.unregister_extension_type("tests.of_others")


def test_two_pages_are_not_read_to_find_that_they_are_not_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = b"".join(_around_checksum(2**31 - 1, 2**31 - 1)) + _varint(2**32 - 1) + max(_ENDS, key=len)
    assert len(longest) == MOST_HEADER
    table, path = table_of(["float"] * 3, 100, np.random.default_rng(0)), tmp_path / "a.parquet"
    two = {"data_page_size": 200, "write_batch_size": 50}
    pq.write_table(table, path, use_dictionary=False, **OURS, **two)
    monkeypatch.setattr(os, "preadv", lambda *_: pytest.fail("it was read"))
    assert not plain_of(path, table.column_names)


def test_of_many_arrays_that_were_held_at_once_few_are_kept() -> None:
    buffers = Buffers()
    held = [buffers.take(2, 100) for _ in range(3 * KEPT)]
    assert len({array.__array_interface__["data"][0] for array in held}) == 3 * KEPT
    first = weakref.ref(held[0].base)  # kept
    last = weakref.ref(held[-1].base)
    assert held[0].base is not None
    del held
    assert first() is not None
    assert last() is None


def test_a_file_that_ends_early_is_left_to_pyarrow(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = table_of(["float"], 2000, np.random.default_rng(0))
    pq.write_table(table, path, use_dictionary=False, **OURS)
    file = opened(path)
    path.write_bytes(path.read_bytes()[:5000])
    assert not looked_at(file, ["float0"])

"""Floats without nulls are, to the bit, what pyarrow reads, or are left to it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf import kernels
from binclf.errors import DataError
from binclf.kernels import SLACK, UNIQUE
from binclf.parquet import Reader
from tests.laws import examples
from tests.test_coded import chunk_of, options, page, varint

pytestmark = pytest.mark.skipif(not kernels.IS_COMPILED, reason="without compiled loops pyarrow reads all")

SEEDS = st.integers(0, 2**32 - 1)
BITS: dict[str, type[np.unsignedinteger[Any]]] = {"f": np.uint32, "d": np.uint64}
FLAT = ("snappy", "none")
BEHIND = 40  # values behind what may be written to
SAME = 0x5A  # what is there


def bits_of(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Floats as what they are made of: NaN is not equal to itself, and 0.0 is to -0.0."""
    return np.ascontiguousarray(values).view(BITS[values.dtype.char])


def floats_of(draw: np.random.Generator, letter: str, rows: int, distinct: int) -> npt.NDArray[Any]:
    """Any bits, which are infinite, NaN and too small to be normal, too."""
    most = np.iinfo(BITS[letter]).max
    values = draw.integers(0, most, distinct, dtype=BITS[letter], endpoint=True)
    return values[draw.integers(0, distinct, rows)].view(letter)


def table_of(draw: np.random.Generator, rows: int, distinct: int) -> pa.Table:
    """Columns of both widths, some of them with nulls."""
    fields, arrays = [], []
    for place, letter in enumerate(draw.choice(["f", "d"], 7).tolist()):
        lacks = draw.random(rows) < draw.choice([0, 0, 0.01])
        arrays.append(pa.array(floats_of(draw, letter, rows, distinct), mask=lacks))
        fields.append(pa.field(f"{letter}{place}", arrays[-1].type, bool(lacks.any() or draw.random() < 0.5)))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


@given(SEEDS, st.integers(1, 3000), st.integers(1, 3000))
@examples(60, keeps_fixtures=True)
def test_what_is_read_is_what_pyarrow_reads(tmp_path: Path, seed: int, rows: int, distinct: int) -> None:
    draw = np.random.default_rng(seed)
    table, written, path = table_of(draw, rows, distinct), options(draw), tmp_path / "a.parquet"
    pq.write_table(table, path, **written)
    names = [str(name) for name in draw.permutation(table.column_names)]
    with Reader(path) as reader:
        held = list(reader.all(names))  # all at once: none is written over by the next
    file = pq.ParquetFile(path)
    for group, own in enumerate(held):
        other = file.read_row_group(group, columns=names)
        assert own.table.schema.equals(other.select(names).schema)
        for name in names:
            column, is_required = other[name].combine_chunks(), not table.schema.field(name).nullable
            if column.null_count:
                assert name not in own.plain
                continue
            if written["compression"] in FLAT and (is_required or written["write_statistics"]):
                assert name in own.plain
            wanted = bits_of(column.to_numpy(zero_copy_only=False))
            assert np.array_equal(bits_of(own.array(name).to_numpy(zero_copy_only=False)), wanted)
            assert name not in own.plain or np.array_equal(bits_of(own.plain[name]), wanted)


def test_columns_of_one_type_lie_together_in_the_order_of_the_file(tmp_path: Path) -> None:
    draw, path = np.random.default_rng(0), tmp_path / "a.parquet"
    table = pa.table({f"{letter}{i}": floats_of(draw, letter, 500, 90) for i, letter in enumerate("fffdfd")})
    pq.write_table(table, path)
    with Reader(path) as reader:
        plain = reader.read(0, table.column_names[::-1]).plain
    together = plain.together(["f0", "f1", "f2", "f4"])
    assert together is not None
    assert np.array_equal(bits_of(together[3]), bits_of(table["f4"].to_numpy()))
    assert plain.together(["d3", "d5"]) is not None
    assert plain.together(["f2", "d3"]) is None
    assert plain.nullable == set(table.column_names)


def read(
    path: Path, rows: int, letter: str = "f", *, is_snappy: bool = False, is_nullable: bool = True
) -> npt.NDArray[Any] | None:
    """All bytes of a file as one chunk of floats; None: it is left to pyarrow."""
    behind = SLACK // np.dtype(letter).itemsize
    memory = np.full((1, rows + behind + BEHIND), SAME, dtype=letter)
    room = np.full(2**22, SAME, dtype=np.uint8)
    chunk, number = (0, path.stat().st_size, is_snappy, is_nullable), os.open(path, os.O_RDONLY)
    asked: list[int] = []

    def give(size: int) -> npt.NDArray[np.uint8]:
        asked.append(size)
        return room

    try:
        (is_read,) = kernels.read_floats(number, [chunk], rows, memory, give)
    finally:
        os.close(number)
    assert (memory[0, rows + behind :] == SAME).all()
    assert (room[asked[0] :] == SAME).all()
    return memory[0, :rows] if is_read else None


@given(SEEDS, st.integers(1, 32), st.integers(1, 1100), st.booleans())
@examples(200, keeps_fixtures=True)
def test_codes_of_any_number_of_bits_are_looked_up(
    tmp_path: Path, seed: int, width: int, rows: int, beyond: bool
) -> None:
    """As floats, and as the codes they are; one code that no value has, wherever it is, is refused."""
    draw, path = np.random.default_rng(seed), tmp_path / "page"
    size = min(2**width - beyond, rows)
    codes = draw.integers(0, max(size, 1), rows)
    if beyond:
        codes[draw.integers(rows)] = max(size, 0)
    padded = np.append(codes, np.zeros(-rows % 8, dtype=np.int64))
    bits = (padded[:, np.newaxis] >> np.arange(width)) & 1
    packed = np.packbits(bits.astype(np.uint8).reshape(-1), bitorder="little").tobytes()
    content = bytes([width]) + varint(len(padded) // 8 << 1 | 1) + packed
    for letter in BITS:
        values = floats_of(draw, letter, size, max(size, 1))
        path.write_bytes(page(values.tobytes(), size, is_dictionary=True) + page(content, rows))
        found = read(path, rows, letter, is_nullable=False)
        assert (found is None) == beyond
        if found is not None:
            assert np.array_equal(bits_of(found), bits_of(values)[codes])
    data = np.frombuffer(path.read_bytes() + bytes(SLACK), dtype=np.uint8)
    given_back = np.full((1, rows + 16), -7, dtype=np.int32)[:, :rows].copy()
    (whole,) = kernels.decode(data, [(0, len(data) - SLACK, 0, 0, 8, UNIQUE)], given_back)
    assert (whole is None) == beyond
    assert beyond or np.array_equal(given_back[0], codes)


def test_runs_of_one_value_and_pages_without_values_are_read(tmp_path: Path) -> None:
    held, path = np.array([1.5, -0.0], dtype=np.float32), tmp_path / "page"
    first = page(held.tobytes(), 2, is_dictionary=True)
    runs = b"\1" + varint(2 * 30) + b"\1" + varint(2 * 40) + b"\0"
    plain = np.arange(30, dtype=np.float32)
    path.write_bytes(first + page(b"", 0) + page(runs, 70) + page(plain.tobytes(), 30, 0))
    found = read(path, 100, is_nullable=False)
    assert found is not None
    assert np.array_equal(bits_of(found), bits_of(np.concatenate([held[[1] * 30], held[[0] * 40], plain])))
    path.write_bytes(first + page(b"\1" + varint(2 * 100) + b"\2", 100))  # there are two values
    assert read(path, 100, is_nullable=False) is None
    path.write_bytes(page(runs, 70))  # and here none
    assert read(path, 70, is_nullable=False) is None
    path.write_bytes(page(b"\x21" + varint(2 * 70) + bytes(5), 70))  # of 33 bits
    assert read(path, 70, is_nullable=False) is None


@given(
    st.data(), st.sampled_from(["1.0", "2.0"]), st.booleans(), st.sampled_from(FLAT), st.sampled_from("fd")
)
@examples(150, keeps_fixtures=True)
def test_whatever_bytes_are_there_nothing_else_is_written_to(
    tmp_path: Path, data: st.DataObject, version: str, loose: bool, packing: str, letter: str
) -> None:
    """Without checksums damaged bytes may be taken for others; `read` looks at what lies behind them."""
    path, chunk = tmp_path / "a.parquet", tmp_path / "chunk"
    held = (np.arange(200) // 3).astype(letter)
    pq.write_table(
        pa.table({"x": held}), path, compression=packing, data_page_version=version, write_batch_size=30,
        dictionary_pagesize_limit=40 if loose else 2**20, data_page_size=300,
    )  # fmt: skip
    content = bytearray(chunk_of(path, 0))
    changes = data.draw(st.integers(0, 2))
    for _ in range(changes):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    chunk.write_bytes(content)
    found = read(chunk, 200, letter, is_snappy=packing == "snappy")
    assert changes or (found is not None and np.array_equal(found, held))


def test_a_column_with_a_null_is_left_to_others(tmp_path: Path) -> None:
    path, chunk = tmp_path / "a.parquet", tmp_path / "chunk"
    for values in ([1.0] * 199 + [None], [1.0] * 200):
        pq.write_table(pa.table({"x": pa.array(values, pa.float32())}), path, compression="none")
        chunk.write_bytes(chunk_of(path, 0))
        assert (read(chunk, 200) is None) == (None in values)


@pytest.mark.parametrize("written", [{}, {"compression": "none", "use_dictionary": False}])
def test_a_flipped_bit_of_any_byte_is_refused_by_name(tmp_path: Path, written: dict[str, Any]) -> None:
    path = tmp_path / "a.parquet"
    held = floats_of(np.random.default_rng(0), "d", 60, 20)
    pq.write_table(pa.table({"x": held}), path, write_page_checksum=True, **written)
    chunk, whole, refused = pq.read_metadata(path).row_group(0).column(0), path.read_bytes(), 0
    begin = chunk.dictionary_page_offset or chunk.data_page_offset
    for place in range(begin, begin + chunk.total_compressed_size):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            with Reader(path) as reader:
                found = reader.read(0, ["x"]).array("x").to_numpy()
            assert np.array_equal(bits_of(found), bits_of(held))
        except DataError as error:
            refused += f"column 'x' of {path}, row group 0 is damaged" in str(error)
    assert refused > 0.8 * chunk.total_compressed_size


def test_it_is_the_checksum_that_tells(tmp_path: Path) -> None:
    """The negative control: of a page without one, other bytes are other values."""
    path, chunk = tmp_path / "a.parquet", tmp_path / "chunk"
    held = np.arange(200, dtype=np.float32)
    for has_checksum in (True, False):
        pq.write_table(
            pa.table({"x": held}), path, compression="none", use_dictionary=False,
            write_page_checksum=has_checksum,
        )  # fmt: skip
        content = bytearray(chunk_of(path, 0))
        content[-5] ^= 1
        chunk.write_bytes(content)
        assert (read(chunk, 200) is None) == has_checksum


def test_a_file_that_ends_early_and_one_that_cannot_be_read_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(page(np.arange(9, dtype=np.float32).tobytes(), 9, 0))
    memory, room = np.zeros((1, 99), dtype=np.float32), np.zeros(2**16, dtype=np.uint8)
    size, number = path.stat().st_size, os.open(path, os.O_RDONLY)
    try:
        for more, whole in ((0, True), (1, False)):
            chunk = (0, size + more, False, False)
            assert kernels.read_floats(number, [chunk], 9, memory, lambda _: room) == [whole]
    finally:
        os.close(number)
    with pytest.raises(OSError, match=r".") as told:
        kernels.read_floats(-1, [(0, size, False, False)], 9, memory, lambda _: room)
    assert told.value.errno == errno.EBADF


def giving(memory: npt.NDArray[Any]) -> Callable[[int], npt.NDArray[Any]]:
    """Gives this memory, whatever is asked for."""
    return lambda _: memory


def test_calls_that_do_not_fit_are_refused() -> None:
    room, values = np.zeros(2**16, dtype=np.uint8), np.zeros((1, 9 + SLACK // 4), dtype=np.float32)
    good = (0, 40, False, False)
    for chunks, into, memory in (
        ([good], values[:, :-1], room),
        ([good, good], values, room),
        ([], values[:0], room),
        ([(-1, *good[1:])], values, room),
        ([(0, -1, False, False)], values, room),
        ([good], np.zeros((1, 99), dtype=np.float16), room),
        ([good], np.zeros((1, 198), dtype=np.float32)[:, ::2], room),
        ([good], values, room[:100]),
        ([good], values, room.view(np.int8)),
    ):
        with pytest.raises(ValueError, match=r"do not hold|begins before|needed|no room"):
            kernels.read_floats(0, chunks, 9, into, giving(memory))

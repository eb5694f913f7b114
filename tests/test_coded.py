"""Columns that are read as codes say what pyarrow says, or are left to it."""

from __future__ import annotations

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
from binclf.kernels import REPEATED, SLACK, UNIQUE, library
from binclf.parquet import Reader, Rows, doubles, singles
from tests.laws import examples

pytestmark = pytest.mark.skipif(not kernels.IS_COMPILED, reason="without compiled loops pyarrow reads all")

WORDS = ("", "a", "é", "日本語", "a\0b", "ß" * 9, "x" * 17, "01234567", "long " * 30)
INTEGERS = (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
FLOATS = {"float", "single", "bare"}
CODECS = ("snappy", "none", "zstd", "gzip")


def column_of(draw: np.random.Generator, kind: pa.DataType, rows: int, distinct: int) -> pa.Array:
    """Values that come again and again, and nulls: none, few, or nothing else."""
    which = draw.integers(0, distinct, rows)
    mask = draw.random(rows) < draw.choice([0, 0.02, 0.5, 1.0])
    if pa.types.is_floating(kind):
        return pa.array((which * 0.37).astype(kind.to_pandas_dtype()), kind, mask=mask)
    if not pa.types.is_integer(kind):
        return pa.array([WORDS[i % len(WORDS)] + str(i // len(WORDS)) for i in which], kind, mask=mask)
    dtype = np.dtype(kind.to_pandas_dtype())
    ends = np.iinfo(dtype)
    values = draw.integers(ends.min, ends.max, distinct, dtype=dtype, endpoint=True)
    values = values // dtype.type(draw.choice([1, 100]))
    return pa.array(values[which], kind, mask=mask)


def options(draw: np.random.Generator) -> dict[str, Any]:
    """One of the many ways to write a file."""
    return {
        "compression": str(draw.choice(CODECS, p=[0.5, 0.3, 0.1, 0.1])),
        "write_page_checksum": bool(draw.random() < 0.5),
        "write_statistics": bool(draw.random() < 0.5),
        "use_dictionary": bool(draw.random() < 0.8),
        "dictionary_pagesize_limit": int(draw.choice([20, 2000, 2**20])),
        "data_page_size": int(draw.choice([60, 1000, 2**20])),
        "write_batch_size": int(draw.choice([7, 100, 1024])),
        "data_page_version": str(draw.choice(["1.0", "2.0"])),
        "row_group_size": int(draw.choice([100, 999, 10**6])),
    }


def table_of(draw: np.random.Generator, rows: int, distinct: int) -> pa.Table:
    """Texts and integers of all widths, and a float."""
    kinds = [pa.string(), pa.large_string(), *INTEGERS]
    kinds = [kinds[i] for i in draw.integers(0, len(kinds), 6)] + [pa.string()]
    arrays = {f"c{place}": column_of(draw, kind, rows, distinct) for place, kind in enumerate(kinds)}
    arrays["float"] = column_of(draw, pa.float64(), rows, distinct)
    arrays["single"] = column_of(draw, pa.float32(), rows, distinct)
    arrays["bare"] = arrays["single"].fill_null(0.5)
    fields = [pa.field(n, a.type, bool(a.null_count or draw.random() < 0.5)) for n, a in arrays.items()]
    return pa.Table.from_arrays(list(arrays.values()), schema=pa.schema(fields))


def by_pyarrow(path: Path, group: int, names: list[str]) -> Rows:
    """What there is without compiled loops."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "loops", None)
        with Reader(path, coded=names) as reader:
            return reader.read(group, names)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2000), st.integers(1, 2000))
@examples(50, keeps_fixtures=True)
def test_what_is_read_is_what_pyarrow_reads(tmp_path: Path, seed: int, rows: int, distinct: int) -> None:
    draw = np.random.default_rng(seed)
    table, written, path = table_of(draw, rows, distinct), options(draw), tmp_path / "a.parquet"
    pq.write_table(table, path, **written)
    names = [str(name) for name in draw.permutation(table.column_names)]
    with Reader(path, coded=names) as reader:
        for group, own in enumerate(reader.all(names)):
            if not rows:
                continue
            other = by_pyarrow(path, group, names)
            assert not other.coded
            same(own, other, names)
            is_read = written["compression"] in ("snappy", "none")
            texts = {n for n in names if not pa.types.is_integer(table.schema.field(n).type)}
            assert texts <= {*own.coded, *own.plain} if is_read else not own.coded
            assert "bare" in own.plain or not (is_read and written["write_statistics"])


def same(own: Rows, other: Rows, names: list[str]) -> None:
    """The same rows, however they are asked for."""
    assert own.table.schema.equals(other.table.schema)
    assert own.table.equals(other.table)
    for name in FLOATS:
        assert np.array_equal(own.numbers(name), other.numbers(name), equal_nan=True)
        short = singles(own, name) if name != "float" else doubles(own, name)
        if short is not None:
            assert np.array_equal(short, other.numbers(name), equal_nan=True)
    for name in set(names) - FLOATS:
        codes, texts = own.codes(name)
        others, other_texts = other.codes(name)
        assert [texts[code] if code >= 0 else None for code in codes] == [
            other_texts[code] if code >= 0 else None for code in others
        ]
        if name in own.coded:
            hashed = texts.hashes(5)[codes[codes >= 0]]
            assert np.array_equal(hashed, other_texts.hashes(5)[others[others >= 0]])
        if pa.types.is_integer(other.table.schema.field(name).type):
            short, wanted = singles(own, name), singles(other, name)
            assert (short is None) >= (wanted is None)  # a value that comes in no row may be too large
            if short is not None and wanted is not None:
                assert np.array_equal(short, wanted, equal_nan=True)
    values = [[rows.values(name) for name in sorted(set(names) - FLOATS)] for rows in (own, other)]
    for (codes, ours), (others, theirs) in zip(*values, strict=True):
        assert [ours[code] for code in codes if code >= 0] == [theirs[code] for code in others if code >= 0]
        assert np.array_equal(codes < 0, others < 0)
    kept = np.arange(len(own)) % 3 == 0
    assert own.where(kept).table.equals(other.where(kept).table)


def write_simple(path: Path, **other: Any) -> pa.Table:
    """Text with nulls, and an integer."""
    texts = [None if i % 9 == 0 else f"väl{i % 23}" for i in range(200)]
    table = pa.table({"before": list(range(200)), "text": texts, "number": [i % 7 for i in range(200)]})
    pq.write_table(table, path, **{"write_page_checksum": True, "write_statistics": False} | other)
    return table


@pytest.mark.parametrize("written", [{}, {"data_page_version": "2.0"}, {"compression": "none"}])
def test_a_flipped_bit_of_any_byte_is_refused_by_name(tmp_path: Path, written: dict[str, Any]) -> None:
    path = tmp_path / "a.parquet"
    table = write_simple(path, **written)
    chunk = pq.read_metadata(path).row_group(0).column(1)
    whole, refused = path.read_bytes(), 0
    begin = chunk.dictionary_page_offset
    for place in range(begin, begin + chunk.total_compressed_size):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            with Reader(path, coded=["text"]) as reader:
                assert reader.read(0, ["text"]).table["text"].cast(pa.string()).equals(table["text"])
        except DataError as error:
            refused += f"column 'text' of {path}, row group 0 is damaged" in str(error)
    assert refused > 0.9 * chunk.total_compressed_size


def test_a_file_that_ends_early_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_simple(path)
    with Reader(path, coded=["text"]) as reader:
        path.write_bytes(path.read_bytes()[:300])
        with pytest.raises(DataError):
            reader.read(0, ["text"])


def test_text_that_is_not_utf8_is_refused_by_name(tmp_path: Path) -> None:
    """Also where a character is cut in two by the end of a value, and all values together are UTF-8."""
    for values in ([b"a\xff", b"b"], [b"a\xc3", b"\xa9b"]):
        path = tmp_path / "a.parquet"
        array = pa.array(values, pa.binary()).view(pa.string())
        pq.write_table(pa.table({"text": array}), path)
        with Reader(path, "some.parquet", coded=["text"]) as reader:
            rows = reader.read(0, ["text"])
        assert not rows.coded
        with pytest.raises(DataError, match=r"'text' of some.parquet, row group 0 holds .* not UTF-8"):
            rows.codes("text")


@pytest.mark.parametrize("encoding", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
def test_text_that_pyarrow_makes_no_codes_of_is_read(tmp_path: Path, encoding: str) -> None:
    """As DuckDB and parquet-mr write it in pages of version 2: nothing is damaged there."""
    path, texts = tmp_path / "a.parquet", [None if i % 9 == 0 else f"väl{i % 23}" for i in range(200)]
    table = pa.table({"text": texts, "other": texts[::-1], "number": [i % 7 for i in range(200)]})
    pq.write_table(
        table, path, use_dictionary=["other"], column_encoding={"text": encoding, "number": "PLAIN"},
        row_group_size=70,
    )  # fmt: skip
    with Reader(path, coded=table.column_names) as reader:
        read = list(reader.all(table.column_names))
    assert [len(rows) for rows in read] == [70, 70, 60]
    for name in ("text", "other"):
        found = [(*rows.codes(name),) for rows in read]
        assert [texts[c] if c >= 0 else None for codes, texts in found for c in codes] == table[
            name
        ].to_pylist()
    assert np.concatenate([rows.numbers("number") for rows in read]).tolist() == table["number"].to_pylist()


def chunk_of(path: Path, place: int) -> bytes:
    """The bytes of a column."""
    chunk = pq.read_metadata(path).row_group(0).column(place)
    begin = min(chunk.dictionary_page_offset or chunk.data_page_offset, chunk.data_page_offset)
    return path.read_bytes()[begin : begin + chunk.total_compressed_size]


def decoded(content: bytes, how: tuple[int, int, int, int]) -> tuple[kernels.Values | None, np.ndarray]:
    """What 200 rows of a column become."""
    data = np.frombuffer(content + b"\xaa" * SLACK, dtype=np.uint8)
    codes = np.full((1, 200), -7, dtype=np.int32)
    return kernels.decode(data, [(0, len(content), *how)], codes)[0], codes[0]


@given(st.data(), st.tuples(st.booleans(), st.sampled_from(["1.0", "2.0"])), st.booleans())
@examples(200, keeps_fixtures=True)
def test_whatever_bytes_are_there_codes_are_of_values(
    tmp_path: Path, data: st.DataObject, written: tuple[bool, str], loose: bool
) -> None:
    """Without checksums damaged bytes may be taken for others, but never for more than there is."""
    is_snappy, version = written
    path = tmp_path / "a.parquet"
    write_simple(
        path, compression="snappy" if is_snappy else "none", data_page_version=version,
        write_page_checksum=False, dictionary_pagesize_limit=40 if loose else 2**20, write_batch_size=30,
    )  # fmt: skip
    content = bytearray(chunk_of(path, 1))
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    values, codes = decoded(bytes(content), (is_snappy, True, 0, UNIQUE))
    if values is None:
        return
    offsets = values.offsets
    assert codes.min() >= -1
    assert codes.max() < len(offsets) - 1
    assert offsets[0] == 0
    assert (np.diff(offsets) >= 0).all()
    assert offsets[-1] == len(values.data)


@given(st.data(), st.sampled_from(["1.0", "2.0"]), st.booleans())
@examples(50, keeps_fixtures=True)
def test_whatever_bytes_are_there_floats_are_of_the_page(
    tmp_path: Path, data: st.DataObject, version: str, loose: bool
) -> None:
    path = tmp_path / "a.parquet"
    held = np.arange(200, dtype=np.float32) // 3
    pq.write_table(
        pa.table({"x": held}), path, compression="snappy", data_page_version=version, write_batch_size=30,
        dictionary_pagesize_limit=40 if loose else 2**20, data_page_size=300,
    )  # fmt: skip
    content = bytearray(chunk_of(path, 0))
    changes = data.draw(st.integers(0, 2))
    for _ in range(changes):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    values, codes = decoded(bytes(content), (True, True, 4, REPEATED))
    if values is None:
        assert changes
        return
    assert codes.min() >= -1
    assert 4 * codes.max() < len(values.data)
    if not changes:
        assert np.array_equal(values.data.view(np.float32)[codes], held)


def test_it_is_the_checksum_that_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: of a page without one, other bytes are other values."""
    path = tmp_path / "a.parquet"
    for has_checksum in (True, False):
        write_simple(path, compression="none", write_page_checksum=has_checksum)
        content = bytearray(chunk_of(path, 1))
        content[content.index(b"l3")] ^= 1
        values, _ = decoded(bytes(content), (False, True, 0, UNIQUE))
        assert (values is None) == has_checksum


def varint(number: int) -> bytes:
    """Seven bits to a byte."""
    more = [number >> shift & 127 | 128 for shift in range(0, max(number.bit_length(), 1), 7)]
    return bytes([*more[:-1], more[-1] & 127])


def record(*numbers: int) -> bytes:
    """Thrift's record of these fields, from the first on."""
    return b"".join(b"\x15" + varint(2 * number) for number in numbers)


def page(content: bytes, rows: int, encoding: int = 8, *, is_dictionary: bool = False) -> bytes:
    """A page of text that is not packed."""
    head = record(2 if is_dictionary else 0, len(content), len(content))
    if is_dictionary:
        return head + b"\x4c" + record(rows, 0) + b"\0\0" + content
    return head + b"\x2c" + record(rows, encoding, 3, 3) + b"\0\0" + content


def lengthy(*texts: bytes) -> bytes:
    """Texts with their lengths before them."""
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


@pytest.mark.parametrize("code", [1, 2])
def test_codes_are_of_the_first_page_and_not_of_texts_that_came_row_by_row(code: int) -> None:
    first = page(lengthy(b"a", b"b"), 2, is_dictionary=True)
    loose, codes = page(lengthy(*[b"c"] * 100), 100, 0), page(b"\2" + varint(200) + bytes([code]), 100)
    values, found = decoded(first + loose + codes, (False, False, 0, UNIQUE))
    assert (values is None) == (code == 2)
    if values is not None:
        assert found.tolist() == [2] * 100 + [1] * 100


@pytest.mark.parametrize("rows", [-1, 199, 201, 2**31, 2**40, 2**61])
def test_a_footer_that_lies_about_rows_is_told(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "a.parquet"
    write_simple(path, compression="none", store_schema=False)
    whole = path.read_bytes()
    begin = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    footer, number = whole[begin:-8], varint(2 * 200)
    place = footer.rindex(number)  # of the row group; zigzag: the sign is the lowest bit
    lie = varint(2 * rows if rows >= 0 else -2 * rows - 1)
    footer = footer[:place] + lie + footer[place + len(number) :]
    path.write_bytes(whole[:begin] + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    words = f"the footer says {rows}:" if rows > 0 else "does not say what row group 0 has"
    with Reader(path, coded=["text"]) as reader, pytest.raises(DataError, match=words):
        reader.read(0, ["text", "number"])


def test_calls_that_do_not_fit_are_refused() -> None:
    data, codes = np.zeros(100, dtype=np.uint8), np.zeros((1, 10), dtype=np.int32)
    good = (0, 4, 0, 0, 0, 0)
    for chunks in ([(0, 101 - SLACK, 0, 0, 0, 0)], [(-1, *good[1:])], [(5, *good[1:])], [good, good], []):
        with pytest.raises(ValueError, match="chunks"):
            kernels.decode(data, chunks, codes)
    assert kernels.decode(data, [(0, 30, 0, 0, 0, 0)], codes) == [None]

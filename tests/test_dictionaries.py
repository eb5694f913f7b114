"""Pages of distinct values that have one twice: pyarrow would give rows other texts, so they are refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from binclf.errors import DamageError
from binclf.kernels import library
from binclf.parquet import Reader, groups
from binclf.parquet.dictionaries import AsWritten
from binclf.parquet.rowgroup import RowGroup

TEXTS = [f"v{place:02d}q{place * 7919 % 97:02d}" for place in range(12)]


@pytest.fixture(autouse=True)
def _by_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the packing, without compiled loops pyarrow reads."""
    monkeypatch.setattr(library, "loops", None)


def write(path: Path, texts: Sequence[str | None], **other: Any) -> None:
    """A column of text by dictionary, without statistics or checksums that would tell of a change."""
    pq.write_table(pa.table({"text": texts}), path, write_statistics=False, **other)


def repeat(path: Path, first: str, second: str) -> None:
    """Make the second of two distinct values the first."""
    content = path.read_bytes()
    assert content.count(second.encode()) == 1
    path.write_bytes(content.replace(second.encode(), first.encode()))


def rows_of(path: Path) -> bytes:
    """The page that says of each row which value it has."""
    chunk = pq.read_metadata(path).row_group(0).column(0)
    return path.read_bytes()[
        chunk.data_page_offset : chunk.dictionary_page_offset + chunk.total_compressed_size
    ]


def said(path: Path) -> RowGroup:
    """What the footer says of the row group."""
    with Reader(path) as reader:
        return reader.said(0)


def read(path: Path) -> list[str | None]:
    """What our reader says."""
    with Reader(path, "some.parquet", coded=["text"]) as reader:
        codes, texts = reader.read(0, ["text"]).codes("text")
    return [texts[code] if code >= 0 else None for code in codes]


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_a_value_that_comes_twice_is_refused_by_name(tmp_path: Path, version: str) -> None:
    path = tmp_path / "a.parquet"
    write(path, [*TEXTS[:3], None, *TEXTS[:2]] * 9, compression="none", data_page_version=version)
    repeat(path, TEXTS[0], TEXTS[1])
    with pytest.raises(DamageError, match=r"'text' of some.parquet, row group 0 is damaged"):
        read(path)


def test_it_is_the_comparison_that_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: without it a row has another text than the file says, and nobody knows."""
    path, footer = tmp_path / "a.parquet", tmp_path / "b.parquet"
    texts = [TEXTS[place] for place in (0, 1, 2, 3, 2, 2)]
    write(path, texts, compression="none")
    write(footer, texts[:3] + [TEXTS[2]] * 3, compression="none")
    # the rows of a file that lacks the last value, under a page that has it
    mine, theirs = rows_of(path), rows_of(footer)
    assert len(mine) == len(theirs)
    path.write_bytes(path.read_bytes().replace(mine, theirs))
    assert read(path) == texts[:3] + [TEXTS[2]] * 3
    repeat(path, TEXTS[0], TEXTS[1])
    told = [TEXTS[0], TEXTS[0], *[TEXTS[2]] * 4]
    assert pq.read_table(path)["text"].to_pylist() == told
    with pytest.raises(DamageError, match="has one twice"):
        read(path)
    monkeypatch.setattr(groups, "refuse_other_dictionaries", lambda *_: None)
    assert read(path) == [TEXTS[0], *[TEXTS[2]], *[TEXTS[3]] * 4]  # without a word


def test_of_an_object_the_page_is_fetched_only_where_its_last_value_is_not_in_use(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    asked: list[int] = []

    def read(rows: int) -> int:
        asked.clear()
        with pa.OSFile(str(path)) as source:

            def read_at(size: int, begin: int) -> bytes:
                asked.append(size)
                return bytes(source.read_at(size, begin))

            file = pq.ParquetFile(source, read_dictionary=["text"])
            groups.read_group(file, 0, ["text"], rows, AsWritten(read_at, said(path)))
        return len(asked)

    write(path, [*TEXTS[:5], TEXTS[0]], compression="none")
    assert (read(0), read(6)) == (0, 1)  # of an object, which comes at once; of a local file
    codes = bytes.fromhex("884600")  # 0 1 2 3 4 0, three bits each
    assert rows_of(path).endswith(codes)
    path.write_bytes(path.read_bytes().replace(codes, bytes.fromhex("881001")))  # 0 1 2 0 1 2
    assert (read(0), read(6)) == (1, 1)
    repeat(path, TEXTS[0], TEXTS[1])
    with pytest.raises(pa.ArrowInvalid, match="has one twice"):
        read(0)


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whole_files_are_read(tmp_path: Path, seed: int) -> None:
    """Of every packing, with nulls, and where a writer gave its dictionary up."""
    draw = np.random.default_rng(seed)
    path = tmp_path / "a.parquet"
    words = [*TEXTS, "", "é", "x" * 300, *map(str, range(draw.integers(0, 300)))]
    texts = [
        None if draw.random() < 0.1 else words[i] for i in draw.integers(0, len(words), draw.integers(1, 900))
    ]
    write(
        path,
        texts,
        compression=str(draw.choice(["none", "snappy", "zstd", "gzip", "lz4", "brotli"])),
        dictionary_pagesize_limit=int(draw.choice([40, 1000, 2**20])),
        write_batch_size=int(draw.choice([7, 1024])),
        data_page_version=str(draw.choice(["1.0", "2.0"])),
    )
    assert read(path) == texts

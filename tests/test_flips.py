"""No flipped bit is read in silence: pages by their checksums, footers by their digest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from binclf.errors import DataError
from binclf.parquet import tail
from tests.flips import flip, parts, read
from tests.trained import on_disk


def test_none_of_many_flips_is_read_in_silence(tmp_path: Path) -> None:
    found = flip(tmp_path, 120, seed=1)
    assert found.silent == 0
    assert found.refused + found.harmless == 120
    assert found.refused > 100


def test_without_page_checksums_most_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: the test can see what the checksums see."""
    real = pq.ParquetFile

    def unchecked(path: Any, **options: Any) -> Any:
        return real(path, **{**options, "page_checksum_verification": False})

    monkeypatch.setattr(pq, "ParquetFile", unchecked)
    assert flip(tmp_path, 60, seed=1).silent > 20


def test_another_footer_is_refused_by_name_and_only_the_digest_sees_it(tmp_path: Path) -> None:
    file = max(parts(tmp_path), key=lambda part: part.rows)
    whole = file.path.read_bytes()
    content = pq.ParquetFile(file.path).metadata.schema.names
    damaged = whole.replace(b"number", b"numbes")  # in the footer alone: pages know no names
    assert "number" in content
    assert damaged != whole
    on_disk(file.path).write_bytes(damaged)
    assert pq.read_table(file.path).num_rows == file.rows  # a whole Parquet file to all others
    with pytest.raises(
        DataError, match=rf"the footer of {file.relative} is not what was written.*split again"
    ):
        read(file)


def test_a_footer_is_read_once_for_each_content_and_parsed_for_what_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = max(parts(tmp_path), key=lambda part: part.rows)
    seen: list[int] = []
    real = tail.Tail.of
    tail.forget()

    def counted(content: bytes) -> tail.Tail:
        seen.append(len(content))
        return real(content)

    monkeypatch.setattr(tail.Tail, "of", counted)
    monkeypatch.setattr(tail.Tail, "whole", lambda _: pytest.fail("all of it was parsed"))
    for _ in range(5):
        with file.reader() as reader:
            assert len(reader.read(0, ["number"])) == file.groups[0]
    assert len(seen) == 1


@pytest.mark.slow
def test_no_damaged_footer_of_others_making_ends_the_process(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.footers", str(tmp_path), "200", "1"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == 0, done.stderr
    refused, was_read = map(int, done.stdout.split())
    assert refused > 300
    assert was_read > 100

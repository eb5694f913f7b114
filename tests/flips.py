"""Single flipped bits in files that `split` writes: none may be read in silence as other data."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from binclf.errors import DataError
from binclf.parquet import tail
from binclf.split import PartFile, ensure
from tests import made
from tests.trained import on_disk


@dataclass
class Flips:
    """What became of them."""

    refused: int = 0  # with an error that names the file
    harmless: int = 0  # what is read is what was written
    silent: int = 0  # other data, and not a word


def parts(folder: Path) -> list[PartFile]:
    """The files of a split: floats, integers, text, booleans, dictionaries, nulls."""
    data = made.mixed_files(folder / "data", [3000, 500])
    split = ensure(made.config(data, folder / "store"))
    return [file for files in split.parts.values() for file in files]


def read(file: PartFile) -> pa.Table:
    """All that a file says."""
    with file.reader() as reader:
        names = reader.file.schema_arrow.names
        return pa.concat_tables([reader.read(group, names).table for group in range(len(file.groups))])


def flip(folder: Path, count: int, seed: int) -> Flips:
    """Flip one bit anywhere in a file, read it, put it back; so many times."""
    draw, found, files = random.Random(seed), Flips(), parts(folder)
    expected = {file.path: pq.read_table(file.path).to_pandas() for file in files}
    for _ in range(count):
        file = draw.choice(files)
        path = on_disk(file.path)
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        tail.forget()  # as another process, or a later one, would find it
        try:
            table = read(file)
        except DataError as error:
            found.refused += file.relative in str(error)
        else:
            same = table.to_pandas().equals(expected[file.path])
            found.harmless, found.silent = found.harmless + same, found.silent + (not same)
        path.write_bytes(whole)
    return found

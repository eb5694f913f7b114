"""Damaged footers of others' files, read in a process of its own: `python -m tests.footers DIR N SEED`.

Their pages are whole, and there is no digest to hold them against. pyarrow throws in C++ what Python does not
catch when it is asked for some parts of such a footer, and the process is gone.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from binclf import kernels
from binclf.errors import DataError
from binclf.parquet import Found, Reader, deal_rows, footer, layout, tail

ROW_GROUPS = 4  # the field of a footer
NAMES = ("number", "whole", "text", "list")


def made(path: Path) -> None:
    """Three row groups of a nullable float, integers, text by dictionary, and lists."""
    rows = 60
    table = pa.table(
        {
            "number": pa.array(np.arange(rows, dtype=np.float32), mask=np.arange(rows) % 9 == 1),
            "whole": np.arange(rows),
            "text": [f"t{i % 7}" if i % 5 else None for i in range(rows)],
            "list": [[i, i + 1] for i in range(rows)],
        }
    )
    pq.write_table(table, path, row_group_size=20, write_page_checksum=True)


def use(path: Path) -> None:
    """Ask for all that binclf asks of a file."""
    file = Found("some.parquet", path)
    rows = footer(file).rows
    layout(file)
    with Reader(path, "some.parquet", coded=["text"]) as reader:
        for group in range(reader.groups):
            reader.read(group, NAMES)
    deal_rows(path, "some.parquet", np.zeros(rows, dtype=np.int8), {0: path.with_name("part")}, 10)


def flips(footer: bytes, count: int, seed: int) -> list[tuple[int, int]]:
    """Bytes and bits: those of the first row group that make other fields of fields, and so many more."""
    draw, places = random.Random(seed), kernels.elements(footer, ROW_GROUPS)
    assert places is not None
    first = [(byte, bit) for byte in range(int(places[1]), int(places[2])) for bit in (5, 6)]
    return first + [(draw.randrange(len(footer) - 8), draw.randrange(8)) for _ in range(count)]


def damage(folder: Path, count: int, seed: int) -> dict[str, int]:
    """Flip single bits of a footer and use the file: how often it was refused by name."""
    path, told = folder / "a.parquet", {"refused": 0, "read": 0}
    made(path)
    whole = path.read_bytes()
    begin = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    for byte, bit in flips(whole[begin:], count, seed):
        damaged = bytearray(whole)
        damaged[begin + byte] ^= 1 << bit
        path.write_bytes(damaged)
        tail.forget()
        try:
            use(path)
        except DataError as error:
            if "some.parquet" not in str(error):
                raise
            told["refused"] += 1
        else:
            told["read"] += 1
    return told


if __name__ == "__main__":
    found = damage(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.write(f"{found['refused']} {found['read']}\n")

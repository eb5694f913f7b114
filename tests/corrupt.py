"""Damaged Parquet files by the hundred: `python -m tests.corrupt FOLDER COUNT SEED`, which prints JSON.

Bits flipped, bytes cut off, zeroed and exchanged, pages swapped, footers made anew with other bytes. Each is
looked at in all the ways that binclf reads a file. What may come out is our error with the file's name, or,
as long as the footer is as it was written, the rows that were written: pages carry checksums. Two things no
checksum of a page can see, and there an error or some rows come out, and never a crash: another footer (of a
user's own file; our own are known by theirs), and pages that were exchanged whole.

Run as a process of its own, since a reader that can be crashed would take its caller with it.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from binclf.errors import BinclfError
from binclf.parquet import Found, Reader, footer, tail
from binclf.parquet.layout import layout
from tests import made

SECONDS = 20.0  # for one file: a hang
OPTIONS: list[dict[str, Any]] = [
    {"compression": "none", "use_dictionary": False},
    {"compression": "snappy"},
    {"compression": "zstd", "data_page_version": "2.0"},
    {"compression": "gzip", "use_dictionary": ["word", "carrier"]},
]


def written(folder: Path) -> list[Path]:
    """Whole files of several layouts, with checksums."""
    table = made.mixed(700)
    return [
        made.write(
            folder / f"{n}.parquet", table, group_rows=300, write_page_checksum=True, data_page_size=900, **o
        )
        for n, o in enumerate(OPTIONS)
    ]


def begin_of_footer(content: bytes) -> int:
    return len(content) - 8 - int.from_bytes(content[-8:-4], "little")


def damaged(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    """One sort of damage, and what it makes of a file."""
    kind = draw.choice(
        ["flip", "cut", "zeros", "exchange", "pages", "footer", "bytes of the footer", "length"]
    )
    found, end = bytearray(content), begin_of_footer(content)
    if kind == "flip":
        found[draw.randrange(len(found))] ^= 1 << draw.randrange(8)
    elif kind == "cut":
        del found[draw.randrange(len(found)) :]
    elif kind == "zeros":
        place = draw.randrange(end)
        found[place : place + 64] = bytes(len(found[place : place + 64]))
    elif kind == "exchange":
        one, other = (draw.randrange(4, end - 64) for _ in range(2))
        found[one : one + 64], found[other : other + 64] = (
            content[other : other + 64],
            content[one : one + 64],
        )
    elif kind == "pages":
        meta = pq.read_metadata(pa.BufferReader(content))
        groups = [meta.row_group(draw.randrange(meta.num_row_groups)) for _ in range(2)]
        own = [group.column(draw.randrange(group.num_columns)) for group in groups]
        places = [(c.dictionary_page_offset or c.data_page_offset, c.total_compressed_size) for c in own]
        size = min(length for _, length in places)
        (one, _), (other, _) = places
        found[one : one + size], found[other : other + size] = (
            content[other : other + size],
            content[one : one + size],
        )
    elif kind == "footer":
        for _ in range(draw.randint(1, 5)):
            found[draw.randrange(end, len(found) - 8)] = draw.randrange(256)
    elif kind == "bytes of the footer":
        place = draw.randrange(end, len(found) - 8)
        found[place : place + draw.randint(0, 9)] = draw.randbytes(draw.randint(0, 9))
        found[-8:-4] = (len(found) - end - 8).to_bytes(4, "little")
    else:
        found[-8:-4] = draw.randbytes(4)
    return kind, bytes(found)


def unless_refused(call: Callable[[], Any], name: str) -> Any:
    """What a call gives; None for an error of ours, which names the file."""
    try:
        return call()
    except BinclfError as error:
        if name not in str(error):
            raise AssertionError(f"{name} is not named: {error}") from error
        return None


def looked_at(path: Path) -> list[Any]:
    """What the ways of reading a file make of it: its rows, or None for our error."""
    found, name = Found(path.name, path), path.name
    foot = unless_refused(lambda: footer(found), name)
    unless_refused(lambda: layout(found), name)
    names = [column.name for column in foot.columns] if foot is not None else []

    def rows(coded: Sequence[str]) -> list[Any]:
        with Reader(path, name, coded) as reader:
            return [part.table for part in reader.all(names)]

    return [unless_refused(partial(rows, coded), name) for coded in ([], names)]


def plain(tables: list[Any], name: str) -> list[Any]:
    return [repr(value) for table in tables for value in table[name].to_pylist()]


def main(folder: Path, count: int, seed: int) -> dict[str, Any]:
    """Damage and look, so many times."""
    draw, wrong = random.Random(seed), list[str]()
    whole = [path.read_bytes() for path in written(folder)]
    names = made.mixed(1).column_names
    expected = [{n: plain([pq.read_table(pa.BufferReader(c))], n) for n in names} for c in whole]
    seen, slowest, path = Counter[str](), 0.0, folder / "damaged.parquet"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(count):
        which = draw.randrange(len(whole))
        kind, content = damaged(whole[which], draw)
        path.write_bytes(content)
        tail.forget()
        began = time.monotonic()
        try:
            outcomes = looked_at(path)
        except Exception as error:  # none but ours may come out
            wrong.append(f"{number}, {kind}: {error!r}")
            continue
        slowest = max(slowest, time.monotonic() - began)
        is_footer_whole = (
            content[begin_of_footer(whole[which]) :] == whole[which][begin_of_footer(whole[which]) :]
        )
        for tables in outcomes:
            if tables is None:
                seen["refused"] += 1
            elif not is_footer_whole:
                seen["another footer"] += 1
            elif kind == "pages":
                seen["pages exchanged whole"] += 1
            elif all(plain(tables, name) == expected[which][name] for name in names):
                seen["unharmed"] += 1
            else:
                wrong.append(f"{number}, {kind}: other rows without a word")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if slowest > SECONDS:
        wrong.append(f"a file took {slowest:.0f} s")
    return {"seen": dict(seen), "wrong": wrong, "slowest": slowest, "grown_mebibytes": grown // 1024}


if __name__ == "__main__":
    np.seterr(all="ignore")
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))

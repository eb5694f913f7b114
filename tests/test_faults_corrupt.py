"""Damaged files: the interpreter lives, nothing hangs, and no other row comes out without a word."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf.check import check
from binclf.errors import BinclfError
from binclf.split import ensure
from tests import made
from tests.laws import examples

ROOT = Path(__file__).parents[1]
COUNT = 150


@pytest.mark.slow
def test_none_of_many_damaged_files_crashes_hangs_or_lies(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.corrupt", str(tmp_path), str(COUNT), "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, env=environment, cwd=ROOT, check=False
    )
    assert done.returncode == 0, f"the reader crashed: {done.returncode} {done.stderr[-2000:]}"
    told = json.loads(done.stdout)
    assert told["wrong"] == []
    assert sum(told["seen"].values()) == 2 * COUNT
    assert told["seen"]["refused"] > COUNT
    assert told["grown_mebibytes"] < 1024  # whatever sizes the bytes claim


KINDS = [
    pa.bool_(), pa.int8(), pa.int64(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.string(),
    pa.large_string(), pa.binary(), pa.date32(), pa.timestamp("us"), pa.timestamp("ns", "Asia/Tokyo"),
    pa.duration("s"), pa.time32("s"), pa.decimal128(12, 3), pa.null(), pa.list_(pa.int8()),
    pa.struct([("a", pa.int8())]), pa.dictionary(pa.int8(), pa.string()),
]  # fmt: skip
NAMES = st.text(min_size=0, max_size=8) | st.sampled_from(["label", "y", "a.b", "a:hour", "probability", "w"])


@st.composite
def columns(draw: st.DrawFn, rows: int) -> pa.Array:
    """Of any type, with nulls, made of small integers as far as the type allows."""
    kind = draw(st.sampled_from(KINDS))
    numbers = draw(st.lists(st.integers(0, 3) | st.none(), min_size=rows, max_size=rows))
    if pa.types.is_nested(kind) or pa.types.is_null(kind):
        return pa.nulls(rows, kind)
    base = pa.array(numbers, pa.int64())
    if pa.types.is_dictionary(kind):
        return base.cast(pa.string()).dictionary_encode()
    for through in (pa.int32(), pa.string(), pa.int64()):
        try:
            return base.cast(through).cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            continue
    return pa.nulls(rows, kind)


@examples(60)
@given(data=st.data())
def test_any_table_is_split_and_checked_or_refused_in_words(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Any types, nulls, names and sizes: no exception but ours, and `check` foretells what the split says."""
    folder = tmp_path_factory.mktemp("tables")
    for number in range(data.draw(st.integers(1, 2))):
        rows = data.draw(st.integers(0, 30))
        names = data.draw(st.lists(NAMES, max_size=4))
        arrays = [data.draw(columns(rows)) for _ in names]
        if data.draw(st.integers(0, 4)):
            names, arrays = [*names, "label"], [*arrays, pa.array([row % 2 == 0 for row in range(rows)])]
        table = pa.Table.from_arrays(arrays, names=names) if names else pa.table({})
        (folder / "data").mkdir(exist_ok=True)
        pq.write_table(table, folder / "data" / f"{number}.parquet", row_group_size=7)
    positive = data.draw(st.sampled_from(["", "1", "true", "x"]))
    roles = {"exclude": [], "ids": [], "positive": positive}
    config = made.config(folder / "data", folder / "store", data=roles)
    told = check(config)
    assert told["ok"] == (not told["problems"])
    with suppress(BinclfError):
        split = ensure(config)
        assert sum(split.rows(part) for part in split.parts) == split.receipt["rows"]
    assert not list((folder / "store").rglob("*.tmp"))

"""Rows of fixed size: fields do not overlap, begin with a line where that is cheap, come out as put in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf.features import Encoded
from binclf.kernels import STEP
from binclf.loader.records import LINE, MOST_PADDING, Layout, Records


@given(st.integers(0, 600), st.integers(0, 60), st.booleans())
def test_fields_lie_side_by_side_and_padding_is_bounded(
    columns: int, categories: int, is_weighted: bool
) -> None:
    layout = Layout(columns, categories, is_weighted)
    used = 4 * (columns + categories + is_weighted) + 1
    assert layout.numbers.start == 0
    assert (layout.numbers.stop, layout.ids.stop) == (layout.ids.start, layout.weight.start)
    assert layout.label == used - 1
    assert used <= layout.size < max((1 + MOST_PADDING) * used + 1, used + STEP)
    assert layout.size % STEP == 0
    if -(-used // LINE) * LINE <= (1 + MOST_PADDING) * used:
        assert layout.size % LINE == 0


@given(st.integers(0, 9), st.integers(0, 4), st.booleans(), st.integers(0, 40), st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("is_given", [False, True])
def test_what_is_put_in_is_gathered(
    is_given: bool, columns: int, categories: int, is_weighted: bool, count: int, seed: int
) -> None:
    draw, layout, rows = np.random.default_rng(seed), Layout(columns, categories, is_weighted), 30
    room = np.empty(Records.bytes_of(layout, rows) + 5, dtype=np.uint8)[5:]  # from anywhere in memory
    records = Records(layout, rows, room if is_given else None)
    assert records.bytes.__array_interface__["data"][0] % LINE == 0
    records.numbers[:] = draw.normal(size=(rows, columns))
    records.ids[:] = draw.integers(0, 2**31, (rows, categories))
    records.y[:] = draw.integers(0, 2, rows)
    if records.w is not None:
        records.w[:] = draw.random(rows)
    wanted = draw.integers(0, rows, count)
    out = Encoded(
        np.full((count, columns + 1), 7, dtype=np.float32), np.empty((count, categories), dtype=np.int32),
        np.empty(count, dtype=np.int8), np.empty(count, dtype=np.float32) if is_weighted else None,
    )  # fmt: skip
    records.gather(wanted, out)
    assert np.array_equal(out.x[:, :columns], records.numbers[wanted])
    assert (out.x[:, columns:] == 7).all()
    assert np.array_equal(out.ids, records.ids[wanted])
    assert np.array_equal(out.y, records.y[wanted])
    if out.w is not None and records.w is not None:
        assert np.array_equal(out.w, records.w[wanted])

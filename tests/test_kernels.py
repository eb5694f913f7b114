"""Loops over rows do what their definitions say, to the bit, compiled and in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import strategies as st

from binclf import kernels
from binclf.kernels import Field, library
from tests.loops import SEEDS, given

pytestmark = pytest.mark.usefixtures("either_loops")


@given(SEEDS, st.integers(1, 600), st.integers(0, 300), st.integers(0, 3))
def test_gather_takes_fields_of_rows(seed: int, width: int, count: int, more: int) -> None:
    draw = np.random.default_rng(seed)
    records = draw.integers(0, 256, (draw.integers(1, 500), 4 * width), dtype=np.uint8)
    rows = draw.integers(0, len(records), count)
    low, high = sorted(draw.integers(0, width + 1, 2).tolist())
    one, some = np.zeros(count, dtype=np.int8), np.full((count, high - low + more), 7, dtype=np.float32)
    place = int(draw.integers(4 * width))
    kernels.gather(records, rows, [Field(4 * low, 4 * (high - low), some), Field(place, 1, one)])
    taken = records[rows]
    assert some[:, : high - low].tobytes() == taken[:, 4 * low : 4 * high].tobytes()
    assert (some[:, high - low :] == 7).all()
    assert one.view(np.uint8).tolist() == taken[:, place].tolist()


@pytest.mark.parametrize("wrong", [-1, 5, 2**40])
def test_a_row_number_that_does_not_exist_is_an_error(wrong: int) -> None:
    records, out = np.zeros((5, 12), dtype=np.uint8), np.empty((40, 3), dtype=np.float32)
    rows = np.zeros(40, dtype=np.int64)
    kernels.gather(records, rows, [Field(0, 12, out)])
    rows[39] = wrong
    with pytest.raises(IndexError, match="one of the 5 rows"):
        kernels.gather(records, rows, [Field(0, 12, out)])


@pytest.mark.parametrize("field", [(-1, 4), (4, 9), (0, 13), (12, 1)])
def test_a_field_beyond_its_record_or_its_array_is_an_error(field: tuple[int, int]) -> None:
    out = np.empty((2, 2), dtype=np.float32)
    with pytest.raises(ValueError, match="do not fit"):
        kernels.gather(np.zeros((5, 12), dtype=np.uint8), np.zeros(2, dtype=np.int64), [Field(*field, out)])


@given(SEEDS, st.integers(1, 12), st.integers(0, 50))
def test_complete_fills_and_tells(seed: int, columns: int, count: int) -> None:
    draw = np.random.default_rng(seed)
    numbers = draw.normal(size=(count, columns)).astype(np.float32)
    lacking = np.flatnonzero(draw.random(columns) < 0.5)
    told = lacking[draw.random(len(lacking)) < 0.5]
    indicator = np.full(columns, -1, dtype=np.int64)
    indicator[told] = columns + draw.permutation(len(told))
    holes = (draw.random((count, columns)) < 0.4) & np.isin(np.arange(columns), lacking)
    fill = draw.normal(size=columns).astype(np.float32)
    x = np.full((count, columns + len(told)), -7, dtype=np.float32)  # what was there before
    x[:, :columns] = np.where(holes, np.float32(np.nan), numbers)
    kernels.complete(x, columns, lacking, fill, indicator)
    assert np.array_equal(x[:, :columns], np.where(holes, fill, numbers))
    for column in told:
        assert np.array_equal(x[:, indicator[column]], holes[:, column])


@pytest.mark.parametrize("columns", [1, 3, 28, 2049])
@pytest.mark.parametrize("rows", [0, 1, 72, 73, 74, 3000])
def test_rows_are_standardised(rows: int, columns: int) -> None:
    draw = np.random.default_rng(rows)
    shape = min(rows, 10**6 // columns), columns
    table, shift, scale = (draw.normal(size=s).astype(np.float32) for s in (shape, columns, columns))
    wanted = ((table - shift) * scale).tobytes()
    out, wide = np.empty_like(table), np.empty((shape[0], columns + 2), dtype=np.float32)
    kernels.standardise(table, shift, scale, out)
    kernels.standardise(table, shift, scale, wide[:, :columns])
    kernels.standardise(table, shift, scale, table)
    assert out.tobytes() == table.tobytes() == wide[:, :columns].tobytes() == wanted


@given(SEEDS, st.integers(1, 40), st.integers(0, 300), st.sampled_from([0.0, np.nan, np.inf, -np.inf]))
def test_columns_go_side_by_side_and_whether_all_are_finite_is_told(
    seed: int, columns: int, rows: int, bad: float
) -> None:
    draw = np.random.default_rng(seed)
    room = draw.normal(size=(columns, rows + 5)).astype(np.float32)
    room[:, rows:] = np.nan  # what lies between columns says nothing
    stage, out = room[:, :rows], np.full((rows, columns + 3), 7, dtype=np.float32)
    if rows:
        stage[draw.integers(columns), draw.integers(rows)] = bad
    shift, scale = (draw.normal(size=columns).astype(np.float32) for _ in range(2))
    columns_of = list(stage) if seed % 2 else stage
    is_finite = kernels.interleave(columns_of, shift, scale, out[:, 1 : columns + 1])
    wanted = ((stage - shift[:, np.newaxis]) * scale[:, np.newaxis]).T
    assert out[:, 1 : columns + 1].tobytes() == wanted.astype(np.float32).tobytes()
    assert (out[:, [0, -1]] == 7).all()
    assert is_finite == bool(np.isfinite(stage).all())


@given(SEEDS, st.lists(st.integers(1, 20), max_size=6))
def test_places_in_runs_are_numbered(seed: int, lengths: list[int]) -> None:
    draw = np.random.default_rng(seed)
    begins = draw.integers(0, 2**40, len(lengths))
    runs = [np.arange(b, b + n) for b, n in zip(begins, lengths, strict=True)]
    numbers = np.concatenate([np.zeros(0, dtype=np.int64), *runs])
    order, shift = draw.permutation(len(numbers)).astype(np.int32), int(draw.integers(len(numbers) + 1))
    out = np.empty(len(numbers), dtype=np.int64)
    kernels.canonical(order, shift, begins, np.array(lengths, dtype=np.int64), out)
    assert np.array_equal(out, np.roll(numbers[order], shift))


@given(SEEDS, st.integers(1, 40), st.integers(0, 700))
def test_lanes_are_asked_in_turn_until_one_has_no_more(seed: int, lanes: int, count: int) -> None:
    draw = np.random.default_rng(seed)
    table, at = draw.integers(0, 1000, (lanes, 80)), draw.integers(0, 10, lanes)
    ends = at + draw.integers(0, 30, lanes)
    first = int(draw.integers(lanes))
    wanted, places = [], at.tolist()
    for i in range(count):
        lane = (first + i) % lanes
        if places[lane] == ends[lane]:
            break
        wanted.append(table[lane, places[lane]])
        places[lane] += 1
    out = np.full(count, -1)
    assert kernels.deal(table, at, ends, first, out) == len(wanted)
    assert out[: len(wanted)].tolist() == wanted
    assert (out[len(wanted) :] == -1).all()
    assert at.tolist() == places


def test_the_stride_of_what_is_only_one_does_not_matter() -> None:
    one, two = np.ones(1, dtype=np.float32), np.full(1, 2, dtype=np.float32)
    column, row = np.arange(4, dtype=np.float32)[::3][:1], np.zeros((2, 2), dtype=np.float32)[:, ::2]
    assert column.strides != (4,)
    assert row.strides[1] != 4
    assert kernels.interleave([column], one, one, row[:1])
    assert row.tolist() == [[-1], [0]]
    kernels.standardise(row, one, two, row)
    assert row.tolist() == [[-4], [-2]]


def test_loops_of_another_version_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    if not kernels.IS_COMPILED:
        pytest.skip("there was no compiler when binclf was installed")
    assert library._compiled() is not None
    monkeypatch.setattr(library, "VERSION", library.VERSION + 1)
    assert library._compiled() is None


def test_a_checksum_is_exact_arithmetic() -> None:
    stride, flipped = 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03
    rows = np.random.default_rng(0).integers(0, 2**62, 500)
    words = [(row + 1) * stride % 2**64 for row in rows.tolist()]
    wanted = sum(u + 2 * u * (u ^ flipped) for u in words) % 2**64
    assert kernels.checksum(rows, stride, flipped) == wanted

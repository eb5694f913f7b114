"""Loops over columns: codes, bins, buckets, texts, moments, checksums, and terms of a score."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from binclf import kernels
from binclf.kernels import library
from binclf.retrain import retrain
from tests.loops import SEEDS, given
from tests.trained import people, settings, write

pytestmark = pytest.mark.usefixtures("either_loops")


@given(SEEDS, st.integers(0, 6), st.integers(0, 700))
def test_codes_become_ids(seed: int, columns: int, rows: int) -> None:
    draw = np.random.default_rng(seed)
    tables = [draw.integers(0, 10**6, draw.integers(1, 9)).astype(np.int32) for _ in range(columns)]
    codes = np.empty((columns, rows), dtype=np.int32)
    for own, table in zip(codes, tables, strict=True):
        own[:] = draw.integers(-1, len(table) - 1, rows) if len(table) > 1 else -1
    out, wide = np.empty((rows, columns), dtype=np.int32), np.full((rows, columns + 3), 7, dtype=np.int32)
    kernels.encode(codes, tables, out)
    for place, (own, table) in enumerate(zip(codes, tables, strict=True)):
        assert out[:, place].tolist() == [int(table[code]) for code in own]  # -1 is the last
    part = wide[:, 1 : columns + 1]
    part[:] = codes.T
    kernels.encode(part.T, tables, part)  # where the codes were
    assert np.array_equal(part, out)
    assert (wide[:, [0, -1, -2]] == 7).all()
    if columns and rows:
        codes[-1, -1] = len(tables[-1])
        with pytest.raises(IndexError):
            kernels.encode(codes, tables, out)


def test_codes_are_counted() -> None:
    codes = np.random.default_rng(0).integers(-1, 9, 1000).astype(np.int32)
    assert kernels.tally(codes, 12).tolist() == [int((codes == code).sum()) for code in range(-1, 12)]
    for wrong in (12, -2):
        codes[7] = wrong
        with pytest.raises(IndexError, match="beyond the 12"):
            kernels.tally(codes, 12)


@given(SEEDS, st.integers(0, 600), st.booleans())
def test_bins_hold_what_falls_into_them(seed: int, rows: int, has_units: bool) -> None:
    draw = np.random.default_rng(seed)
    table = draw.normal(size=(rows, 5)).astype(np.float32)[:, :4]
    table[draw.random((rows, 4)) < 0.2] = np.nan
    table[draw.random((rows, 4)) < 0.2] = draw.choice([-1.0, -0.9, 0.0, 1.0, -1e30])
    units = draw.integers(0, 1000, rows).astype(np.float64) if has_units else None
    columns, centres = np.array([2, 0]), np.array([5.0, -1.0])
    ends = np.array([[4.0, 0.1], [-2.0, 0.25]])
    counts, wanted = np.zeros((2, 2, 22), dtype=np.int64)
    kernels.histograms(table, columns, centres, units, ends, counts)
    for which, column in enumerate(columns):
        low, width = ends[which]
        for row, value in enumerate(table[:, column].astype(np.float64) + centres[which]):
            if not np.isnan(value):
                place = min(max(int(np.floor((value - low) / width)) + 1, 0), 21)
                wanted[which, place] += 1 if units is None else int(units[row])
    assert counts.tolist() == wanted.tolist()
    with pytest.raises(IndexError, match="beyond the 4"):
        kernels.histograms(table, np.array([2, 4]), centres, units, ends, counts)


@given(SEEDS, st.integers(0, 200), st.integers(0, 8))
def test_buckets_of_what_counts_are_marked(seed: int, count: int, bits: int) -> None:
    draw = np.random.default_rng(seed)
    hashes = draw.integers(0, 2**64, count, dtype=np.uint64)
    counts, filled = draw.integers(0, 3, count), draw.random(2**bits) < 0.1
    wanted = filled.copy()
    for value, rows in zip(hashes.tolist(), counts.tolist(), strict=True):
        wanted[value % 2**bits] |= rows > 0
    kernels.mark(hashes, counts, filled)
    assert np.array_equal(filled, wanted)
    with pytest.raises(ValueError, match="3 places"):
        kernels.mark(hashes, counts, np.zeros(3, dtype=np.bool_))


def test_texts_that_do_not_lie_one_behind_the_other_are_refused() -> None:
    data = np.zeros(9, dtype=np.uint8)
    for offsets in ([0, 4, 3], [-1, 3], [0, 10], [0, 10**6, 3], []):
        with pytest.raises(ValueError, match="texts"):
            kernels.hash_texts(data, np.array(offsets, dtype=np.int64), 0)


def test_words_are_mixed_as_splitmix64_does() -> None:
    words = np.arange(100, dtype=np.uint64) * np.uint64(2**57 + 12345)
    wanted = []
    for word in words.tolist():
        z = (word + 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        wanted.append(z ^ z >> 31)
    kernels.mix(words)
    assert words.tolist() == wanted


def column_of(rows: int, sort: str, draw: np.random.Generator) -> Any:
    """Numbers of some sort, float64."""
    values = draw.normal(1e3, 2.0, rows) * 10.0 ** draw.integers(-3, 4)
    if sort == "holes":
        values[draw.random(rows) < 0.3] = np.nan
    if sort == "missing":
        values[:] = np.nan
    if sort == "zeros":
        values[:] = -0.0
    if sort == "infinite" and rows:
        values[draw.integers(rows)] = draw.choice([-np.inf, np.inf])
    return values


@given(
    SEEDS,
    st.integers(0, 2000),
    st.lists(st.sampled_from(["plain", "holes", "missing", "zeros", "infinite"]), max_size=5),
    st.booleans(),
    st.sampled_from([np.float32, np.float64]),
)
def test_moments_are_those_of_the_definition_and_have_the_same_bits_either_way(
    seed: int, rows: int, sorts: list[str], is_weighted: bool, dtype: Any
) -> None:
    draw = np.random.default_rng(seed)
    columns = [column_of(rows, sort, draw).astype(dtype) for sort in sorts]
    weights = draw.choice([0.0, 0.5, 1.7], rows) if is_weighted else None
    found = kernels.moments(columns, weights, with_sums=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "loops", None)
        assert kernels.moments(columns, weights, with_sums=True).tobytes() == found.tobytes()
    assert np.array_equal(kernels.moments(columns, weights, with_sums=False)[:, 3:], found[:, 3:])
    if columns:
        assert kernels.moments(np.stack(columns), weights, with_sums=True).tobytes() == found.tobytes()
    own = np.ones(rows) if weights is None else weights
    for column, told in zip(columns, found, strict=True):
        present = ~np.isnan(column)
        v, w = column[present].astype(np.longdouble), own[present].astype(np.longdouble)
        assert told[3:].tolist() == [(~present).sum(), v.min(initial=np.inf), v.max(initial=-np.inf)]
        if np.isinf(v).any() or not w.sum():
            assert told[:3].tolist() == [0.0, 0.0, 0.0]
            continue
        mean = (w * v).sum() / w.sum()
        wanted = [float(w.sum()), float(mean), float((w * (v - mean) ** 2).sum())]
        assert told[:3].tolist() == pytest.approx(wanted, rel=1e-11)


@pytest.mark.slow
def test_a_run_has_the_same_bits_without_a_compiler(tmp_path: Path) -> None:
    write(tmp_path / "data" / "people.parquet", people(1500), [700, 0, 800])
    config = settings(tmp_path / "data", tmp_path / "store", train={"epochs": 2})
    found = [retrain(config)]  # by what the fixture set
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "loops", None)
        found.append(retrain(config))
    for name in ("features.json", "model.safetensors"):
        assert len({(run / name).read_bytes() for run in found}) == 1


@given(SEEDS, st.integers(0, 300), st.integers(0, 5), st.integers(0, 40))
def test_crc32_is_what_zlib_has(seed: int, size: int, count: int, apart: int) -> None:
    room = np.random.default_rng(seed).integers(0, 256, (count, size + apart), dtype=np.uint8)
    rows = room[:, apart // 2 : apart // 2 + size]
    assert kernels.crc32s(rows).tolist() == [zlib.crc32(row.tobytes()) for row in rows]


def test_crc32_of_much_and_of_nothing() -> None:
    content = np.random.default_rng(0).bytes(1_000_003)
    assert kernels.crc32(content) == kernels.crc32(memoryview(content)) == zlib.crc32(content)
    assert kernels.crc32(b"") == 0


@given(
    SEEDS, st.integers(0, 40), st.integers(0, 100), st.integers(0, 40), st.sampled_from([0.0, np.nan, np.inf])
)
def test_records_are_written_whole(seed: int, columns: int, rows: int, more: int, bad: float) -> None:
    draw = np.random.default_rng(seed)
    stage = draw.normal(size=(columns, rows)).astype(np.float32)
    if stage.size:
        stage[draw.integers(columns), draw.integers(rows)] = bad
    shift, scale = (draw.normal(size=columns).astype(np.float32) for _ in range(2))
    labels = draw.integers(-1, 2, rows).astype(np.int8)
    size = -(-(4 * columns + 1 + more) // 16) * 16
    room = np.full((rows + 2) * size + 64, 7, dtype=np.uint8)
    begin = -room.__array_interface__["data"][0] % 64
    whole = room[begin : begin + (rows + 2) * size].reshape(rows + 2, size)
    place = int(draw.integers(4 * columns, size))
    assert kernels.can_record(whole)
    is_finite = kernels.record(stage, shift, scale, labels, place, whole[1:-1])
    wanted = np.zeros((rows, size), dtype=np.uint8)
    side_by_side = ((stage - shift[:, np.newaxis]) * scale[:, np.newaxis]).T.astype(np.float32)
    wanted[:, : 4 * columns] = np.ascontiguousarray(side_by_side).view(np.uint8).reshape(rows, 4 * columns)
    wanted[:, place] = labels.view(np.uint8)
    assert whole[1:-1].tobytes() == wanted.tobytes()
    assert (whole[[0, -1]] == 7).all()
    assert is_finite == bool(np.isfinite(stage).all())


def test_records_that_cannot_be_written_whole_are_refused() -> None:
    one, labels = np.ones(1, dtype=np.float32), np.zeros(4, dtype=np.int8)
    stage = np.ones((1, 4), dtype=np.float32)
    room = np.zeros(4 * 4096 + 64, dtype=np.uint8)
    for size, place in [(20, 4), (4096, 4), (32, 3), (32, 32)]:
        with pytest.raises(ValueError, match="do not fit"):
            kernels.record(stage, one, one, labels, place, room[: 4 * size].reshape(4, size))


NUMBERS = st.one_of(
    st.floats(-1e9, 1e9), st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324, -1e300, 1e308])
)


def term_of(draw: np.random.Generator, rows: int, numbers: list[float]) -> kernels.Term:
    """One of the five sorts of terms."""
    sort = draw.integers(5)
    held = draw.choice(numbers, rows if sort < 2 else len(numbers))
    codes = draw.integers(-1, len(held) or 1, rows).astype(np.int32)
    if sort == 4:
        return kernels.Tabled(codes, np.append(held, 0.25))
    with np.errstate(over="ignore"):
        held = held.astype(np.float32 if sort % 2 else np.float64)
    shift, slope, blank = draw.normal(size=3).tolist()
    return kernels.Sloped(held, shift, slope, blank, codes if sort > 1 else None)


def one_row(term: kernels.Term, row: int) -> float:
    """What a term adds to a row, by its definition."""
    if isinstance(term, kernels.Tabled):
        return float(term.table[term.codes[row]])
    value = float("nan") if term.codes is not None and term.codes[row] < 0 else None
    if value is None:
        value = float(term.values[row if term.codes is None else term.codes[row]])
    return term.blank if value != value else (value - term.shift) * term.slope


@given(SEEDS, st.integers(0, 2100), st.integers(0, 9), st.lists(NUMBERS, min_size=1, max_size=9))
def test_terms_are_added_one_after_the_other(
    seed: int, rows: int, columns: int, numbers: list[float]
) -> None:
    draw = np.random.default_rng(seed)
    terms = [term_of(draw, rows, numbers) for _ in range(columns)]
    sums = draw.normal(size=rows)
    wanted = sums.copy()
    some = np.unique(draw.integers(0, rows, min(rows, 40))) if rows else np.zeros(0, dtype=np.int64)
    for row in some.tolist():
        for term in terms:
            wanted[row] = float(wanted[row]) + one_row(term, row)
    is_finite = kernels.add(terms, sums)
    assert np.array_equal(sums[some], wanted[some], equal_nan=True)
    assert is_finite == bool(np.isfinite(sums).all())
    for term in terms:
        low, high = sorted(draw.integers(0, rows + 1, 2).tolist())
        assert np.array_equal(term.between(low, high).added(), term.added()[low:high], equal_nan=True)


def test_terms_that_do_not_fit_are_refused() -> None:
    sums, codes = np.zeros(3), np.array([0, 2, -1], dtype=np.int32)
    with pytest.raises(IndexError):
        kernels.add([kernels.Tabled(codes, np.zeros(2))], sums)
    with pytest.raises(IndexError):
        kernels.add([kernels.Sloped(np.zeros(2), 0.0, 1.0, 0.0, codes)], sums)
    half: Any = np.zeros(3, dtype=np.float16)
    for wrong in (
        kernels.Sloped(np.zeros(4), 0.0, 1.0, 0.0),
        kernels.Sloped(np.zeros(6)[::2], 0.0, 1.0, 0.0),
        kernels.Sloped(half, 0.0, 1.0, 0.0),
        kernels.Tabled(codes, np.zeros(0)),
    ):
        with pytest.raises(ValueError, match=r"needed|contiguous|needs"):
            kernels.add([wrong], sums)

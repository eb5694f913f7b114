"""Numbers decoded many columns at once are what each column alone says, in any type and any tiling."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf.errors import DataError
from binclf.features import Target, numbers
from binclf.features.numbers import Numbers, Standard, read_numbers
from binclf.parquet import Rows
from tests.laws import examples

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

LIMIT = 2**24  # beyond which float32 rounds integers


def table_of(rows: int, columns: int, holes: float, draw: np.random.Generator) -> pa.Table:
    """Columns of each sort in turn: float32, int32 short and long, float64, bool, int8, all missing."""
    made: dict[str, pa.Array] = {}
    for place in range(columns):
        mask = draw.random(rows) < holes
        noise = draw.normal(place, 1.0, rows)
        values: Any = [
            noise.astype(np.float32),
            draw.integers(-LIMIT, LIMIT + 1, rows).astype(np.int32),
            draw.integers(-(2**31), 2**31, rows).astype(np.int32),
            noise * 1e-3 + 93.27,
            noise > place,
            draw.integers(-128, 128, rows).astype(np.int8),
            np.where(draw.random(rows) < holes, np.nan, noise).astype(np.float32),
            np.round(noise * 8) / 8,  # float64 that float32 holds
        ][place % 8]
        made[f"c{place}"] = pa.array(values, mask=mask if place != 9 else np.ones(rows, dtype=np.bool_))
    return pa.table(made)


def put(out: F32) -> Target:
    """Where numbers float32 [n, F] go."""
    return Target(out, np.empty((0, len(out)), dtype=np.int32))


def decoded(table: pa.Table, weights: F64 | None, log1p: tuple[str, ...] = ()) -> tuple[F32, Numbers]:
    """Residuals, and what is told of them."""
    rows = Rows(table, "a, row group 0")
    out = np.full((len(rows), table.num_columns), -7.0, dtype=np.float32)
    return out, read_numbers(rows, rows.columns(), log1p, weights, put(out), moments=True)


def expected(values: F64, raw: F64, weights: F64) -> list[float]:
    """Moments of one column by its definition."""
    present = ~np.isnan(values)
    v, w = values[present].astype(np.longdouble), weights[present].astype(np.longdouble)
    total = float(w.sum())
    mean = float((v * w).sum() / w.sum()) if total > 0 else 0.0
    m2 = float((w * (v - mean) ** 2).sum()) if total > 0 else 0.0
    low, high = (raw[present].min(), raw[present].max()) if present.any() else (np.inf, -np.inf)
    return [total, mean, m2, float((~present).sum()), float(low), float(high)]


@examples(80)
@given(
    rows=st.integers(0, 90), columns=st.integers(1, 40), holes=st.sampled_from([0.0, 0.2, 1.0]),
    is_weighted=st.booleans(), together=st.sampled_from([1, 7, 32]), seed=st.integers(0, 2**32),
)  # fmt: skip
def test_moments_are_those_of_each_column_alone(
    rows: int, columns: int, holes: float, is_weighted: bool, together: int, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    table = table_of(rows, columns, holes, draw)
    weights = draw.integers(0, 3, rows) / 2 if is_weighted else None
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(numbers, "TOGETHER", together)
        out, found = decoded(table, weights, log1p=("c3", "c8"))
    assert found.moments is not None
    for place, name in enumerate(table.column_names):
        raw = Rows(table, "a").numbers(name)
        values = np.sign(raw) * np.log1p(np.abs(raw)) if name in ("c3", "c8") else raw
        told = expected(values, raw, np.ones(rows) if weights is None else weights)
        assert found.moments[place, 3:].tolist() == told[3:], name
        assert found.moments[place, :3] == pytest.approx(told[:3], rel=1e-12, abs=1e-12), name
        assert found.missing[place] == np.isnan(values).any()
        kept = (values - found.centre[place]).astype(np.float32)
        assert np.array_equal(out[:, place], kept, equal_nan=True), name


@pytest.mark.parametrize("holes", [0.0, 0.3])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_a_column_s_moments_do_not_depend_on_its_type_or_its_neighbours(
    is_weighted: bool, holes: float
) -> None:
    draw = np.random.default_rng(5)
    rows = 20_000
    weights = draw.gamma(2.0, 0.5, rows) if is_weighted else None
    values, mask = draw.integers(-100, 100, rows), draw.random(rows) < holes
    types = [pa.int8(), pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.decimal128(9, 2)]
    alone = decoded(pa.table({"a": pa.array(values, mask=mask).cast(types[0])}), weights)
    short = pa.array(values, mask=mask).cast(pa.int16())
    beside = {"holed": pa.array(values, mask=draw.random(rows) < 0.5), "long": pa.array(values + 93.27)}
    many = decoded(pa.table({str(kind): short.cast(kind) for kind in types} | beside), weights)
    assert alone[1].moments is not None
    assert many[1].moments is not None
    for place in range(len(types)):
        assert many[1].moments[place].tobytes() == alone[1].moments[0].tobytes()
        assert many[0][:, place].tobytes() == alone[0][:, 0].tobytes()
    assert np.signbit(many[1].moments[many[1].moments == 0.0]).sum() == 0  # ranks' sums know no -0.0


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
@pytest.mark.parametrize("beside", [0.0, np.nan])
@pytest.mark.parametrize("moments", [False, True])
def test_an_infinity_is_refused_by_name_wherever_it_is(bad: float, beside: float, moments: bool) -> None:
    for row in (0, 4999):
        values = np.zeros(5000, dtype=np.float32)
        values[[row, 2500]] = bad, beside
        table = pa.table({"bad": values})
        rows, out = Rows(table, "a, row group 0"), np.empty((5000, 1), dtype=np.float32)
        with pytest.raises(DataError, match=r"column 'bad' of a, row group 0 holds 1 infinite values"):
            read_numbers(rows, rows.columns(), (), None, put(out), moments=moments)


def test_null_slots_and_slices_of_an_array_are_read_as_they_are_meant() -> None:
    whole = pa.array([LIMIT, None, 3, LIMIT * 8, None, -1, 2], pa.int32())
    for low, high in [(0, 3), (1, 3), (2, 7), (4, 5), (4, 7), (5, 7), (3, 3)]:
        array = whole.slice(low, high - low)
        out, found = decoded(pa.table({"c": array}), None)
        exact = np.array([np.nan if v is None else v for v in array.to_pylist()], dtype=np.float64)
        assert np.array_equal(out[:, 0] + found.centre[0], exact, equal_nan=True)


@given(st.integers(0, 2**32 - 1), st.integers(1, 70), st.integers(0, 400), st.sampled_from([0.0, 0.1]))
@examples(40)
def test_standardised_at_once_or_afterwards_the_bits_are_the_same(
    seed: int, columns: int, rows: int, holes: float
) -> None:
    draw = np.random.default_rng(seed)
    table = table_of(rows, columns, holes, draw)
    residuals, told = decoded(table, None)
    standard = Standard(draw.normal(size=columns) * 100, np.exp(draw.normal(size=columns)).astype(np.float32))
    out, source = np.empty_like(residuals), Rows(table, "a, row group 0")
    found = read_numbers(source, source.columns(), (), None, put(out), moments=False, standard=standard)
    shift, scale = standard.of(slice(None), told.centre)
    assert out.tobytes() == ((residuals - shift) * scale).tobytes()
    assert np.array_equal(found.missing, told.missing)

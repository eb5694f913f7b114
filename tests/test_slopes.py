"""Loss and gradient of rows, for tables of any size: by the definition, in whole numbers of any order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf.kernels import Places, Slopes, library
from tests.laws import examples
from tests.test_curvature import Rows, expected, rows_of

pytestmark = pytest.mark.usefixtures("either_loops")


def sums(rows: Rows, unit: float, *, order: Any = None, is_first: bool = True) -> Slopes:
    """By the kernel, the rows in some order."""
    at = slice(None) if order is None else order
    size = len(rows.table)
    sizes = np.zeros(size, np.int64) if is_first else None
    found = Slopes(rows.slopes, rows.table, rows.blanks, Places(unit, np.zeros(size, np.int64), sizes))
    found.add(rows.x[at], rows.ids[at], rows.y[at], None if rows.w is None else rows.w[at])
    return found


def each_slope(rows: Rows) -> Any:
    """Slope of each row by the definition, [n]."""
    count = len(rows.y)
    alone = [Rows(rows.x[i : i + 1], rows.ids[i : i + 1], rows.y[i : i + 1], None if rows.w is None else
                  rows.w[i : i + 1], rows.slopes, rows.table, rows.blanks) for i in range(count)]  # fmt: skip
    return np.array([expected(row)["gradient"][-1] for row in alone], dtype=np.longdouble)


@examples(60, keeps_fixtures=True)
@given(
    st.integers(0, 2**32 - 1), st.integers(0, 150), st.integers(0, 20), st.integers(0, 4), st.integers(1, 9),
    st.sampled_from([0.0, 0.2]), st.integers(-50, -20),
)  # fmt: skip
def test_sums_are_those_of_the_definition(
    seed: int, count: int, columns: int, chosen: int, size: int, missing: float, exponent: int
) -> None:
    rows, unit = rows_of(seed, count, columns, chosen, size, missing=missing), 2.0**exponent
    found, wanted, slopes = sums(rows, unit), expected(rows), each_slope(rows)
    room = 1e-11 * (count + 1)
    totals = [wanted["loss"], np.abs(slopes).sum(), np.diag(wanted["hessian"])[-1]]
    np.testing.assert_allclose(found.totals, np.array(totals, dtype=float), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(found.gradient, wanted["gradient"].astype(float), rtol=1e-11, atol=room)
    np.testing.assert_allclose(found.squares, np.diag(wanted["hessian"]).astype(float), rtol=1e-11, atol=room)
    assert found.places.sizes is not None
    times = np.zeros((count, size))
    for own in rows.ids.T:
        np.add.at(times, (np.arange(count), own), 1)
    for own, each in ((found.places.slopes, slopes), (found.places.sizes, np.abs(slopes))):
        off = np.abs(own * np.longdouble(unit) - times.T @ each)
        assert (off <= times.sum(axis=0) * (unit / 2 + 1e-14)).all()


@examples(40, keeps_fixtures=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 200), st.integers(1, 4), st.integers(1, 9))
def test_the_table_s_sums_have_the_same_bits_in_any_order(
    seed: int, count: int, chosen: int, size: int
) -> None:
    """Rows one by one and shuffled, from other threads' tables: integers leave no trace of that."""
    rows = rows_of(seed, count, 3, chosen, size)
    order = np.random.default_rng(seed).permutation(count)
    whole, cut = sums(rows, 2.0**-50), int(order[0])
    parts = [sums(rows, 2.0**-50, order=own) for own in (order[:cut], order[cut:])]
    joined = parts[0].places.slopes + parts[1].places.slopes
    if library.loops is None:  # NumPy's product of a matrix rounds by its shape
        assert np.abs(joined - whole.places.slopes).max() <= count
    else:
        assert np.array_equal(joined, whole.places.slopes)


def test_squares_and_sizes_are_for_those_who_want_them() -> None:
    rows = rows_of(0, 50, 3, 2, 4)
    found, first = sums(rows, 2.0**-40, is_first=False), sums(rows, 2.0**-40)
    assert not found.squares.any()
    assert np.array_equal(found.places.slopes, first.places.slopes)
    assert found.totals.tobytes() == first.totals.tobytes()


@pytest.mark.parametrize("slope", [0.5, 1.5, -0.5, -1.5, 2.0**51 + 0.5, -(2.0**51) - 0.5, 2.0**61])
def test_halves_are_rounded_to_even_at_any_size(slope: float) -> None:
    """A row of label 0 whose logit is nought has half its weight for a slope."""
    rows = rows_of(0, 1, 0, 1, 1, spread=0.0)
    rows.y[0], rows.w = slope < 0, np.array([2 * abs(slope)], np.float32)
    weight = float(rows.w[0]) / 2  # as float32 has it
    found = sums(rows, 1.0).places.slopes[0]
    assert found == int(np.rint(np.copysign(weight, slope)))


def test_an_id_beyond_the_table_and_sums_of_another_length_are_errors() -> None:
    for wrong in (-1, 6):
        rows = rows_of(0, 10, 2, 3, 6)
        rows.ids[4, 1] = wrong
        with pytest.raises(IndexError, match="one of the 6 places"):
            sums(rows, 1e-9)
    rows = rows_of(0, 10, 2, 3, 6)
    with pytest.raises(ValueError, match="sums of 5 places do not fit a table of 6"):
        Slopes(rows.slopes, rows.table, rows.blanks, Places(1.0, np.zeros(5, np.int64)))

"""Loss, gradient and Hessian of rows are those of the definition, compiled and in NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf.kernels import Blanks, Curvature, library
from tests.laws import examples

pytestmark = pytest.mark.usefixtures("either_loops")


@dataclass
class Rows:
    """Some rows, and a point."""

    x: Any
    ids: Any
    y: Any
    w: Any
    slopes: Any
    table: Any
    blanks: Blanks

    def sums(self, cuts: tuple[int, ...] = (), *, squared: bool = False) -> Curvature:
        """By the kernel, of pieces."""
        found = Curvature(self.slopes, self.table, self.blanks, squared=squared)
        for low, high in pairwise([0, *cuts, len(self.y)]):
            at = slice(low, high)
            found.add(self.x[at], self.ids[at], self.y[at], None if self.w is None else self.w[at])
        return found


def rows_of(
    seed: int, count: int, columns: int, chosen: int, size: int, spread: float = 1.0, missing: float = 0.0
) -> Rows:
    """Rows that lie apart in memory; some numbers are missing, and every second column has an indicator."""
    draw = np.random.default_rng(seed)
    indicated = np.flatnonzero(np.arange(columns) % 2)
    width = columns + len(indicated)
    indicator = np.full(width, -1, dtype=np.int64)
    indicator[indicated] = columns + np.arange(len(indicated))
    memory = np.full((count, columns + 3), 1e30, dtype=np.float32)
    memory[:, :columns] = draw.normal(size=(count, columns))
    memory[:, :columns][draw.random((count, columns)) < missing] = np.nan
    bytes_apart = np.zeros((count, 5), dtype=np.int8)
    bytes_apart[:, 3] = draw.integers(0, 2, count)
    weights = draw.choice([0.0, 0.5, 2.0], (count, 2)).astype(np.float32)
    return Rows(
        memory[:, :columns],
        draw.integers(0, size, (count, chosen + 1)).astype(np.int32)[:, :chosen],
        bytes_apart[:, 3],
        weights[:, 1] if seed % 2 else None,
        draw.normal(size=width + 1) * spread,
        draw.normal(size=size) * spread,
        Blanks(draw.normal(size=width).astype(np.float32), indicator),
    )


def expected(rows: Rows, *, squared: bool = False) -> dict[str, Any]:
    """By the definition, with one-hot columns, in long double."""
    given = rows.x.shape[1]
    u = np.zeros((len(rows.x), len(rows.slopes)), dtype=np.longdouble)
    u[:, :given], u[:, -1] = rows.x, 1
    for row, column in zip(*np.nonzero(np.isnan(rows.x)), strict=True):
        u[row, column] = rows.blanks.fill[column]
        if rows.blanks.indicator[column] >= 0:
            u[row, rows.blanks.indicator[column]] = 1
    hot = np.zeros((len(rows.x), len(rows.table)), dtype=np.longdouble)
    for own in rows.ids.T:
        np.add.at(hot, (np.arange(len(rows.x)), own), 1)
    z = u @ rows.slopes + hot @ rows.table
    weight = np.ones(len(rows.x)) if rows.w is None else rows.w.astype(np.longdouble)
    p = 1 / (1 + np.exp(-z))
    slope = weight * (p - rows.y)
    bend = slope**2 if squared else weight * p * (1 - p)
    return {
        "slopes": slope,
        "loss": (weight * (np.logaddexp(0, z) - rows.y * z)).sum(),
        "gradient": u.T @ slope,
        "table_gradient": hot.T @ slope,
        "hessian": np.triu((u.T * bend) @ u),
        "mixed": (hot.T * bend) @ u,
        "pairs": np.triu((hot.T * bend) @ hot),
    }


@examples(120, keeps_fixtures=True)
@given(
    st.integers(0, 2**32 - 1), st.integers(0, 200), st.integers(0, 40), st.integers(0, 3), st.integers(1, 6),
    st.sampled_from([0.0, 0.2]), st.booleans(),
)  # fmt: skip
def test_sums_are_those_of_the_definition(
    seed: int, count: int, columns: int, chosen: int, size: int, missing: float, squared: bool
) -> None:
    rows = rows_of(seed, count, columns, chosen, size, missing=missing)
    found, wanted = rows.sums(squared=squared), expected(rows, squared=squared)
    assert found.loss == pytest.approx(float(wanted["loss"]), rel=1e-12, abs=1e-12)
    for name in ("gradient", "table_gradient", "mixed", "hessian", "pairs"):
        own = getattr(found, name)
        own = np.triu(own) if name in ("hessian", "pairs") else own
        assert np.allclose(own, wanted[name].astype(float), rtol=1e-11, atol=1e-11 * (count + 1)), name


def test_each_row_has_its_slope_and_nothing_is_added() -> None:
    rows = rows_of(3, 150, 9, 2, 4, missing=0.1)
    found = Curvature(rows.slopes, rows.table, rows.blanks)
    slopes = found.slopes_of(rows.x, rows.ids, rows.y, rows.w)
    assert np.allclose(slopes, expected(rows)["slopes"].astype(float), rtol=1e-12, atol=1e-14)
    assert found.loss == 0
    assert not found.gradient.any()
    rows.ids[4, 1] = 4
    with pytest.raises(IndexError, match="one of the 4 places"):
        found.slopes_of(rows.x, rows.ids, rows.y, rows.w)


def test_rows_may_come_in_pieces_of_whole_tiles() -> None:
    rows = rows_of(1, 300, 9, 2, 4, missing=0.1)
    whole, pieces = rows.sums(), rows.sums((64, 256))
    for name in ("loss", "gradient", "table_gradient", "mixed", "hessian", "pairs"):
        one, other = np.asarray(getattr(whole, name)), np.asarray(getattr(pieces, name))
        assert np.array_equal(one, other) or (library.loops is None and np.allclose(one, other)), name


def at_once(z: float, y: int) -> Curvature:
    """Of one row, whose logit is z and whose x is 1."""
    blanks = Blanks(np.zeros(1, np.float32), np.full(1, -1))
    found = Curvature(np.array([z, 0.0]), np.zeros(0), blanks)
    found.add(np.ones((1, 1), np.float32), np.empty((1, 0), np.int32), np.array([y], np.int8), None)
    return found


@examples(300, keeps_fixtures=True)
@given(st.floats(-760, 760), st.integers(0, 1))
def test_loss_slope_and_bend_of_a_row_to_the_last_digits(z: float, y: int) -> None:
    """Against 400 digits: the series are as good as a C library's functions, near and far from nought."""
    found = at_once(z, y)
    with localcontext() as context:
        context.prec = 400  # 1 + 1e-330 is not 1
        grown = Decimal(z).exp()
        p, loss = grown / (1 + grown), ((1 + grown).ln() if y == 0 else (1 + 1 / grown).ln())
        bend, slope = grown / (1 + grown) ** 2, (p if y == 0 else -1 / (1 + grown))
        small = 1e-307  # below, floats have fewer digits
        for own, wanted in ((found.loss, loss), (found.gradient[0], slope), (found.hessian[0, 0], bend)):
            if abs(wanted) > Decimal(small):
                assert abs(Decimal(float(own)) / wanted - 1) < Decimal("2e-15"), (own, wanted)
            else:
                assert abs(own) <= 2 * small


def test_an_id_beyond_the_table_is_an_error() -> None:
    for wrong in (-1, 6):
        rows = rows_of(0, 10, 2, 3, 6)
        rows.ids[4, 1] = wrong
        with pytest.raises(IndexError, match="one of the 6 places"):
            rows.sums()

"""Loss, gradient and Hessian of rows are those of the definition, compiled and in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from binclf import kernels
from binclf.kernels import Curvature

pytestmark = pytest.mark.usefixtures("either_loops")


def rows_of(seed: int, count: int, columns: int, chosen: int, size: int, spread: float = 1.0) -> Any:
    """Arguments of `kernels.curvature`, of some rows."""
    draw = np.random.default_rng(seed)
    return (
        draw.normal(size=(count, columns)).astype(np.float32),
        draw.integers(0, size, (count, chosen)).astype(np.int32),
        draw.integers(0, 2, count).astype(np.int8),
        draw.choice([0.0, 0.5, 2.0], count).astype(np.float32) if seed % 2 else None,
        draw.normal(size=columns + 1) * spread,
        draw.normal(size=size) * spread,
    )


def expected(x: Any, ids: Any, y: Any, w: Any, slopes: Any, table: Any) -> Curvature:
    """By the definition, with one-hot columns, in long double."""
    u = np.hstack([x, np.ones((len(x), 1))]).astype(np.longdouble)
    hot = np.zeros((len(x), len(table)), dtype=np.longdouble)
    for own in ids.T:
        np.add.at(hot, (np.arange(len(x)), own), 1)
    z = u @ slopes + hot @ table
    weight = np.ones(len(x)) if w is None else w.astype(np.longdouble)
    p = 1 / (1 + np.exp(-z))
    slope, bend = weight * (p - y), weight * p * (1 - p)
    loss = float((weight * (np.logaddexp(0, z) - y * z)).sum())
    return Curvature(
        loss, u.T @ slope, hot.T @ slope, (u.T * bend) @ u, (hot.T * bend) @ u, (hot.T * bend) @ hot
    )


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, 2**32 - 1), st.integers(0, 200), st.integers(0, 20), st.integers(0, 3), st.integers(1, 6)
)
def test_sums_are_those_of_the_definition(
    seed: int, count: int, columns: int, chosen: int, size: int
) -> None:
    given_rows = rows_of(seed, count, columns, chosen, size)
    found, wanted = kernels.curvature(*given_rows), expected(*given_rows)

    def near(one: Any, other: Any) -> bool:
        return np.allclose(
            np.asarray(one, dtype=float), np.asarray(other, dtype=float), rtol=1e-11, atol=1e-11 * (count + 1)
        )

    assert found.loss == pytest.approx(wanted.loss, rel=1e-12, abs=1e-12)
    for name in ("gradient", "table_gradient", "mixed"):
        assert near(getattr(found, name), getattr(wanted, name)), name
    for name in ("hessian", "pairs"):
        assert near(np.triu(getattr(found, name)), np.triu(getattr(wanted, name).astype(float))), name


def test_far_from_nought_no_digits_are_lost() -> None:
    """Of a row that is nearly certain: 1 - p as such, not what is left of 1."""
    x, one = np.ones((1, 1), dtype=np.float32), np.ones(1, dtype=np.int8)
    for z in (-800.0, -40.0, 40.0, 800.0):
        found = kernels.curvature(
            x, np.empty((1, 0), dtype=np.int32), one, None, np.array([z, 0.0]), np.zeros(0)
        )
        assert found.gradient[0] == pytest.approx(-np.exp(-z) if z > 0 else -1.0, rel=1e-14)
        assert found.loss == pytest.approx(np.exp(-z) if z > 0 else -z, rel=1e-14)
        assert found.hessian[0, 0] == pytest.approx(np.exp(-abs(z)), rel=1e-14)


def test_an_id_beyond_the_table_is_an_error() -> None:
    for wrong in (-1, 6):
        x, ids, *rest = rows_of(0, 10, 2, 3, 6)
        ids[4, 1] = wrong
        with pytest.raises(IndexError, match="one of the 6 places"):
            kernels.curvature(x, ids, *rest)

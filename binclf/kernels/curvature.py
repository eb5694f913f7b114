"""Loss, gradient and Hessian of the logistic log-likelihood over some rows, in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binclf.kernels import library
from binclf.kernels.library import at, check

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
I32 = npt.NDArray[np.int32]

WIDE = 8  # as curvature.c has it


@dataclass(frozen=True, slots=True)
class Curvature:
    """Sums over rows, with u = (x, 1): of F columns and the intercept, and of V places of a table.

    With p = sigmoid(z): loss = w (log(1 + exp(z)) - y z), slope = w (p - y), bend = w p (1 - p).
    """

    loss: float
    gradient: F64  # [F + 1], slope u
    table_gradient: F64  # [V], slope of the rows that have the place
    hessian: F64  # [F + 1, F + 1], bend u u'; what is below the diagonal means nothing
    mixed: F64  # [V, F + 1], bend u of the rows that have the place
    pairs: F64  # [V, V], bend of the rows that have both places; what is below the diagonal means nothing

    def plus(self, other: Curvature) -> Curvature:
        """The sums over both one's rows."""
        return Curvature(
            self.loss + other.loss,
            self.gradient + other.gradient,
            self.table_gradient + other.table_gradient,
            self.hessian + other.hessian,
            self.mixed + other.mixed,
            self.pairs + other.pairs,
        )


def curvature(x: F32, ids: I32, labels: I8, weights: F32 | None, slopes: F64, table: F64) -> Curvature:
    """Sum over rows.

    One thread adds row after row, so the sums have the same bits wherever compiled loops work them out
    (on processors for which exp and log1p of the C library have); in NumPy they differ by rounding.

    Args:
        x: float32 [n, F], C-contiguous, finite.
        ids: int32 [n, C], each row's places in the table.
        labels: int8 [n], 0 or 1.
        weights: float32 [n]; None: all 1.
        slopes: float64 [F + 1], of the columns and the intercept.
        table: float64 [V].

    Raises:
        IndexError: an id that the table does not have.
    """
    for array, dtype in ((x, np.float32), (ids, np.int32), (labels, np.int8), (slopes, np.float64)):
        check(array, dtype)
    check(table, np.float64)
    count, columns = x.shape
    size, rows = len(table), {len(ids), len(labels), count, count if weights is None else len(weights)}
    if len(rows) > 1 or len(slopes) != columns + 1:
        raise ValueError(f"x {x.shape}, {len(slopes)} slopes and rows {sorted(rows)} do not fit")
    if ids.size and (ids.min() < 0 or ids.max() >= size):
        raise IndexError(f"an id is not one of the {size} places of the table")
    if library.loops is None:
        return _curvature(x, ids, labels, weights, slopes, table)
    if weights is not None:
        check(weights, np.float32)
    width = -(-(columns + 1) // WIDE) * WIDE
    padded = np.zeros(width)
    padded[: columns + 1] = slopes
    loss, gradient, hessian = np.zeros(1), np.zeros(width), np.zeros((width, width))
    table_gradient, mixed, pairs = np.zeros(size), np.zeros((size, width)), np.zeros((size, size))
    has_room = library.loops.curvature(
        at(x), columns, count, columns, at(ids), ids.shape[1],
        at(labels), None if weights is None else at(weights), at(padded), width, at(table), size,
        at(loss), at(gradient), at(hessian), at(table_gradient), at(mixed), at(pairs),
    )  # fmt: skip
    if not has_room:
        raise MemoryError(f"no memory for {width} columns")
    own = slice(columns + 1)
    return Curvature(float(loss[0]), gradient[own], table_gradient, hessian[own, own], mixed[:, own], pairs)


def _curvature(x: F32, ids: I32, labels: I8, weights: F32 | None, slopes: F64, table: F64) -> Curvature:
    u = np.hstack([x.astype(np.float64), np.ones((len(x), 1))])
    z = u @ slopes + table[ids].sum(axis=1)
    w = np.ones(len(x)) if weights is None else weights.astype(np.float64)
    e = np.exp(-np.abs(z))
    p, rest = np.where(z < 0, e, 1) / (1 + e), np.where(z < 0, 1, e) / (1 + e)
    slope, bend = w * np.where(labels > 0, -rest, p), w * p * rest
    loss = float((w * (np.maximum(z, 0) - labels * z + np.log1p(e))).sum())
    table_gradient, mixed = np.zeros(len(table)), np.zeros((len(table), u.shape[1]))
    pairs = np.zeros((len(table), len(table)))
    for place, own in enumerate(ids.T):
        np.add.at(table_gradient, own, slope)
        np.add.at(mixed, own, bend[:, np.newaxis] * u)
        np.add.at(pairs, (own, own), bend)
        for other in ids.T[place + 1 :]:
            low, high = np.minimum(own, other), np.maximum(own, other)
            np.add.at(pairs, (low, high), np.where(low == high, 2 * bend, bend))
    return Curvature(loss, u.T @ slope, table_gradient, (u.T * bend) @ u, mixed, pairs)

"""Loss, gradient and Hessian of the logistic log-likelihood over some rows, in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binclf.kernels import library
from binclf.kernels.library import at, check, check_rows

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]

WIDE = 8  # as curvature.c has it


@dataclass(frozen=True, slots=True)
class Blanks:
    """What stands for a missing number (NaN), of F columns of x."""

    fill: F32  # [F]
    indicator: I64  # [F], the column that is then 1; below 0: none


class Curvature:
    """Sums over rows at a point, with u = (x, 1): of F columns and the intercept, and of V places of a table.

    With p = sigmoid(z): loss = w (log(1 + exp(z)) - y z), slope = w (p - y), bend = w p (1 - p); or, where
    squares are asked for, bend = slope^2: the Hessian's place then has the products of the rows' scores.

    One thread adds row after row, so the sums have the same bits wherever compiled loops work them out, and
    however rows are cut at multiples of 64; in NumPy they differ by rounding.
    """

    def __init__(self, slopes: F64, table: F64, blanks: Blanks, *, squared: bool = False) -> None:
        """Nothing added yet.

        Args:
            slopes: float64 [F + 1], of the columns and the intercept.
            table: float64 [V].
            blanks: of the columns.
            squared: whether the square of a row's slope takes the place of its bend.
        """
        check(slopes, np.float64)
        check(table, np.float64)
        check(blanks.fill, np.float32)
        check(blanks.indicator, np.int64)
        self.slopes, self.table, self.blanks, self.squared = slopes, table, blanks, squared
        columns, size = len(slopes) - 1, len(table)
        if (
            not len(blanks.fill) == len(blanks.indicator) == columns
            or blanks.indicator.max(initial=-1) >= columns
        ):
            raise ValueError(f"blanks of {len(blanks.fill)} columns do not fit {columns}")
        width = -(-(columns + 1) // WIDE) * WIDE
        self._slopes = np.zeros(width)
        self._slopes[: columns + 1] = slopes
        self._loss, self._gradient, self._hessian = np.zeros(1), np.zeros(width), np.zeros((width, width))
        self.table_gradient = np.zeros(size)  # [V], slope of the rows that have the place
        self._mixed = np.zeros((size, width))
        self.pairs = np.zeros((size, size))  # [V, V], bend of the rows that have both; upper triangle

    @property
    def loss(self) -> float:
        """Of all rows."""
        return float(self._loss[0])

    @property
    def gradient(self) -> F64:
        """[F + 1], slope u."""
        return self._gradient[: len(self.slopes)]

    @property
    def hessian(self) -> F64:
        """[F + 1, F + 1], bend u u'; what is below the diagonal means nothing."""
        return self._hessian[: len(self.slopes), : len(self.slopes)]

    @property
    def mixed(self) -> F64:
        """[V, F + 1], bend u of the rows that have the place."""
        return self._mixed[:, : len(self.slopes)]

    def add(self, x: F32, ids: I32, labels: I8, weights: F32 | None) -> None:
        """Add rows, which may lie apart in memory.

        Args:
            x: float32 [n, K], the first K columns of F; NaN is missing, else finite.
            ids: int32 [n, C], each row's places in the table.
            labels: int8 [n], 0 or 1.
            weights: float32 [n]; None: all 1.

        Raises:
            IndexError: an id that the table does not have; the sums then mean nothing.
        """
        self._check(x, ids, labels, weights)
        if library.loops is None:
            self._add(x, ids, labels, weights)
            return
        sums = (self._loss, self._gradient, self._hessian, self.table_gradient, self._mixed, self.pairs)
        self._run(x, ids, labels, weights, [*map(at, sums), int(self.squared), None])

    def slopes_of(self, x: F32, ids: I32, labels: I8, weights: F32 | None) -> F64:
        """Each row's slope, float64 [n]; nothing is added. Arguments and errors are those of `add`."""
        self._check(x, ids, labels, weights)
        if library.loops is None:
            z = self._logits(self.dense(x), ids)
            return self._judged(z, labels, weights)[1]
        own, loss = np.empty(len(x)), np.zeros(1)
        self._run(x, ids, labels, weights, [at(loss), None, None, None, None, None, 0, at(own)])
        return own

    def _check(self, x: F32, ids: I32, labels: I8, weights: F32 | None) -> None:
        check_rows(x, np.float32)
        check_rows(ids, np.int32)
        for array in (x, ids, *([] if weights is None else [weights])):
            if array.strides[0] % 4:
                raise ValueError("rows are to begin at multiples of 4 bytes")
        count, given = x.shape
        rows = {len(ids), len(labels), count, count if weights is None else len(weights)}
        if len(rows) > 1 or given >= len(self.slopes) or labels.dtype != np.int8:
            raise ValueError(f"x {x.shape}, {len(self.slopes)} slopes and rows {sorted(rows)} do not fit")
        if weights is not None and weights.dtype != np.float32:
            raise ValueError(f"weights are float32, not {weights.dtype}")

    def _run(self, x: F32, ids: I32, labels: I8, weights: F32 | None, into: list[int | None]) -> None:
        """The compiled loop over the rows, `into` being where its results go and what is asked for."""
        done = library.loops.curvature(
            at(x), x.strides[0], len(x), x.shape[1], len(self.slopes) - 1,
            at(ids), ids.strides[0], ids.shape[1], at(labels), labels.strides[0],
            None if weights is None else at(weights), 0 if weights is None else weights.strides[0],
            at(self.blanks.fill), at(self.blanks.indicator),
            at(self._slopes), len(self._slopes), at(self.table), len(self.table), *into,
        )  # fmt: skip
        if done == 0:
            raise MemoryError(f"no memory for {len(self.slopes)} columns")
        if done < 0:
            raise self._beyond()

    def _beyond(self) -> IndexError:
        return IndexError(f"an id is not one of the {len(self.table)} places of the table")

    def dense(self, x: F32) -> F64:
        """The rows' u = (x, 1), float64 [n, F + 1], with what stands for missing numbers."""
        u = np.zeros((len(x), len(self.slopes)))
        u[:, : x.shape[1]] = x
        u[:, -1] = 1.0
        for column in np.flatnonzero(np.isnan(x).any(axis=0)):
            missing = np.isnan(x[:, column])
            u[missing, column] = self.blanks.fill[column]
            if self.blanks.indicator[column] >= 0:
                u[missing, self.blanks.indicator[column]] = 1.0
        return u

    def _logits(self, u: F64, ids: I32) -> F64:
        if ids.size and (ids.min() < 0 or ids.max() >= len(self.table)):
            raise self._beyond()
        return np.asarray(u @ self.slopes + self.table[ids].sum(axis=1))

    @staticmethod
    def _judged(z: F64, labels: I8, weights: F32 | None) -> tuple[F64, F64, F64]:
        """Each row's loss, slope and bend, float64 [n]."""
        w = np.ones(len(z)) if weights is None else weights.astype(np.float64)
        e = np.exp(-np.abs(z))
        p, rest = np.where(z < 0, e, 1) / (1 + e), np.where(z < 0, 1, e) / (1 + e)
        loss = w * (np.maximum(z, 0) - labels * z + np.log1p(e))
        return loss, w * np.where(labels > 0, -rest, p), w * p * rest

    def _add(self, x: F32, ids: I32, labels: I8, weights: F32 | None) -> None:
        """The same in NumPy."""
        u = self.dense(x)
        loss, slope, bend = self._judged(self._logits(u, ids), labels, weights)
        bend = slope * slope if self.squared else bend
        self._loss += loss.sum()
        self.gradient[...] += u.T @ slope
        self.hessian[...] += (u.T * bend) @ u
        for place, own in enumerate(ids.T):
            np.add.at(self.table_gradient, own, slope)
            np.add.at(self.mixed, own, bend[:, np.newaxis] * u)
            np.add.at(self.pairs, (own, own), bend)
            for other in ids.T[place + 1 :]:
                low, high = np.minimum(own, other), np.maximum(own, other)
                np.add.at(self.pairs, (low, high), np.where(low == high, 2 * bend, bend))

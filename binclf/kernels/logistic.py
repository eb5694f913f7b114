"""Rows of a logistic model, as curvature.c is given them, and what each adds to its log-likelihood."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows, which may lie apart in memory."""

    x: F32  # [n, K], the first K columns of F; NaN is missing, else finite
    ids: I32  # [n, C], each row's places in the table
    labels: I8  # [n], 0 or 1
    weights: F32 | None  # [n]; None: all 1


@dataclass(frozen=True, slots=True)
class Judged:
    """What rows add, with p = sigmoid(z); float64 [n]."""

    u: F64  # [n, F + 1], x and 1
    loss: F64  # w (log(1 + exp(z)) - y z)
    slope: F64  # w (p - y)
    bend: F64  # w p (1 - p)


class Logistic:
    """A point: slopes of F columns and the intercept, and a table of V places of which rows have some."""

    def __init__(self, slopes: F64, table: F64, blanks: Blanks) -> None:
        """Take the weights.

        Args:
            slopes: float64 [F + 1], of the columns and the intercept.
            table: float64 [V].
            blanks: of the columns.
        """
        check(slopes, np.float64)
        check(table, np.float64)
        check(blanks.fill, np.float32)
        check(blanks.indicator, np.int64)
        self.slopes, self.table, self.blanks = slopes, table, blanks
        columns = len(slopes) - 1
        if (
            not len(blanks.fill) == len(blanks.indicator) == columns
            or blanks.indicator.max(initial=-1) >= columns
        ):
            raise ValueError(f"blanks of {len(blanks.fill)} columns do not fit {columns}")
        self.width = -(-(columns + 1) // WIDE) * WIDE
        self._slopes = np.zeros(self.width)
        self._slopes[: columns + 1] = slopes

    def given(self, rows: Rows) -> list[int | None]:
        """GIVEN of curvature.c, checked."""
        x, ids, labels, weights = rows.x, rows.ids, rows.labels, rows.weights
        check_rows(x, np.float32)
        check_rows(ids, np.int32)
        for array in (x, ids, *([] if weights is None else [weights])):
            if array.strides[0] % 4:
                raise ValueError("rows are to begin at multiples of 4 bytes")
        count, given = x.shape
        counts = {len(ids), len(labels), count, count if weights is None else len(weights)}
        if len(counts) > 1 or given >= len(self.slopes) or labels.dtype != np.int8:
            raise ValueError(f"x {x.shape}, {len(self.slopes)} slopes and rows {sorted(counts)} do not fit")
        if weights is not None and weights.dtype != np.float32:
            raise ValueError(f"weights are float32, not {weights.dtype}")
        return [
            at(x), x.strides[0], count, given, len(self.slopes) - 1,
            at(ids), ids.strides[0], ids.shape[1], at(labels), labels.strides[0],
            None if weights is None else at(weights), 0 if weights is None else weights.strides[0],
            at(self.blanks.fill), at(self.blanks.indicator),
            at(self._slopes), len(self._slopes), at(self.table), len(self.table),
        ]  # fmt: skip

    def checked(self, done: int) -> None:
        """What a loop of curvature.c returned.

        Raises:
            MemoryError: there was none.
            IndexError: an id that the table does not have; the sums then mean nothing.
        """
        if done == 0:
            raise MemoryError(f"no memory for {len(self.slopes)} columns")
        if done < 0:
            raise self._beyond()

    def judged(self, rows: Rows) -> Judged:
        """What each row adds, by NumPy."""
        x, ids = rows.x, rows.ids
        if ids.size and (ids.min() < 0 or ids.max() >= len(self.table)):
            raise self._beyond()
        u = self.dense(x)
        z = u @ self.slopes + self.table[ids].sum(axis=1)
        w = np.ones(len(x)) if rows.weights is None else rows.weights.astype(np.float64)
        e = np.exp(-np.abs(z))
        p, rest = np.where(z < 0, e, 1) / (1 + e), np.where(z < 0, 1, e) / (1 + e)
        loss = w * (np.maximum(z, 0) - rows.labels * z + np.log1p(e))
        return Judged(u, loss, w * np.where(rows.labels > 0, -rest, p), w * p * rest)

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

    def _beyond(self) -> IndexError:
        return IndexError(f"an id is not one of the {len(self.table)} places of the table")

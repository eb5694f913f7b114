"""Loss, gradient and Hessian of the logistic log-likelihood over some rows, in float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from binclf.kernels import library
from binclf.kernels.library import at
from binclf.kernels.logistic import Blanks, Logistic, Rows

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
I32 = npt.NDArray[np.int32]


class Curvature(Logistic):
    """Sums over rows at a point, with u = (x, 1): of F columns and the intercept, and of V places of a table.

    Loss, slope and bend are those of `Judged`; or, where squares are asked for, bend = slope^2: the Hessian's
    place then has the products of the rows' scores. One thread adds row after row, so the sums have the same
    bits wherever compiled loops work them out, and however rows are cut at multiples of 64; in NumPy they
    differ by rounding.
    """

    def __init__(self, slopes: F64, table: F64, blanks: Blanks, *, squared: bool = False) -> None:
        """Nothing added yet.

        Args:
            slopes: float64 [F + 1], of the columns and the intercept.
            table: float64 [V].
            blanks: of the columns.
            squared: whether the square of a row's slope takes the place of its bend.
        """
        super().__init__(slopes, table, blanks)
        self.squared = squared
        width, size = self.width, len(table)
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
        """Add rows, as `Rows` has them.

        Raises:
            IndexError: an id that the table does not have; the sums then mean nothing.
        """
        rows = Rows(x, ids, labels, weights)
        given = self.given(rows)
        if library.loops is None:
            self._add(rows)
            return
        sums = (self._loss, self._gradient, self._hessian, self.table_gradient, self._mixed, self.pairs)
        self.checked(library.loops.curvature(*given, *map(at, sums), int(self.squared), None))

    def slopes_of(self, x: F32, ids: I32, labels: I8, weights: F32 | None) -> F64:
        """Each row's slope, float64 [n]; nothing is added. Arguments and errors are those of `add`."""
        rows = Rows(x, ids, labels, weights)
        given = self.given(rows)
        if library.loops is None:
            return self.judged(rows).slope
        own, loss = np.empty(len(x)), np.zeros(1)
        self.checked(library.loops.curvature(*given, at(loss), None, None, None, None, None, 0, at(own)))
        return own

    def _add(self, rows: Rows) -> None:
        """The same in NumPy."""
        found = self.judged(rows)
        u, bend = found.u, found.slope * found.slope if self.squared else found.bend
        self._loss += found.loss.sum()
        self.gradient[...] += u.T @ found.slope
        self.hessian[...] += (u.T * bend) @ u
        for place, own in enumerate(rows.ids.T):
            np.add.at(self.table_gradient, own, found.slope)
            np.add.at(self.mixed, own, bend[:, np.newaxis] * u)
            np.add.at(self.pairs, (own, own), bend)
            for other in rows.ids.T[place + 1 :]:
                low, high = np.minimum(own, other), np.maximum(own, other)
                np.add.at(self.pairs, (low, high), np.where(low == high, 2 * bend, bend))

"""Loss and gradient of the logistic log-likelihood over some rows, of a table of up to millions of places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binclf.kernels import library
from binclf.kernels.library import at, check
from binclf.kernels.logistic import Blanks, Logistic, Rows

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Places:
    """Sums over the rows that have each of V places, in whole units, which add up exactly in any order."""

    unit: float  # a power of two, so large that no sum leaves int64
    slopes: I64  # [V], each row's slope rounded to a unit
    sizes: I64 | None = None  # [V], and its magnitude; None: not wanted


class Slopes(Logistic):
    """Sums over rows at a point, as `Curvature`, without the Hessian; those of the table go to `Places`.

    Of a first look, for which sizes are wanted, there are squares too.
    """

    def __init__(self, slopes: F64, table: F64, blanks: Blanks, places: Places) -> None:
        """Nothing added yet.

        Args:
            slopes: float64 [F + 1], of the columns and the intercept.
            table: float64 [V].
            blanks: of the columns.
            places: what the table's sums are added to.
        """
        super().__init__(slopes, table, blanks)
        for array in (places.slopes, places.sizes):
            if array is not None:
                check(array, np.int64)
                if len(array) != len(table):
                    raise ValueError(f"sums of {len(array)} places do not fit a table of {len(table)}")
        self.places = places
        self.totals = np.zeros(3)  # of loss, |slope| and bend
        self._gradient, self._squares = np.zeros((2, self.width))

    @property
    def gradient(self) -> F64:
        """[F + 1], slope u."""
        return self._gradient[: len(self.slopes)]

    @property
    def squares(self) -> F64:
        """[F + 1], bend u^2; zeros but for a first look."""
        return self._squares[: len(self.slopes)]

    def add(self, x: F32, ids: I32, labels: I8, weights: F32 | None) -> None:
        """Add rows, as `Rows` has them.

        Raises:
            IndexError: an id that the table does not have; the sums then mean nothing.
        """
        rows, places = Rows(x, ids, labels, weights), self.places
        given = self.given(rows)
        if library.loops is None:
            self._add(rows)
            return
        first = (None, None) if places.sizes is None else (at(self._squares), at(places.sizes))
        self.checked(
            library.loops.slopes(
                *given, 1 / places.unit, at(self.totals), at(self._gradient), at(places.slopes), *first
            )
        )

    def _add(self, rows: Rows) -> None:
        """The same in NumPy."""
        found, places = self.judged(rows), self.places
        self.totals += [found.loss.sum(), np.abs(found.slope).sum(), found.bend.sum()]
        self.gradient[...] += found.u.T @ found.slope
        whole = np.rint(found.slope / places.unit).astype(np.int64)
        for own in rows.ids.T:
            np.add.at(places.slopes, own, whole)
        if places.sizes is not None:
            self.squares[...] += (found.u * found.u).T @ found.bend
            for own in rows.ids.T:
                np.add.at(places.sizes, own, np.abs(whole))

"""Where a row group is decoded to: arrays of its own, or records that are kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binclf import kernels

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
I8 = npt.NDArray[np.int8]
U8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Target:
    """Memory for n rows of F numbers and C codes; of records, both lie in them."""

    numbers: F32  # [n, F], each row contiguous
    codes: I32  # [C, n]
    records: U8 | None = None  # [n, bytes]; they begin with the numbers, and have a label
    label: int = 0  # at which byte of a record
    labels: I8 | None = None  # [n], to be written into records

    @classmethod
    def new(cls, rows: int, columns: int, categories: int) -> Target:
        """New arrays."""
        return cls(np.empty((rows, columns), dtype=np.float32), np.empty((categories, rows), dtype=np.int32))

    def put(self, columns: F32, shift: F32, scale: F32) -> bool:
        """Write (column - shift) * scale of all columns, and labels where records have them.

        Args:
            columns: float32 [F, n], each contiguous.
            shift: float32 [F].
            scale: float32 [F].

        Returns:
            Whether all numbers are finite.
        """
        if self.records is not None and self.labels is not None and kernels.can_record(self.records):
            return kernels.record(columns, shift, scale, self.labels, self.label, self.records)
        self.put_labels()
        return kernels.interleave(columns, shift, scale, self.numbers)

    def put_labels(self) -> None:
        """Write labels where records have them."""
        if self.records is not None and self.labels is not None:
            self.records[:, self.label] = self.labels.view(np.uint8)

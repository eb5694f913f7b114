"""Which rows of the larger class are trained on: each row's own lot, by a keyed hash.

A row's lot depends on the seed, its file, its row group and its place there, and on nothing else: not on
ranks, tiers or listing order, nor on other files, so that new files never change what is kept of old ones.
(A ratio of the classes as the setting would: each new file moves the classes' counts, and with them every
file's rows.) A smaller share keeps a subset of what a larger one does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binclf import hashing

I8 = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Downsampling:
    """Of one class a share of the rows; of the other, all."""

    share: float = 1.0
    label: int = 0  # of the class: 0 or 1
    seed: int = 0

    def kept(self, name: str, group: int, labels: I8) -> npt.NDArray[np.bool_]:
        """Which rows of a row group are kept, bool [n].

        Args:
            name: of the file, its relative path.
            group: which row group of the file.
            labels: int8 [n]; -1 is no label, and is never kept.
        """
        kept = labels >= 0
        if self.share < 1:
            draws = hashing.draws(hashing.key(self.seed, "downsampling", name, group), len(labels))
            kept &= (labels != self.label) | (hashing.unit(draws) < self.share)
        return kept


EVERY = Downsampling()  # row

"""Sums of floats that have the same bits whoever added up what, in memory that does not grow with rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]


class OrderedSum:
    """Vectors of numbered row groups, added up along a fixed binary tree over the numbers.

    Two neighbours are added as soon as both are there: of groups 0 to G - 1 about log2 G vectors are kept,
    more only while some are still missing in between. Float addition commutes, so which of two came first
    does not matter, and what is added to what is given by their numbers.
    """

    def __init__(self) -> None:
        """Nothing yet."""
        self.nodes: dict[tuple[int, int], F64] = {}  # (level, place in the level): sum of 2^level groups

    def add(self, group: int, values: F64) -> None:
        """Add the vector of one row group, which must be new."""
        self._put((0, group), values)

    def merge(self, other: OrderedSum) -> None:
        """Add what another has of other groups."""
        for node, values in other.nodes.items():
            self._put(node, values)

    def total(self, width: int) -> F64:
        """The sum of all, float64 [width]."""
        total = np.zeros(width)
        for level, place in sorted(self.nodes, key=lambda node: node[1] << node[0]):
            total = total + self.nodes[level, place]
        return total

    def _put(self, node: tuple[int, int], values: F64) -> None:
        level, place = node
        while (level, place ^ 1) in self.nodes:
            values = self.nodes.pop((level, place ^ 1)) + values
            level, place = level + 1, place >> 1
        if (level, place) in self.nodes:
            raise AssertionError(f"row group {place << level} was added twice")
        self.nodes[level, place] = values

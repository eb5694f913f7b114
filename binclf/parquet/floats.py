"""Columns of floats as they were read, without Arrow's detour of an object for each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32] | npt.NDArray[np.float64]


class Plain(Mapping[str, Floats]):
    """Columns of floats without nulls, [N] each; some lie together, one under the other."""

    def __init__(
        self, stages: Sequence[tuple[Sequence[str], Floats]] = (), nullable: Collection[str] = ()
    ) -> None:
        """Names, and the columns of these names [names, N]; and which the file would let have nulls."""
        self.nullable = frozenset(nullable)
        self._given = stages
        self._stages = [stage for _, stage in stages]
        self._places = {
            name: (which, place)
            for which, (names, _) in enumerate(stages)
            for place, name in enumerate(names)
        }

    def stages(self) -> Sequence[tuple[Sequence[str], Floats]]:
        """As they were given."""
        return self._given

    def __getitem__(self, name: str) -> Floats:
        which, place = self._places[name]
        column: Floats = self._stages[which][place]
        return column

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def together(self, names: Sequence[str]) -> Floats | None:
        """Columns as one array [names, N], each contiguous, if they lie so."""
        places = [self._places.get(name) for name in names]
        if not places or places[0] is None:
            return None
        which, first = places[0]
        if places != [(which, first + i) for i in range(len(names))]:
            return None
        return self._stages[which][first : first + len(names)]

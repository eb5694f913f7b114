"""A world of ranks: who am I among how many, sums over all, and memory that ranks of a machine share."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from binclf.errors import RankError

if TYPE_CHECKING:
    import torch
    from torch.nn.parallel import DistributedDataParallel

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]


class World(ABC):
    """R ranks that add up; this is rank r of R."""

    rank: int
    size: int
    prepared: str  # what rank 0 prepared before the ranks met
    local_rank: int  # among the ranks of this machine
    local_size: int

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where a model of torch computes."""

    @abstractmethod
    def meet(self) -> None:
        """Until all ranks have come, however long one works, as after a pass over rows. All must ask.

        Raises:
            RankError: a rank failed, or is gone.
        """

    @abstractmethod
    def sum_floats(self, values: F64) -> F64:
        """Sum over ranks, float64. Exact where for each element all ranks but one hold 0."""

    @abstractmethod
    def sum_integers(self, values: I64) -> I64:
        """Sum over ranks, int64, wrapping: exact in any order."""

    @abstractmethod
    def gather(self, content: bytes) -> list[bytes]:
        """Every rank's bytes, in the order of ranks; never objects, which would be pickled."""

    @abstractmethod
    def fold(self, pack: Callable[[], bytes], add: Callable[[bytes], None]) -> bytes:
        """What all ranks have, added up along a binary tree; all ranks must ask, and all get it.

        A rank holds two packs at a time, however many ranks there are, where `gather` holds everyone's.

        Args:
            pack: this rank's own, with what was added to it.
            add: what another rank packed, to this rank's own.
        """

    def agree(self, facts: Mapping[str, str]) -> None:
        """All ranks must say the same, else they would compute garbage together without an error.

        Raises:
            RankError: they do not, with the first that differs from rank 0.
        """
        everyone = [json.loads(content) for content in self.gather(json.dumps(dict(facts)).encode())]
        for rank, theirs in enumerate(everyone):
            for fact, value in theirs.items():
                if value != everyone[0][fact]:
                    raise RankError(
                        f"rank {rank} and rank 0 do not have the same {fact} "
                        f"({value[:12]} and {everyone[0][fact][:12]}): start all ranks alike."
                    )

    @abstractmethod
    def shared(self, size: int) -> U8 | None:
        """Memory of so many bytes, zeros, that all ranks of this machine see; None where that cannot be.

        All ranks must ask. The memory has no name, and goes with the last process that holds it.
        """

    @abstractmethod
    def parallel(self, model: torch.nn.Module) -> DistributedDataParallel:
        """The model under DDP; gradients of the ranks of one machine are averaged in shared memory."""


class Lone(World):
    """Rank 0 of 1. It imports torch, a second and 250 MB, when a model asks for it and not before."""

    def __init__(self, device: str = "auto", prepared: str = "") -> None:
        """As `join` makes it: a device as the config has it, and what was prepared."""
        self.rank = self.local_rank = 0
        self.size = self.local_size = 1
        self.prepared, self._setting = prepared, device
        self._met = ExitStack()

    @cached_property
    def device(self) -> torch.device:
        """Where a model of torch computes."""
        from binclf.world.group import device_of

        return device_of(self._setting, 0, 1)

    def meet(self) -> None:
        """Nobody to wait for."""

    def sum_floats(self, values: F64) -> F64:
        """A copy: there are no others."""
        return np.array(values, dtype=np.float64)

    def sum_integers(self, values: I64) -> I64:
        """A copy."""
        return np.array(values, dtype=np.int64)

    def gather(self, content: bytes) -> list[bytes]:
        """The same."""
        return [content]

    def fold(self, pack: Callable[[], bytes], add: Callable[[bytes], None]) -> bytes:
        """Its own."""
        return pack()

    def shared(self, size: int) -> U8 | None:
        """Zeros of its own."""
        return np.zeros(size, dtype=np.uint8)

    def parallel(self, model: torch.nn.Module) -> DistributedDataParallel:
        """The model under DDP, in a group of one that lasts until `leave`."""
        from binclf.world import group

        if not group.has_met():
            self._met.enter_context(group.meeting(group.alone(), 0, 1, self.device))
        return group.parallel(self, model)

    def leave(self) -> None:
        """End the group of one, if there was need of it."""
        self._met.close()

"""A world of ranks: who am I among how many, sums over all, and memory that ranks of a machine share."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from binclf.world.averaging import Averaging
from binclf.world.memory import create, open_shared, path_of

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class World:
    """R ranks that add up; rank r of R computes on `device`."""

    rank: int
    size: int
    device: torch.device
    prepared: str = ""  # what rank 0 prepared before the ranks met
    local_rank: int = 0  # among the ranks of this machine
    local_size: int = 1

    def sum_floats(self, values: F64) -> F64:
        """Sum over ranks, float64. Exact where for each element all ranks but one hold 0."""
        return np.asarray(self._sum(torch.from_numpy(np.array(values, dtype=np.float64))).numpy())

    def sum_integers(self, values: I64) -> I64:
        """Sum over ranks, int64, wrapping: exact in any order."""
        return np.asarray(self._sum(torch.from_numpy(np.array(values, dtype=np.int64))).numpy())

    def gather(self, content: bytes) -> list[bytes]:
        """Every rank's bytes, in the order of ranks; never objects, which would be pickled."""
        sizes = np.zeros(self.size, dtype=np.int64)
        sizes[self.rank] = len(content)
        sizes = self.sum_integers(sizes)
        longest = max(int(sizes.max()), 1)
        own = torch.zeros(longest, dtype=torch.uint8)
        own[: len(content)] = torch.frombuffer(bytearray(content or b"\0"), dtype=torch.uint8)[: len(content)]
        everyone = [torch.zeros(longest, dtype=torch.uint8).to(self.device) for _ in sizes]
        dist.all_gather(everyone, own.to(self.device))
        return [
            bytes(tensor.cpu().numpy()[:size].tobytes()) for tensor, size in zip(everyone, sizes, strict=True)
        ]

    def _sum(self, tensor: torch.Tensor) -> torch.Tensor:
        moved = tensor.to(self.device)
        dist.all_reduce(moved)
        return moved.cpu()

    def shared(self, size: int) -> U8 | None:
        """Memory of so many bytes, zeros, that all ranks of this machine see; None where that cannot be.

        All ranks must ask. The memory has no name, and goes with the last process that holds it.
        """
        own = create(size) if self.local_rank == 0 else None
        machine = os.environ.get("GROUP_RANK", "0")  # torchrun's number of this machine
        path = path_of(own[1]) if own else ""
        everyone = [words.decode().split("\n") for words in self.gather(f"{machine}\n{path}".encode())]
        found = next((p for m, p in everyone if m == machine and p), "")
        memory = own[0] if own else open_shared(found, size)
        lacking = self.sum_integers(np.array([memory is None], dtype=np.int64))[0]
        if own:
            os.close(own[1])  # all have opened it by now
        return None if lacking else memory

    def parallel(self, model: torch.nn.Module) -> DistributedDataParallel:
        """The model under DDP; gradients of the ranks of one machine are averaged in shared memory."""
        parallel = DistributedDataParallel(model, gradient_as_bucket_view=True)
        if self.device.type == "cpu":
            size = sum(p.numel() * p.element_size() for p in model.parameters())
            averaging = Averaging.of(self, size)
            if averaging is not None:
                parallel.register_comm_hook(averaging, lambda state, bucket: state.hook(bucket))
        return parallel

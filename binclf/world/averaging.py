"""Gradients averaged over the ranks of one machine, through memory instead of sockets.

gloo's all-reduce of a few kilobytes takes 0.3-1.5 ms between two processes whatever its size: each hands the
tensor from the main thread to a worker thread, to the socket's thread, to the other process's, and back, and
each time a sleeping core is to be woken. Here each rank writes its gradient and then the number of the step
where all see it, waits until all have, and adds the gradients up in the order of ranks. So the sum has the
same bits on all ranks and in each run.

A rank is at most one step ahead of any other (it needs the other's gradient to go on), so two slots a rank,
used in turns, are enough. Between writing the gradient and the number no other order may be seen: x86 keeps
the order of stores; elsewhere gloo is used.
"""

from __future__ import annotations

import ctypes
import platform
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from binclf.errors import RankError

if TYPE_CHECKING:
    from binclf.world.ranks import World

LINE = 64  # bytes: a cache line of its own for each rank's number
MOST_BYTES = 2**28  # of all slots: beyond, a ring over sockets moves less memory
SPINS = 100  # looks before the core is offered to others
NAP = 2e-5  # seconds between looks from then on
PATIENCE = 300.0  # seconds: a peer that does not answer for so long is taken for dead


class Averaging:
    """The slots of all ranks, and the state of this one: a communication hook of DDP."""

    def __init__(self, memory: npt.NDArray[np.uint8], rank: int, ranks: int, size: int) -> None:
        """Zeroed memory of `bytes_needed`, the same for all ranks."""
        self.rank, self.ranks, self.size, self.step = rank, ranks, size, 0
        if ranks > 1:
            _wake_on_time()
        self.numbers = memory[: LINE * ranks].view(np.uint64)[:: LINE // 8]  # of the step written last
        self.slots = memory[LINE * ranks :].reshape(2, ranks, size)

    @classmethod
    def of(cls, world: World, size: int) -> Averaging | None:
        """For gradients of at most so many bytes; None where gloo is to be used. All ranks must ask."""
        size = -(-size // LINE) * LINE
        needed = LINE * world.size + 2 * world.size * size
        if world.local_size != world.size or needed > MOST_BYTES or platform.machine() != "x86_64":
            return None
        memory = np.zeros(needed, np.uint8) if world.size == 1 else world.shared(needed)
        return None if memory is None else cls(memory, world.rank, world.size, size)

    def hook(self, bucket: Any) -> torch.futures.Future[torch.Tensor]:  # noqa: ANN401 - dist.GradBucket
        """Average a bucket of gradients, as DDP asks."""
        tensor: torch.Tensor = bucket.buffer()
        if self.ranks > 1:
            self.average(tensor.numpy())
        future: torch.futures.Future[torch.Tensor] = torch.futures.Future()
        future.set_result(tensor)
        return future

    def average(self, own: npt.NDArray[Any]) -> None:
        """Replace this rank's array by the mean over all ranks, which call this with as many elements."""
        slots = self.slots[self.step % 2, :, : own.nbytes].view(own.dtype)
        self.step += 1
        slots[self.rank] = own
        self.numbers[self.rank] = self.step
        self._wait()
        np.add(slots[0], slots[1], out=own)
        for rank in range(2, self.ranks):
            own += slots[rank]
        own /= self.ranks

    def _wait(self) -> None:
        """Until all ranks have written this step."""
        numbers, looks, since = self.numbers, 0, 0.0
        for rank in range(self.ranks):
            while numbers[rank] < self.step:
                looks += 1
                if looks <= SPINS:
                    continue
                time.sleep(NAP)  # the core and Python's lock are wanted by the threads that read ahead
                since = since or time.monotonic()
                if looks % 1024 == 0 and time.monotonic() - since > PATIENCE:
                    raise RankError(
                        f"rank {rank} did not answer within {PATIENCE:.0f} s in step {self.step}: "
                        "it hangs or was stopped."
                    )


def _wake_on_time() -> None:
    """Have short naps last as long as they are meant to: Linux adds 50 microseconds otherwise."""
    if sys.platform == "linux":
        pr_set_timerslack = 29
        ctypes.CDLL(None).prctl(pr_set_timerslack, 1000)  # nanoseconds

"""Ranks that met by torch.distributed."""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from binclf.errors import ConfigError
from binclf.world.averaging import Averaging
from binclf.world.memory import create, open_shared, path_of
from binclf.world.ranks import World
from binclf.world.waiting import Waiting

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

TIMEOUT = datetime.timedelta(seconds=300)  # a peer that does not answer for so long is taken for dead
INTERFACE = "GLOO_SOCKET_IFNAME"


class Group(World):
    """One of several ranks, in a process group."""

    def __init__(
        self, ranks: tuple[int, int], local: tuple[int, int], device: torch.device, waiting: Waiting
    ) -> None:
        """Rank r of R in all and of those of this machine, where it computes, and how it waits."""
        self.rank, self.size = ranks
        self.local_rank, self.local_size = local
        self.prepared = ""
        self._device, self._waiting = device, waiting

    @property
    def device(self) -> torch.device:
        """Where a model of torch computes."""
        return self._device

    def meet(self) -> None:
        """At the store, where a rank may be late."""
        self._waiting.meet()

    def sum_floats(self, values: F64) -> F64:
        """By an all-reduce."""
        return np.asarray(self._sum(torch.from_numpy(np.array(values, dtype=np.float64))).numpy())

    def sum_integers(self, values: I64) -> I64:
        """By an all-reduce."""
        return np.asarray(self._sum(torch.from_numpy(np.array(values, dtype=np.int64))).numpy())

    def gather(self, content: bytes) -> list[bytes]:
        """By an all-gather of the longest's length."""
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

    def fold(self, pack: Callable[[], bytes], add: Callable[[bytes], None]) -> bytes:
        """By log2(ranks) rounds of messages to rank 0, which tells all."""
        step = 1
        while step < self.size and self.rank % (2 * step) == 0:
            if self.rank + step < self.size:
                add(self._message(b"", partial(dist.recv, src=self.rank + step)))
            step *= 2
        if self.rank:
            self._message(pack(), partial(dist.send, dst=self.rank - step))
        return self._message(b"" if self.rank else pack(), partial(dist.broadcast, src=0))

    def _message(self, own: bytes, move: Callable[[torch.Tensor], object]) -> bytes:
        """Bytes as a call of torch's moves them, their number first; `own` is empty where they come in."""
        size = torch.tensor([len(own)]).to(self.device)
        move(size)
        content = torch.frombuffer(bytearray(own.ljust(max(int(size), 1), b"\0")), dtype=torch.uint8)
        content = content.to(self.device)
        move(content)
        return bytes(content.cpu().numpy()[: int(size)].tobytes())

    def _sum(self, tensor: torch.Tensor) -> torch.Tensor:
        moved = tensor.to(self.device)
        dist.all_reduce(moved)
        return moved.cpu()

    def shared(self, size: int) -> U8 | None:
        """A file of memory that the first rank of the machine opens, and the others by its number."""
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
        return parallel(self, model)


def parallel(world: World, model: torch.nn.Module) -> DistributedDataParallel:
    """`World.parallel`, in the process group that was met."""
    made = DistributedDataParallel(model, gradient_as_bucket_view=True)
    if world.device.type == "cpu":
        size = sum(p.numel() * p.element_size() for p in model.parameters())
        averaging = Averaging.of(world, size)
        if averaging is not None:
            made.register_comm_hook(averaging, lambda state, bucket: state.hook(bucket))
    return made


@contextmanager
def meeting(store: Any, rank: int, size: int, device: torch.device) -> Iterator[None]:  # noqa: ANN401
    """Be one of a process group until the end, with one thread of torch's own.

    One thread computes, others decode and prefetch. Steps are so small that a second thread gains nothing,
    and where another process wants the core its spinning made an epoch 10-20 times longer.
    """
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", size))
    interface = local_size == size and sys.platform == "linux" and INTERFACE not in os.environ
    if interface:
        os.environ[INTERFACE] = "lo"  # one machine: no look-up of its name
    threads, hook = torch.get_num_threads(), sys.excepthook  # torch puts its own hook there for good
    torch.set_num_threads(1)
    has_failed = True
    try:
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend=backend, store=store, rank=rank, world_size=size, timeout=TIMEOUT)
        yield
        has_failed = False
    finally:
        # a rank that fails is to say why before the others see it gone: for them its end is the news
        if dist.is_initialized() and not (has_failed and size > 1):
            dist.destroy_process_group()
        torch.set_num_threads(threads)
        sys.excepthook = hook
        if interface:
            del os.environ[INTERFACE]


def has_met() -> bool:
    """Whether this process is in a group."""
    return dist.is_initialized()


def alone() -> Any:  # noqa: ANN401 - torch does not export its stores
    """Where one process meets itself."""
    stores: Any = dist
    return stores.HashStore()


def store_of(size: int, rendezvous: str) -> Any:  # noqa: ANN401 - torch does not export its stores
    """Where the ranks meet: a file, or torchrun's TCP store if none is named.

    Raises:
        ConfigError: nothing says where.
    """
    stores: Any = dist
    if rendezvous:
        return stores.FileStore(rendezvous, size)
    if "MASTER_ADDR" not in os.environ or "MASTER_PORT" not in os.environ:
        raise ConfigError(
            "RANK and WORLD_SIZE are set without MASTER_ADDR and MASTER_PORT: start by torchrun."
        )
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    agent_has_it = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    is_master = os.environ["RANK"] == "0" and not agent_has_it
    tcp = stores.TCPStore(host, port, size, is_master=is_master, timeout=TIMEOUT)
    return stores.PrefixStore(f"attempt_{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", tcp)


def device_of(setting: str, local_rank: int, local_size: int) -> torch.device:
    """Where a rank computes.

    Raises:
        ConfigError: cuda is asked for and there are fewer devices than ranks on this machine.
    """
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if setting == "cuda" and found < local_size:
        raise ConfigError(
            f"train.device = 'cuda' needs a device for each of the {local_size} ranks of this machine, "
            f"and torch sees {found}: use fewer ranks, or train.device = 'cpu'."
        )
    if setting == "cpu" or found < local_size or found == 0:
        return torch.device("cpu")
    chosen = torch.device("cuda", local_rank)
    torch.cuda.set_device(chosen)
    return chosen

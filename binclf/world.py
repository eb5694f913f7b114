"""The only door to torch.distributed: who am I among how many, and sums over all.

| started by                | rendezvous                              | world                            |
|---------------------------|-----------------------------------------|----------------------------------|
| nobody: a lone process    | in memory                               | rank 0 of 1                      |
| `binclf.launch`           | a file, fresh for each attempt          | from RANK, WORLD_SIZE            |
| torchrun                  | its TCP store, prefixed by the attempt  | from RANK, WORLD_SIZE            |

A lone process is a world of one and runs the same code. The prefix is there since torch 2.13 keeps one store
over restarts: a restarted rank would read its dead peer's address.

nccl is used where there is a CUDA device for each rank, else gloo. The nccl path was never run by the
authors.
"""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist

from binclf.errors import ConfigError

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

RENDEZVOUS = "BINCLF_RENDEZVOUS"  # set by binclf.launch: path of the rendezvous file
TIMEOUT = datetime.timedelta(seconds=300)  # a peer that does not answer for so long is taken for dead


INTERFACE = "GLOO_SOCKET_IFNAME"
PATIENCE = datetime.timedelta(hours=24)  # for rank 0 to prepare the job, such as to split the data


@dataclass(frozen=True, slots=True)
class World:
    """R ranks that add up; rank r of R computes on `device`."""

    rank: int
    size: int
    device: torch.device
    prepared: str = ""  # what rank 0 prepared before the ranks met

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


def is_rank() -> bool:
    """Whether a launcher (ours or torchrun) started this process as a rank."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


@contextmanager
def join(device: str = "auto", prepare: Callable[[], str] = str) -> Iterator[World]:
    """Meet the other ranks; leave them at the end.

    Args:
        device: auto, cpu or cuda, as in the config.
        prepare: is called by rank 0 alone, before the ranks meet and however long it takes; all ranks find
            what it returned in `World.prepared`.

    Raises:
        ConfigError: cuda is asked for and there is none, or fewer devices than ranks on this machine.
    """
    rank, size = (int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])) if is_rank() else (0, 1)
    local_rank = int(os.environ.get("LOCAL_RANK", 0))
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", size))
    chosen = _device(device, local_rank, local_size)
    interface = local_size == size and sys.platform == "linux" and INTERFACE not in os.environ
    if interface:
        os.environ[INTERFACE] = "lo"  # one machine: no look-up of its name
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    # One thread computes, others decode and prefetch. Steps are so small that a second thread gains
    # nothing, and where another process wants the core its spinning made an epoch 10-20 times longer.
    threads, hook = torch.get_num_threads(), sys.excepthook  # torch puts its own hook there for good
    torch.set_num_threads(1)
    store = _store(rank, size)
    if rank == 0:
        store.set("prepared", prepare())
    store.wait(["prepared"], PATIENCE)
    prepared = store.get("prepared").decode()
    dist.init_process_group(
        backend="nccl" if chosen.type == "cuda" else "gloo",
        store=store,
        rank=rank,
        world_size=size,
        timeout=TIMEOUT,
    )
    try:
        yield World(rank, size, chosen, prepared)
    finally:
        dist.destroy_process_group()
        torch.set_num_threads(threads)
        sys.excepthook = hook
        if interface:
            del os.environ[INTERFACE]


def _store(rank: int, size: int) -> Any:  # noqa: ANN401 - torch does not export its stores
    stores: Any = dist
    if RENDEZVOUS in os.environ:
        return stores.FileStore(os.environ[RENDEZVOUS], size)
    if not is_rank():
        return stores.HashStore()
    if "MASTER_ADDR" not in os.environ or "MASTER_PORT" not in os.environ:
        raise ConfigError(
            "RANK and WORLD_SIZE are set without MASTER_ADDR and MASTER_PORT: start by torchrun."
        )
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    agent_has_it = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    tcp = stores.TCPStore(host, port, size, is_master=rank == 0 and not agent_has_it, timeout=TIMEOUT)
    return stores.PrefixStore(f"attempt_{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", tcp)


def _device(setting: str, local_rank: int, local_size: int) -> torch.device:
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if setting == "cuda" and found < local_size:
        raise ConfigError(
            f"train.device = 'cuda' needs a device for each of the {local_size} ranks of this machine, "
            f"and torch sees {found}: use fewer ranks, or train.device = 'cpu'."
        )
    if setting == "cpu" or found < local_size or found == 0:
        return torch.device("cpu")
    return torch.device("cuda", local_rank)

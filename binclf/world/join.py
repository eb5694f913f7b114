"""How ranks meet.

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
from typing import Any

import torch
import torch.distributed as dist

from binclf.errors import ConfigError
from binclf.world.ranks import World

RENDEZVOUS = "BINCLF_RENDEZVOUS"  # set by binclf.launch: path of the rendezvous file
TIMEOUT = datetime.timedelta(seconds=300)  # a peer that does not answer for so long is taken for dead


INTERFACE = "GLOO_SOCKET_IFNAME"
TURN_SECONDS = 5e-4  # of a thread at Python's lock: with the usual 5 ms two decoding threads are 1.5 x slower
PATIENCE = datetime.timedelta(hours=24)  # for rank 0 to prepare the job, such as to split the data


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
    if chosen.type == "cpu" and local_size > 1:
        _keep_to_own_cores(local_rank, local_size)
    # One thread computes, others decode and prefetch. Steps are so small that a second thread gains
    # nothing, and where another process wants the core its spinning made an epoch 10-20 times longer.
    threads, hook = torch.get_num_threads(), sys.excepthook  # torch puts its own hook there for good
    torch.set_num_threads(1)
    turn = sys.getswitchinterval()
    sys.setswitchinterval(TURN_SECONDS)
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
        yield World(rank, size, chosen, prepared, local_rank, local_size)
    finally:
        dist.destroy_process_group()
        torch.set_num_threads(threads)
        sys.setswitchinterval(turn)
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


def _keep_to_own_cores(local_rank: int, local_size: int) -> None:
    """Deal the cores to the ranks: else two ranks' threads crowd one core while another is idle (Linux)."""
    if sys.platform == "linux":
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) >= local_size:
            own = cores[len(cores) * local_rank // local_size : len(cores) * (local_rank + 1) // local_size]
            os.sched_setaffinity(0, own)


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

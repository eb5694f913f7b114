"""How ranks meet.

| started by                | rendezvous                              | world                            |
|---------------------------|-----------------------------------------|----------------------------------|
| nobody, or as rank 0 of 1 | none; in memory, once a model wants DDP | rank 0 of 1                      |
| `binclf.launch`           | a file, fresh for each attempt          | from RANK, WORLD_SIZE            |
| torchrun                  | its TCP store, prefixed by the attempt  | from RANK, WORLD_SIZE            |

A lone process is a world of one and runs the same code. The prefix is there since torch 2.13 keeps one store
over restarts: a restarted rank would read its dead peer's address.

nccl is used where there is a CUDA device for each rank, else gloo. The nccl path was never run by the
authors.
"""

from __future__ import annotations

import datetime
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from binclf.errors import ConfigError, located
from binclf.world.ranks import Lone, World

RENDEZVOUS = "BINCLF_RENDEZVOUS"  # set by binclf.launch: path of the rendezvous file
TURN_SECONDS = 5e-4  # of a thread at Python's lock: with the usual 5 ms two decoding threads are 1.5 x slower
PATIENCE = datetime.timedelta(hours=24)  # for rank 0 to prepare the job, such as to split the data


def is_rank() -> bool:
    """Whether a launcher (ours or torchrun) started this process as a rank."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


@contextmanager
def join(device: str = "auto", prepare: Callable[[], str] = str, stall: float = math.inf) -> Iterator[World]:
    """Meet the other ranks; leave them at the end.

    Args:
        device: auto, cpu or cuda, as in the config.
        prepare: is called by rank 0 alone, before the ranks meet and however long it takes; all ranks find
            what it returned in `World.prepared`.
        stall: seconds that the work of a rank may stand still while others wait for it, as in the config.

    Raises:
        ConfigError: cuda is asked for and there is none, or fewer devices than ranks on this machine.
    """
    turn = sys.getswitchinterval()
    sys.setswitchinterval(TURN_SECONDS)
    try:
        if is_rank() and not int(os.environ["RANK"]) < int(os.environ["WORLD_SIZE"]):
            raise ConfigError(
                f"RANK is {os.environ['RANK']} and WORLD_SIZE {os.environ['WORLD_SIZE']}: ranks count from 0."
            )
        has_peers = is_rank() and int(os.environ["WORLD_SIZE"]) > 1
        own = int(os.environ["RANK"]) if has_peers else None
        with (
            located(rank=own),
            _joined(device, prepare, stall) if has_peers else _lone(device, prepare) as world,
        ):
            yield world
    finally:
        sys.setswitchinterval(turn)


@contextmanager
def _lone(device: str, prepare: Callable[[], str]) -> Iterator[World]:
    world = Lone(device)
    if device == "cuda":
        _ = world.device  # refused now if there is none
    world.prepared = prepare()
    try:
        yield world
    finally:
        world.leave()


@contextmanager
def _joined(device: str, prepare: Callable[[], str], stall: float) -> Iterator[World]:
    from binclf.world import group
    from binclf.world.waiting import Waiting

    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    local_rank = int(os.environ.get("LOCAL_RANK", 0))
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", size))
    chosen = group.device_of(device, local_rank, local_size)
    if chosen.type == "cpu" and local_size > 1:
        _keep_to_own_cores(local_rank, local_size)
    store = group.store_of(size, os.environ.get(RENDEZVOUS, ""))
    if rank == 0:
        store.set("prepared", prepare())
    store.wait(["prepared"], PATIENCE)
    waiting, has_failed = Waiting(store, rank, size, stall), True
    try:
        world = group.Group((rank, size), (local_rank, local_size), chosen, waiting)
        world.prepared = store.get("prepared").decode()
        with group.meeting(store, rank, size, chosen):
            yield world
        has_failed = False
    finally:
        waiting.end(has_failed=has_failed)


def _keep_to_own_cores(local_rank: int, local_size: int) -> None:
    """Deal the cores to the ranks: else two ranks' threads crowd one core while another is idle (Linux)."""
    if sys.platform == "linux":
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) >= local_size:
            own = cores[len(cores) * local_rank // local_size : len(cores) * (local_rank + 1) // local_size]
            os.sched_setaffinity(0, own)

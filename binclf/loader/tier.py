"""Where decoded rows are kept: chosen by memory and disk, never by correctness."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from binclf.config import Config
from binclf.errors import ConfigError
from binclf.features import Features
from binclf.kernels import IS_COMPILED
from binclf.loader.cache import BlockCache, cached_bytes, free_bytes
from binclf.loader.held import HeldRows
from binclf.loader.memory import Grouped, Need, Shape, holding, shown, streaming
from binclf.loader.process import available_bytes, give_back
from binclf.loader.source import Source, threads
from binclf.loader.store import Order
from binclf.loader.streamed import StreamedRows
from binclf.parquet import Buffers
from binclf.storage import local_home, place_of
from binclf.world import World, doing

AnyStore = HeldRows | StreamedRows

SHARE = 0.7  # of the memory that is free, where memory_bytes is 0
BLOCK_OVERHEAD = 1.1  # of a cached block over its rows


@dataclass(frozen=True, slots=True)
class Tier:
    """What was chosen, and what it is predicted to take."""

    name: str  # ram, disk or none
    need: Need  # memory of a rank
    budget: int  # of a rank
    disk: int  # bytes of the cache


@dataclass(frozen=True, slots=True)
class Room:
    """What there is for decoded rows, before any are held: the same for all ranks."""

    memory: int  # bytes that a machine can give
    disk: int  # bytes that the cache may have

    @classmethod
    def found(cls, config: Config) -> Room:
        """On this machine, now."""
        return cls(int(SHARE * available_bytes()), disk_limit(config))

    def agreed(self, world: World) -> Room:
        """The least of all ranks', which see it at different moments and perhaps on different machines."""
        everyone = [Room(*json.loads(words)) for words in world.gather(json.dumps(astuple(self)).encode())]
        return Room(min(room.memory for room in everyone), min(room.disk for room in everyone))


@dataclass(frozen=True, slots=True)
class Job:
    """What the choice depends on."""

    config: Config
    room: Room
    sources: Mapping[str, Grouped]  # train, and validation if there is one
    shape: Shape
    batch_rows: int
    rank: int = 0
    ranks: int = 1
    local_ranks: int = 1

    @property
    def order(self) -> Order:
        """The order of the rows."""
        train = self.config.train
        return Order(train.seed, train.lanes, train.window_rows, train.shuffle, self.batch_rows)


def cache_folder(config: Config) -> Path:
    """Where decoded rows are kept on disk: always a local place, beside the parts where that is one."""
    store = place_of(config.store)
    return store / "cache" if isinstance(store, Path) else local_home() / "blocks"


def choose(job: Job) -> Tier:
    """The first of ram, disk and none that fits; or the one that the config names.

    Rows so few that the order shuffles them as a whole are held in any case: all are needed at once.

    Raises:
        ConfigError: it does not fit; with the figure that would do.
    """
    train, free = job.config.train, job.room.memory
    budget = train.memory_bytes or free // job.local_ranks
    held = holding(job.shape, job.sources.values(), job.batch_rows, job.ranks, threads(), train.workers)
    fits = held.total <= (train.memory_bytes or free)  # there once, whichever ranks share it
    is_small = job.order.plan(job.sources["train"].group_rows, 0).is_small
    if train.cache == "ram" or is_small or (train.cache == "auto" and fits):
        return _checked(Tier("ram", held, budget, 0), fits=fits)
    disk = int(BLOCK_OVERHEAD * job.shape.decoded * sum(source.rows for source in job.sources.values()))
    room = job.room.disk
    if train.cache == "disk" and disk > room:
        raise ConfigError(
            f"the decoded rows take about {shown(disk)} of disk, and {shown(room)} are allowed: raise "
            "train.cache_bytes, make room, or set train.cache = 'none'."
        )
    if train.workers:
        raise ConfigError(
            f"train.workers = {train.workers} needs the rows in memory ({shown(held.total)}, each process "
            "holding them): a process has every nth step only, and would decode whole windows for each. "
            "Set train.workers = 0, which is faster, or raise train.memory_bytes."
        )
    is_kept = train.cache == "disk" or (train.cache == "auto" and train.epochs > 1 and disk <= room)
    need = _streaming(job)
    tier = Tier("disk", need, budget, disk) if is_kept else Tier("none", need, budget, 0)
    return _checked(tier, fits=need.total <= budget)


def open_stores(job: Job, tier: Tier, sources: Mapping[str, Source], world: World) -> dict[str, AnyStore]:
    """A store of each part, of the tier that was chosen; all ranks must ask for the same."""
    if tier.name == "ram":
        train = sources["train"]
        is_shared = job.local_ranks > 1
        memory = world.shared(HeldRows.bytes_of(train)) if is_shared else None
        held = {part: HeldRows(source) for part, source in sources.items() if part != "train"}
        return {"train": HeldRows(train, memory), **held}
    give_back()
    cache = None
    if tier.name == "disk":
        cache = BlockCache(cache_folder(job.config), job.room.disk)
        if world.local_rank == 0:
            cache.prepare(tuple(sources.values()), tier.disk)
    work = Buffers()
    return {part: StreamedRows(source, cache, work) for part, source in sources.items()}


def attach(stores: Mapping[str, AnyStore], features: Features, world: World) -> None:
    """Encode with these features from now on; where ranks share memory, wait until all have filled it in."""
    doing.stage("encoding the rows of train")
    for store in stores.values():
        store.attach(features)
    train = stores["train"]
    if isinstance(train, HeldRows):
        if train.is_shared and world.local_size < world.size:
            world.meet()  # a machine's ranks fill in what others have learnt: not while those encode it
        if train.is_shared:
            train.fill(_share(train, world))
        world.meet()
        lacking = world.sum_integers(train.lacking.astype(np.int64)) > 0
        if train.is_shared:
            train.share(lacking)


def _share(store: HeldRows, world: World) -> list[int]:
    """The row groups that this rank fills in for its machine, beside those that it has learnt from."""
    if world.local_size == world.size:
        return []  # together the ranks have learnt from all of them
    owners = np.arange(len(store.source.group_rows)) % world.local_size
    return np.flatnonzero(owners == world.local_rank).tolist()


def told(tier: Tier) -> str:
    """The choice in words."""
    slowly = "" if IS_COMPILED else "; without compiled loops (no C compiler at installation), so more slowly"
    return (
        f"rows are {_WORDS[tier.name]}: about {shown(tier.need.total)} of {shown(tier.budget)} a rank{slowly}"
    )


_WORDS = {"ram": "held in memory", "disk": "read from the disk cache", "none": "streamed"}


def _checked(tier: Tier, *, fits: bool) -> Tier:
    if fits:
        return tier
    least = -(-tier.need.total // 2**20)
    others = "train.cache to 'auto'" if tier.name == "ram" else "train.lanes or train.window_rows lower"
    raise ConfigError(
        f"train.memory_bytes allows {shown(tier.budget)} a rank, and with rows {_WORDS[tier.name]} a rank "
        f"needs {least} MiB ({tier.need.told()}): set train.memory_bytes to {least * 2**20} or more, "
        f"or {others}."
    )


def _streaming(job: Job) -> Need:
    order, groups = job.order, job.sources["train"].group_rows
    plans = (order.plan(groups, epoch) for epoch in range(job.config.train.epochs))
    return streaming(job.shape, job.sources.values(), plans, job.rank, job.ranks, job.batch_rows)


def disk_limit(config: Config) -> int:
    """Bytes that the cache may have on this machine: as the config says, or half of what it could have."""
    if config.train.cache_bytes:
        return config.train.cache_bytes
    folder = cache_folder(config)
    return (free_bytes(folder) + cached_bytes(folder)) // 2

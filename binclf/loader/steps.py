"""Batches by (epoch, step), from a store, through a DataLoader."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from binclf.epoch import EpochPlan, Slab, checksum
from binclf.loader.prefetch import prefetched
from binclf.loader.store import RamStore

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """This rank's rows of one step; n may be 0."""

    x: torch.Tensor  # [n, F] float32
    ids: torch.Tensor  # [n, C] int32
    y: torch.Tensor  # [n, 1] float32, 0 or 1
    w: torch.Tensor  # [n, 1] float32
    step_rows: int  # rows of the step on all ranks
    checksum: int  # of the rows' numbers

    def __len__(self) -> int:
        """N."""
        return len(self.y)

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory: what a DataLoader asks of it beside a GPU."""
        x, ids, y, w = (t.pin_memory() for t in (self.x, self.ids, self.y, self.w))
        return Batch(x, ids, y, w, self.step_rows, self.checksum)

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        x, ids, y, w = (t.to(device, non_blocking=True) for t in (self.x, self.ids, self.y, self.w))
        return Batch(x, ids, y, w, self.step_rows, self.checksum)


@dataclass(frozen=True, slots=True)
class Order:
    """The settings of the order: what every rank must agree on."""

    seed: int
    lanes: int
    window_rows: int
    shuffle: bool
    batch_rows: int

    def plan(self, group_rows: tuple[int, ...], epoch: int) -> EpochPlan:
        """The plan of one epoch."""
        return EpochPlan(group_rows, self.seed, epoch, self.lanes, self.window_rows, shuffle=self.shuffle)


class StepDataset(Dataset[Batch]):
    """Batches of one rank by (epoch, step)."""

    def __init__(self, store: RamStore, order: Order, rank: int, ranks: int) -> None:
        """A store with features attached."""
        self.store, self.order, self.rank, self.ranks = store, order, rank, ranks
        self._plan: EpochPlan | None = None
        self._slab: Slab | None = None

    def __getitem__(self, index: tuple[int, int]) -> Batch:
        """The rank's rows of a step."""
        epoch, step = index
        plan = self._plan_of(epoch)
        first = step * self.order.batch_rows
        end = min(first + self.order.batch_rows, plan.rows)
        rows = self._rows(plan, first, end)
        store = self.store
        return Batch(
            x=torch.from_numpy(store.x.take(rows, axis=0)),
            ids=torch.from_numpy(store.ids.take(rows, axis=0)),
            y=torch.from_numpy(store.y.take(rows, axis=0)),
            w=torch.from_numpy(store.w.take(rows, axis=0)),
            step_rows=end - first,
            checksum=checksum(rows),
        )

    def _plan_of(self, epoch: int) -> EpochPlan:
        if self._plan is None or self._plan.epoch != epoch:
            self._plan, self._slab = self.order.plan(self.store.group_rows, epoch), None
        return self._plan

    def _rows(self, plan: EpochPlan, first: int, end: int) -> I64:
        """Canonical row numbers of this rank's positions in [first, end)."""
        pieces: list[I64] = []
        while first < end:
            slab = self._slab
            if slab is None or not slab.first <= first < slab.end:
                slab = self._slab = plan.slab_of(first, self.rank, self.ranks)
                self.store.load(slab.groups)
            stop = min(end, slab.end)
            base = plan.count(slab.first, self.rank, self.ranks)
            low = plan.count(first, self.rank, self.ranks) - base
            high = plan.count(stop, self.rank, self.ranks) - base
            pieces.append(slab.rows[low:high])
            first = stop
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


class EpochSteps(Sampler[tuple[int, int]]):
    """The (epoch, step) pairs of the epoch that is set."""

    def __init__(self, steps: int) -> None:
        """Each epoch has the same number of steps."""
        self.steps, self.epoch = steps, 0

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((self.epoch, step) for step in range(self.steps))

    def __len__(self) -> int:
        return self.steps


class Loader:
    """A rank's batches, epoch by epoch."""

    def __init__(self, dataset: StepDataset, *, workers: int, pin_memory: bool) -> None:
        """With workers, processes by forkserver; else one thread that stays two batches ahead."""
        steps = dataset.order.plan(dataset.store.group_rows, 0).steps(dataset.order.batch_rows)
        self.sampler = EpochSteps(steps)
        self.workers = workers
        self.data = DataLoader(
            dataset,
            sampler=self.sampler,
            batch_size=None,
            collate_fn=_as_is,
            num_workers=workers,
            persistent_workers=workers > 0,
            multiprocessing_context="forkserver" if workers else None,
            pin_memory=pin_memory,
            timeout=300 if workers else 0,  # a stopped worker would hang the epoch for ever
        )

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self.sampler.steps

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch, in order."""
        self.sampler.epoch = number
        return iter(self.data) if self.workers else prefetched(self.data)


def _as_is(batch: Any) -> Any:  # noqa: ANN401 - a Batch, which torch does not know
    return batch

"""Batches by (epoch, positions), from a store, through a DataLoader."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from binclf.epoch import EpochPlan, checksum
from binclf.errors import RankError, StorageError
from binclf.features import Encoded
from binclf.loader.prefetch import prefetched
from binclf.loader.store import CHUNK_BYTES, DEPTH, MOST_CHUNK_ROWS, Order, Reader, Store

Index = tuple[int, int, int]  # epoch, first and end position of a step


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
        if device == self.x.device:
            return self
        x, ids, y, w = (t.to(device, non_blocking=True) for t in (self.x, self.ids, self.y, self.w))
        return Batch(x, ids, y, w, self.step_rows, self.checksum)


class StepDataset(Dataset[Batch]):
    """Batches of one rank by (epoch, first position, end position)."""

    def __init__(self, store: Store, order: Order, rank: int, ranks: int) -> None:
        """A store with features attached."""
        self.store, self.order, self.rank, self.ranks = store, order, rank, ranks
        own = max(order.batch_rows // ranks, 1)  # rows of a step, about
        self.steps_at_once = max(min(CHUNK_BYTES // store.row_bytes, MOST_CHUNK_ROWS) // own, 1)
        self._reader: Reader | None = None
        self._plan: EpochPlan | None = None
        self._ones = torch.ones((0, 1))

    def __getitem__(self, index: Index) -> Batch:
        """The rank's rows of a step."""
        return self.__getitems__([index])[0]

    def __getitems__(self, steps: Sequence[Index]) -> list[Batch]:
        """The rank's rows of steps that follow each other, read at once: what a DataLoader asks for."""
        epoch, first, _ = steps[0]
        plan = self._plan_of(epoch)
        assert self._reader is not None
        encoded, rows = self._reader.read(first, steps[-1][2])
        tensors = self._tensors(encoded)
        counts = [plan.count(position, self.rank, self.ranks) for position in (first, *(s[2] for s in steps))]
        if len(rows) != counts[-1] - counts[0]:
            raise AssertionError(f"{len(rows)} rows of {counts[-1] - counts[0]}: rows were lost or repeated")
        batches: list[Batch] = []
        for (_, low, end), *cut in zip(steps, counts, counts[1:], strict=False):
            own = slice(cut[0] - counts[0], cut[1] - counts[0])
            x, ids, y, w = (tensor[own] for tensor in tensors)
            batches.append(Batch(x, ids, y, w, end - low, checksum(rows[own])))
        return batches

    def _tensors(self, encoded: Encoded) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """As a Batch has them."""
        y = torch.from_numpy(encoded.y.astype(np.float32)).unsqueeze(1)
        if encoded.w is not None:
            w = torch.from_numpy(encoded.w).unsqueeze(1)
        else:
            if len(self._ones) < len(y):
                self._ones = torch.ones((len(y), 1))
            w = self._ones[: len(y)]
        return torch.from_numpy(encoded.x), torch.from_numpy(encoded.ids), y, w

    def _plan_of(self, epoch: int) -> EpochPlan:
        if self._plan is None or self._plan.epoch != epoch:
            self._plan = self.order.plan(self.store.source.group_rows, epoch)
            self._reader = self.store.reader(self._plan, self.rank, self.ranks)
        return self._plan


class EpochSteps(Sampler[list[Index]]):
    """The steps of the epoch that is set, from a position on; some at once."""

    def __init__(self, rows: int, batch_rows: int, at_once: int) -> None:
        """N, B, and how many steps are read at once."""
        self.rows, self.batch_rows, self.at_once = rows, batch_rows, at_once
        self.epoch, self.position = 0, 0

    def __iter__(self) -> Iterator[list[Index]]:
        ends = [*range(self.position, self.rows, self.batch_rows), self.rows]
        for place in range(0, len(ends) - 1, self.at_once):
            yield [(self.epoch, *step) for step in pairwise(ends[place : place + self.at_once + 1])]

    def __len__(self) -> int:
        return -(-(self.rows - self.position) // (self.batch_rows * self.at_once))


class Loader:
    """A rank's batches, epoch by epoch."""

    def __init__(
        self,
        dataset: StepDataset,
        *,
        workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        """With workers, processes by forkserver; else one thread that stays a chunk ahead."""
        self.workers = workers
        at_once = 1 if workers else dataset.steps_at_once  # a worker has every nth chunk only
        self.sampler = EpochSteps(dataset.store.source.rows, dataset.order.batch_rows, at_once)
        self.data = DataLoader(
            dataset,
            batch_sampler=self.sampler,
            collate_fn=_as_is,
            num_workers=workers,
            persistent_workers=workers > 0,
            multiprocessing_context="forkserver" if workers else None,
            pin_memory=pin_memory,
            timeout=300 if workers else 0,  # a stopped worker would hang the epoch for ever
        )

    def epoch(self, number: int, position: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from a position on, in order."""
        self.sampler.epoch, self.sampler.position = number, position
        chunks: Iterator[list[Batch]] = (
            _of_workers(self.data) if self.workers else prefetched(self.data, DEPTH)
        )
        return chain.from_iterable(chunks)


def _of_workers(data: DataLoader[Batch]) -> Iterator[list[Batch]]:
    """What worker processes give.

    Raises:
        RankError: one of them has gone, or gives nothing any more.
    """
    try:
        yield from data
    except (RuntimeError, OSError, EOFError) as error:
        words = str(error).split("\n")[0].strip(" .")
        if isinstance(error, RuntimeError) and not words.startswith("DataLoader"):
            raise
        if isinstance(error, StorageError) or words.startswith("Caught "):  # raised by a worker itself
            raise
        # not in torch's words, 'timed out' or 'reset by peer': those are of ranks that were left by others
        was = "gave nothing for too long" if "timed out" in words else "was killed or ended"
        raise RankError(
            f"a process that reads rows for this rank {was} (out of memory?): run it again, with "
            "train.workers = 0 if that does not help."
        ) from error


def _as_is(batches: list[Batch]) -> list[Batch]:
    return batches

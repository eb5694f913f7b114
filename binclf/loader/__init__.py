"""Batches for this rank: decoded once into RAM, gathered by step, handed over by a real DataLoader.

The dataset is indexed by (epoch, step): the index says which rows, so that workers, threads and prefetching
have no state and cannot change the order. One prefetch thread is the default: DataLoader processes are 4-5
times slower here, since each batch crosses a process boundary. Row groups are decoded when first needed. (B
rows of a step on all ranks, n of them here; F numbers, C categories; N rows in all.)
"""

from binclf.loader.steps import Batch, Loader, Order, StepDataset
from binclf.loader.store import RamStore

__all__ = ["Batch", "Loader", "Order", "RamStore", "StepDataset"]

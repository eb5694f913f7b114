"""Batches for this rank: decoded rows by step, handed over by a real DataLoader.

| tier | rows are                                        | memory of a rank                      |
|------|-------------------------------------------------|---------------------------------------|
| ram  | held, decoded once, shared by a machine's ranks | all rows                              |
| disk | memory-mapped from a cache of decoded blocks    | half a window and half a block a lane |
| none | decoded each epoch                              | half a window and half a block a lane |

The order comes from the plan alone, and rows are encoded elementwise: all tiers give the same batches, to the
bit. The dataset is indexed by (epoch, positions), so that workers, threads and prefetching have no state and
cannot change the order. One prefetch thread is the default: DataLoader processes are 4-5 times slower here,
since each batch crosses a process boundary. (B rows of a step on all ranks, n of them here; F numbers, C
categories; N rows in all.) Only `steps`, which makes the batches, imports torch.
"""

from binclf.loader.balanced import Balanced
from binclf.loader.cache import BlockCache
from binclf.loader.held import HeldRows
from binclf.loader.source import Source
from binclf.loader.store import Order, Store
from binclf.loader.streamed import StreamedRows

__all__ = [
    "Balanced",
    "BlockCache",
    "HeldRows",
    "Order",
    "Source",
    "Store",
    "StreamedRows",
]

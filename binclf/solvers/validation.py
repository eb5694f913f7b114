"""The loss on a part, the same bits for any number of ranks."""

from __future__ import annotations

import numpy as np
import torch

from binclf.loader import RamStore
from binclf.model import LogisticRegression
from binclf.objective import log_loss_sum
from binclf.world import World


def mean_log_loss(model: LogisticRegression, store: RamStore, world: World) -> float:
    """Weighted mean log-loss of a part, the same bits for any number of ranks.

    Row groups are dealt to the ranks; their sums are gathered, each rank adding zeros for the others'
    (which is exact), and added up in canonical order.
    """
    sums = np.zeros((len(store.group_rows), 2))
    own = range(world.rank, len(store.group_rows), world.size)
    store.load(own)
    with torch.no_grad():
        for group in own:
            rows = slice(int(store.starts[group]), int(store.starts[group + 1]))
            x, ids, y, w = (
                torch.from_numpy(array[rows]).to(world.device)
                for array in (store.x, store.ids, store.y, store.w)
            )
            logits = model(x, ids).double()
            sums[group] = (
                float(log_loss_sum(logits, y.double(), w.double())),
                float(w.double().sum()),
            )
    total = world.sum_floats(sums)
    return float(total[:, 0].sum() / total[:, 1].sum())

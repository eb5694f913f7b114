"""The loss on a part, the same bits for any number of ranks."""

from __future__ import annotations

import numpy as np
import torch

from binclf.loader import Store
from binclf.loader.source import ahead, threads
from binclf.model import LogisticRegression, log_loss_sum
from binclf.world import World, doing


def mean_log_loss(model: LogisticRegression, store: Store, world: World, shift: float = 0.0) -> float:
    """Weighted mean log-loss of a part, the same bits for any number of ranks; logits are shifted by `shift`.

    Row groups are dealt to the ranks; their sums are gathered, each rank adding zeros for the others'
    (which is exact), and added up in canonical order.
    """
    doing.stage("a pass over the validation rows")
    groups = len(store.source.group_rows)
    sums = np.zeros((groups, 2))
    with torch.no_grad():
        own = range(world.rank, groups, world.size)
        for group, rows in zip(own, ahead(store.encoded, own, threads()), strict=True):
            labels = rows.y.astype(np.float64)  # copied: those of a cached block cannot be written
            x, ids, y = (torch.from_numpy(a).to(world.device) for a in (rows.x, rows.ids, labels))
            w = torch.ones_like(y) if rows.w is None else torch.from_numpy(rows.w).to(world.device)
            logits = model(x, ids).double() + shift
            y, w = y.unsqueeze(1), w.double().unsqueeze(1)
            sums[group] = (float(log_loss_sum(logits, y, w)), float(w.sum()))
    world.meet()
    total = world.sum_floats(sums)
    return float(total[:, 0].sum() / total[:, 1].sum())

"""The loss on a part, the same bits for any number of ranks."""

from __future__ import annotations

import numpy as np
import torch

from binclf.features import Encoded
from binclf.loader import Store
from binclf.model import LogisticRegression, log_loss_sum
from binclf.solvers.parts import sums_of
from binclf.world import World


def mean_log_loss(model: LogisticRegression, store: Store, world: World, shift: float = 0.0) -> float:
    """Weighted mean log-loss of a part, the same bits for any number of ranks; logits move by `shift`."""

    def of(rows: Encoded) -> tuple[float, float]:
        labels = rows.y.astype(np.float64)  # copied: those of a cached block cannot be written
        x, ids, y = (torch.from_numpy(a).to(world.device) for a in (rows.x, rows.ids, labels))
        w = torch.ones_like(y) if rows.w is None else torch.from_numpy(rows.w).to(world.device)
        logits = model(x, ids).double() + shift
        y, w = y.unsqueeze(1), w.double().unsqueeze(1)
        return float(log_loss_sum(logits, y, w)), float(w.sum())

    with torch.no_grad():
        total = sums_of(store, world, 2, of)
    return float(total[:, 0].sum() / total[:, 1].sum())

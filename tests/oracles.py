"""Slow and plain ways to what binclf works out quickly."""

from __future__ import annotations

import math

import numpy as np


def delong_brute(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> tuple[float, float] | None:
    """DeLong's 95 % interval of ROC-AUC on the scale of the logit, pair by pair; None without a spread."""
    won = (logits[labels == 1][:, None] > logits[labels == 0]) + 0.5 * (
        logits[labels == 1][:, None] == logits[labels == 0]
    )
    p, n = weights[labels == 1], weights[labels == 0]
    if not p.sum() or not n.sum():
        return None
    area = p @ won @ n / (p.sum() * n.sum())
    variance = 0.0
    for w, placed in ((p, won @ n / n.sum()), (n, p @ won / p.sum())):
        effective = w.sum() ** 2 / (w**2).sum()
        if effective <= 1 + 1e-12:
            return None
        variance += (w**2 * (placed - area) ** 2).sum() / w.sum() ** 2 * effective / (effective - 1)
    if not 1e-12 < area < 1 - 1e-12 or variance <= 1e-30:
        return None
    half = 1.959963984540054 * math.sqrt(variance) / (area * (1 - area))
    middle = math.log(area / (1 - area))
    return 1 / (1 + math.exp(half - middle)), 1 / (1 + math.exp(-half - middle))

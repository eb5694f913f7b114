"""Slow and plain ways to what binclf works out quickly."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn import metrics as oracle

Z95 = 1.959963984540054


def of_scikit_learn(logits: np.ndarray, y: np.ndarray, w: np.ndarray, threshold: float) -> dict[str, Any]:
    """Every metric of rows with weight, by scikit-learn or straight from its definition; None: undefined."""
    p = 1 / (1 + np.exp(-logits))
    losses = np.where(y == 1, np.log1p(np.exp(-logits)), np.log1p(np.exp(logits)))
    rate = float(np.average(y, weights=w))
    both = 0 < rate < 1
    base = oracle.log_loss(y, np.full(len(y), rate), sample_weight=w, labels=[0, 1]) if both else 0.0
    (tn, fp), (fn, tp) = oracle.confusion_matrix(y, p >= threshold, sample_weight=w, labels=[0, 1]).tolist()
    bins = np.minimum((p * 15).astype(int), 14)
    found = {
        "positive_rate": rate,
        "mean_prediction": np.average(p, weights=w),
        "log_loss": oracle.log_loss(y, p, sample_weight=w, labels=[0, 1]),
        "base_log_loss": base,
        "skill": base - np.average(losses, weights=w),
        "brier": np.average((p - y) ** 2, weights=w),
        "ece": np.abs(np.bincount(bins, w * (p - y))).sum() / w.sum(),
        "precision": tp / (tp + fp) if tp + fp else None,
        "recall": tp / (tp + fn) if tp + fn else None,
        "specificity": tn / (tn + fp) if tn + fp else None,
        "f1": 2 * tp / (2 * tp + fp + fn) if tp + fn else None,
        "roc_auc": oracle.roc_auc_score(y, logits, sample_weight=w) if both else None,
        "pr_auc": oracle.average_precision_score(y, logits, sample_weight=w) if both else None,
        "ks": None,
    }
    if both:
        false, true, _ = oracle.roc_curve(y, logits, sample_weight=w, drop_intermediate=False)
        found["ks"] = np.abs(true - false).max()
    return found | {"confusion": {"tp": tp, "fp": fp, "tn": tn, "fn": fn}}


def captured(logits: np.ndarray, y: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Which share of the positives the best-scored tenth, two tenths ... hold, ties taken in part."""
    false, true, _ = oracle.roc_curve(y, logits, sample_weight=w, drop_intermediate=False)
    share = (true * (w * y).sum() + false * (w * (1 - y)).sum()) / w.sum()
    return np.asarray(np.interp(np.arange(1, 11) / 10, share, true))


def interval_of_mean(values: np.ndarray, w: np.ndarray) -> tuple[float, float]:
    """95 % of a weighted mean of independent rows."""
    mean, rows = np.average(values, weights=w), w.sum() ** 2 / (w**2).sum()
    half = Z95 * math.sqrt((w**2 * (values - mean) ** 2).sum() * rows / (rows - 1)) / w.sum()
    return mean - half, mean + half


def delong_sorted(logits: np.ndarray, y: np.ndarray, w: np.ndarray) -> tuple[float, float]:
    """As `delong_brute`, of any number of rows: weight of the other class on either side, by bisection."""
    sides, variance = [(logits[y == k], w[y == k]) for k in (0, 1)], 0.0
    for (own, weight), (other, theirs) in zip(sides, sides[::-1], strict=True):
        order = np.argsort(other)
        reached = np.concatenate([[0.0], np.cumsum(theirs[order])])
        below, upto = (reached[np.searchsorted(other[order], own, side)] for side in ("left", "right"))
        placed = (below + upto) / 2 / reached[-1]
        area = np.average(placed, weights=weight)
        rows = weight.sum() ** 2 / (weight**2).sum()
        variance += (weight**2 * (placed - area) ** 2).sum() / weight.sum() ** 2 * rows / (rows - 1)
    half, middle = Z95 * math.sqrt(variance) / (area * (1 - area)), math.log(area / (1 - area))
    return 1 / (1 + math.exp(half - middle)), 1 / (1 + math.exp(-half - middle))


def off_the_line(found: dict[str, Any], logits: np.ndarray, y: np.ndarray, w: np.ndarray) -> float:
    """How far calibration slope and intercept are from the greatest likelihood: Newton's last steps."""

    def lacks(intercept: float, slope: float) -> tuple[np.ndarray, np.ndarray]:
        p = 1 / (1 + np.exp(-(intercept + slope * logits)))
        rest, bend = w * (y - p), w * p * (1 - p)
        moments = [float((bend * logits**power).sum()) for power in range(3)]
        return np.array([rest.sum(), (rest * logits).sum()]), np.array([moments[:2], moments[1:]])

    gradient, bend = lacks(found["calibration_intercept"], 1.0)
    steps, intercept = [gradient[0] / bend[0, 0]], 0.0
    for _ in range(50):  # the intercept that goes with the slope is not told
        gradient, bend = lacks(intercept, found["calibration_slope"])
        intercept += gradient[0] / bend[0, 0]
    steps.append(np.linalg.solve(bend, gradient)[1])
    return float(np.abs(steps).max())


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

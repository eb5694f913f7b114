"""Where to say yes: a threshold that is given, or one that validation rows choose by a rule.

A row is decided yes where its probability reaches the threshold. Of a rule the cuts between distinct
probabilities are tried (log-odds can differ where their probabilities, rounded, do not: no threshold lies
between those); the threshold is the middle of the two that a cut lies between. So rows that are counted for
a cut are those that its threshold decides, unless scores were joined into bins: then a row within a rounding
below a bin's edge may be decided yes beside those counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.config import Rule
from binclf.metrics.histogram import Histogram
from binclf.metrics.ranking import ratio
from binclf.metrics.reliability import probability

F64 = npt.NDArray[np.float64]

NEVER = 2.0  # a threshold that no probability reaches
SHOWN_THRESHOLDS = 200


def choose(rule: Rule, histogram: Histogram | None) -> tuple[float, str]:
    """The threshold that these rows choose, and what is amiss with it: empty, or a reason.

    Where nothing can be chosen the threshold is 2: no row is decided yes.
    """
    if not rule.is_chosen:
        return rule.values[0], ""
    if histogram is None or not histogram.has_both:
        return NEVER, "only one class has rows with weight"
    return _chosen(rule, _Cuts.of(histogram))


def _chosen(rule: Rule, cuts: _Cuts) -> tuple[float, str]:
    tp, fp, positive = cuts.tp, cuts.fp, cuts.tp[0]
    if rule.kind == "max_f1":
        # of equals the first: the lowest threshold
        best = int((2 * tp / (tp + fp + positive)).argmax())
    elif rule.kind == "recall":
        # a ratio, which is rounded as the rule's own number was: 11 of 20 are 0.55, and 0.55 * 20 is above 11
        best = int(np.flatnonzero(tp / positive >= rule.values[0])[-1])  # cut 0 decides all yes
    elif rule.kind == "precision":
        reached = np.flatnonzero((ratio(tp, tp + fp) >= rule.values[0]) & (tp > 0))
        if not len(reached):
            highest = float(ratio(tp, tp + fp).max())
            return NEVER, f"precision {rule.values[0]:g} is not reached: the best is {highest:.4f}"
        best = int(reached[0])
    else:
        best = int((rule.values[0] * fp + rule.values[1] * (positive - tp)).argmin())
    return float(cuts.thresholds[best]), ""


def threshold_table(histogram: Histogram) -> list[dict[str, float]]:
    """The confusion at 200 thresholds or fewer, ascending, evenly over the rows."""
    if not len(histogram.scores):
        return []
    cuts = _Cuts.of(histogram)
    tp, fp = cuts.tp, cuts.fp
    seen = (tp + fp)[0] - (tp + fp)
    at = np.unique(np.searchsorted(seen, np.linspace(0, seen[-1], SHOWN_THRESHOLDS)).clip(0, len(tp) - 2))
    return [
        {
            "threshold": float(cuts.thresholds[k]),
            "tp": float(tp[k]),
            "fp": float(fp[k]),
            "tn": float(fp[0] - fp[k]),
            "fn": float(tp[0] - tp[k]),
        }
        for k in at
    ]


def told(
    confusion: npt.NDArray[np.int64], quantum: float, threshold: float
) -> tuple[dict[str, Any], dict[str, str]]:
    """Precision, recall and the like of a confusion [label, decision] in units, and what is undefined why."""
    undefined: dict[str, str] = {}
    (tn, fp), (fn, tp) = (confusion / quantum).tolist()
    if not tp + fp:
        undefined["precision"] = "no row is decided yes"
    if not tp + fn:
        undefined |= dict.fromkeys(("recall", "f1"), "no row is positive")
    if not tn + fp:
        undefined["specificity"] = "no row is negative"
    return {
        "threshold": threshold,
        "precision": tp / (tp + fp) if tp + fp else None,
        "recall": tp / (tp + fn) if tp + fn else None,
        "specificity": tn / (tn + fp) if tn + fp else None,
        "f1": 2 * tp / (2 * tp + fp + fn) if tp + fn else None,
        "confusion": {"tp": tp, "fp": fp, "tn": tn, "fn": fn},
    }, undefined


@dataclass(frozen=True, slots=True)
class _Cuts:
    """Where the decision can turn, ascending: from all yes to none; each float64 [K]."""

    thresholds: F64  # reached by the probabilities above the cut and by none below
    tp: F64  # weight of the true positives, in units
    fp: F64

    @classmethod
    def of(cls, histogram: Histogram) -> _Cuts:
        least, most = probability(histogram.scores), probability(histogram.highest)
        # rounded probabilities need not ascend with their log-odds to the last bit
        below = np.concatenate([[-np.inf], np.maximum.accumulate(most)])
        above = np.concatenate([np.minimum.accumulate(least[::-1])[::-1], [np.inf]])
        cuts = np.flatnonzero(below < above)
        low, high = below[cuts], above[cuts]
        middle = (low + high) / 2
        thresholds = np.where(low < middle, middle, high)
        thresholds[0], thresholds[-1] = 0.0, NEVER
        tp, fp = (_from_each_bin(own)[cuts] for own in (histogram.positive, histogram.negative))
        return cls(thresholds, tp, fp)


def _from_each_bin(units: npt.NDArray[np.int64]) -> F64:
    """Units of bin k and those above it, for k = 0 .. B: float64 [B + 1]."""
    below = np.concatenate([[0], np.cumsum(units)])
    return np.asarray(below[-1] - below, dtype=np.float64)

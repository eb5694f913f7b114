"""Where to say yes: a threshold that is given, or one that validation rows choose by a rule.

A row is decided yes where its probability reaches the threshold. Of a rule the cuts between distinct scores
are tried; the threshold is the middle of the two probabilities that a cut lies between.
"""

from __future__ import annotations

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
    tp, fp = _at_cuts(histogram)
    positive = tp[0]
    if rule.kind == "max_f1":
        # of equals the first: the lowest threshold
        return _between(histogram, int((2 * tp / (tp + fp + positive)).argmax())), ""
    if rule.kind == "recall":
        # a ratio, which is rounded as the rule's own number was: 11 of 20 are 0.55, and 0.55 * 20 is above 11
        reached = np.flatnonzero(tp / positive >= rule.values[0])  # cut 0 decides all yes
        return _between(histogram, int(reached[-1])), ""
    if rule.kind == "precision":
        reached = np.flatnonzero((ratio(tp, tp + fp) >= rule.values[0]) & (tp > 0))
        if not len(reached):
            best = float(ratio(tp, tp + fp).max())
            return NEVER, f"precision {rule.values[0]:g} is not reached: the best is {best:.4f}"
        return _between(histogram, int(reached[0])), ""
    cost = rule.values[0] * fp + rule.values[1] * (positive - tp)
    return _between(histogram, int(cost.argmin())), ""


def threshold_table(histogram: Histogram) -> list[dict[str, float]]:
    """The confusion at 200 thresholds or fewer, ascending, evenly over the rows."""
    if not len(histogram.scores):
        return []
    tp, fp = _at_cuts(histogram)
    seen = (tp + fp)[0] - (tp + fp)
    at = np.unique(np.searchsorted(seen, np.linspace(0, seen[-1], SHOWN_THRESHOLDS)).clip(0, len(tp) - 2))
    return [
        {
            "threshold": _between(histogram, int(k)),
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


def _at_cuts(histogram: Histogram) -> tuple[F64, F64]:
    """True and false positives if all from bin k on are decided yes, for k = 0 .. B: float64 [B + 1]."""
    found = []
    for own in (histogram.positive, histogram.negative):
        below = np.concatenate([[0], np.cumsum(own)])
        found.append((below[-1] - below).astype(np.float64))
    return found[0], found[1]


def _between(histogram: Histogram, cut: int) -> float:
    """A probability that the bins from `cut` on reach and those below do not."""
    if cut == 0:
        return 0.0
    if cut == len(histogram.scores):
        return NEVER
    low, high = map(float, probability(np.array([histogram.highest[cut - 1], histogram.scores[cut]])))
    middle = (low + high) / 2
    return middle if low < middle else high

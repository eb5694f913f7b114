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
        # half of it; of equals the first: the lowest threshold
        half = tp + fp
        half += positive
        best = int(np.divide(tp, half, out=half).argmax())
    elif rule.kind == "recall":
        # a ratio, which is rounded as the rule's own number was: 11 of 20 are 0.55, and 0.55 * 20 is above 11
        best = int(np.flatnonzero(tp / positive >= rule.values[0])[-1])  # cut 0 decides all yes
    elif rule.kind == "precision":
        precision = ratio(tp, tp + fp)
        reached = (precision >= rule.values[0]) & (tp > 0)
        if not reached.any():
            highest = float(precision.max())
            return NEVER, f"precision {rule.values[0]:g} is not reached: the best is {highest:.4f}"
        best = int(reached.argmax())
    else:
        best = int((rule.values[0] * fp + rule.values[1] * (positive - tp)).argmin())
    return float(cuts.thresholds(np.array([best]))[0]), ""


def threshold_table(histogram: Histogram) -> list[dict[str, float]]:
    """The confusion at 200 thresholds or fewer, ascending, evenly over the rows."""
    if not len(histogram.scores):
        return []
    cuts = _Cuts.of(histogram)
    tp, fp = cuts.tp, cuts.fp
    seen = tp + fp
    np.subtract(seen[0], seen, out=seen)
    at = np.unique(np.searchsorted(seen, np.linspace(0, seen[-1], SHOWN_THRESHOLDS)).clip(0, len(tp) - 2))
    return [
        {
            "threshold": threshold,
            "tp": float(tp[k]),
            "fp": float(fp[k]),
            "tn": float(fp[0] - fp[k]),
            "fn": float(tp[0] - tp[k]),
        }
        for k, threshold in zip(at, cuts.thresholds(at).tolist(), strict=True)
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
    """Where the decision can turn, K cuts, ascending: from all yes to none."""

    histogram: Histogram
    places: npt.NDArray[np.bool_]  # [B + 1]: whether one lies below bin k, or above all
    tp: F64  # [K]: weight of the true positives, in units
    fp: F64

    @classmethod
    def of(cls, histogram: Histogram) -> _Cuts:
        # rounded probabilities need not ascend with their log-odds to the last bit
        above = np.full(len(histogram.scores) + 1, np.inf)
        for stretch in histogram.stretches():
            above[stretch.within] = probability(stretch.bins.scores)
        above = np.minimum.accumulate(above[::-1])[::-1]
        places, greatest = np.ones(len(above), dtype=np.bool_), -np.inf
        tp, fp, filled = np.zeros(len(above)), np.zeros(len(above)), 0
        for stretch in histogram.stretches():
            below = np.maximum(np.maximum.accumulate(probability(stretch.bins.highest)), greatest)
            after = slice(stretch.within.start + 1, stretch.within.stop + 1)
            places[after], greatest = below < above[after], float(below[-1])
            here = places[stretch.within]
            into = slice(filled, filled + int(np.count_nonzero(here)))
            tp[into], fp[into] = stretch.tp[here], stretch.fp[here]
            filled = into.stop
        return cls(histogram, places, tp[: filled + 1], fp[: filled + 1])  # above all there is nothing

    def thresholds(self, cuts: npt.NDArray[np.int64]) -> F64:
        """Of some cuts, ascending: what all probabilities above reach, and none below."""
        places = np.flatnonzero(self.places)[cuts]
        low, high = np.full(len(cuts), -np.inf), np.full(len(cuts), np.inf)
        for stretch in self.histogram.stretches():
            inside = (places - stretch.first).clip(0, len(stretch.positive))  # so many bins are below
            most, least = probability(stretch.bins.highest), probability(stretch.bins.scores)
            most = np.concatenate([[-np.inf], np.maximum.accumulate(most)])
            least = np.concatenate([np.minimum.accumulate(least[::-1])[::-1], [np.inf]])
            low, high = np.maximum(low, most[inside]), np.minimum(high, least[inside])
        middle = (low + high) / 2
        found = np.where(low < middle, middle, high)
        return np.where(cuts == len(self.tp) - 1, NEVER, np.where(cuts == 0, 0.0, found))

"""What a tally says: the metrics of `metrics.json`, and the points of the report's pictures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from binclf.metrics import decisions, intervals, ranking, reliability
from binclf.metrics.histogram import Histogram
from binclf.metrics.tally import Tally

SCORE_BINS = 50
MEANS = (
    "positive_rate", "mean_prediction", "excess", "log_loss", "base_log_loss", "skill", "brier",
    "brier_reliability", "brier_resolution", "brier_uncertainty", "brier_within", "ece",
)  # fmt: skip
LOSSES = ("log_loss", "skill")
RANKED = (
    "roc_auc", "roc_auc_bound", "pr_auc", "pr_auc_bound", "ks", "ks_bound", "ks_threshold", "gains",
    "gains_bound",
)  # fmt: skip
LINE = ("calibration_slope", "calibration_intercept")


def metrics(tally: Tally) -> dict[str, Any]:
    """The metrics of some rows; an undefined one is None, and `undefined` tells why.

    `excess` is mean prediction minus positive rate, `skill` the log-loss of telling the base rate to everyone
    minus the model's. `intervals` are of 95 %: rows are taken as independent, or clusters where the tally has
    them; `units` says how many of equal weight that would be.
    """
    sums, wide = tally.total()
    found: dict[str, Any] = {"rows": tally.rows, "weight": sums["w"], "units": 0.0}
    found |= dict.fromkeys((*MEANS, *RANKED, *LINE)) | {"intervals": {}, "undefined": {}}
    undefined: dict[str, str] = found["undefined"]
    if sums["w"] > 0:
        histogram = tally.histogram()
        found |= _means(sums, wide, histogram)
        found |= _of_units(tally, sums, found)
        for name in LOSSES:
            if not math.isfinite(found[name]):  # a score from a value such as the largest float
                found[name], undefined[name] = None, "the log-loss of a row is beyond any number"
        if histogram.has_both:
            found |= _ranks(histogram)
            area = found["roc_auc"]
            found["intervals"]["roc_auc"] = ranking.roc_auc_interval(histogram, area, tally.clusters)
            line = reliability.line(histogram)
            if line is None:
                undefined |= dict.fromkeys(LINE, "the scores part the classes, or are all the same")
            else:
                found |= dict(zip(LINE, line, strict=True))
        else:
            undefined |= dict.fromkeys((*RANKED, *LINE), "only one class has rows with weight")
    else:
        reason = "no rows" if tally.rows == 0 else "all rows weigh 0"
        undefined |= dict.fromkeys((*MEANS, *RANKED, *LINE), reason)
    decided, reasons = decisions.told(tally.confusion, tally.quantum, tally.threshold)
    found["intervals"] = {name: list(own) for name, own in found["intervals"].items() if own is not None}
    return found | decided | {"undefined": undefined | reasons}


def pictures(tally: Tally) -> dict[str, Any]:
    """Points to draw: ROC and precision-recall curves, reliability, scores by class, thresholds."""
    histogram, weight = tally.histogram(), tally.total()[0]["w"]
    scale = tally.quantum
    table = decisions.threshold_table(histogram)
    return {
        **ranking.curves(histogram),
        "calibration": [
            {**of_bin, "weight": of_bin["weight"] * weight} for of_bin in reliability.even_bins(histogram)
        ],
        "scores": _by_class(histogram, scale),
        "thresholds": [
            {name: value if name == "threshold" else value / scale for name, value in row.items()}
            for row in table
        ],
    }


def _means(sums: dict[str, float], wide: reliability.F64, histogram: Histogram) -> dict[str, Any]:
    weight = sums["w"]
    rate, loss, brier = sums["w y"] / weight, sums["w l"] / weight, sums["w d2"] / weight
    base = -sum(p * math.log(p) for p in (rate, 1 - rate) if p > 0)
    return {
        "positive_rate": rate,
        "mean_prediction": sums["w p"] / weight,
        "excess": sums["w p"] / weight - rate,
        "log_loss": loss,
        "base_log_loss": base,
        "skill": base - loss,
        "brier": brier,
        **reliability.brier_parts(reliability.even_bins(histogram), brier, rate),
        "ece": float(np.abs(wide[1] - wide[2]).sum() / weight),
    }


def _of_units(tally: Tally, sums: dict[str, float], found: dict[str, Any]) -> dict[str, Any]:
    """How many units of equal weight there are, rows or clusters, and the intervals of the means."""
    if tally.clusters is None:
        units = intervals.effective_rows(sums["w"], sums["w2 y"] + sums["w2 (1-y)"])
        return {"units": units, "intervals": _of_rows(sums, found)}
    blocks = tally.clusters.total()
    units = intervals.effective_rows(sums["w"], float((blocks["w"] ** 2).sum()))
    return {"units": units, "intervals": _of_clusters(blocks, found)}


def _of_clusters(blocks: dict[str, reliability.F64], found: dict[str, Any]) -> dict[str, Any]:
    """Intervals of the means where groups hang together, from the sums of each block of groups."""
    weights, yes, rate = blocks["w"], blocks["w y"], found["positive_rate"]
    own = _base_losses(rate)
    gain = own[1] * yes + own[0] * (weights - yes) - blocks["w l"]

    def of(name: str, sums: reliability.F64) -> intervals.Interval | None:
        return intervals.of_clusters(found[name], weights, sums)

    return {
        "positive_rate": intervals.of_clustered_rate(rate, weights, yes),
        "excess": of("excess", blocks["w p"] - yes),
        "log_loss": of("log_loss", blocks["w l"]),
        "skill": of("skill", gain),
        "brier": of("brier", blocks["w d2"]),
    }


def _base_losses(rate: float) -> tuple[float, float]:
    """Log-loss of a negative and of a positive row to which the base rate is told."""
    return (-math.log1p(-rate) if rate < 1 else 0.0, -math.log(rate) if rate > 0 else 0.0)


def _of_rows(sums: dict[str, float], found: dict[str, Any]) -> dict[str, intervals.Interval | None]:
    """Of the means; of `skill` the base rate is taken as known, which to first order changes nothing.

    (The base's loss is least at the rate of these very rows: its slope there is 0.)
    """
    weight, rate = sums["w"], found["positive_rate"]
    yes, no = sums["w2 y"], sums["w2 (1-y)"]
    squares = yes + no
    once, twice = sums["w2 l y"] + sums["w2 l (1-y)"], sums["w2 l2 y"] + sums["w2 l2 (1-y)"]
    own = _base_losses(rate)
    gain = own[1] * yes + own[0] * no - once
    gain2 = (
        own[1] ** 2 * yes + own[0] ** 2 * no + twice
        - 2 * (own[1] * sums["w2 l y"] + own[0] * sums["w2 l (1-y)"])
    )  # fmt: skip

    def of(name: str, once: float, twice: float) -> intervals.Interval | None:
        return intervals.of_mean(found[name], weight, squares, once, twice)

    return {
        "positive_rate": intervals.of_rate(rate, intervals.effective_rows(weight, squares)),
        "excess": of("excess", sums["w2 d"], sums["w2 d2"]),
        "log_loss": of("log_loss", once, twice),
        "skill": of("skill", gain, gain2),
        "brier": of("brier", sums["w2 d2"], sums["w2 d4"]),
    }


def _ranks(histogram: Histogram) -> dict[str, Any]:
    area, area_bound = ranking.roc_auc(histogram)
    precision, precision_bound = ranking.pr_auc(histogram)
    distance, threshold, distance_bound = ranking.kolmogorov_smirnov(histogram)
    captured, captured_bound = ranking.gains(histogram)
    return {
        "roc_auc": area,
        "roc_auc_bound": area_bound,
        "pr_auc": precision,
        "pr_auc_bound": precision_bound,
        "ks": distance,
        "ks_bound": distance_bound,
        "ks_threshold": threshold,
        "gains": captured,
        "gains_bound": captured_bound,
    }


def _by_class(histogram: Histogram, scale: float) -> dict[str, list[float]]:
    """Weight of each class by probability, in bins of equal width."""
    found = np.zeros((2, SCORE_BINS))
    for stretch in histogram.stretches():
        p = reliability.probability(stretch.bins.middles())
        place = np.minimum((p * SCORE_BINS).astype(np.int64), SCORE_BINS - 1)
        for side, own in enumerate((stretch.positive, stretch.negative)):
            found[side] += np.bincount(place, weights=own, minlength=SCORE_BINS)
    positive, negative = (found / scale).tolist()
    return {
        "edges": (np.arange(SCORE_BINS + 1) / SCORE_BINS).tolist(),
        "positive": positive,
        "negative": negative,
    }

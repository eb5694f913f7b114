"""Metrics from tallies that add up: over row groups, threads and ranks, in memory independent of the rows."""

from binclf.metrics.decisions import NEVER, choose
from binclf.metrics.histogram import MOST_BINS, Histogram, Scores
from binclf.metrics.reliability import log_losses, probability, softplus
from binclf.metrics.slices import MOST_LEVELS, Slices
from binclf.metrics.summary import metrics, pictures
from binclf.metrics.tally import Tally
from binclf.metrics.unrounded import Unrounded

__all__ = [
    "MOST_BINS",
    "MOST_LEVELS",
    "NEVER",
    "Histogram",
    "Scores",
    "Slices",
    "Tally",
    "Unrounded",
    "choose",
    "log_losses",
    "metrics",
    "pictures",
    "probability",
    "softplus",
]

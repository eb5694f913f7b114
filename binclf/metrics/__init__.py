"""Metrics from tallies that add up: over row groups, threads and ranks, in memory independent of the rows."""

from binclf.metrics.alone import area_of_levels, area_of_numbers
from binclf.metrics.clusters import BLOCKS, Clusters
from binclf.metrics.decisions import NEVER, choose
from binclf.metrics.edges import edges_of
from binclf.metrics.histogram import Histogram
from binclf.metrics.memory import judging
from binclf.metrics.ranking import left_open
from binclf.metrics.reliability import log_losses, probability, softplus
from binclf.metrics.scores import MOST_BINS
from binclf.metrics.slices import BINS, MOST_LEVELS, Slices
from binclf.metrics.summary import metrics, pictures
from binclf.metrics.tally import Tally
from binclf.metrics.unrounded import Unrounded

__all__ = [
    "BINS",
    "BLOCKS",
    "MOST_BINS",
    "MOST_LEVELS",
    "NEVER",
    "Clusters",
    "Histogram",
    "Slices",
    "Tally",
    "Unrounded",
    "area_of_levels",
    "area_of_numbers",
    "choose",
    "edges_of",
    "judging",
    "left_open",
    "log_losses",
    "metrics",
    "pictures",
    "probability",
    "softplus",
]

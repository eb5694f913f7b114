"""Where to join scores: cells laid by what a look at some rows, or a pass over all, knows of them.

Joined in m equal cells, the scores of a group with shares p and n of the classes leave p n / 2m of ROC-AUC
open, and e / m of PR-AUC where one cell would leave e (`ranking`). Of all cells a group gets the share that
its sqrt(p n / 2 + e) has of the sum over groups, which makes what is left open in total least, for m cells
(sum of sqrt)^2 / m. Now sum sqrt(p n / 2) <= sqrt(1 / 2) by Cauchy and Schwarz, whatever the scores, and
sum sqrt(e) is of the same size since the uppermost scores are not joined: some 5e-7 is left of each for 2^21
cells. A quarter of the cells goes by rank alone, as an estimate from few rows may be wrong. What is left in
fact is worked out from the exact counts of the pass, and stated; if that is too much another pass is made, of
which the counts themselves lay the edges. A crowded cell is then cut between the least and the greatest
score it has, so that a cluster of any width is resolved.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from binclf.metrics.histogram import STRETCH, Histogram
from binclf.metrics.ranking import precision_room

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

TOGETHER = 8  # bins between two knots: fewer and chance makes gaps, more and what is within is not seen
SMOOTHED = 16  # groups whose shares of the classes are taken as one
EVEN = 0.25  # of the cells, by rank alone


def edges_of(known: Histogram, cells: int) -> F64:
    """Edges of at most so many cells, ascending float64.

    Args:
        known: scores of some rows, or of all; not empty.
        cells: at least 8.
    """
    groups, lone = _grouped(known)
    points = _heaviest(groups, lone & ~groups.joined, cells // 8)
    room = cells - 1 - 2 * len(points)
    # bins that hang together reach to the next, for the rows that were not looked at; a lone one does not
    ends = np.where(lone, groups.highest, np.append(groups.scores[1:], groups.highest[-1]))
    wanted = np.where(ends > groups.scores, _need(groups), 0.0)
    ascending = np.concatenate([[0.0], np.cumsum(wanted)])
    if not ascending[-1] > 0:
        return np.unique(np.concatenate([points, np.nextafter(points, np.inf)]))
    ascending *= room / ascending[-1]
    knots = np.stack([groups.scores, ends], axis=1).ravel()
    reached = np.stack([ascending[:-1], ascending[1:]], axis=1).ravel()
    edges = np.concatenate([points, np.nextafter(points, np.inf), np.empty(room)])
    for first in range(0, room, STRETCH):
        wanted_at = np.arange(first, min(first + STRETCH, room)) + 0.5
        edges[first + 2 * len(points) :][: len(wanted_at)] = _between(wanted_at, reached, knots)
    edges.sort()
    return np.asarray(edges[np.concatenate([[True], edges[1:] != edges[:-1]])])


def _grouped(known: Histogram) -> tuple[Histogram, npt.NDArray[np.bool_]]:
    """Neighbours joined, eight of average weight; and which bin is so heavy that it is alone, bool [G]."""
    own = known.units[:, :2].sum(axis=1).astype(np.float64)
    quantum = max(own.sum() * TOGETHER / len(own), 1.0)
    key = np.cumsum(own)
    key -= own / 2
    np.floor(np.divide(key, quantum, out=key), out=key)
    begins = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
    ends = np.append(begins[1:], len(key)) - 1
    units = np.add.reduceat(known.units, begins, axis=0)
    return Histogram(known.scores[begins], known.highest[ends], units), begins == ends


def _heaviest(groups: Histogram, which: npt.NDArray[np.bool_], most: int) -> F64:
    """Scores that get a cell of their own, of some groups."""
    places = np.flatnonzero(which)
    own = groups.units[places, :2].sum(axis=1)
    return np.sort(groups.scores[places[np.argsort(-own, kind="stable")[:most]]])


def _need(groups: Histogram) -> F64:
    """How many cells a group should have, float64 [G], in no unit."""
    own = groups.units[:, :2].sum(axis=1).astype(np.float64)
    begins = np.arange(0, len(own), SMOOTHED)
    sizes = np.diff(np.append(begins, len(own)))
    weight = np.add.reduceat(own, begins)

    def shared(units: I64) -> F64:
        of_class = np.add.reduceat(units.astype(np.float64), begins)
        rate = np.divide(of_class, weight, out=np.zeros_like(weight), where=weight > 0)
        return np.asarray(np.repeat(rate, sizes) * own)

    positive, negative = shared(groups.units[:, 0]), shared(groups.units[:, 1])
    all_yes, all_no = max(positive.sum(), 1.0), max(negative.sum(), 1.0)
    from_here = [np.cumsum(own[::-1])[::-1] for own in (positive, negative)]
    best, worst = precision_room((positive, negative), (from_here[0], from_here[1]))
    need = np.sqrt(positive / all_yes * negative / all_no / 2 + (best + worst) / 2 / all_yes)
    total = need.sum()
    even = own / max(own.sum(), 1.0)
    return np.asarray((1 - EVEN) * need / total + EVEN * even if total > 0 else even)


def _between(at: npt.NDArray[np.floating], reached: F64, knots: F64) -> F64:
    """Scores where so much is reached, linearly between knots; the ends may be any floats apart."""
    place = np.searchsorted(reached, at, side="right").clip(1, len(reached) - 1)
    step = reached[place] - reached[place - 1]
    part = np.divide(at - reached[place - 1], step, out=np.zeros_like(at), where=step > 0).clip(0.0, 1.0)
    return np.asarray(knots[place - 1] * (1 - part) + knots[place] * part)

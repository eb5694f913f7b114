"""Maps of log-odds, fitted on rows in bins: Platt's line, and isotonic regression's steps."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from binclf.calibration import Line, Steps
from binclf.objective import logit
from binclf.probabilities.binned import CENTRES, HALF, Sums, predicted

STEPS, HALVINGS = 100, 40
ENOUGH = 1e-22  # Newton's decrement, squared, of the weight


def fit_line(sums: Sums, row: float) -> Line:
    """A line of the least log-loss against Platt's targets, by Newton's method.

    The targets (Platt, 1999) are (W+ + m) / (W+ + 2 m) and m / (W- + 2 m) rather than 1 and 0, with W the
    weights of the classes and m that of a row: the line is finite where classes can be told apart.

    Args:
        sums: float64 [2, BINS, MOMENTS], both labels with weight.
        row: m.
    """
    every = sums.sum(axis=0)
    weights = sums[:, :, 0].sum(axis=1)
    targets = (row / (weights[0] + 2 * row), (weights[1] + row) / (weights[1] + 2 * row))
    firsts = (sums[:, :, 0] @ CENTRES + sums[:, :, 1].sum(axis=1), weights)  # sums of w z and of w
    wanted = np.array([targets[0] * first[0] + targets[1] * first[1] for first in firsts])

    def loss(line: Line) -> float:
        return float(predicted(every, line, order=-1).sum() - wanted @ [line.slope, line.intercept])

    line = Line()
    for _ in range(STEPS):
        p0, p1 = (predicted(every, line, power=power) for power in range(2))
        d0, d1, d2 = (predicted(every, line, order=1, power=power) for power in range(3))
        slope = np.array([p0 @ CENTRES + p1.sum(), p0.sum()]) - wanted
        mixed = d0 @ CENTRES + d1.sum()
        squares = d0 @ CENTRES**2 + 2 * d1 @ CENTRES + d2.sum()
        move = -np.linalg.lstsq(np.array([[squares, mixed], [mixed, d0.sum()]]), slope, rcond=None)[0]
        if not -slope @ move > ENOUGH * weights.sum():
            break
        now = loss(line)
        for halving in range(HALVINGS):
            there = Line(*(np.array([line.slope, line.intercept]) + 0.5**halving * move).tolist())
            if loss(there) < now:
                break
        else:
            break  # no float is better
        line = there
    return line


def fit_steps(sums: Sums, row: float) -> Steps:
    """The ascending steps of the greatest likelihood over the bins, by pooling adjacent violators.

    In the lowest and in the highest bin that have rows, half a row of each class is added. So no step is
    certain, and the fewer rows it has the less so: one of n rows that are all negative is at least
    1 / (2 n + 2) or so. In an empty stretch between two steps the edge is in its middle.

    Args:
        sums: float64 [2, BINS, MOMENTS].
        row: the weight of a row.
    """
    weights = sums[:, :, 0].T.copy()  # [BINS, 2]
    filled = np.flatnonzero(weights.sum(axis=1) > 0)
    for end in (filled[0], filled[-1]):
        weights[end] += row / 2
    blocks: list[list[float]] = []  # first bin, last bin, weight of no, weight of yes
    for place in filled.tolist():
        block = [place, place, *weights[place].tolist()]
        while blocks and _rate(blocks[-1]) >= _rate(block):
            before = blocks.pop()
            block = [before[0], place, before[2] + block[2], before[3] + block[3]]
        blocks.append(block)
    edges = [
        (CENTRES[int(low[1])] + HALF + CENTRES[int(high[0])] - HALF) / 2 for low, high in pairwise(blocks)
    ]
    return Steps(tuple(map(float, edges)), tuple(logit(_rate(block)) for block in blocks))


def _rate(block: list[float]) -> float:
    return block[3] / (block[2] + block[3])

"""Simulated gates: models fitted on made rows, judged on others by the sums and verdicts of `compare`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binclf.compare.populations import Pairs
from binclf.compare.tally import Tally
from binclf.compare.verdict import Judgement, judge

F64 = npt.NDArray[np.float64]
COLUMNS = 8
SLOPES = np.linspace(-0.8, 0.8, COLUMNS)


@dataclass(frozen=True)
class Sample:
    """Rows of one process: columns [N, 8], one column more, labels."""

    x: F64
    extra: F64
    y: npt.NDArray[np.int8]


def sample(rows: int, effect: float, draw: np.random.Generator) -> Sample:
    """Rows whose log-odds have a column of some effect beside those that every model knows."""
    x, extra = draw.normal(size=(rows, COLUMNS)), draw.normal(size=rows)
    z = x @ SLOPES - 1.0 + effect * extra
    return Sample(x, extra, (draw.random(rows) < 1 / (1 + np.exp(-z))).astype(np.int8))


def fitted(columns: F64, y: npt.NDArray[np.int8]) -> F64:
    """Maximum-likelihood weights and intercept, by Newton's method."""
    design = np.column_stack([columns, np.ones(len(y))])
    weights = np.zeros(design.shape[1])
    for _ in range(7):
        p = 1 / (1 + np.exp(-design @ weights))
        curvature = (design * (p * (1 - p))[:, None]).T @ design
        weights += np.linalg.solve(curvature, design.T @ (y - p))
    return weights


def logits(columns: F64, weights: F64) -> F64:
    return columns @ weights[:-1] + weights[-1]


def pairs(
    champion: F64,
    challenger: F64,
    y: npt.NDArray[np.int8],
    weights: F64 | None = None,
    clusters: npt.NDArray[np.uint64] | None = None,
    first: int = 0,
) -> Pairs:
    """Rows as both models see them."""
    w = np.ones(len(y)) if weights is None else weights
    return Pairs(first + np.arange(len(y)), champion, challenger, y, w, clusters, {})


def judged(*groups: Pairs, margin: float = 0.0) -> Judgement:
    """The verdict over row groups."""
    total = Tally((0.5, 0.5), groups[0].slices.keys(), is_clustered=groups[0].clusters is not None)  # type: ignore[arg-type]
    for group in groups:
        part = Tally((0.5, 0.5), list(group.slices), is_clustered=group.clusters is not None)
        part.add(group)
        total.merge(part)
    return judge(total, margin)


def gate(train: int, test: int, seed: int, effect: float = 0.0) -> Judgement:
    """Champion and challenger fitted on two samples; the challenger alone knows of the column with effect."""
    draw = np.random.default_rng(seed)
    first, second, held = (sample(rows, effect, draw) for rows in (train, train, test))
    champion = logits(held.x, fitted(first.x, first.y))
    if effect:
        wider = fitted(np.column_stack([second.x, second.extra]), second.y)
        challenger = logits(np.column_stack([held.x, held.extra]), wider)
    else:
        challenger = logits(held.x, fitted(second.x, second.y))
    return judged(pairs(champion, challenger, held.y))


def equals(gates: int, rows: int) -> int:
    """How many of so many gates promote where neither model is better: both miss the truth by like noise."""
    found = 0
    for seed in range(gates):
        draw = np.random.default_rng([11, seed])
        z = draw.normal(-1.0, 1.3, rows)
        y = (draw.random(rows) < 1 / (1 + np.exp(-z))).astype(np.int8)
        champion, challenger = z + 0.3 * draw.normal(size=(2, rows))
        found += judged(pairs(champion, challenger, y)).verdict == "promote"
    return found


BETTER = 0.174  # the effect that lowers the log-loss by 0.5 %


def promoted(gates: int, train: int, test: int, effect: float = 0.0) -> tuple[int, float]:
    """How many of so many gates promote, and the mean share by which the challenger's log-loss is lower."""
    found = [gate(train, test, seed, effect) for seed in range(gates)]
    gains = [-f.log_loss.found.difference / (f.log_loss.champion or 1.0) for f in found if f.log_loss.found]
    return sum(f.verdict == "promote" for f in found), float(np.mean(gains))


def decided(gates: int, rows: int, most: int) -> tuple[int, int]:
    """Of gates too small to decide, how many there are and how many the further rows that they name decide.

    The further rows are drawn from the gate's own, so that the difference is what it seems; a gate that names
    more than `most` is passed over.
    """
    tried = hits = 0
    seed = 0
    while tried < gates:
        seed += 1
        draw = np.random.default_rng([7, seed])
        first, held = sample(4000, BETTER, draw), sample(rows, BETTER, draw)
        champion = logits(held.x, fitted(first.x, first.y))
        wider = fitted(np.column_stack([first.x, first.extra]), first.y)
        challenger = logits(np.column_stack([held.x, held.extra]), wider)
        small = judged(pairs(champion, challenger, held.y))
        if small.verdict != "inconclusive" or small.further_rows is None or small.further_rows > most:
            continue
        more = draw.integers(0, rows, small.further_rows)
        again = judged(
            pairs(champion, challenger, held.y),
            pairs(champion[more], challenger[more], held.y[more], first=rows),
        )
        assert small.log_loss.found
        wanted = "promote" if small.log_loss.found.difference < 0 else "keep"
        tried, hits = tried + 1, hits + (again.verdict == wanted)
    return tried, hits

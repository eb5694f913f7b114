"""A first look at all rows while they are decoded, so that no pass over them is needed for the first step.

Rows can be encoded when the statistics of all columns are known: after all of them were decoded. But a
sample teaches units of its own, and its optimum in them; and loss, gradient and Hessian there are summed up
while a row group that was just decoded is still in the processor's caches. When the statistics are known, the
sums are carried over. A row in the sample's units, u' = (x', missing', 1), is u = T u' in those of all rows:
T has the quotients of scales, the differences of centres and of what stands for missing numbers. So in exact
algebra a point, gradient and Hessian are

    t = T^-t t',    g = T g',    H = T H' T^t.

x' and x are rounded to float32, each in its own units, so what is carried over (`change`) is not to the last
bit what a pass would find: it tells where to begin and nothing else. No certificate is made of it.

It is the same for any number of ranks and wherever rows are kept: whether there is a look follows from
settings, row counts and values, and its sums are integers (`ExactSum`) with room for numbers FURTHEST of the
sample's deviations away, which costs 40 of the more than 100 bits that there are. A number beyond, or
one that is missing in a column that the sample has whole, ends the look. Columns with levels have none, as a
sample does not know all levels.

(A sample's optimum that spares passes over the rest is known as a pilot estimate: Wang, Zhu and Ma, "Optimal
Subsampling for Large Sample Logistic Regression", 2018.)
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from binclf.config import Config
from binclf.features import Block, Encoded, Encoder, Features, learn
from binclf.loader.tier import AnyStore
from binclf.solvers import checkpoint
from binclf.solvers.blocks import Reducer, Summation
from binclf.solvers.change import carried
from binclf.solvers.cuts import is_coarse
from binclf.solvers.descent import Descent
from binclf.solvers.point import penalty_of
from binclf.solvers.problem import Problem, Seen
from binclf.solvers.sample import optimum_of, sample_of
from binclf.solvers.verdict import base_point
from binclf.split import Split
from binclf.storage import Place
from binclf.world import World

log = logging.getLogger(__name__)

F64 = npt.NDArray[np.float64]

MOST_COLUMNS = 256  # of more, a pass is arithmetic, and decoding a small part of it
FURTHEST = 2.0**20
CHUNK = 8192  # rows that are encoded at once, a multiple of a kernel's tile: they stay in a core's cache


class Pilot:
    """Sums at a point over the rows of train, each row group as it is decoded."""

    def __init__(self, problem: Problem, point: F64, world: World) -> None:
        """Nothing seen yet.

        Args:
            problem: with features whose units are the sample's.
            point: float64 [p], in those units.
            world: the ranks.
        """
        features, source = problem.features, problem.train.source
        most = np.where(np.arange(len(point)) < len(features.numeric), FURTHEST, 1.0)
        self._sums = Summation(features, point, problem.weight, most, len(source.group_rows))
        self._point, self._rows, self._world = point, source.rows, world
        self._encoder = Encoder(features)
        self._is_whole = self._encoder.indicator < 0  # columns that lacked no value in the sample
        self._looked: set[int] = set()
        self._is_over = False
        self._lock = threading.Lock()

    def look(self, group: int, block: Block) -> None:
        """Add a row group that was decoded, if it was not added before; by several threads at once."""
        if self._is_over or group in self._looked:
            return
        if (block.missing & self._is_whole).any():
            self._is_over = True
            return
        with np.errstate(all="ignore"):  # what is too large is found when it is added
            count, values = self._sums.of(self._pieces(block))
        with self._lock:
            self._looked.add(group)
            try:
                self._sums.add(count, values)
            except OverflowError:
                self._is_over = True

    def _pieces(self, block: Block) -> Iterator[Encoded]:
        x = np.empty((min(CHUNK, len(block)), self._encoder.features.width), dtype=np.float32)
        for low in range(0, len(block), CHUNK):
            high = min(low + CHUNK, len(block))
            yield self._encoder.encode(block, low, high, x=x[: high - low])

    def seen(self, features: Features) -> Seen | None:
        """In units of all rows; None if some could not be looked at. All ranks must ask."""
        if self._world.sum_integers(np.array([int(self._is_over)]))[0]:
            return None
        sums = self._sums.total(self._world, self._rows)
        if self._world.rank == 0:
            mean = sums.loss / (sums.weight or 1.0)
            log.info("a first look while rows were decoded: train loss %.9f", mean)
        return carried(Seen(self._point, sums), self._encoder.features, features)


def pilot_of(
    config: Config, split: Split, store: AnyStore, checkpoints: Place | None, world: World
) -> Pilot | None:
    """From a sample's units and its optimum; None where there is to be no look. All ranks must ask.

    Args:
        config: of the run.
        split: of the rows that are kept, for the weight and the base rate of train.
        store: of train, with no features attached yet.
        checkpoints: of an interrupted run, which knows where to go on.
        world: the ranks.
    """
    source, settings = store.source, config.train
    roles, numbers = source.how.roles, len(source.how.roles.numeric)
    if "newton" not in settings.able or settings.class_weight != "none":  # decoded rows weigh otherwise
        return None
    if roles.categorical or numbers > MOST_COLUMNS:
        return None
    sample = sample_of(source, numbers + 1, settings.seed)
    is_begun = checkpoints is not None and checkpoint.seen_by_all(checkpoints, world) is not None
    if is_begun or not sample or not is_coarse(source.group_rows, numbers + 1):
        return None
    place = {group: place for place, group in enumerate(group for block in sample for group in block)}
    held = _Sample(store, [group for block in sample[world.rank :: world.size] for group in block])
    weight, rate = split.weight("train"), split.base_rate("train")
    features = learn(
        config,
        roles,
        lambda: [(place[g], block) for g, block in held.blocks.items()],
        len(place),
        weight,
        world,
    )
    held.attach(features)
    problem = Problem(store, None, features, weight, rate, settings)
    descent = Descent(Reducer(held, features, weight, world), penalty_of(problem))
    point = optimum_of(sample, descent, problem)
    return Pilot(problem, base_point(problem) if point is None else point, world)


class _Sample:
    """Some row groups, decoded once and held."""

    def __init__(self, store: AnyStore, groups: Iterable[int]) -> None:
        self.source = store.source
        self.blocks = dict(store.early(groups))  # not yet encoded
        self._rows: dict[int, Encoded] = {}

    def attach(self, features: Features) -> None:
        """Encode all."""
        encoder = Encoder(features)
        self._rows = {group: encoder.encode(self.blocks.pop(group)) for group in list(self.blocks)}

    def kept(self, group: int) -> Encoded:
        """One row group."""
        return self._rows[group]

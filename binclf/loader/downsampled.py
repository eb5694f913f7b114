"""Train as it is trained on: row groups of fewer rows, counted before any is decoded.

The split stays what it is: its train part has all rows, which evaluation and the correction of probabilities
look at. Rows that are not kept are left out when a row group is decoded, as those without a label are; so
the order of an epoch, memory and the cache know only of those that are.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from binclf.config import Config
from binclf.errors import ConfigError, DataError
from binclf.features import Decoding, Downsampling
from binclf.labels import read_weights
from binclf.loader.readers import Readers
from binclf.loader.source import ahead, threads
from binclf.split import PartFile, Split
from binclf.world import World, doing

log = logging.getLogger(__name__)


def downsampled(config: Config, split: Split, how: Decoding, world: World) -> tuple[Split, Decoding]:
    """The split with the kept rows alone in train, and how those are decoded; all ranks must ask.

    Labels of train are read once, each row group by one rank.

    Raises:
        ConfigError: neither class is the larger one.
        DataError: no row of the larger class is kept.
    """
    share = config.data.downsample_majority
    if share == 1:
        return split, how
    rows, positives = split.rows("train"), split.positives("train")
    if 2 * positives == rows:
        raise ConfigError(
            f"data.downsample_majority has no effect, as both classes have {positives:,} training rows: "
            "remove it."
        )
    larger = int(2 * positives > rows)
    how = replace(how, downsampling=Downsampling(share, larger, config.train.seed))
    files = _counted(split.parts["train"], how, world)
    kept = replace(split, parts={**split.parts, "train": files})
    of_larger = kept.positives("train") if larger else kept.rows("train") - kept.positives("train")
    if not of_larger or not (kept.weight("train") > 0 and 0 < kept.base_rate("train") < 1):
        raise DataError(
            f"data.downsample_majority = {share} keeps {of_larger} training rows of the larger class, which "
            "weigh nothing: set it higher."
        )
    if world.rank == 0:
        log.info(
            "trained on %s of %s rows: all of the smaller class, %s of the larger one",
            f"{kept.rows('train'):,}", f"{rows:,}", f"{of_larger:,}",
        )  # fmt: skip
    return kept, how


def _counted(files: tuple[PartFile, ...], how: Decoding, world: World) -> tuple[PartFile, ...]:
    """The files with what is kept of each: rows, positives, weights."""
    readers = Readers()
    places = [(file, group) for file in files for group in range(len(file.groups))]

    def count(place: tuple[PartFile, int]) -> list[float]:
        file, group = place
        with readers.open(file, ()) as reader:
            rows = reader.read(group, [how.label.column, *([how.weight] if how.weight else [])])
        labels, _ = how.label.read(rows)
        kept = how.downsampling.kept(file.relative, group, labels)
        weights, positive = read_weights(rows, how.weight), kept & (labels == 1)
        return [kept.sum(), positive.sum(), weights[kept].sum(), weights[positive].sum()]

    doing.stage("counting the rows of train that are kept")
    found = np.zeros((len(places), 4))
    own = range(world.rank, len(places), world.size)
    for place, counts in zip(own, ahead(count, [places[i] for i in own], threads()), strict=True):
        found[place] = counts
    world.meet()
    ends = np.cumsum([len(file.groups) for file in files])[:-1]
    return tuple(
        replace(
            file,
            groups=tuple(int(rows) for rows in counts[:, 0]),
            rows=int(counts[:, 0].sum()),
            positives=int(counts[:, 1].sum()),
            weight=float(counts[:, 2].sum()),
            positive_weight=float(counts[:, 3].sum()),
        )
        for file, counts in zip(files, np.split(world.sum_floats(found), ends), strict=True)
    )

"""How far a training is, by the lines that its rank 0 logs: for whoever shows that to people.

The lines are the only thing that comes out of a rank before it ends, under torchrun too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_EPOCH = re.compile(r"epoch (?P<epoch>\d+) of (?P<epochs>\d+): train loss (?P<loss>\S+?),? ")
_WITHIN = re.compile(r"epoch (?P<epoch>\d+): (?P<percent>\d+) % of the rows")
_PASS = re.compile(r"pass (?P<number>\d+): train loss (?P<loss>\S+),")
_PASSES = re.compile(r"\d+ passes: train loss (?P<loss>\S+),")


@dataclass(frozen=True, slots=True)
class Progress:
    """What a line says of how far a training is."""

    share: float  # 0 to 1 of the most it may take; it may end sooner
    loss: float | None  # mean training log-loss
    words: str  # the line


def progress_of(line: str, epochs: int) -> Progress | None:
    """What a line of rank 0 says; None if it says nothing of progress.

    A pass of newton over the rows about halves what is left: how many it will need nobody knows.

    Args:
        line: as `launch` hands it to `on_line`.
        epochs: that the config allows.

    >>> progress_of("epoch 3: 40 % of the rows", 8).share
    0.3
    >>> progress_of("pass 2: train loss 0.452, within 1e-9 of the least objective", 8).share
    0.75
    >>> progress_of("3 passes: train loss 0.452, within 1e-9 of the least objective", 8).share
    1.0
    """
    if found := _EPOCH.match(line):
        return Progress(int(found["epoch"]) / int(found["epochs"]), float(found["loss"]), line)
    if found := _WITHIN.match(line):
        return Progress(
            min((int(found["epoch"]) - 1 + int(found["percent"]) / 100) / epochs, 1.0), None, line
        )
    if found := _PASS.match(line):
        return Progress(1 - 0.5 ** int(found["number"]), float(found["loss"]), line)
    if found := _PASSES.match(line):
        return Progress(1.0, float(found["loss"]), line)
    return None

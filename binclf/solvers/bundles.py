"""Files by bundles, neighbours in canonical order, of each of which sums are kept for a later run.

A bundle is one file, where that many sums may be kept; else as many files as it takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from binclf import hashing
from binclf.split import PartFile

SUMS = "sums.safetensors"  # in a run; and among the checkpoints of one that begins with it
MOST_BYTES = 16 * 2**20  # of the sums of a run


@dataclass(frozen=True, slots=True)
class Bundle:
    """Files whose rows are added up together."""

    files: tuple[str, ...]  # what each is known by
    groups: range  # their row groups


def key_of(file: PartFile) -> str:
    """What the rows of a file are known by: its content and what decided its rows, not where it lies."""
    counts = [list(file.groups), file.rows, file.positives, file.weight, file.positive_weight]
    return hashing.digest([file.id, file.footer, *counts])


def values_of(size: int) -> int:
    """Numbers that are kept of a bundle: weight, loss, gradient and upper triangle of the Hessian."""
    return 2 + size + size * (size + 1) // 2


def bundles_of(files: Sequence[PartFile], size: int) -> tuple[Bundle, ...]:
    """All files, as few to a bundle as the bytes allow; none where not even one bundle may be kept.

    Args:
        files: of train, in canonical order.
        size: how many weights there are.
    """
    most = MOST_BYTES // (8 * values_of(size))
    if not most:
        return ()
    each = -(-len(files) // most)
    first = np.concatenate([[0], np.cumsum([len(file.groups) for file in files])]).tolist()
    return tuple(
        Bundle(
            tuple(key_of(file) for file in files[low : low + each]),
            range(first[low], first[min(low + each, len(files))]),
        )
        for low in range(0, len(files), each)
    )

"""Which row goes where: pure functions from a file's columns to a slot for each row.

Slots are int8 [N]; -1 is a row left out. No function looks at another file, so rows never move when files
are added.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from binclf import hashing

I8 = npt.NDArray[np.int8]
I64 = npt.NDArray[np.int64]

TRAIN, VALIDATION, TEST = np.int8(0), np.int8(1), np.int8(2)


def at_random(
    labels: I8,
    key: int,
    *,
    fractions: tuple[float, float],
    is_alone: bool,
    stratify: bool,
) -> I8:
    """Exact counts for one file, drawn by the key.

    Within a stratum (the rows of one label, or all rows) the rows are put in the order of a keyed hash; the
    first are test, the last validation, the rest train.

    Args:
        labels: int8 [N]; -1 is left out.
        key: of the seed and the file's relative path.
        fractions: (validation, test).
        is_alone: the data set is this one file: counts are scikit-learn's (rounded up in total, dealt to the
            labels by largest remainder). Else each label's count is rounded by a draw, so that many
            small files have the right share together.
        stratify: the same share of each label.
    """
    kept = np.flatnonzero(labels >= 0)
    strata = [kept]
    if stratify:
        strata = [np.flatnonzero(labels == label) for label in (0, 1)]
    sizes = [len(stratum) for stratum in strata]
    validation, test = fractions
    if is_alone:
        tests = _by_remainder(sizes, math.ceil(test * len(kept)))
        validations = _by_remainder(sizes, math.ceil(validation * len(kept)))
    else:
        # one draw for both cuts: two would collide in small strata and cost validation rows
        held_out = _by_draw(sizes, test + validation, hashing.key(key, "counts"))
        tests = _by_draw(sizes, test, hashing.key(key, "counts"))
        validations = [both - one for both, one in zip(held_out, tests, strict=True)]
    order = hashing.draws(key, len(labels))
    slots = np.full(len(labels), -1, dtype=np.int8)
    for stratum, n_test, n_validation in zip(strata, tests, validations, strict=True):
        ranked = stratum[np.argsort(order[stratum], kind="stable")]
        slots[ranked] = TRAIN
        slots[ranked[max(n_test, len(ranked) - n_validation) :]] = VALIDATION
        slots[ranked[:n_test]] = TEST
    return slots


def by_hash(hashed: hashing.U64, labels: I8, *, fractions: tuple[float, float]) -> I8:
    """Rows by their hashed key in [0, 1): test first, then validation, then train.

    Stateless: a key has its part for ever, whatever else the data hold.
    """
    validation, test = fractions
    place = hashing.unit(hashed)
    slots = np.where(place < test, TEST, np.where(place < test + validation, VALIDATION, TRAIN))
    return np.where(labels < 0, np.int8(-1), slots).astype(np.int8)


def by_time(moments: I64, labels: I8, cuts: tuple[int, ...]) -> I8:
    """Segment of each row: the number of cuts at or before it (a row on the cut is after it)."""
    segments = np.searchsorted(np.array(cuts, dtype=np.int64), moments, side="right")
    return np.where(labels < 0, -1, segments).astype(np.int8)


def cut_points(
    moments: I64, fractions: tuple[float, float], *, test_from: int | None
) -> tuple[int | None, int]:
    """Where validation and test begin, from the shares of rows; rows of one moment stay together.

    Args:
        moments: int64 [N], of all labelled rows.
        fractions: (validation, test).
        test_from: where test begins if that is given; the validation share is of all rows all the same.
    """
    ordered = np.sort(moments)
    validation, test = fractions
    first_test = (
        len(ordered) - math.ceil(test * len(ordered))
        if test_from is None
        else int(np.searchsorted(ordered, test_from))
    )
    cut = int(ordered[first_test]) if test_from is None else test_from
    if validation == 0:
        return None, cut
    first_validation = max(first_test - math.ceil(validation * len(ordered)), 0)
    return int(ordered[first_validation]), cut


def _by_remainder(sizes: list[int], total: int) -> list[int]:
    """Deal `total` to strata in proportion, the remainder to the largest fractions."""
    whole = sum(sizes)
    if whole == 0:
        return [0 for _ in sizes]
    exact = [total * size / whole for size in sizes]
    counts = [math.floor(value) for value in exact]
    largest = sorted(range(len(sizes)), key=lambda i: counts[i] - exact[i])
    for i in largest[: total - sum(counts)]:
        counts[i] += 1
    return counts


def _by_draw(sizes: list[int], fraction: float, key: int) -> list[int]:
    """Each stratum's share rounded down or up by a draw, so that the mean is exact."""
    draws = hashing.unit(hashing.draws(key, len(sizes)))
    return [math.floor(fraction * size + draw) for size, draw in zip(sizes, draws, strict=True)]

"""What is known at a point, carried from the units of one set of features to those of another.

A row in the old units, u', is u = T u' in the new ones: of a number, the quotient of scales and the
difference of centres; where it is missing, the difference of what stands for it; of a level, its place. The
point t' goes to a t that gives rows the logits that t' gave them, T^t t = t', up to r = T^t t - t', which is
nought but for levels that are rare by now, and are carried to the other rare ones. Then, of the second-order
model at t',

    g = T (g' + H' r),    H = T H' T^t.

A place that is new (of a level that was rare, of the first missing number) has no row in the sums that are
carried. Rows of a level that was rare are carried as those of "other", whose weight it begins with.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from binclf.features import FIRST_LEVEL, NULL, OTHER, CategoricalColumn, Encoder, Features
from binclf.solvers.blocks import Sums
from binclf.solvers.problem import Seen
from binclf.solvers.quadratic import one_thread

F64 = npt.NDArray[np.float64]


def carried(seen: Seen, before: Features, after: Features) -> Seen:
    """The same in the units of `after`.

    Args:
        seen: in the units of `before`.
        before: of the same columns as `after`.
        after: `comparable` with them.
    """
    change, point, sums = change_of(before, after), _point(seen.point, before, after), seen.sums
    with one_thread():
        rest = change.T @ point - seen.point
        bent = sums.hessian @ rest
        hessian = change @ sums.hessian @ change.T
        gradient = change @ (sums.gradient + bent)
        loss = sums.loss + float(sums.gradient @ rest) + 0.5 * float(rest @ bent)
    return Seen(point, Sums(sums.weight, loss, gradient, (hessian + hessian.T) / 2))


def comparable(before: Features, after: Features) -> str:
    """Why nothing can be carried between them; empty: it can."""
    names = [[column.name for column in features.columns] for features in (before, after)]
    if names[0] != names[1]:
        return "the columns are others"
    for old, new in zip(before.categorical, after.categorical, strict=True):
        if old.is_hashed != new.is_hashed:
            return f"column '{new.name}' is hashed in one of them only"
    if before.table_size > before.hash_offset and before.hash_bits != after.hash_bits:
        return "features.hash_bits is another"
    return ""


def change_of(before: Features, after: Features) -> F64:
    """T, float64 [p of `after`, p of `before`]."""
    old, new = Encoder(before), Encoder(after)
    scale, shift, blank = _numbers(old, new)
    change = np.zeros((after.width + after.table_size + 1, before.width + before.table_size + 1))
    places = np.arange(len(scale))
    change[places, places], change[places, -1], change[-1, -1] = scale, shift, 1.0
    lacking = np.flatnonzero(old.indicator >= 0)
    change[lacking, old.indicator[lacking]] = blank[lacking]
    both = np.flatnonzero((old.indicator >= 0) & (new.indicator >= 0))
    change[new.indicator[both], old.indicator[both]] = 1.0
    for here, there in _places(before, after):
        change[after.width + there, before.width + here] = 1.0
    return change


def _numbers(old: Encoder, new: Encoder) -> tuple[F64, F64, F64]:
    """Of each number what it is times, what is added, and what more where it is missing."""
    inverse = new.standard.inverse.astype(np.float64)  # as float32 holds it, and as rows are encoded
    scale = inverse / old.standard.inverse
    shift = (old.standard.centre - new.standard.centre) * inverse
    return scale, shift, new.fill - (scale * old.fill + shift)


def _point(point: F64, before: Features, after: Features) -> F64:
    """T of t'."""
    old, new = Encoder(before), Encoder(after)
    scale, shift, blank = _numbers(old, new)
    found = np.zeros(after.width + after.table_size + 1)
    slopes = point[: len(scale)] / scale
    found[: len(scale)], found[-1] = slopes, point[-1] - slopes @ shift
    both = np.flatnonzero((old.indicator >= 0) & (new.indicator >= 0))
    found[new.indicator[both]] = point[old.indicator[both]] - (slopes * blank)[both]
    kept, table = point[before.width : -1], found[after.width : -1]
    for here, there in _places(after, before):  # each place of the new table from where its rows were
        table[here] = kept[there]
    return found


def _places(before: Features, after: Features) -> Iterator[tuple[int, int]]:
    """Each place of the one table, and that of the other to which its rows go."""
    for old, new in zip(before.categorical, after.categorical, strict=True):
        if not old.is_hashed:
            place_of = {level: new.offset + FIRST_LEVEL + place for place, level in enumerate(new.levels)}
            for place, level in enumerate(old.levels):
                yield old.offset + FIRST_LEVEL + place, place_of.get(level, new.offset + OTHER)
            yield from _fixed(old, new)
    for place in range(before.table_size - before.hash_offset):  # buckets, of all hashed columns
        yield before.hash_offset + place, after.hash_offset + place


def _fixed(old: CategoricalColumn, new: CategoricalColumn) -> Iterator[tuple[int, int]]:
    """Of rare levels and of null."""
    for place in (OTHER, NULL):
        yield old.offset + place, new.offset + place

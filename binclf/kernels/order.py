"""Row numbers and their words."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from binclf.kernels import library
from binclf.kernels.library import at, check

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
U64 = npt.NDArray[np.uint64]

SPLITMIX = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # the step, and two factors


def canonical(order: I32, shift: int, begins: I64, lengths: I64, out: I64) -> None:
    """Row i of `out`: place `order[(i - shift) mod n]` of runs of rows that lie end to end.

    Args:
        order: places, int32 [n].
        shift: where the order is entered, 0 <= shift <= n.
        begins: the number of each run's first row, int64 [runs].
        lengths: rows of each run, int64 [runs]; places are below their sum.
        out: row numbers, int64 [n].
    """
    check(order, np.int32)
    check(begins, np.int64)
    check(lengths, np.int64)
    check(out, np.int64)
    if len(out) != len(order) or not 0 <= shift <= len(order):
        raise ValueError(f"{len(order)} places, entered {shift} later, do not fill {len(out)}")
    if library.loops is not None:
        numbers = np.empty(int(lengths.sum()), dtype=np.int64)
        library.loops.canonical(
            at(order), len(order), shift, at(begins), at(lengths), len(begins), at(numbers), at(out)
        )
        return
    runs = [np.arange(begin, begin + length) for begin, length in zip(begins, lengths, strict=True)]
    numbers = np.concatenate([np.zeros(0, dtype=np.int64), *runs])
    out[shift:], out[:shift] = numbers[order[: len(order) - shift]], numbers[order[len(order) - shift :]]


def deal(lanes: I64, begins: I64, ends: I64, first: int, out: I64) -> int:
    """Take from each lane in turn, as many as `out` holds or until the lane that is next has no more.

    Args:
        lanes: what there is of each, int64 [L, n].
        begins: where in its row each begins, int64 [L]; moved on by what was taken.
        ends: where in its row each ends, int64 [L].
        first: the lane that is asked first.
        out: int64 [m].

    Returns:
        How many were taken.
    """
    for array in (lanes, begins, ends, out):
        check(array, np.int64)
    if len(begins) != len(lanes) or len(ends) != len(lanes) or not 0 <= first < len(lanes):
        raise ValueError(f"{len(lanes)} lanes, {len(begins)} begins, {len(ends)} ends, lane {first} first")
    if library.loops is not None:
        return int(
            library.loops.deal(
                at(lanes), lanes.shape[1], len(lanes), at(begins), at(ends), first, at(out), len(out)
            )
        )
    turns = (np.arange(len(lanes)) - first) % len(lanes)  # when each is asked first
    done = min(len(out), int((turns + (ends - begins) * len(lanes)).min()))
    for lane, turn in enumerate(turns.tolist()):
        own = out[turn : done : len(lanes)]
        own[:] = lanes[lane, begins[lane] : begins[lane] + len(own)]
        begins[lane] += len(own)
    return done


def checksum(rows: I64, stride: int, flipped: int) -> int:
    """Sum over rows of u + 2 u (u xor flipped), u = (row + 1) stride, mod 2^64."""
    check(rows, np.int64)
    if library.loops is not None:
        return int(library.loops.checksum(at(rows), len(rows), stride, flipped))
    words = rows.view(np.uint64) * np.uint64(stride)
    words += np.uint64(stride)
    total = int(words.sum(dtype=np.uint64)) + 2 * int(np.dot(words, words ^ np.uint64(flipped)))
    return total % 2**64


def mix(words: U64) -> None:
    """splitmix64 of each word, in place, uint64 [n]."""
    check(words, np.uint64)
    if library.loops is not None:
        library.loops.mix(at(words), len(words))
        return
    step, first, second = (np.uint64(constant) for constant in SPLITMIX)
    words += step
    shifted = words >> np.uint64(30)
    words ^= shifted
    words *= first
    words ^= np.right_shift(words, np.uint64(27), out=shifted)
    words *= second
    words ^= np.right_shift(words, np.uint64(31), out=shifted)

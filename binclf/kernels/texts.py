"""Hashes of texts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from binclf.kernels import library
from binclf.kernels.library import at, check
from binclf.kernels.order import mix

U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

_KEEP = np.array([(1 << (8 * count)) - 1 for count in range(9)], dtype=np.uint64)  # the first bytes of a word


def hash_texts(data: U8, offsets: I64, seed: int) -> U64:
    """Each text's 64-bit words folded by `h = mix(h ^ word)`, from `h = mix(seed ^ length)`: uint64 [n].

    Args:
        data: bytes, end to end.
        offsets: where each text begins, and the last ends, int64 [n + 1].
        seed: of 64 bits, unsigned.
    """
    check(data, np.uint8)
    check(offsets, np.int64)
    if not len(offsets) or offsets[0] < 0 or offsets[-1] > len(data):
        raise ValueError(f"texts between {offsets[:1]} and {offsets[-1:]} of {len(data)} bytes")
    found = np.empty(len(offsets) - 1, dtype=np.uint64)
    if library.loops is not None:
        if not library.loops.hash_texts(at(data), at(offsets), len(found), seed, at(found)):
            raise ValueError("texts do not lie one behind the other")
        return found
    starts, lengths = offsets[:-1], np.diff(offsets)
    if len(lengths) and lengths.min() < 0:
        raise ValueError("texts do not lie one behind the other")
    found[:] = lengths.view(np.uint64) ^ np.uint64(seed)
    mix(found)
    padded = np.concatenate([data, np.zeros(8, dtype=np.uint8)])
    words = np.ndarray(shape=(len(padded) - 7,), dtype="<u8", buffer=padded.data, strides=(1,))
    active = np.flatnonzero(lengths > 0)
    place = 0
    while len(active):
        left = lengths[active] - place
        folded = found[active] ^ (words[starts[active] + place] & _KEEP[np.minimum(left, 8)])
        mix(folded)
        found[active] = folded
        place += 8
        active = active[left > 8]
    return found

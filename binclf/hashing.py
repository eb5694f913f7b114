"""The one keyed hash: the same on any machine, any version of NumPy, for ever.

splitmix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators") mixes 64-bit words;
everything random in binclf (split, order, hashed categories) is a pure function of a key and an index through
it. NumPy's generators and `torch.randperm` promise no such thing across versions.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf import kernels

U64 = npt.NDArray[np.uint64]

_MASK = (1 << 64) - 1
SMALL = 1 << 16  # rows up to which a permutation sorts 32-bit words


def mix(values: npt.ArrayLike) -> U64:
    """splitmix64 of each 64-bit word: uint64 in, uint64 out, of the same shape.

    >>> [hex(int(v)) for v in mix([0, 1])]
    ['0xe220a8397b1dcdaf', '0x910a2dec89025cc1']
    """
    words = np.array(values, dtype=np.uint64, order="C")
    kernels.mix(words.reshape(-1))
    return words


def key(*parts: int | str) -> int:
    """One 64-bit key from integers and texts; the order of the parts matters.

    >>> key(1, "a") != key("a", 1)
    True
    """
    state = 0
    for part in parts:
        if isinstance(part, int):
            word = part & _MASK
        else:
            word = int.from_bytes(hashlib.sha256(part.encode()).digest()[:8], "little")
        state = _mixed(state ^ word)
    return state


def _mixed(word: int) -> int:
    """`mix` of one word in Python's own integers: NumPy takes 40 times as long over a single one."""
    step, first, second = kernels.SPLITMIX
    z = (word + step) & _MASK
    z = ((z ^ (z >> 30)) * first) & _MASK
    z = ((z ^ (z >> 27)) * second) & _MASK
    return z ^ (z >> 31)


def draws(seed: int, count: int, first: int = 0) -> U64:
    """Words `first`..`first + count - 1` of the stream that `seed` names."""
    with np.errstate(over="ignore"):
        index = np.arange(first, first + count, dtype=np.uint64)
        return mix(mix(index) ^ np.uint64(seed))


def unit(words: U64) -> npt.NDArray[np.float64]:
    """Each word as a float64 in [0, 1), by its upper 53 bits."""
    return np.asarray((words >> np.uint64(11)).astype(np.float64) * 2.0**-53, dtype=np.float64)


def permutation(seed: int, count: int) -> npt.NDArray[np.int64]:
    """A keyed permutation of 0..count-1, int64.

    The index is packed below the hash and the packed words, which differ, are sorted by value: any sorting
    algorithm gives the same answer. Up to 65,536 rows the words have 32 bits, two from each hash, which is
    three times as fast; of their at least 16 bits of hash a few are equal, and those keep their order.

    >>> sorted(permutation(7, 5).tolist())
    [0, 1, 2, 3, 4]
    """
    if count <= SMALL:
        half = np.arange(-(-count // 2), dtype=np.uint64)
        half ^= np.uint64(seed)
        words = mix(half).astype("<u8").view("<u4")[:count]
        low32 = np.uint32((1 << max(count - 1, 0).bit_length()) - 1)
        words = (words & ~low32) | np.arange(count, dtype=np.uint32)
        words.sort()
        return (words & low32).astype(np.int64)
    bits = np.uint64((count - 1).bit_length())
    low = (np.uint64(1) << bits) - np.uint64(1)
    packed = (draws(seed, count) & ~low) | np.arange(count, dtype=np.uint64)
    packed.sort()
    return np.asarray((packed & low).astype(np.int64), dtype=np.int64)


def hash_texts(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], seed: int) -> U64:
    """Hash n byte strings at once: string i is data[offsets[i]:offsets[i + 1]].

    Each string is taken as little-endian 64-bit words, the last padded with zeros, and folded by
    `h = mix(h ^ word)` from `h = mix(seed ^ length)`; so the time is that of the longest string in words.
    """
    return kernels.hash_texts(np.ascontiguousarray(data, dtype=np.uint8), offsets, seed & _MASK)


def digest(value: Any) -> str:  # noqa: ANN401 - anything that JSON can hold
    """SHA-256 (hex) of a value's canonical JSON: keys sorted, no spaces, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()

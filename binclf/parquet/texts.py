"""Distinct texts without a Python object for each: one buffer of UTF-8 and where each begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from binclf import hashing
from binclf.parquet.arrays import strings_of


@dataclass(frozen=True, slots=True)
class Texts:
    """n texts; reads like a sequence of str, and hashes all of them at once."""

    data: npt.NDArray[np.uint8]  # UTF-8, end to end
    offsets: npt.NDArray[np.int64]  # [n + 1]

    def __len__(self) -> int:
        """N."""
        return len(self.offsets) - 1

    def __getitem__(self, place: int) -> str:
        """One text."""
        if not 0 <= place < len(self):
            raise IndexError(place)
        return self.data[self.offsets[place] : self.offsets[place + 1]].tobytes().decode()

    def __iter__(self) -> Iterator[str]:
        return (self[place] for place in range(len(self)))

    def hashes(self, seed: int) -> hashing.U64:
        """Each text hashed by its bytes, uint64 [n]: equal texts have equal hashes in every file."""
        if not len(self):
            return np.zeros(0, dtype=np.uint64)
        return hashing.hash_texts(self.data, self.offsets, seed)

    def arrow(self) -> Any:  # noqa: ANN401 - pyarrow.LargeStringArray
        """As Arrow has them; not copied."""
        offsets, data = pa.py_buffer(self.offsets), pa.py_buffer(self.data)
        return pa.LargeStringArray.from_buffers(len(self), offsets, data)

    def is_utf8(self) -> bool:
        """Whether each of them is: all of them together are, and none begins within a character."""
        try:
            str(self.data.data, "utf-8")  # not copied
        except UnicodeDecodeError:
            return False
        begins = self.offsets[:-1][self.offsets[:-1] < self.offsets[1:]]
        return not ((self.data[begins] & 0xC0) == 0x80).any()

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """From Python's texts."""
        return cls.of_array(strings_of(list(texts)))

    @classmethod
    def of_array(cls, array: Any) -> Texts:  # noqa: ANN401 - pyarrow
        """From an Arrow array of text; a null is the empty text.

        Raises:
            UnicodeDecodeError: it is not UTF-8 (Arrow's readers do not look).
        """
        if not pa.types.is_string(array.type):
            array = array.cast(pa.large_string())
        try:
            array.validate(full=True)
        except pa.ArrowInvalid as error:
            raise UnicodeDecodeError("utf-8", b"", 0, 0, str(error)) from error
        if array.null_count:
            array = array.fill_null("")
        _, offsets, data = array.buffers()
        wide = np.int64 if pa.types.is_large_string(array.type) else np.int32
        places = np.frombuffer(offsets, dtype=wide)[array.offset : array.offset + len(array) + 1]
        if not len(array):
            return cls(np.zeros(0, np.uint8), np.zeros(1, np.int64))
        content = np.frombuffer(data, dtype=np.uint8) if data is not None else np.zeros(0, np.uint8)
        return cls(content[places[0] : places[-1]], np.subtract(places, places[0], dtype=np.int64))

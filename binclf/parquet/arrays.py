"""Arrow's arrays as NumPy's, from where they lie: pyarrow's own way imports pandas, 0.3 s and 50 MB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

I32 = npt.NDArray[np.int32]


def numpy_of(array: Any) -> Any:  # noqa: ANN401 - pyarrow's, and an array of its type
    """Numbers of a fixed width, or booleans as uint8, [N]; a view; what is under a null is anything."""
    if pa.types.is_null(array.type):
        return np.zeros(len(array))
    data, end = array.buffers()[1], array.offset + len(array)
    if pa.types.is_boolean(array.type):
        bits = np.frombuffer(data if len(array) else b"", np.uint8)
        return np.unpackbits(bits, count=end if len(array) else 0, bitorder="little")[array.offset :]
    dtype = dtype_of(array.type)
    return np.frombuffer(data, dtype, end)[array.offset :] if len(array) else np.empty(0, dtype)


def dtype_of(kind: Any) -> np.dtype[Any]:  # noqa: ANN401 - pyarrow
    """NumPy's type of an Arrow type of numbers."""
    letter = "f" if pa.types.is_floating(kind) else "u" if pa.types.is_unsigned_integer(kind) else "i"
    return np.dtype(f"{letter}{kind.bit_width // 8}")


def arrow_of(values: npt.NDArray[Any]) -> Any:  # noqa: ANN401 - pyarrow
    """Numbers or booleans [N] as Arrow has them, without nulls; numbers that lie together are not copied."""
    if values.dtype == np.bool_:
        kind, data = pa.bool_(), np.packbits(values, bitorder="little")
    else:
        kind, data = pa.from_numpy_dtype(values.dtype), np.ascontiguousarray(values)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(data)])


def strings_of(texts: Sequence[str]) -> Any:  # noqa: ANN401 - pyarrow
    """Texts as a large_string array."""
    encoded = [text.encode() for text in texts]
    ends = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum([len(one) for one in encoded], out=ends[1:])
    return pa.LargeStringArray.from_buffers(len(encoded), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded)))


def nulls_of(array: Any) -> npt.NDArray[np.bool_]:  # noqa: ANN401 - pyarrow
    """Where it is null, bool [N]."""
    validity, end = array.buffers()[0], array.offset + len(array)
    if validity is None or not array.null_count:
        return np.full(len(array), array.null_count > 0)
    valid = np.unpackbits(np.frombuffer(validity, np.uint8), count=end, bitorder="little")
    return np.asarray(valid[array.offset :] == 0)


def signed(indices: Any) -> I32:  # noqa: ANN401 - pyarrow
    """Dictionary indices as int32, null as -1; writers may have left them unsigned."""
    indices = indices.cast(pa.int32())
    codes: I32 = numpy_of(indices)
    return np.where(nulls_of(indices), np.int32(-1), codes) if indices.null_count else codes

"""One row group of an object as a local file, to tell the store's faults from the file's."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from binclf.errors import DamageError
from binclf.kernels.chunks import BYTES
from binclf.parquet.rowgroup import RowGroup
from binclf.storage import Place, read_at


@contextmanager
def copied(place: Place, size: int, said: RowGroup, name: str, group: int) -> Iterator[str]:
    """The path of a file that has the row group's pages, fetched anew, at their own place.

    Args:
        place: the object.
        size: bytes that it has.
        said: where the pages are, by the footer.
        name: what messages call the object.
        group: the row group.

    Raises:
        DamageError: they lie outside the object.
        StorageError: the store does not give them.
    """
    begins, sizes = said.begins, said.chunks[:, BYTES]
    outside = np.flatnonzero((begins < 0) | (sizes < 0) | (begins > size) | (sizes > size - begins))
    if len(outside):
        column = said.name(int(outside[0]))
        raise DamageError(
            f"column '{column}' of {name}, row group {group} lies outside the file, by its footer: "
            "write the file again.",
            name,
        )
    low, high = int(begins.min(initial=size)), int((begins + sizes).max(initial=0))
    content = read_at(place, low, max(high - low, 0))
    with tempfile.NamedTemporaryFile(prefix="binclf-") as copy:
        os.ftruncate(copy.fileno(), size)
        os.pwrite(copy.fileno(), content, low)
        yield copy.name

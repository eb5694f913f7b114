"""What a footer says of one row group, as far as it is needed to read pages without pyarrow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf import kernels
from binclf.kernels.chunks import BYTES, CODEC, DATA, DICTIONARY, FIELDS, UNTOLD

I64 = npt.NDArray[np.int64]

INT32, INT64, FLOAT, DOUBLE, BYTE_ARRAY = 1, 2, 4, 5, 6  # types, as parquet.thrift numbers them
UNCOMPRESSED, SNAPPY = 0, 1  # and codecs
MOST_BYTES, MOST_ROWS = 2**30, 2**26  # of a chunk, as it says of itself: beyond, pyarrow may try
_TYPES = {"INT32": INT32, "INT64": INT64, "FLOAT": FLOAT, "DOUBLE": DOUBLE, "BYTE_ARRAY": BYTE_ARRAY}
_CODECS = {"UNCOMPRESSED": UNCOMPRESSED, "SNAPPY": SNAPPY}


@dataclass(frozen=True, slots=True)
class RowGroup:
    """N rows of all columns of a file."""

    rows: int  # N
    chunks: (
        I64  # [columns, FIELDS of kernels.chunks]; types and codecs that are not named above may be UNTOLD
    )

    def pages(self, place: int) -> tuple[int, int, bool] | None:
        """Where a column's pages begin, how many bytes they are, and whether snappy packed them.

        None where nobody but pyarrow need look at them.
        """
        chunk = self.chunks[place].tolist()
        begin, length, packing = chunk[DATA], chunk[BYTES], chunk[CODEC]
        if chunk[DICTIONARY] != UNTOLD:
            begin = min(begin, chunk[DICTIONARY])
        if begin < 0 or not 0 < length <= MOST_BYTES or packing not in (SNAPPY, UNCOMPRESSED):
            return None
        return begin, length, packing == SNAPPY

    @classmethod
    def of_record(cls, record: bytes) -> RowGroup | None:
        """From the bytes in the footer; None: let pyarrow look at them."""
        found = kernels.chunks(record)
        return None if found is None else cls(*found)

    @classmethod
    def of_metadata(cls, meta: Any) -> RowGroup:  # noqa: ANN401 - pyarrow.RowGroupMetaData
        """From what pyarrow has parsed, of records that `of_record` does not tell of.

        Not of others: of a damaged one pyarrow may end the process (counts of levels that the schema denies).
        """
        columns = [meta.column(place) for place in range(meta.num_columns)]
        rows = [
            (
                _TYPES.get(column.physical_type, UNTOLD),
                _CODECS.get(column.compression, UNTOLD),
                column.num_values,
                column.total_compressed_size,
                column.data_page_offset,
                column.dictionary_page_offset if column.has_dictionary_page else UNTOLD,
                _nulls_of(column),
            )
            for column in columns
        ]
        return cls(meta.num_rows, np.array(rows, dtype=np.int64).reshape(len(rows), len(FIELDS)))


def _nulls_of(column: Any) -> int:  # noqa: ANN401 - pyarrow.ColumnChunkMetaData
    told = column.statistics if column.is_stats_set else None
    return int(told.null_count) if told is not None and told.has_null_count else UNTOLD

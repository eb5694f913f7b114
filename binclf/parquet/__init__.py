"""The only door to pyarrow: which files there are, what their footers say, columns in and out as NumPy.

What the rest of binclf sees are names, kinds, row counts and NumPy arrays. Files are always opened by path
and read row group by row group: a whole-file `iter_batches` keeps the file in memory, and a Python file
object handed to Arrow aborts the interpreter at exit in most runs (both measured on pyarrow 26).
"""

from binclf.parquet.buffers import Buffers
from binclf.parquet.coded import Coded
from binclf.parquet.columns import Rows
from binclf.parquet.files import Found, Listing, find
from binclf.parquet.footers import Footer, footer, footers, readable_footers
from binclf.parquet.frames import from_frame, from_values
from binclf.parquet.joining import PERIODS, join, periods, read_all
from binclf.parquet.kinds import (
    CATEGORICAL_PARTS,
    PARTS,
    Column,
    Kind,
    as_read,
    closest,
    moment_text,
    parse_moment,
    parse_value,
    part_of,
    zone_of,
)
from binclf.parquet.layout import Layout, layout
from binclf.parquet.parts import feature_codes, feature_numbers, values_of
from binclf.parquet.reading import Reader
from binclf.parquet.schema import Schema, Widening, group_rows, union
from binclf.parquet.singles import doubles, singles, use_system_memory
from binclf.parquet.tail import footer_digest
from binclf.parquet.texts import Texts
from binclf.parquet.writing import (
    ColumnWriter,
    deal_rows,
    of_bytes,
    write_columns,
    write_frame,
    write_rows,
)

__all__ = [
    "CATEGORICAL_PARTS",
    "PARTS",
    "PERIODS",
    "Buffers",
    "Coded",
    "Column",
    "ColumnWriter",
    "Footer",
    "Found",
    "Kind",
    "Layout",
    "Listing",
    "Reader",
    "Rows",
    "Schema",
    "Texts",
    "Widening",
    "as_read",
    "closest",
    "deal_rows",
    "doubles",
    "feature_codes",
    "feature_numbers",
    "find",
    "footer",
    "footer_digest",
    "footers",
    "from_frame",
    "from_values",
    "group_rows",
    "join",
    "layout",
    "moment_text",
    "of_bytes",
    "parse_moment",
    "parse_value",
    "part_of",
    "periods",
    "read_all",
    "readable_footers",
    "singles",
    "union",
    "use_system_memory",
    "values_of",
    "write_columns",
    "write_frame",
    "write_rows",
    "zone_of",
]

"""The only door to pyarrow: which files there are, what their footers say, columns in and out as NumPy.

What the rest of binclf sees are names, kinds, row counts and NumPy arrays. Files are always opened by path
and read row group by row group: a whole-file `iter_batches` keeps the file in memory, and a Python file
object handed to Arrow aborts the interpreter at exit in most runs (both measured on pyarrow 26).
"""

from binclf.parquet.columns import Rows, from_frame
from binclf.parquet.files import Found, Listing, find
from binclf.parquet.kinds import Column, Kind, moment_text, parse_moment, parse_value
from binclf.parquet.reading import Footer, Reader, footer, footers
from binclf.parquet.schema import group_rows, union
from binclf.parquet.writing import ColumnWriter, deal_rows, write_columns, write_frame

__all__ = [
    "Column",
    "ColumnWriter",
    "Footer",
    "Found",
    "Kind",
    "Listing",
    "Reader",
    "Rows",
    "deal_rows",
    "find",
    "footer",
    "footers",
    "from_frame",
    "group_rows",
    "moment_text",
    "parse_moment",
    "parse_value",
    "union",
    "write_columns",
    "write_frame",
]

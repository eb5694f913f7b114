"""One schema for all files, checked file by file.

`pyarrow.dataset` hides drift: a column that any file but the first lacks becomes nulls. Here a column that
some file lacks, or has of another kind, is an error that names the file.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence

from binclf.errors import DataError
from binclf.parquet.kinds import Column
from binclf.parquet.reading import Footer

GROUP_BYTES = 4 * 2**20  # of a written row group, decoded as 4 bytes a cell: many can be open at once
GROUP_ROWS = (
    16384,
    131072,
)  # never fewer: 1000 columns in groups of 1000 rows read at half the speed


def union(footers: Sequence[Footer], ignore: Collection[str] = ()) -> tuple[Column, ...]:
    """The columns that all files have, in the first file's order; those in `ignore` may differ.

    Raises:
        DataError: one sentence for each column that a file lacks or has of another kind.
    """
    first = footers[0]
    found: list[str] = []
    names = dict.fromkeys(c.name for f in footers for c in f.columns if c.name not in ignore)
    for name in names:
        holders = [f for f in footers if f.column(name)]
        lacking = [f for f in footers if not f.column(name)]
        if lacking:
            found.append(_lacks(name, holders, lacking))
            continue
        expected = holders[0].column(name)
        for other in holders[1:]:
            column = other.column(name)
            if column and expected and _sort(column) != _sort(expected):
                found.append(
                    f"column '{name}' is {column.type} in {other.relative} and {expected.type} in "
                    f"{holders[0].relative}: write the files with one type, or exclude the column."
                )
                break
    if found:
        raise DataError("\n".join(found[:20]))
    return tuple(c for c in first.columns if all(f.column(c.name) for f in footers))


def _sort(column: Column) -> tuple[str, bool]:
    """What must agree between files: moments with and without a time zone cannot be compared."""
    return column.kind, "tz=" in column.type


def group_rows(columns: int) -> int:
    """Rows of a row group that decodes to about 4 MiB.

    >>> group_rows(29), group_rows(1), group_rows(100_000)
    (36157, 131072, 16384)
    """
    fewest, most = GROUP_ROWS
    return min(max(GROUP_BYTES // (4 * max(columns, 1)), fewest), most)


def _lacks(name: str, holders: Sequence[Footer], lacking: Sequence[Footer]) -> str:
    others = "the other file has" if len(holders) == 1 else f"the other {len(holders)} files have"
    known = {c.name for c in lacking[0].columns} - {c.name for c in holders[0].columns}
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" (it has '{close[0]}')" if close else ""
    more = f" and {len(lacking) - 1} more files" if len(lacking) > 1 else ""
    return (
        f"{lacking[0].relative}{more} lacks column '{name}', which {others}{hint}: "
        "write the file again, or list the column in data.exclude."
    )

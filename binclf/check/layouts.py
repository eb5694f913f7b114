"""What the layout of the files says: checksums, row groups, disk, and integers that are no numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from binclf.config import Config
from binclf.errors import BinclfError, DataError, StorageError
from binclf.features.columns import Roles
from binclf.parquet import Footer, Layout, layout
from binclf.parquet import Found as File
from binclf.split.intake import Intake
from binclf.split.receipt import home

TINY_GROUP = 1024  # rows: groups smaller than that are mostly overhead
HUGE_GROUP = 2**30  # bytes that one row group decodes to, at 4 a cell
EXACT = 2**53  # integers that float64 holds, each


class Found:
    """Problems and warnings as they are found."""

    def __init__(self) -> None:
        self.problems: list[BinclfError] = []
        self.warnings: list[str] = []
        self.summary: dict[str, Any] = {}


def look_at_layouts(config: Config, intake: Intake, used: Roles, found: Found) -> frozenset[str]:
    """What the files' layout says: checksums, row groups, disk, integers that are no numbers.

    Returns:
        The columns that hold integers that are no numbers.
    """
    feet = intake.feet
    with ThreadPoolExecutor(16, thread_name_prefix="layout") as pool:
        layouts = list(pool.map(lambda foot: layout(File(foot.relative, foot.path)), feet))
    bare = [foot.relative for foot, one in zip(feet, layouts, strict=True) if not one.has_checksums]
    if bare:
        found.warnings.append(
            f"{len(bare)} of {len(feet)} files, such as {bare[0]}, have no checksums: damage cannot be "
            "noticed. Write them with write_page_checksum=True."
        )
    tiny = [f for f in feet if f.rows > 8 * TINY_GROUP and f.rows < TINY_GROUP * len(f.groups)]
    if tiny:
        found.warnings.append(
            f"{len(tiny)} of {len(feet)} files, such as {tiny[0].relative} with {len(tiny[0].groups):,}, "
            f"have row groups of fewer than {TINY_GROUP} rows, which are read slowly: write some ten "
            "thousand rows in each."
        )
    for foot in feet:
        if max(foot.groups, default=0) * 4 * len(foot.columns) > HUGE_GROUP:
            found.warnings.append(
                f"{foot.relative} has a row group of {max(foot.groups):,} rows, which is decoded as a whole: "
                "write smaller row groups to save memory."
            )
    if config.split.method != "none":
        _disk(config, layouts, found)
    return frozenset(_integers(feet, layouts, used, found))


def _disk(config: Config, layouts: Sequence[Layout], found: Found) -> None:
    """Whether the store has room for the parts."""
    needed = sum(one.written_bytes for one in layouts)
    found.summary["disk_bytes"] = needed
    free = found.summary.get("free_bytes", needed)
    if needed > free and not (home(config) / "parts").exists():
        found.problems.append(
            StorageError(
                f"store {config.store}: the split needs about {needed:,} bytes, and {free:,} are free: "
                "free some space, or choose another place in 'store'."
            )
        )


def _integers(feet: Sequence[Footer], layouts: Sequence[Layout], used: Roles, found: Found) -> Iterator[str]:
    """Columns of integers that a number cannot hold."""
    for column in used.numeric:
        if column.kind != "integer":
            continue
        ranges = [(one.integers[column.name], foot) for one, foot in zip(layouts, feet, strict=True)
                  if column.name in one.integers]  # fmt: skip
        for (low, high), foot in ranges:
            if low < -EXACT or high > EXACT:
                found.problems.append(
                    DataError(
                        f"column '{column.name}' of {foot.relative} holds integers beyond 2^53, which a "
                        "number cannot hold: name it in data.ids, data.exclude or features.categorical."
                    )
                )
                yield column.name
                break

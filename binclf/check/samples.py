"""What the values of feature columns look like, in a few row groups: infinities, ids, prose, dates as text.

A run reads all rows, a check must not. So some row groups are looked at, evenly spread over the files in
their order and always the same: what is found there is so, and what is not found may still be elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binclf.config import Config
from binclf.errors import BinclfError, DamageError
from binclf.features.columns import Roles
from binclf.leaks import evenly
from binclf.parquet import Column, Footer, Reader, Texts

F64 = npt.NDArray[np.float64]

MOST_GROUPS = 8
MOST_CELLS = 2**25  # of all that is looked at, unless the first row group has more
LEAST_VALUES = 100  # before anything is said of a column
MANY_VALUES = 10_000  # of which whole numbers that hardly ever come twice are ids, whatever else they are
UNIQUE, OWN = 0.95, 0.5  # distinct values among the numbers, and among the texts, that are too many
FINE = 2**24  # a spread of integers that float32 holds, each
EXPECTED = 5  # that would come twice of numbers drawn from such a range, where none does: they were given out
READ = 200  # distinct texts that are looked at for what they hold
MANY_TEXTS = 10  # of which numbers are told
DATE = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}([T ]\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?\s?(Z|UTC|[+-]\d{2}:?\d{2})?)?"
    r"|\d{4}/\d{1,2}/\d{1,2}|\d{1,2}[./-]\d{1,2}[./-](\d{4}|\d{2})|(19|20)\d{2}(0[1-9]|1[0-2])([0-2]\d|3[01])"
)

# not 007 or +49 171: what begins so is a code
DECIMAL = re.compile(r"-?(0|[1-9]\d*)?[.,]\d+|-?(0|[1-9]\d*)([.,]\d+)?([eE][+-]?\d+)?")


@dataclass(frozen=True, slots=True)
class Sample:
    """Row groups that are looked at, by file."""

    groups: tuple[tuple[Footer, int], ...]
    of: int  # row groups in all

    @property
    def rows(self) -> int:
        """Rows that are looked at."""
        return sum(foot.groups[group] for foot, group in self.groups)

    @property
    def words(self) -> str:
        """How much that is of all."""
        return f"{len(self.groups):,} of {self.of:,} row groups were looked at"

    @classmethod
    def of_files(cls, feet: Sequence[Footer], columns: int) -> Sample:
        """Evenly spread over all row groups in their order; fewer where they are large."""
        every = [(foot, group) for foot in feet for group, rows in enumerate(foot.groups) if rows]
        places = evenly([foot.groups[group] * columns for foot, group in every], MOST_GROUPS, MOST_CELLS)
        return cls(tuple(every[place] for place in places), len(every))


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found."""

    sample: Sample
    problems: tuple[BinclfError, ...]
    warnings: tuple[str, ...]


def look_at_values(config: Config, feet: Sequence[Footer], used: Roles) -> Looked:
    """Look at the feature columns in some row groups.

    Infinite numbers and damaged pages would stop a run, so they are problems (a damaged file that would be
    quarantined is a warning); the rest are warnings, each with the column and what to do.
    """
    columns = [*((c, True) for c in used.numeric), *((c, False) for c in used.categorical)]
    columns = [(column, is_numeric) for column, is_numeric in columns if not column.part]
    sample = Sample.of_files(feet, len(columns))

    def look(pair: tuple[Column, bool]) -> list[str] | BinclfError:
        try:
            return list(_numbers(pair[0], sample) if pair[1] else _texts(pair[0], sample))
        except BinclfError as error:
            return error

    with ThreadPoolExecutor(4, thread_name_prefix="sample") as pool:
        found = list(pool.map(look, columns))
    problems = [one for one in found if isinstance(one, BinclfError)]
    warnings = [f"{words} ({sample.words})" for one in found if isinstance(one, list) for words in one]
    if config.data.on_bad_file == "quarantine":
        damaged = {error.file: error for error in problems if isinstance(error, DamageError)}
        warnings += [f"{name} would be quarantined: {error}" for name, error in damaged.items()]
        problems = [error for error in problems if not isinstance(error, DamageError)]
    return Looked(sample, tuple(problems), tuple(warnings))


def _numbers(column: Column, sample: Sample) -> Iterator[str]:
    """Whole numbers that are ids: hardly any twice, and far apart, in order, given out, or very many."""
    name = column.name
    parts: list[F64] = []
    for foot, group in sample.groups:
        with Reader(foot.path, foot.relative) as reader:
            values = reader.read(group, [name]).numbers(name)  # which refuses what is infinite
        parts.append(values[~np.isnan(values)])
    values = np.concatenate([np.zeros(0), *parts])
    if column.kind not in ("integer", "number") or len(values) < LEAST_VALUES or (values % 1).any():
        return
    distinct = len(np.unique(values))
    if distinct < UNIQUE * len(values):
        return
    spread = float(values.max() - values.min())
    is_in_order = all((np.diff(part) > 0).all() for part in parts)
    is_given = distinct == len(values) and len(values) ** 2 > 2 * EXPECTED * spread
    if spread > FINE or is_in_order or is_given or len(values) >= MANY_VALUES:
        yield (
            f"column '{name}' looks like an id: {distinct:,} of {len(values):,} values that were looked at "
            "differ, and it is taken as a number. If it is an id, name it in data.ids or data.exclude."
        )


def _texts(column: Column, sample: Sample) -> Iterator[str]:
    """Dates and numbers that are held as text, and texts that are mostly each row's own."""
    name = column.name
    if column.kind != "text":
        return
    rows, hashes, examples = 0, [np.zeros(0, dtype=np.uint64)], dict[str, None]()
    for foot, group in sample.groups:
        with Reader(foot.path, foot.relative, coded=[name]) as reader:
            codes, texts = reader.read(group, [name]).codes(name)
        seen = np.unique(codes[codes >= 0])
        rows += int((codes >= 0).sum())
        hashes.append(texts.hashes(0)[seen])
        examples |= dict.fromkeys(_some(texts, seen))
    distinct = len(np.unique(np.concatenate(hashes)))
    dates = [text for text in examples if DATE.fullmatch(text.strip())]
    if len(dates) > 1 and len(dates) >= UNIQUE * len(examples):
        yield (
            f"column '{name}' holds dates as text, such as '{dates[0]}': each would be a category of its "
            "own, and dates to come are in none. Write it as a date or timestamp (pandas.to_datetime) and "
            f"name parts of it in [features], such as '{name}:month', or name it in data.exclude."
        )
    elif numbers := _numbers_in(examples):
        yield (
            f"column '{name}' holds numbers as text, such as '{numbers[0]}': each is a category of its own, "
            "which knows of no more and less. Write it as a number (pandas.to_numeric), or name it in "
            "data.exclude."
        )
    elif rows >= LEAST_VALUES and distinct > OWN * rows:
        longest = max(examples, key=len)
        yield (
            f"column '{name}' has {distinct:,} texts in {rows:,} rows, such as '{longest[:40]}': free "
            "text or an id, of which categories learn nothing. Name it in data.exclude or data.ids."
        )


def _numbers_in(examples: Collection[str]) -> list[str]:
    """The numbers among texts that are many and nearly all numbers, and not all whole, as codes are."""
    found = [text for text in examples if DECIMAL.fullmatch(text.strip())]
    is_measured = any(not text.strip().lstrip("-").isdigit() for text in found)
    return found if is_measured and len(found) >= max(MANY_TEXTS, UNIQUE * len(examples)) else []


def _some(texts: Texts, seen: npt.NDArray[np.int32]) -> Iterator[str]:
    """Distinct texts of a row group, evenly spread, without those that are no UTF-8."""
    count = min(READ // MOST_GROUPS, len(seen))
    for code in seen[np.linspace(0, len(seen) - 1, count).astype(int)] if count else ():
        yield texts[int(code)]

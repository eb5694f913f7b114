"""One schema for all files, checked file by file.

`pyarrow.dataset` hides drift: a column that any file but the first lacks becomes nulls. Here a column that
some file lacks, or has of a type that does not fit, is a problem that names the files. Which files are to
blame, where they may be left out, is decided by the majority: the column set and the types that most files
have are the expected ones; in a tie, those of the first file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from binclf.errors import SHOWN
from binclf.parquet.footers import Footer
from binclf.parquet.kinds import Column, closest
from binclf.parquet.widen import Typed, common, plain_type, why_not

GROUP_BYTES = 2 * 2**20  # of a written row group, decoded as 4 bytes a cell: many can be open at once
GROUP_ROWS = (
    16384,
    131072,
)  # never fewer: 1000 columns in groups of 1000 rows read at half the speed

Holders = dict[Column, list[int]]  # of one name: each type that it has, and the numbers of the files


@dataclass(frozen=True, slots=True)
class Widening:
    """A column that some files have of a narrower type than the data set's, which loses nothing."""

    column: str
    narrow: str
    wide: str
    files: int
    first: str  # relative path of the first of them


@dataclass(frozen=True, slots=True)
class Schema:
    """What all files have in common, and what is wrong with which."""

    columns: tuple[Column, ...]  # that all files have, in the first file's order, of the type of most
    widened: tuple[Widening, ...]
    problems: tuple[str, ...]  # one sentence for each column that does not fit
    misfits: Mapping[str, str]  # relative path of each file to blame: why, in one sentence


def union(footers: Sequence[Footer], ignore: Collection[str] = ()) -> Schema:
    """The schema of all files; columns in `ignore` may differ. Linear in files x columns."""
    holders: dict[str, Holders] = {}
    for number, foot in enumerate(footers):
        for column in foot.columns:
            holders.setdefault(column.name, {}).setdefault(column, []).append(number)
    problems: list[str] = []
    widened: list[Widening] = []
    blame: dict[int, str] = {}
    joint: dict[str, Column] = {}
    for name, types in holders.items():
        having = sorted(number for files in types.values() for number in files)
        if len(having) == len(footers):
            joint[name] = next(iter(types))
        elif name not in ignore:
            problems.append(_lacks(name, having, footers, with_hint=len(problems) < SHOWN))
            _blame_lack(name, having, len(footers), blame)
        if name in ignore:
            continue
        kept, out = _by_majority(types)
        if out:
            problems.append(_clash(name, types, footers))
            for number, column in out:
                blame.setdefault(
                    number, f"its column '{name}' is {column.type}, unlike that of the files that are kept"
                )
        if name in joint:
            joint[name] = Column(name, *kept)
            widened += () if out else _widenings(joint[name], types, footers)
    order = [column.name for column in footers[0].columns] if footers else []
    return Schema(
        columns=tuple(joint[name] for name in order if name in joint),
        widened=tuple(widened),
        problems=tuple(problems),
        misfits={footers[number].relative: blame[number] for number in sorted(blame)},
    )


def group_rows(columns: int) -> int:
    """Rows of a row group that decodes to about 2 MiB.

    >>> group_rows(29), group_rows(1), group_rows(100_000)
    (18078, 131072, 16384)
    """
    fewest, most = GROUP_ROWS
    return min(max(GROUP_BYTES // (4 * max(columns, 1)), fewest), most)


def _widenings(column: Column, types: Holders, footers: Sequence[Footer]) -> Iterable[Widening]:
    """What is told: texts are one type however they are stored, and so is a dictionary and its values."""
    for held, files in types.items():
        is_text = held.kind == column.kind == "text"
        if not is_text and plain_type(held.type) != plain_type(column.type):
            first = footers[files[0]].relative
            yield Widening(column.name, held.type, column.type, len(files), first)


def _blame_lack(name: str, having: list[int], files: int, blame: dict[int, str]) -> None:
    """The minority among those that have a column and those that lack it; in a tie not the first file."""
    lacking = sorted(set(range(files)) - set(having))
    has_it = len(having) < len(lacking) or (len(having) == len(lacking) and lacking[0] == 0)
    for number in having if has_it else lacking:
        blame.setdefault(
            number, f"it {'has' if has_it else 'lacks'} column '{name}', unlike the files that are kept"
        )


def _by_majority(types: Holders) -> tuple[Typed, list[tuple[int, Column]]]:
    """The type that holds those of most files, and the files whose type does not fit into it."""
    kept: list[Column] = []
    found: Typed = "other", ""
    out: list[tuple[int, Column]] = []
    for column in sorted(types, key=lambda one: (-len(types[one]), types[one][0])):
        wider = common([*kept, column])
        if wider is None:
            out += [(number, column) for number in types[column]]
        else:
            kept, found = [*kept, column], wider
    return found, out


def _clash(name: str, types: Holders, footers: Sequence[Footer]) -> str:
    shown = [
        f"{column.type} in {footers[files[0]].relative}"
        + (f" and {len(files) - 1} more" if len(files) > 1 else "")
        for column, files in sorted(types.items(), key=lambda item: item[1][0])
    ]
    return f"column '{name}' is {', '.join(shown[:-1])} and {shown[-1]}: {why_not(list(types))}."


def _lacks(name: str, having: list[int], footers: Sequence[Footer], *, with_hint: bool) -> str:
    held = set(having)
    lacking = [foot for number, foot in enumerate(footers) if number not in held]
    others = "the other file has" if len(having) == 1 else f"the other {len(having)} files have"
    own = {column.name for column in footers[having[0]].columns}
    close = closest(name, (c.name for c in lacking[0].columns if c.name not in own)) if with_hint else ""
    hint = f" (it has '{close}')" if close else ""
    if len(lacking) == 1:
        files = f"{lacking[0].relative} lacks"
    else:
        files = f"{lacking[0].relative} and {len(lacking) - 1} more files lack"
    return (
        f"{files} column '{name}', which {others}{hint}: "
        "write the file again, or list the column in data.exclude."
    )

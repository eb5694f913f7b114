"""Which files a path means, by rules that are told: nothing is picked up or passed over by chance.

A directory is read recursively, also one that a glob finds. Files that end in .parquet or .pq count; names
that begin with "." or "_", and all other endings (.tmp, .crc, ...), are passed over and listed with reasons;
directories behind symbolic links are not entered (a link to a parent would list the same files again and
again). The order is that of the relative path: modification times never count.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path

from binclf.errors import DataError

SUFFIXES = (".parquet", ".pq")


@dataclass(frozen=True, slots=True, order=True)
class Found:
    """One Parquet file of a data set."""

    relative: str  # posix path below the data set's root: its name for ever
    path: Path  # where it is on this machine


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a data set in canonical order, and what was passed over."""

    files: tuple[Found, ...]
    skipped: tuple[tuple[str, str], ...]  # (relative path, reason)
    is_single_file: bool  # the path named one file itself


def find(path: str | Path, ignore: str | Path = "") -> Listing:
    """List the Parquet files that a file, directory or glob means, each once.

    Args:
        path: the file, directory or glob.
        ignore: a directory of our own whose files are not input, such as the store; empty: none.

    Raises:
        DataError: the path does not exist, or holds no Parquet.
    """
    text = str(path)
    given = Path(text)
    if given.is_file():
        return Listing((Found(given.name, given),), (), is_single_file=True)
    if given.is_dir():
        root, candidates = given, _walk(given)
    elif has_magic(text):
        root = _fixed_prefix(given)
        pattern = str(given.relative_to(root))
        matches = root.glob(pattern)
        candidates = (p for m in matches for p in (_walk(m) if m.is_dir() else (m,)))
    else:
        raise DataError(f"{text} does not exist: name a Parquet file, a directory or a glob.")
    files: list[Found] = []
    skipped: list[tuple[str, str]] = []
    own = Path(ignore).resolve() if str(ignore) else None
    for candidate in dict.fromkeys(candidates):  # patterns such as ** find the same file twice
        relative = candidate.relative_to(root).as_posix()
        reason = _reason_to_skip(candidate, relative)
        if own is not None and candidate.resolve().is_relative_to(own):
            reason = f"it lies in {own.name}, which binclf writes"
        if reason:
            skipped.append((relative, reason))
        else:
            files.append(Found(relative, candidate))
    if not files:
        seen = f" ({len(skipped)} others are passed over: {_some(sorted(skipped))})" if skipped else ""
        raise DataError(f"{text} holds no Parquet files{seen}: files end in .parquet or .pq.")
    return Listing(tuple(sorted(files)), tuple(sorted(skipped)), is_single_file=False)


def _walk(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root, followlinks=False):
        here = Path(folder)
        for name in list(folders):
            if (here / name).is_symlink():
                folders.remove(name)
                yield here / name
        yield from (here / name for name in names)


def _fixed_prefix(pattern: Path) -> Path:
    """The part of a glob before its first wildcard."""
    fixed: list[str] = []
    for part in pattern.parts:
        if has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed) if fixed else Path()


def _reason_to_skip(path: Path, relative: str) -> str:
    if any(part.startswith((".", "_")) for part in relative.split("/")):
        return "its name begins with '.' or '_'"
    if path.is_symlink() and not path.is_file():
        return "a symbolic link to something other than a file"
    if not path.name.endswith(SUFFIXES):
        return "it does not end in .parquet or .pq"
    if not path.is_file():
        return "not a regular file"
    return ""


def _some(skipped: list[tuple[str, str]]) -> str:
    shown = ", ".join(f"{name} ({reason})" for name, reason in skipped[:3])
    return shown + (", ..." if len(skipped) > 3 else "")

"""Which files a path means, by rules that are told: nothing is picked up or passed over by chance.

A directory is read recursively, also one that a glob finds. Files that end in .parquet or .pq count; names
that begin with "." or "_", and all other endings (.tmp, .crc, ...), are passed over and listed with reasons;
directories behind symbolic links are not entered, unless one is named by its whole path (a link to a parent
would list the same files again and again). A directory that cannot be listed is an error: its rows would be
lost without a word. The order is that of the relative path: modification times never count.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import has_magic
from pathlib import Path

from binclf.errors import DataError, StorageError
from binclf.storage import Place, Remote, place_of

SUFFIXES = (".parquet", ".pq")
READERS = {  # of pandas, by how names end
    ".csv": "read_csv", ".csv.gz": "read_csv", ".tsv": "read_table", ".json": "read_json",
    ".feather": "read_feather", ".arrow": "read_feather", ".orc": "read_orc", ".xlsx": "read_excel",
}  # fmt: skip


@dataclass(frozen=True, slots=True, order=True)
class Found:
    """One Parquet file of a data set."""

    relative: str  # posix path below the data set's root: its name for ever
    path: Place  # where it is


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a data set in canonical order, and what was passed over."""

    files: tuple[Found, ...]
    skipped: tuple[tuple[str, str], ...]  # (relative path, reason)
    is_single_file: bool  # the path named one file itself


def find(path: str | Place, ignore: str | Place = "") -> Listing:
    """List the Parquet files that a file, directory, glob or URI means, each once.

    Args:
        path: the file, directory or glob; in an object store, by its URI.
        ignore: a directory of our own whose files are not input, such as the store; empty: none.

    Raises:
        DataError: the path does not exist, or holds no Parquet; the name of a file is no UTF-8.
        StorageError: a directory cannot be listed; the object store does not answer.
    """
    given = place_of(path)
    if given.is_file():
        return Listing((Found(given.name, given),), (), is_single_file=True)
    found = _in_store(given) if isinstance(given, Remote) else _on_disk(given)
    if found is None:
        raise DataError(f"{path} does not exist: name a Parquet file, a directory or a glob.")
    root, candidates = found
    files: list[Found] = []
    skipped: list[tuple[str, str]] = []
    own = place_of(ignore).resolve() if str(ignore) else None
    if isinstance(own, Remote) != isinstance(root, Remote):  # a store elsewhere has no files here
        own = None
    for candidate in dict.fromkeys(candidates):  # patterns such as ** find the same file twice
        relative = candidate.relative_to(root).as_posix()  # type: ignore[arg-type]
        reason = _reason_to_skip(candidate, relative)
        if own is not None and candidate.resolve().is_relative_to(own):  # type: ignore[arg-type]
            reason = f"it lies in {own.name}, which binclf writes"
        if reason:
            skipped.append((relative, reason))
        else:
            files.append(Found(_readable(relative), candidate))
    if not files:
        count = "another is" if len(skipped) == 1 else f"{len(skipped)} others are"
        seen = f" ({count} passed over: {_some(sorted(skipped))})" if skipped else ""
        convert = _how_to_convert([candidate.name for candidate in candidates])
        raise DataError(f"{path} holds no Parquet files{seen}: files end in .parquet or .pq.{convert}")
    by_name = sorted(files, key=lambda file: file.relative)
    return Listing(tuple(by_name), tuple(sorted(skipped)), is_single_file=False)


Candidates = tuple[Place, list[Place]]  # the data set's root, and what may be its files


def _on_disk(given: Path) -> Candidates | None:
    if given.is_dir():
        return given, list(_walk(given))
    if not has_magic(str(given)):
        return None
    root = _fixed_prefix(given)
    matches = _matches(root, given.relative_to(root).parts)
    return root, [p for m in matches for p in (_walk(m) if m.is_dir() and not m.is_symlink() else (m,))]


def _matches(folder: Path, pattern: Sequence[str]) -> Iterator[Path]:
    """What a glob finds in a directory, part by part; `Path.glob` passes over what it may not list."""
    if not pattern:
        yield folder
        return
    part, rest = pattern[0], pattern[1:]
    if part == "**":
        yield from _matches(folder, rest)
        for entry in _entries(folder) if rest else ():  # as the last part it means all of the directory
            if entry.is_dir(follow_symlinks=False):
                yield from _matches(folder / entry.name, pattern)
    elif has_magic(part):
        for entry in _entries(folder):
            if not fnmatchcase(entry.name, part) or (rest and not entry.is_dir()):
                continue
            if rest and entry.is_symlink():
                yield folder / entry.name  # not entered, and so told
            else:
                yield from _matches(folder / entry.name, rest)
    elif os.path.lexists(folder / part):
        yield from _matches(folder / part, rest)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a directory; of a file, nothing."""
    try:
        with os.scandir(folder) as found:
            return list(found)
    except NotADirectoryError:
        return []
    except OSError as error:
        _refuse_unlisted(error)
        return []


def _refuse_unlisted(error: OSError) -> None:
    """Raise StorageError for a directory that cannot be listed; one that has gone has no files."""
    if not isinstance(error, FileNotFoundError):
        raise StorageError(
            f"{error.filename} cannot be listed ({error.strerror}), and its files would be left out without "
            "a word: let this user read it, or mend the disk, and run it again."
        ) from error


def _in_store(given: Remote) -> Candidates | None:
    """One listing, whatever is asked; a folder that a glob finds counts with all below it."""
    if not has_magic(given.key):
        files = given.files()
        return (given, list(files)) if files else None
    prefix = _fixed_prefix(Path(given.key)).as_posix()
    root = Remote(given.scheme, prefix, given.options)
    pattern = _expression(given.key.removeprefix(f"{prefix}/"))
    return root, [f for f in root.files() if pattern.match(f.relative_to(root).as_posix())]


def _expression(pattern: str) -> re.Pattern[str]:
    """A glob as a regular expression for a relative path, or for one below it; `**` is any folders."""
    text, place = "", 0
    while place < len(pattern):
        rest = pattern[place:]
        found = _WILD.match(rest)
        if rest.startswith("**/"):
            text, place = text + "(?:[^/]+/)*", place + 3
        elif rest == "**":
            text, place = text + ".*", place + 2
        elif found:
            text, place = text + _meaning(found[0]), place + len(found[0])
        else:
            text, place = text + re.escape(rest[0]), place + 1
    return re.compile(text + r"(?:/.*)?\Z")


_WILD = re.compile(r"\*+|\?|\[!?\]?[^\]/]*\]")


def _meaning(wild: str) -> str:
    if wild[0] == "[":
        body = wild[1:-1].replace("\\", "\\\\")
        return f"[^/{body[1:]}]" if body.startswith("!") else f"[{body.replace('^', chr(92) + '^', 1)}]"
    return "[^/]" if wild == "?" else "[^/]*"


def _walk(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root, onerror=_refuse_unlisted, followlinks=False):
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


def _readable(relative: str) -> str:
    """The name of a file, which outputs, receipts and messages repeat.

    Raises:
        DataError: it is no UTF-8, which neither Parquet's readers nor object stores take.
    """
    try:
        relative.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"the name of file {relative!a} is no UTF-8: rename it.") from error
    return relative


def _reason_to_skip(path: Place, relative: str) -> str:
    if any(part.startswith((".", "_")) for part in relative.split("/")):
        return "its name begins with '.' or '_'"
    if path.is_symlink() and not path.is_file():
        return "a symbolic link to something other than a file"
    if not path.name.endswith(SUFFIXES):
        return "it does not end in .parquet or .pq"
    if isinstance(path, Path) and not path.is_file():  # a store lists objects only
        return "not a regular file"
    return ""


def _how_to_convert(names: Sequence[str]) -> str:
    """How the first file of another form that pandas reads becomes Parquet; empty where there is none."""
    for name in sorted(names):
        reader = next((READERS[end] for end in READERS if name.lower().endswith(end)), "")
        if reader:
            target = f"{name.partition('.')[0]}.parquet"
            return f" Convert them, such as by pandas.{reader}('{name}').to_parquet('{target}', index=False)."
    return ""


def _some(skipped: list[tuple[str, str]]) -> str:
    shown = ", ".join(f"{name} ({reason})" for name, reason in skipped[:3])
    return shown + (", ..." if len(skipped) > 3 else "")

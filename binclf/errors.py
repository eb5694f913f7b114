"""What can go wrong, and by whose hand it is mended.

BinclfError
    ConfigError     2   the request is at fault: mend the config or the command
    DataError      10   the Parquet is at fault, or the columns asked of it
      DamageError  10   a file's own bytes are at fault: it can be left out where the user asked for that
    ArtifactError  12   the run directory is at fault: unfinished, altered, of another version
    StorageError   13   the disk or object store is at fault: full, read-only, gone
    RankError      14   a rank died; carries its own words
    BusyError      75   somebody else is at it: try again

Every message says what was found and where, what is needed, and what to do: one line for a person. For
programs `as_json` has the same words, and beside them where it is by file, row group, column and rank.
The number is the exit code of the command; 70 is our own fault, 130 and 143 are signals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

SHOWN = 20  # problems that one message lists


@dataclass(frozen=True, slots=True)
class Where:
    """Where something is wrong, as far as that is known."""

    file: str = ""  # its name in the data set, or its path
    row_group: int | None = None
    column: str = ""
    rank: int | None = None


class RowGroupPlace(str):
    """What messages call the rows of a row group, "a.parquet, row group 3": a text that knows its parts."""

    __slots__ = ("file", "row_group")
    file: str
    row_group: int

    def __new__(cls, file: str, row_group: int) -> RowGroupPlace:
        """Of the row group with this number."""
        made = super().__new__(cls, f"{file}, row group {row_group}")
        made.file, made.row_group = file, row_group
        return made


class BinclfError(Exception):
    """Anything that a user of binclf can mend; `exit_code` is what the command ends with."""

    exit_code: ClassVar[int] = 70
    where: Where = Where()
    problems: tuple[BinclfError, ...] = ()  # that were put together as this one

    def at(
        self, file: str = "", row_group: int | None = None, column: str = "", rank: int | None = None
    ) -> Self:
        """This error, with what it did not know yet of where it is."""
        own = self.where
        self.where = Where(
            own.file or file,
            row_group if own.row_group is None else own.row_group,
            own.column or column,
            rank if own.rank is None else own.rank,
        )
        return self

    def as_json(self) -> dict[str, Any]:
        """The one shape of every error, for programs.

        Returns:
            kind (a class of this module), exit_code, message, notes (what else to know or to do), file,
            row_group, column and rank (null where it is not known, or where it is of no single one), and
            problems: of each that was found kind, message and where. A single one is its own only problem.
        """
        found = self.problems or (self,)
        each = [{"kind": type(p).__name__, "message": str(p), **told(p.where)} for p in found]
        notes = list(getattr(self, "__notes__", ()))
        return {
            "kind": type(self).__name__, "exit_code": self.exit_code, "message": str(self), "notes": notes,
            **told(self.where), "problems": each,
        }  # fmt: skip


def told(where: Where) -> dict[str, Any]:
    """As JSON: null is not known."""
    return {name: None if value == "" else value for name, value in asdict(where).items()}


class ConfigError(BinclfError, ValueError):
    """The request is at fault: a setting unknown, contradictory, out of bounds or without effect."""

    exit_code = 2


class DataError(BinclfError, ValueError):
    """The Parquet is at fault, or the columns that were asked of it."""

    exit_code = 10


class DamageError(DataError):
    """A file is no whole Parquet, or its pages are damaged; `file` is its name in the data set."""

    def __init__(self, message: str, file: str = "") -> None:
        super().__init__(message)
        self.file = file
        self.at(file)


class ArtifactError(BinclfError):
    """A run directory or an output is unfinished, altered, foreign or of another version."""

    exit_code = 12


class StorageError(BinclfError, OSError):
    """The disk is at fault: full, read-only, or not there."""

    exit_code = 13


class RankError(BinclfError):
    """A rank of a distributed job died; the message carries the rank's own words."""

    exit_code = 14


class BusyError(BinclfError):
    """Another process holds what this one needs: try again later."""

    exit_code = 75


def together(problems: Sequence[BinclfError]) -> BinclfError:
    """Several problems as one error to raise: of the data if any is, else of the first one's sort.

    The message has one problem a line, each once, at most `SHOWN`, and says how many more there are.
    """
    said = list(dict.fromkeys(line for problem in problems for line in str(problem).split("\n")))
    lines = said[:SHOWN] + ([f"and {len(said) - SHOWN} more problems"] if len(said) > SHOWN else [])
    of_data = [problem for problem in problems if isinstance(problem, DataError)]
    if len(problems) == 1:
        return problems[0]
    found = (DataError if of_data else type(problems[0]))("\n".join(lines))
    found.problems = tuple(problems)
    return found


@contextmanager
def located(place: str = "", column: str = "", rank: int | None = None) -> Iterator[None]:
    """Errors of ours that leave the block know where they are, unless they knew it before."""
    try:
        yield
    except BinclfError as error:
        if isinstance(place, RowGroupPlace):
            error.at(place.file, place.row_group)
        error.at(place, column=column, rank=rank)
        raise


@contextmanager
def reading_back(file: object, remedy: str, *others: type[Exception]) -> Iterator[None]:
    """While a block makes something of JSON that binclf once wrote: a missing key, another type, are told.

    Args:
        file: its name.
        remedy: what to do.
        others: errors that say the same there, beside KeyError and TypeError.

    Raises:
        ArtifactError: the block met one of these.
    """
    kinds: tuple[type[Exception], ...] = (KeyError, TypeError, *others)
    try:
        yield
    except kinds as error:
        raise ArtifactError(f"{file} is of another version or was edited ({error!r}): {remedy}.") from error


KINDS: dict[str, type[BinclfError]] = {
    kind.__name__: kind
    for kind in (ConfigError, DataError, DamageError, ArtifactError, StorageError, RankError, BusyError)
}
"""Names to classes: how an error that a rank wrote down is raised again by its launcher."""

__all__ = [
    "KINDS",
    "ArtifactError",
    "BinclfError",
    "BusyError",
    "ConfigError",
    "DamageError",
    "DataError",
    "RankError",
    "RowGroupPlace",
    "StorageError",
    "Where",
    "located",
    "reading_back",
    "together",
]

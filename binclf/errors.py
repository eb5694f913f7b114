"""What can go wrong, and by whose hand it is mended.

BinclfError
    ConfigError     2   the request is at fault: mend the config or the command
    DataError      10   the Parquet is at fault, or the columns asked of it
      DamageError  10   a file's own bytes are at fault: it can be left out where the user asked for that
    ArtifactError  12   the run directory is at fault: unfinished, altered, of another version
    StorageError   13   the disk or object store is at fault: full, read-only, gone
    RankError      14   a rank died; carries its own words
    BusyError      75   somebody else is at it: try again

Every message says what was found and where, what is needed, and what to do.
The number is the exit code of the command; 70 is our own fault, 130 and 143 are signals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

SHOWN = 20  # problems that one message lists


class BinclfError(Exception):
    """Anything that a user of binclf can mend; `exit_code` is what the command ends with."""

    exit_code: ClassVar[int] = 70


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
    told = list(dict.fromkeys(line for problem in problems for line in str(problem).split("\n")))
    lines = told[:SHOWN] + ([f"and {len(told) - SHOWN} more problems"] if len(told) > SHOWN else [])
    of_data = [problem for problem in problems if isinstance(problem, DataError)]
    if len(problems) == 1:
        return problems[0]
    return (DataError if of_data else type(problems[0]))("\n".join(lines))


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
    "StorageError",
    "reading_back",
    "together",
]

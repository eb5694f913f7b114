"""What is to be scored, from footers alone; everything that is wrong with any file is told at once."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from binclf.errors import SHOWN, BinclfError, ConfigError, DataError, together
from binclf.leaks import has_label
from binclf.parquet import Footer, Found, find, readable_footers
from binclf.score.records import ADDED, BadFile, Job, Part, Plan
from binclf.storage import Place, changed_at, place_of

log = logging.getLogger(__name__)

LARGE_ROWS = 2**22  # a file with more becomes several parts
PART_ROWS = 2**20  # of about so many rows each; a row group is never cut


def plan(job: Job, source: str | Place) -> Plan:
    """The parts of `source`, in canonical order: by relative path, then row group.

    Raises:
        DataError: no Parquet; a file that is no whole Parquet or does not have the model's columns, and is
            not to be quarantined; two outputs of one name.
        ConfigError: a setting that this model or input cannot meet.
    """
    files = _files(job, source)
    feet, unread = readable_footers(files)
    problems = [error for error in unread.values() if not isinstance(error, DataError)]  # the store's
    bad = {name: str(error) for name, error in unread.items() if isinstance(error, DataError)}
    rows = {foot.relative: foot.rows for foot in feet}
    misfits = {foot.relative: "\n".join(_misfits(job, foot)) for foot in feet}
    bad |= {name: words for name, words in misfits.items() if words}
    if job.settings.on_bad_file == "error":
        problems += [DataError(words) for words in bad.values()]
    problems += _wrong_settings(job)
    if problems:
        raise together(problems)
    for relative, words in list(bad.items())[:SHOWN]:
        log.warning("QUARANTINED %s: %s", relative, words)
    parts = tuple(_parts(foot for foot in feet if foot.relative not in bad))
    _refuse_twins(parts)
    left_out = [BadFile(name, words, rows.get(name)) for name, words in sorted(bad.items())]
    labelled = frozenset(foot.relative for foot in feet if job.label and has_label(foot, job.label))
    return Plan(parts, tuple(left_out), len(files), rows, labelled)


def _files(job: Job, source: str | Place) -> Sequence[Found]:
    """The input's files; those below the output are none, should it lie in the input."""
    given, output = place_of(source).resolve(), job.output.resolve()
    return find(source, "" if given == output else job.output).files


def _misfits(job: Job, foot: Footer) -> Iterator[str]:
    """How a file's columns differ from what is needed."""
    try:
        job.model.check(foot.columns, foot.relative)
    except DataError as error:
        yield str(error)
    for name in job.ids:
        if foot.column(name) is None:
            yield f"{foot.relative} lacks id column '{name}': each scored row needs its id."
    for name in job.settings.columns:
        if foot.column(name) is None:
            yield f"{foot.relative} lacks column '{name}', which score.columns names: bring it, or remove it."


def _wrong_settings(job: Job) -> Iterator[BinclfError]:
    most, added = job.settings.contributions, set(added_columns(job))
    columns = len(job.model.features.columns)
    if most > columns:
        yield ConfigError(f"score.contributions = {most}, and the model has {columns} columns: set fewer.")
    for name in job.ids:
        if name in added:
            yield DataError(f"id column '{name}' has the name of a column that scoring adds: rename it.")
    for name in job.settings.columns:
        if name in added:
            yield ConfigError(f"score.columns names '{name}', the name of a column that scoring adds.")


def added_columns(job: Job) -> list[str]:
    """The columns that scoring adds, in order."""
    numbers = range(1, job.settings.contributions + 1)
    pairs = [(f"contribution_{k}", f"contribution_{k}_log_odds") for k in numbers]
    return [*ADDED, *(name for pair in pairs for name in pair)]


def _parts(feet: Iterator[Footer]) -> Iterator[Part]:
    number = 0
    for foot in feet:
        cuts, changed = _cuts(foot), changed_at(foot.path)
        stem, dot, suffix = foot.relative.rpartition(".")
        for place, (low, high) in enumerate(cuts):
            name = foot.relative if len(cuts) == 1 else f"{stem}-{place:05}{dot}{suffix}"
            rows = sum(foot.groups[low:high])
            yield Part(
                name, foot.relative, foot.path, foot.stamp, changed, foot.digest, (low, high),
                number + low, rows,
            )  # fmt: skip
        number += len(foot.groups)


def _cuts(foot: Footer) -> list[tuple[int, int]]:
    """The row groups of a file's parts: a function of the file alone, whoever scores it with how many."""
    if foot.rows <= LARGE_ROWS:
        return [(0, len(foot.groups))]
    cuts, low, rows = [], 0, 0
    for place, own in enumerate(foot.groups):
        if rows and rows + own > PART_ROWS:
            cuts.append((low, place))
            low, rows = place, 0
        rows += own
    return [*cuts, (low, len(foot.groups))]


def _refuse_twins(parts: Sequence[Part]) -> None:
    seen: dict[str, str] = {}
    for part in parts:
        other = seen.setdefault(part.name, part.input)
        if other != part.input:
            raise DataError(f"the scores of {other} and {part.input} would both be {part.name}: rename one.")

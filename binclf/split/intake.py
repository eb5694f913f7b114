"""The files of a data set taken in: footers read, one schema, names found; bad files refused or left out.

Everything that footers can tell is looked at for all files before anything is raised, so that a plan fails
with all of it at once and `binclf check` lists it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from binclf.config import Config
from binclf.errors import SHOWN, BinclfError, DamageError, DataError
from binclf.labels import LabelRule
from binclf.parquet import Footer, Found, Schema, readable_footers, union
from binclf.split.checks import unknown_names, unread_partitions

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A file that is left out since it is bad, and the config says so."""

    relative: str
    reason: str
    rows: int | None  # None: the footer cannot be read


@dataclass(frozen=True, slots=True)
class Intake:
    """The files that are read, what they have in common, and all that is wrong."""

    feet: tuple[Footer, ...]
    schema: Schema
    label: LabelRule | None  # None: no column can be it
    quarantined: tuple[Quarantined, ...]
    problems: tuple[BinclfError, ...]


def take_in(config: Config, files: Sequence[Found], damaged: Mapping[str, str]) -> Intake:
    """Read all footers and compare them with each other and with the config; nothing is raised.

    Args:
        config: says whether bad files are problems or are left out.
        files: of the data set, in canonical order.
        damaged: relative paths of files whose pages were found damaged, and the reasons; left out.
    """
    feet, unread = readable_footers(files)
    problems: list[BinclfError] = []
    bad: dict[str, Quarantined] = {}
    problems += [error for error in unread.values() if not isinstance(error, DataError)]  # the disk's
    if config.data.on_bad_file == "error":
        problems += [error for error in unread.values() if isinstance(error, DataError)]
        schema = union(feet, config.data.exclude)
    else:
        rows_of: dict[str, int | None] = {foot.relative: foot.rows for foot in feet}
        reasons = {name: str(error) for name, error in unread.items() if isinstance(error, DataError)}
        for relative, reason in (reasons | dict(damaged)).items():
            bad[relative] = Quarantined(relative, reason, rows_of.get(relative))
        feet = [foot for foot in feet if foot.relative not in bad]
        schema = union(feet, config.data.exclude)
        while schema.misfits:
            for relative, reason in schema.misfits.items():
                bad[relative] = Quarantined(relative, reason, rows_of[relative])
            feet = [foot for foot in feet if foot.relative not in bad]
            schema = union(feet, config.data.exclude)
    quarantined = tuple(sorted(bad.values(), key=lambda file: file.relative))
    problems += [DataError(problem) for problem in schema.problems]
    if quarantined and not feet:
        why = "; ".join(f"{file.relative}: {file.reason}" for file in quarantined[:3])
        problems.append(
            DataError(f"all {len(quarantined)} files of {config.data.path} are bad, none is left: {why}")
        )
    label = _compare(config, feet, schema, problems) if feet else None
    return Intake(tuple(feet), schema, label, quarantined, tuple(problems))


def tell(intake: Intake) -> None:
    """Say in the log what was left out and what was widened."""
    for file in intake.quarantined[:SHOWN]:
        rows = "unknown rows" if file.rows is None else f"{file.rows:,} rows"
        log.warning("QUARANTINED %s (%s): %s", file.relative, rows, file.reason)
    if len(intake.quarantined) > SHOWN:
        log.warning("QUARANTINED %d more files: see the split's receipt", len(intake.quarantined) - SHOWN)
    for w in intake.schema.widened[:SHOWN]:
        log.info(
            "column '%s' is %s in %d files, such as %s: taken as %s",
            w.column, w.narrow, w.files, w.first, w.wide,
        )  # fmt: skip


def found_damaged(config: Config, errors: Sequence[DamageError], damaged: dict[str, str]) -> None:
    """Remember files whose pages are damaged, for the next plan to leave out.

    Raises:
        DamageError: the config does not ask for that, or a file was known before.
    """
    for error in errors:
        if config.data.on_bad_file == "error" or not error.file or error.file in damaged:
            raise error
        damaged[error.file] = str(error)


def known_names(feet: Sequence[Footer]) -> set[str]:
    """Of columns that any file has, and of partition folders."""
    known = {column.name for foot in feet for column in foot.columns}
    return known | {part.partition("=")[0] for foot in feet for part in foot.relative.split("/")[:-1]}


def _compare(
    config: Config, feet: Sequence[Footer], schema: Schema, problems: list[BinclfError]
) -> LabelRule | None:
    """The config's names and settings beside the columns; returns how the label is read."""
    problems += unread_partitions(config, feet, {column.name for column in schema.columns})
    problems += unknown_names(config, known_names(feet))
    label = next((c for c in schema.columns if c.name == config.data.label), None)
    if label is None:
        return None
    try:
        return LabelRule.of(config, label)
    except BinclfError as error:
        problems.append(error)
        return None

"""What is to be done for a split: one task for each input file, from footers, fingerprints and settings."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf import hashing
from binclf.config import Config
from binclf.errors import ConfigError, DataError, together
from binclf.labels import LabelRule
from binclf.parquet import (
    Column,
    Footer,
    Reader,
    Widening,
    find,
    moment_text,
    parse_moment,
)
from binclf.split import deal
from binclf.split.checks import null_times, refuse_straddling_groups
from binclf.split.intake import Quarantined, take_in, tell
from binclf.split.records import FORMAT, PART_NAMES, Task
from binclf.storage import fingerprint_of

log = logging.getLogger(__name__)

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Plan:
    """The tasks of a split and what they have in common."""

    tasks: tuple[Task, ...]
    columns: tuple[Column, ...]
    label: LabelRule
    cuts: dict[str, str]
    duplicates: tuple[str, ...]  # files whose content an earlier file has too
    skipped: tuple[tuple[str, str], ...]  # files passed over, and why
    quarantined: tuple[Quarantined, ...]  # bad files, left out
    widened: tuple[Widening, ...]  # columns that some files have of a narrower type


def plan(config: Config, damaged: Mapping[str, str] = MappingProxyType({})) -> Plan:
    """Work out the split of a config; nothing is written.

    Args:
        config: the job.
        damaged: relative paths of files whose pages were found damaged, and the reasons: left out.

    Raises:
        DataError: files are missing or damaged, or columns that the config names are not in all of them.
        ConfigError: the settings do not fit the columns.
    """
    listing = find(config.data.path, ignore=config.store)
    intake = take_in(config, listing.files, damaged)
    tell(intake)
    if intake.problems or intake.label is None:
        raise together(intake.problems)
    feet, label = intake.feet, intake.label
    with ThreadPoolExecutor(thread_name_prefix="fingerprint") as pool:
        prints = list(pool.map(fingerprint_of, [foot.path for foot in feet]))
    common = common_selection(config, label)
    cuts: dict[str, str] = {}
    if config.split.method == "time":
        dealt, cuts = by_time(config, feet, label)
    else:
        is_alone = listing.is_single_file
        dealt = [(selection_of(config, foot.relative, is_alone=is_alone), _slots(config)) for foot in feet]
    if config.split.method == "column" and config.data.group:
        refuse_straddling_groups(config, feet)
    in_place = config.split.method == "none"
    tasks = tuple(
        _task(foot, fingerprint, common | selection, slots, in_place=in_place)
        for foot, fingerprint, (selection, slots) in zip(feet, prints, dealt, strict=True)
    )
    if listing.skipped:
        log.info("%d files passed over, such as %s (%s)", len(listing.skipped), *listing.skipped[0])
    return Plan(
        tasks, intake.schema.columns, label, cuts, _duplicates(tasks), listing.skipped,
        intake.quarantined, intake.schema.widened,
    )  # fmt: skip


def _duplicates(tasks: Sequence[Task]) -> tuple[str, ...]:
    """Files whose content an earlier file has too; told, since their rows count twice."""
    first_of: dict[str, str] = {}
    found = tuple(t.relative for t in tasks if first_of.setdefault(t.fingerprint, t.relative) != t.relative)
    if found:
        log.warning(
            "%d files have the same content as an earlier one, so their rows count twice: %s",
            len(found),
            ", ".join(found[:5]),
        )
    return found


def _task(
    foot: Footer,
    fingerprint: str,
    selection: dict[str, Any],
    slots: tuple[str, ...],
    *,
    in_place: bool,
) -> Task:
    return Task(
        id=task_id(foot.relative, fingerprint, selection),
        relative=foot.relative,
        path=foot.path,
        fingerprint=fingerprint,
        rows=foot.rows,
        columns=len(foot.columns),
        stamp=foot.stamp,  # from before the content was fingerprinted
        selection=selection,
        slots=slots,
        in_place=in_place,
    )


def task_id(relative: str, fingerprint: str, selection: Mapping[str, Any]) -> str:
    """Names what a file is dealt into: other content, another path or other settings have another."""
    return hashing.digest([relative, fingerprint, selection])[:24]


def common_selection(config: Config, label: LabelRule) -> dict[str, Any]:
    """What decides the rows of any file, whichever the method."""
    common = {
        "format": FORMAT,
        "label": asdict(label),
        "weight": config.data.weight,
        "on_null_label": config.data.on_null_label,
    }
    if config.split.method == "none" and config.data.on_bad_file == "quarantine":
        common["verify"] = True  # no part is written, so nothing else reads all pages
    return common


def _slots(config: Config) -> tuple[str, ...]:
    return ("train",) if config.split.method == "none" else PART_NAMES


def selection_of(config: Config, relative: str, *, is_alone: bool) -> dict[str, Any]:
    """What decides a file's rows, for the methods that look at one file alone."""
    split, data = config.split, config.data
    fractions = [split.validation_fraction, split.test_fraction]
    key = list(split.key) or [data.group]
    if split.method == "random" and not data.group:
        return {
            "method": "random",
            "key": hashing.key(split.seed, relative),
            "fractions": fractions,
            "is_alone": is_alone,
            "stratify": split.stratify,
        }
    if split.method in ("random", "hash"):
        return {"method": "hash", "seed": split.seed, "columns": key, "fractions": fractions}
    if split.method == "column":
        return {"method": "column", "column": split.column}
    return {"method": "none"}


def by_time(
    config: Config, feet: Sequence[Footer], label: LabelRule
) -> tuple[list[tuple[dict[str, Any], tuple[str, ...]]], dict[str, str]]:
    """Cuts for all files, and for each file only those inside it: a moved cut leaves the others alone."""
    data, split = config.data, config.split
    with ThreadPoolExecutor(thread_name_prefix="time") as pool:
        moments = list(pool.map(lambda foot: _labelled_moments(foot, data.time, label), feet))
    type_of = {foot.relative: foot.column(data.time) for foot in feet}
    arrow_type = next(column.type for column in type_of.values() if column)
    test_from = parse_moment(split.test_from, arrow_type, "split.test_from") if split.test_from else None
    everything = np.concatenate(moments)
    if not len(everything):
        raise DataError(f"{data.path} holds no labelled rows: nothing to split.")
    fractions = (split.validation_fraction, split.test_fraction)
    validation, test = deal.cut_points(everything, fractions, test_from=test_from)
    if split.validation_from:
        validation = parse_moment(split.validation_from, arrow_type, "split.validation_from")
    if validation is not None and validation > test:
        raise ConfigError(
            f"validation begins at {moment_text(validation, arrow_type)}, after test at "
            f"{moment_text(test, arrow_type)}: split.validation_from must be earlier."
        )
    starts = {"train": None, "validation": validation, "test": test}
    ordered = [(start, part) for part, start in starts.items() if start is not None]
    dealt = [_inside(moment, ordered, data.time) for moment in moments]
    return dealt, {part: moment_text(start, arrow_type) for start, part in ordered}


def _inside(
    moments: I64, starts: Sequence[tuple[int, str]], time: str
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The cuts that fall inside a file's own time, and the parts of the segments between them."""
    low, high = (int(moments.min()), int(moments.max())) if len(moments) else (0, 0)
    cuts = [start for start, _ in starts if low < start <= high]
    first = max((part for part in enumerate(starts) if part[1][0] <= low), default=None)
    slots = [first[1][1] if first else "train"]
    slots += [part for start, part in starts if low < start <= high]
    return {"method": "time", "column": time, "cuts": cuts}, tuple(slots)


def _labelled_moments(foot: Footer, time: str, label: LabelRule) -> I64:
    kept: list[I64] = []
    with Reader(foot.path, foot.relative) as reader:
        for group in range(len(foot.groups)):
            rows = reader.read(group, [time, label.column])
            moments, missing = rows.moments(time)
            if wrong := null_times(missing, time, rows.place):
                raise together(wrong)
            labels, _ = label.read(rows)
            kept.append(moments[labels >= 0])
    return np.concatenate(kept) if kept else np.zeros(0, dtype=np.int64)

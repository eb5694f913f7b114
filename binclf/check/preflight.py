"""The verb `check`: everything that would stop a run, of all files at once, and nothing written.

Footers are read, then the few columns that decide a split (label, weight, time, keys). Of feature columns
some row groups are looked at: an infinite value or a damaged page elsewhere is found when it is split, and
what tells the label alone when it is trained on.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from binclf.check.layouts import Found, look_at_layouts
from binclf.check.samples import look_at_values
from binclf.check.telling import look_for_leaks
from binclf.config import Config
from binclf.errors import SHOWN, BinclfError, ConfigError, DamageError, DataError, StorageError
from binclf.features.columns import Roles, sort_columns
from binclf.labels import LabelRule
from binclf.parquet import Footer, Listing, find
from binclf.split.checks import as_meant, refuse_straddling_groups, third_values
from binclf.split.intake import Intake, known_names, take_in
from binclf.split.plan import by_time
from binclf.split.scan import Scan, deciding_columns, scan
from binclf.storage import Remote, place_of

log = logging.getLogger(__name__)


def check(config: Config) -> dict[str, Any]:
    """Look for everything that would stop a run of this config; nothing is written, nothing is raised.

    Returns:
        What JSON can hold: ok, problems and warnings (sentences), exit_code (0; 10 if any problem is of the
        data, else 2 of the config or 13 of the storage), and a summary: files, rows, positive_rate, columns
        by role, files passed over, quarantined, types widened, how many rows were looked at, and how well
        each feature tells the label alone.
    """
    found = Found()
    try:
        listing = find(config.data.path, ignore=config.store)
    except BinclfError as error:
        found.problems.append(error)
    else:
        _look_at(config, listing, found)
    told = list(dict.fromkeys(line for problem in found.problems for line in str(problem).split("\n")))
    return {
        "ok": not told,
        "exit_code": _exit_code(found.problems),
        "problems": told,
        "warnings": found.warnings,
        **found.summary,
    }


def text_of(result: dict[str, Any]) -> str:
    """The result for people, problems first."""
    lines: list[str] = []
    for title, sentences in (("problem", result["problems"]), ("warning", result["warnings"])):
        lines += [f"{title}: {sentence}" for sentence in sentences[:SHOWN]]
        if len(sentences) > SHOWN:
            lines.append(f"and {len(sentences) - SHOWN} more {title}s (--json has all)")
    for key in ("files", "rows", "positive_rate", "cuts", "disk_bytes"):
        if key in result:
            lines.append(f"{key.replace('_', ' '):<14} {_shown(key, result[key])}")
    if sample := result.get("sample"):
        of = f"{sample['row_groups']:,} of {sample['of_row_groups']:,} row groups"
        lines.append(f"{'looked at':<14} {sample['rows']:,} rows in {of} for what features look like")
    for role, names in result.get("columns", {}).items():
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        if names:
            lines.append(f"{role:<14} {len(names)}: {', '.join(names[:8])}{more}")
    for name, reason in result.get("passed_over", [])[:SHOWN]:
        lines.append(f"passed over    {name}: {reason}")
    count = len(result["problems"])
    if count:
        lines.append(f"NOT READY: {count} {'problem' if count == 1 else 'problems'}")
    else:
        lines.append("ready: nothing that would stop a run was found")
    return "\n".join(lines)


def _shown(key: str, value: Any) -> str:  # noqa: ANN401 - of the summary
    if key == "cuts":
        return ", ".join(f"{part} from {cut}" for part, cut in value.items())
    if value is None or key == "positive_rate":
        return "unknown" if value is None else f"{100 * value:.4g}%"
    return f"{value:,}"


def _exit_code(problems: Sequence[BinclfError]) -> int:
    for kind in (DataError, ConfigError, StorageError, BinclfError):
        if any(isinstance(problem, kind) for problem in problems):
            return kind.exit_code
    return 0


def _look_at(config: Config, listing: Listing, found: Found) -> None:
    log.info("reading %d footers", len(listing.files))
    intake = take_in(config, listing.files, {})
    found.problems += intake.problems
    _storage(config, found)
    found.summary |= {
        "files": len(intake.feet),
        "rows": sum(foot.rows for foot in intake.feet),
        "passed_over": [list(pair) for pair in listing.skipped],
        "quarantined": [[file.relative, file.reason] for file in intake.quarantined],
    }
    found.warnings += [f"{file.relative} would be quarantined: {file.reason}" for file in intake.quarantined]
    found.warnings += [
        f"column '{w.column}' is {w.narrow} in {w.files} files, such as {w.first}: taken as {w.wide}"
        for w in intake.schema.widened
    ]
    meant = as_meant(config, known_names(intake.feet))
    used, wrong = sort_columns(meant, intake.schema.columns)
    # where some file lacks a column, what names that column is not at fault too; nor where no file is read
    if intake.feet:
        found.problems += [one for one in wrong if isinstance(one, DataError) or not intake.schema.problems]
    if not intake.problems:
        found.summary["columns"] = _columns(config, used)
    if intake.feet:
        try:
            refused = look_at_layouts(config, intake, used, found)
        except BinclfError as error:  # a file that went or was damaged meanwhile
            found.problems.append(error)
        else:
            if not intake.problems:
                _values(config, intake, used, refused, found)
    if intake.label is not None:
        _labels(config, intake, intake.label, found)
        if not found.problems:
            look_for_leaks(config, intake, used, intake.label, found)


def _values(config: Config, intake: Intake, used: Roles, refused: Collection[str], found: Found) -> None:
    numeric = tuple(column for column in used.numeric if column.name not in refused)
    looked = look_at_values(config, intake.feet, Roles(numeric, used.categorical))
    found.problems += looked.problems
    found.warnings += looked.warnings
    found.summary["sample"] = {
        "rows": looked.sample.rows,
        "row_groups": len(looked.sample.groups),
        "of_row_groups": looked.sample.of,
    }


def _columns(config: Config, used: Roles) -> dict[str, list[str]]:
    data = config.data
    return {
        "label": [data.label],
        "weight": [data.weight] if data.weight else [],
        "time": [data.time] if data.time else [],
        "group": [data.group] if data.group else [],
        "ids": list(data.ids),
        "numeric": [column.name for column in used.numeric],
        "categorical": [column.name for column in used.categorical],
        "excluded": list(data.exclude),
    }


def _storage(config: Config, found: Found) -> None:
    """Whether the store could be written; it is not made."""
    place = place_of(config.store)
    if isinstance(place, Remote):  # whether it can be written is known only by writing
        try:
            place.files()
        except BinclfError as error:
            found.problems.append(error)
        return
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        found.problems.append(StorageError(f"store {config.store}: {place} is a file, not a directory."))
    elif not os.access(place, os.W_OK | os.X_OK):
        found.problems.append(
            StorageError(f"store {config.store}: {place} cannot be written: choose another place in 'store'.")
        )
    else:
        found.summary["free_bytes"] = shutil.disk_usage(place).free


def _labels(config: Config, intake: Intake, label: LabelRule, found: Found) -> None:
    """The label scan, and what can be told of the split from it."""
    needed = set(deciding_columns(config, label))
    feet = [foot for foot in intake.feet if needed <= {column.name for column in foot.columns}]
    log.info("scanning labels of %d files", len(feet))
    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="scan") as pool:
        scans = list(pool.map(lambda foot: scan(config, foot, label), feet))
    left_out: set[str] = set()
    for one in scans:
        for problem in one.problems:
            if isinstance(problem, DamageError) and config.data.on_bad_file == "quarantine":
                found.warnings.append(f"{one.relative} would be quarantined: {problem}")
                found.summary["quarantined"].append([one.relative, str(problem)])
                left_out.add(one.relative)
            else:
                found.problems.append(problem)
    scans = [one for one in scans if one.relative not in left_out]
    feet = [foot for foot in intake.feet if foot.relative not in left_out]
    found.summary |= {"files": len(feet), "rows": sum(foot.rows for foot in feet)}
    found.problems += third_values(label.column, ((one.relative, one.label_values) for one in scans))
    rows = sum(one.rows - one.unlabelled for one in scans)
    positives = sum(one.positives for one in scans)
    found.summary |= {
        "unlabelled": sum(one.unlabelled for one in scans),
        "positives": positives,
        "positive_rate": positives / rows if rows else None,
    }
    if not found.problems:
        _of_the_split(config, feet, label, scans, found)
    found.warnings += _constant(label, scans)


def _of_the_split(
    config: Config, feet: Sequence[Footer], label: LabelRule, scans: Sequence[Scan], found: Found
) -> None:
    rows, positives = sum(one.rows - one.unlabelled for one in scans), found.summary["positives"]
    if positives in (0, rows):
        found.problems.append(
            DataError(
                f"all {rows} labelled rows have {'a positive' if positives else 'no positive'} label "
                f"('{label.column}'): both classes are needed. Check data.positive."
            )
        )
    elif not sum(one.weight for one in scans) > 0:
        found.problems.append(DataError(f"all rows weigh nothing ('{config.data.weight}')."))
    try:
        if config.split.method == "time":
            found.summary["cuts"] = by_time(config, feet, label)[1]
        if config.split.method == "column" and config.data.group:
            refuse_straddling_groups(config, feet)
    except BinclfError as error:
        found.problems.append(error)


def _constant(label: LabelRule, scans: Sequence[Scan]) -> Iterable[str]:
    constant = [one for one in scans if len(one.label_values) == 1]
    if len(scans) > 1 and constant:
        yield (
            f"{len(constant)} of {len(scans)} files have one label only, such as {constant[0].relative} "
            f"('{label.column}' is always {constant[0].label_values[0]})."
        )

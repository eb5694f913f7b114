"""One part scored: written beside, flushed and renamed into the staging folder, then its receipt."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf import commit
from binclf.errors import ArtifactError, DamageError, DataError
from binclf.parquet import ColumnWriter, Reader, Rows
from binclf.predict import probability
from binclf.profile import Watch
from binclf.score.contributions import largest
from binclf.score.records import QUARANTINE, RECEIPTS, STAGING, Job, Part
from binclf.storage import Place, changed_at, sha256_of

log = logging.getLogger(__name__)

F64 = npt.NDArray[np.float64]


class Stopped(Exception):
    """Another part has failed: this one is given up."""


class Crew:
    """Threads that work on parts: as many score as there are cores, while others wait for the disk.

    A part is done, and has its receipt, only when its scores are on the disk; no core need wait for that.
    """

    def __init__(self, cores: int) -> None:
        """Nobody works yet."""
        self.threads = 2 * cores
        self.turn = threading.Semaphore(cores)  # held while scoring
        self.stop = threading.Event()  # a part has failed: the others are given up


def receipt_path(job: Job, name: str) -> Place:
    """Where the receipt of a part is."""
    return job.output / RECEIPTS / f"{name}.json"


def read_receipt(job: Job, name: str) -> dict[str, Any]:
    """The receipt of a part; empty if there is none, or one that a power cut has torn."""
    path = receipt_path(job, name)
    try:
        found: dict[str, Any] = commit.read_json(path) if path.exists() else {}
    except ArtifactError as error:
        log.warning("%s: its part is scored again", error)
        return {}
    return found if isinstance(found, dict) else {}


def staged_path(job: Job, name: str) -> Place:
    """Where the scores of a part are until all are there."""
    return job.output / STAGING / name


def work(job: Job, part: Part, crew: Crew) -> dict[str, Any]:
    """Score one part; returns its receipt.

    A damaged file is a receipt without an output, where bad files are to be quarantined.

    Raises:
        DataError: damaged bytes, or a bad row, that are not to be quarantined; the file has changed.
        Stopped: another part has failed meanwhile.
    """
    receipt = {
        "key": job.key(part),
        "model": job.model.id,
        "input": part.input,
        "input_footer": part.footer,
        "input_stamp": list(part.stamp),
        "input_changed": part.changed,
        "row_groups": list(part.groups),
        "rows": part.rows,
    }
    try:
        # its name need not outlive a power cut before the manifest does; its content must
        with commit.beside(staged_path(job, part.name), lasting=False) as temporary:
            with crew.turn:
                tally = _score(job, part, temporary, crew.stop)
            _refuse_changed(part)
            receipt |= tally.told() | {"output_sha256": sha256_of(temporary)}
            commit.flush(temporary)
    except DamageError as error:
        if job.settings.on_bad_file == "error":
            raise
        log.warning("QUARANTINED %s: %s", part.input, error)
        receipt |= {"bad": str(error)}
    else:
        receipt |= {"quarantine_sha256": tally.listed(job, part)}
    # a crash before this leaves an output without a receipt, which is done again
    commit.write_json(receipt_path(job, part.name), receipt, lasting=False)
    log.info("scored %s: %s rows", part.name, f"{part.rows:,}")
    return receipt


def _refuse_changed(part: Part) -> None:
    """What was read must be one content, or its scores would be a mixture."""
    if changed_at(part.path) != part.changed:
        raise DataError(f"{part.input} changed or went while it was scored: score again.")


def look(job: Job, part: Part, watch: Watch) -> None:
    """Show a watch the row groups that it lacks of a part that another call has scored.

    Raises:
        DataError: the file was damaged or changed since.
    """
    numbers = dict(zip(range(*part.groups), part.numbers, strict=True))
    for group, rows in _read(job, part, [group for group in numbers if watch.lacks(numbers[group])]):
        total, is_finite = job.model.terms.sums_of_all(rows)
        if not is_finite:  # its receipt has counted them
            rows, total = rows.where(np.isfinite(total)), total[np.isfinite(total)]
        watch.see(numbers[group], rows, job.model.calibration.of(total))


class _Tally:
    """What came of the rows."""

    def __init__(self) -> None:
        self.scored = self.decisions = 0
        self.bad: list[tuple[Rows, list[int], list[str]]] = []  # rows, their places in the part, reasons

    def told(self) -> dict[str, Any]:
        reasons = Counter(reason for _, _, words in self.bad for reason in words)
        return {
            "scored": self.scored,
            "quarantined": dict(sorted(reasons.items())),
            "positive_decisions": self.decisions,
        }

    def listed(self, job: Job, part: Part) -> str:
        """Write the rows that were left out, if any; returns the list's SHA-256, or nothing."""
        if not self.bad:
            return ""
        with commit.beside(job.output / QUARANTINE / part.name) as temporary:
            writer = ColumnWriter(temporary)
            for rows, places, words in self.bad:
                names = sorted(set(words))
                codes = np.array([names.index(word) for word in words], dtype=np.int32)
                writer.append(rows, job.ids, {"row": np.array(places), "reason": (codes, names)})
            writer.close()
            return sha256_of(temporary)


def _score(job: Job, part: Part, target: Path, stop: threading.Event) -> _Tally:
    tally, writer, seen = _Tally(), ColumnWriter(target), 0
    for group, read in _groups(job, part):
        if stop.is_set():
            raise Stopped
        has_all, terms = _needs_all(job, part, group), job.model.terms
        rows = read(_columns(job) if has_all else job.kept)
        count = len(rows)
        total, is_finite = terms.sums_of_all(rows) if has_all else terms.sums_in_turns(read, count)
        if not is_finite:
            whole = rows if has_all else read(_columns(job))
            rows, total = _without_bad(job, whole, total, seen, tally)
        logits = job.model.calibration.of(total)
        p = probability(logits)
        decided = p >= job.model.threshold
        columns: dict[str, Any] = {"probability": p, "decision": decided}
        columns["model"] = (np.zeros(len(rows), dtype=np.int32), [job.model.id])
        if job.settings.contributions:
            columns |= largest(job.model.terms, rows, job.settings.contributions)
        writer.append(rows, job.kept, columns)
        if group is not None:
            for observer in job.observers:
                observer.see(_number(part, group), rows, logits)
        tally.scored, tally.decisions = tally.scored + len(rows), tally.decisions + int(decided.sum())
        seen += count
    writer.close()
    left_out = sum(len(words) for _, _, words in tally.bad)
    if not seen == part.rows == tally.scored + left_out:
        raise AssertionError(f"{part.name}: {part.rows} rows, of which {tally.scored} scored, {left_out} not")
    return tally


def _groups(job: Job, part: Part) -> Iterator[tuple[int | None, Callable[[Sequence[str]], Rows]]]:
    """The row groups of a part, and what reads some columns of each; of a file without any, of no rows."""
    with _reader(job, part) as reader:
        if part.groups[0] == part.groups[1]:
            yield None, lambda names: next(reader.all(names))
        for group in range(*part.groups):
            yield group, partial(reader.read, group)


def _needs_all(job: Job, part: Part, group: int | None) -> bool:
    """Whether all columns are to be there at once: somebody looks at them, or they come over a network."""
    if group is None or job.settings.contributions or not isinstance(part.path, Path):
        return True
    return any(not isinstance(one, Watch) or one.lacks(_number(part, group)) for one in job.observers)


def _number(part: Part, group: int) -> int:
    """Of a row group, among those of all files."""
    return part.number + group - part.groups[0]


def _read(job: Job, part: Part, groups: Sequence[int]) -> Iterator[tuple[int, Rows]]:
    """Some row groups of a part's file."""
    if groups:
        with _reader(job, part) as reader:
            for group in groups:
                yield group, reader.read(group, _columns(job))


def _reader(job: Job, part: Part) -> Reader:
    features = job.model.features.columns
    by_values = [c.column.source for c in features if c.kind in ("text", "integer", "number")]
    coded = [name for name in by_values if name not in job.kept or _is_text(job, name)]
    return Reader(part.path, part.input, coded, stamp=part.stamp)


def _columns(job: Job) -> list[str]:
    return list(dict.fromkeys([*job.kept, *job.model.columns()]))


def _is_text(job: Job, name: str) -> bool:
    return any(c.column.source == name and c.kind == "text" for c in job.model.features.categorical)


def _without_bad(job: Job, rows: Rows, total: F64, seen: int, tally: _Tally) -> tuple[Rows, F64]:
    """The rows that have log-odds; the others are remembered, or are an error."""
    if job.settings.on_bad_row == "error":
        job.model.terms.refuse(rows, total)
    is_good = np.isfinite(total)
    bad = rows.where(~is_good)
    places = (np.flatnonzero(~is_good) + seen).tolist()
    tally.bad.append((bad, places, job.model.terms.reasons(bad)))
    if not len(bad):
        raise DataError(f"{rows.place}: log-odds that are not finite, of no row.")
    return rows.where(is_good), total[is_good]

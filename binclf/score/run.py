"""The scoring of new rows as one call: plan, the parts in threads, commit."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

from binclf import artifact, commit, golden, registry
from binclf.config import Score, parse
from binclf.errors import BusyError, ConfigError, DataError
from binclf.profile import Observer, Watch
from binclf.score.ledger import Ledger
from binclf.score.plan import plan
from binclf.score.records import RECEIPTS, Job, Part, Plan
from binclf.score.scrutiny import begin, scrutinise
from binclf.score.seal import missing, receipts_of, seal
from binclf.score.work import Crew, Stopped
from binclf.storage import Place, place_of

log = logging.getLogger(__name__)

Model = str | Place | artifact.Run

COMMITTING = ".lock-commit"  # a part that begins waits for a commit, and not for a whole job


def score(
    run: Model,
    source: str | Place,
    output: str | Place,
    overrides: Iterable[str] = (),
    *,
    part: str = "",
    registry: str = "",
    observers: Sequence[Observer] = (),
) -> dict[str, Any]:
    """Score all Parquet files of `source` into the directory `output`.

    An output has the id columns of the run's config and those of `score.columns`, then `probability`
    (float64), `decision` (bool) and `model` (the run's id, dictionary-encoded), in the input's order. What
    was scored before, from the same bytes by the same model, is left as it is; where the model is an alias,
    such as models:/churn@champion, so is what an earlier champion has scored.

    Args:
        run: a run directory, a model's address, or a run that is open.
        source: the Parquet: a file, a directory or a glob; a path or a URI.
        output: a directory.
        overrides: settings of the run's section [score], such as "score.contributions=3".
        part: "2/5": every fifth part from the second on, and the last of such calls commits; empty: all.
        registry: as in `registry.open_run`.
        observers: look on. A `Watch` among them is begun, and afterwards can tell the drift of what this call
            scored; without one a sample of the rows is compared with the limits of the run's [drift].

    Returns:
        The receipt: files, rows, those left out, what had been scored before, skewed columns, decisions. The
        last part has all but `scored_before`, which none knows, and only its own skewed columns.

    Raises:
        ArtifactError: the run is not finished or was altered, or `output` holds other scores.
        ConfigError: a setting is wrong, or without effect.
        DataError: a file lacks a column or has it of another kind, or is damaged, or rows are beyond the
            limits of the run's [drift]; nothing of it can be seen.
        BusyError: another process scores into `output`.
    """
    opened, job = _job(run, output, overrides, registry)
    share = _share(part)
    todo = plan(job, source)
    watch, job = _watching(job, observers)
    if share is not None:
        return _some(opened, job, todo, watch, share)
    with commit.locked(job.output / RECEIPTS / ".lock", wait=False):
        ledger = Ledger(job)
        begin(opened, ledger, todo, watch)
        before = _carry_out(ledger, todo.parts)
        return _sealed(opened, ledger, todo, watch, before)


def _watching(job: Job, observers: Sequence[Observer]) -> tuple[Watch, Job]:
    """The watch among those who look on, or one of a sample beside them."""
    watches = [one for one in observers if isinstance(one, Watch)]
    if len(watches) > 1:
        raise ConfigError(f"{len(watches)} watches would see the same: give one.")
    if watches:
        return watches[0], replace(job, observers=tuple(observers))
    watch = Watch(is_sample=True)
    return watch, replace(job, observers=(*observers, watch))


def _some(opened: artifact.Run, job: Job, todo: Plan, watch: Watch, share: tuple[int, int]) -> dict[str, Any]:
    """Every so-many-th part, beside others who do the rest; a commit, if that was the last of them."""
    which, of = share
    folder, mine = job.output / RECEIPTS, todo.parts[which::of]
    with ExitStack() as held:
        with commit.locked(folder / COMMITTING, wait=True, is_shared=True):  # that takes moments
            held.enter_context(commit.locked(folder / ".lock", wait=False, is_shared=True))
        held.enter_context(commit.locked(folder / f".lock-{which + 1}-of-{of}", wait=False))
        ledger = Ledger(job)
        begin(opened, ledger, todo, watch)
        _carry_out(ledger, mine)
    waiting = missing(ledger, todo, receipts_of(job, todo))
    if not waiting:
        with suppress(BusyError):  # another is about to end, and then finds that it was the last
            return _commit(opened, job, todo, watch)
    told = {"parts": len(mine), "waiting_for": len(waiting)}
    return {"model": job.model.id, **told, "output": str(job.output)}


def conclude(
    run: Model,
    source: str | Place,
    output: str | Place,
    overrides: Iterable[str] = (),
    registry: str = "",
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Commit what several calls of `score` with `part` have scored; the same arguments as theirs.

    A watch can tell the drift of what is committed; where a call of `score` was sooner, it has seen nothing.
    Returns the receipt, without what only they know: what had been scored before.

    Raises:
        DataError: a part is missing, or the rows are beyond the limits of the run's [drift].
        ArtifactError, ConfigError, BusyError: as `score`.
    """
    opened, job = _job(run, output, overrides, registry)
    return _commit(opened, job, plan(job, source), watch or Watch(is_sample=True))


def _commit(opened: artifact.Run, job: Job, todo: Plan, watch: Watch) -> dict[str, Any]:
    folder = job.output / RECEIPTS
    with commit.locked(folder / COMMITTING, wait=True), commit.locked(folder / ".lock", wait=False):
        ledger, receipts = Ledger(job), receipts_of(job, todo)
        lacking = missing(ledger, todo, receipts)
        if lacking:
            raise DataError(
                f"{len(lacking)} of {len(todo.parts)} parts are not scored by {job.model.id} yet, such as "
                f"{lacking[0]}: score them, then commit."
            )
        return _sealed(opened, ledger, todo, watch, None)


def _sealed(
    opened: artifact.Run, ledger: Ledger, todo: Plan, watch: Watch, before: frozenset[str] | None
) -> dict[str, Any]:
    """The commit, if no column is beyond a limit; refused parts stay hidden, as those of any failure."""
    receipts = receipts_of(ledger.job, todo)
    skewed = scrutinise(opened, ledger, todo, receipts, watch)
    return _told(ledger.job, seal(ledger, todo, receipts, skewed), before)


def _job(run: Model, output: str | Place, overrides: Iterable[str], uri: str) -> tuple[artifact.Run, Job]:
    opened = registry.open_run(run, uri)
    model = golden.model_of(opened)
    is_alias = isinstance(run, str) and registry.is_address(run) and "@" in run
    job = Job(
        model=model,
        address=str(run) if is_alias else model.id,
        ids=opened.config.data.ids,
        settings=_settings(opened, overrides),
        output=place_of(output),
        label=opened.split.label,
    )
    return opened, job


def _settings(run: artifact.Run, overrides: Iterable[str]) -> Score:
    """[score] of the run's config, and what is asked for beside it."""
    told = list(overrides)
    strangers = [text for text in told if not text.strip().startswith("score.")]
    if strangers:
        raise ConfigError(
            f"'{strangers[0]}' has no effect on scoring, which reads score.NAME=VALUE: remove it."
        )
    if not told:
        return run.config.score
    return parse(run.config.model_dump(mode="json"), told, origin="score").score


def _share(part: str) -> tuple[int, int] | None:
    """Which of how many, from 0; None: all."""
    if not part:
        return None
    found = re.fullmatch(r"([1-9]\d{0,5})/([1-9]\d{0,5})", part)
    if found is None or int(found[1]) > int(found[2]):
        raise ConfigError(f"part '{part}' is none: write which of how many, such as 2/5.")
    return int(found[1]) - 1, int(found[2])


def _carry_out(ledger: Ledger, parts: Sequence[Part]) -> frozenset[str]:
    """Work on parts in threads, the largest first; returns the files of which all had been done before."""
    ledger.refuse_strangers(parts)
    crew, done_before = Crew(_cores()), dict.fromkeys((part.input for part in parts), True)

    def one(part: Part) -> None:
        if crew.stop.is_set():
            return
        try:
            _, before = ledger.carry_out(part, crew)
        except Stopped:
            return
        except BaseException:
            crew.stop.set()
            raise
        if not before:
            done_before[part.input] = False

    order = sorted(parts, key=lambda part: -part.rows)
    with ThreadPoolExecutor(crew.threads, thread_name_prefix="score") as pool:
        try:
            list(pool.map(one, order))
        except BaseException:  # Ctrl-C comes here
            crew.stop.set()
            raise
    return frozenset(name for name, before in done_before.items() if before)


def _told(job: Job, sealed: dict[str, Any], before: frozenset[str] | None) -> dict[str, Any]:
    files = sealed["files"]
    skewed = [skew for file in files for skew in file.get("skewed", ())]
    left_out = sum(sum(file["quarantined"].values()) for file in files)
    if left_out:
        log.warning("QUARANTINED %s rows: see %s", f"{left_out:,}", job.output / "_quarantine")
    return {
        "model": job.model.id,
        "files": len(files),
        "rows": sum(file["scored"] for file in files),
        "quarantined_files": len(sealed["bad"]),
        "quarantined_rows": left_out,
        "skewed": [skew for place, skew in enumerate(skewed) if skew not in skewed[:place]],
        "positive_decisions": sum(file["positive_decisions"] for file in files),
        "output": str(job.output),
    } | ({} if before is None else {"scored_before": sum(file["input"] in before for file in files)})


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

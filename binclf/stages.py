"""A retraining in stages, each of which finds what is done: it can be cut off anywhere, and asked again.

What passes between them is the path of the run. `retrain.carry_out` is the same without a break; a scheduler
calls these, one after the other, inside of `retrain.alone`.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from binclf import artifact, commit, registry
from binclf.check import check, text_of
from binclf.config import Config, parse
from binclf.drift import worth
from binclf.errors import ArtifactError, BinclfError, ConfigError, DataError, StorageError
from binclf.evaluate import measured
from binclf.parquet import find, readable_footers
from binclf.retrain import begin as begin_run
from binclf.retrain import conclude, fit, summary
from binclf.split import AttemptAll, Split, ensure, in_threads
from binclf.storage import Place, place_of

log = logging.getLogger(__name__)

JUDGED = ".judged.json"  # what evaluation found, until the run is sealed; hidden, so that no seal covers it
When = Literal["changed", "new_data", "worthwhile", "always"]
ASK_CHAMPION = ("new_data", "worthwhile")


@dataclass(frozen=True, slots=True)
class Begun:
    """A run to go on with, or one that makes going on pointless."""

    run: str  # its directory
    rows: int  # of all parts
    reason: str  # why nothing is to be done; empty: go on


def ready(config: Config) -> dict[str, Any]:
    """What `check` says of a config that can run.

    Raises:
        DataError, ConfigError, StorageError: it cannot; each problem is named.
    """
    found = check(config)
    kinds = {kind.exit_code: kind for kind in (DataError, ConfigError, StorageError)}
    if not found["ok"]:
        raise kinds.get(found["exit_code"], BinclfError)("\n".join(found["problems"]))
    for line in text_of(found).split("\n"):
        log.info("%s", line)
    return {key: found[key] for key in ("files", "rows", "positive_rate")}


def begin(config: Config, when: When = "changed", attempt_all: AttemptAll = in_threads) -> Begun:
    """Split the data, and begin a run, take up the one that was cut off, or find that all is done.

    Args:
        config: the job.
        when: changed: a finished run of the same settings, data and binclf is not made again. new_data: nor
            is anything done where the champion was made from the same split. worthwhile: nor, before
            anything is split, where `drift.worth` advises no refit of the champion. always: a new run.
        attempt_all: how the files are dealt into their parts, as in `split.ensure`.

    Raises:
        ConfigError: a champion is asked for, and there is no registry.
    """
    config = parse(config.model_dump())
    registry.tracking_uri(config)
    if when in ASK_CHAMPION and not config.registry.is_on:
        raise ConfigError(
            f"when = '{when}' asks for a champion, and registry.uri is 'off': change one of them"
        )
    if when == "worthwhile" and (begun := _pointless(config)) is not None:
        return begun
    split = ensure(config, attempt_all)
    rows = sum(split.rows(part) for part in split.parts)
    found = None if when == "always" else artifact.same_job(config, split.digest, place_of(config.store))
    if found is not None and artifact.is_sealed(found):
        return Begun(
            str(found), rows, f"{found.name} is of the same settings and data: nothing is done again"
        )
    if when == "new_data" and (champion := _champion_of_same_data(config, split.digest)):
        return Begun(champion, rows, "the champion was made from the same data: there is nothing new")
    if found is not None:
        log.info("going on with %s, which was cut off", found.name)
        return Begun(str(begin_run(config, found, split)), rows, "")
    return Begun(str(begin_run(config, split=split)), rows, "")


def _pointless(config: Config) -> Begun | None:
    """The champion's run, where a retraining would gain nothing on it; None: it is worth its while."""
    champion = registry.champion_of(config.name, registry.tracking_uri(config))
    if champion is None:
        log.info("retraining: %s has no champion yet", config.name)
        return None
    found = worth(champion, config)
    if found.is_given:
        log.info("retraining: %s", found.reason)
        return None
    return Begun(str(champion.path), sum(map(champion.split.rows, champion.split.parts)), found.reason)


def _champion_of_same_data(config: Config, split: str) -> str:
    champion = registry.champion_of(config.name, registry.tracking_uri(config))
    return str(champion.path) if champion is not None and champion.split.digest == split else ""


def train(run_dir: Place, on_line: Callable[[str], None] | None = None) -> None:
    """Fit the model in child processes, from the last checkpoint on; nothing if that is done."""
    if _stage_of(run_dir) == "begun":
        fit(run_dir, in_process=False, on_line=on_line)


def evaluate(run_dir: Place) -> None:
    """Judge the fitted model on each part; nothing if that is done.

    Raises:
        ArtifactError: it is not fitted.
    """
    stage = _stage_of(run_dir)
    if stage == "begun":
        raise ArtifactError(f"{run_dir} is not fitted: train it first.")
    if stage == "fitted":
        with artifact.working(run_dir):
            commit.write_json(run_dir / JUDGED, measured(artifact.open_run(run_dir, sealed=False)))


def compare(run_dir: Place) -> dict[str, Any]:
    """Compare with the champion, write the report, and seal the run; returns what its summary says."""
    if _stage_of(run_dir) != "sealed":
        with artifact.working(run_dir):
            conclude(run_dir, commit.read_json(run_dir / JUDGED))
    (run_dir / JUDGED).unlink(missing_ok=True)
    return summary(run_dir)


def due(config: Config, days: float, new_files: int) -> str:
    """Why a model is to be retrained now; empty: it is not.

    Args:
        config: the job.
        days: since its data were listed: a champion that is so old is to be replaced.
        new_files: a champion that has not seen so many files is to be replaced; 0: they do not count,
            nor do files without rows.

    Raises:
        ConfigError: without a registry there is no champion to ask.
        DataError: files are missing or damaged.
    """
    config = parse(config.model_dump())
    if not config.registry.is_on:
        raise ConfigError(
            "registry.uri is 'off', so there is no champion to tell whether a retraining is due"
        )
    champion = registry.champion_of(config.name, registry.tracking_uri(config))
    if champion is None:
        return f"{config.name} has no champion yet"
    age = (datetime.datetime.now(datetime.UTC) - artifact.began(champion.id)).total_seconds() / 86400
    if age >= days:
        return f"the champion is {age:.1f} days old, and {days:g} are allowed"
    unseen = _unseen(champion.split, config) if new_files else []
    if new_files and len(unseen) >= new_files:
        return f"the champion has not seen {len(unseen)} files, such as {unseen[0]}"
    return ""


def _unseen(split: Split, config: Config) -> list[str]:
    """Files with rows that are in no part of a split; one that cannot be read counts, to be told of."""
    seen = {file.relative for files in split.parts.values() for file in files}
    strangers = [
        file for file in find(config.data.path, ignore=config.store).files if file.relative not in seen
    ]
    feet, unread = readable_footers(strangers)
    return sorted([foot.relative for foot in feet if foot.rows] + list(unread))


def _stage_of(run_dir: Place) -> Literal["begun", "fitted", "judged", "sealed"]:
    if artifact.is_sealed(run_dir):
        return "sealed"
    if not (run_dir / "receipts.json").exists():  # training's last
        return "begun"
    return "judged" if (run_dir / JUDGED).exists() else "fitted"

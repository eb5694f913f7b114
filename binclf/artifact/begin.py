"""A run begun, or one that was interrupted taken up."""

from __future__ import annotations

import datetime
import secrets

from binclf import commit
from binclf.artifact.bring import bring
from binclf.artifact.seal import is_sealed, read_config, read_split
from binclf.artifact.settings import settings_of_result
from binclf.config import Config, Rule, parse
from binclf.errors import ArtifactError, DataError
from binclf.split import Split, ensure
from binclf.storage import Place, place_of

STAMP = "%Y%m%d-%H%M%S"


def begin(config: Config, resume: Place | None = None, split: Split | None = None) -> Place:
    """Bring the split about and begin a run, or find that one can be resumed.

    Args:
        config: the job.
        resume: an unfinished run to go on with.
        split: that of the config, where it was brought about before.

    Returns:
        The run directory, with its config and its split.

    Raises:
        ArtifactError: the run to resume is finished, or is of another config or other data.
        DataError: something is to be chosen on validation rows, and the data give none.
    """
    config = parse(config.model_dump())  # a form's relative paths become absolute: the run may be moved
    split = split or ensure(config)
    if not split.rows("validation"):
        _refuse_without_validation(config)
    if resume is not None:
        _check_resumable(resume, config, split)
        commit.write_json(resume / "config.json", config.model_dump(mode="json"))  # ranks may differ
        return resume
    stamp = datetime.datetime.now(datetime.UTC).strftime(STAMP)
    path = place_of(config.store) / f"{config.name}-{stamp}-{secrets.token_hex(3)}"
    path.mkdir(parents=True)
    if config.train.warm_start != "off":
        bring(config, path)
    commit.write_json(path / "split.json", split.as_json())
    commit.write_json(path / "config.json", config.model_dump(mode="json"))
    return path


def _refuse_without_validation(config: Config) -> None:
    """Settings that go by validation rows, where the split, as the data have it, gives none."""
    asked = {
        "evaluate.threshold": config.evaluate.threshold
        if Rule.parse(config.evaluate.threshold).is_chosen
        else "",
        "train.calibration": config.train.calibration if config.train.calibration != "none" else "",
    }
    for key, value in asked.items():
        if value:
            raise DataError(
                f"{key} = '{value}' goes by validation rows, and {config.data.path} gives none: have some in "
                "the split, or remove it."
            )


def began(run_id: str) -> datetime.datetime:
    """When a run began, which its id tells: its data are those that were there then (UTC, whole seconds).

    >>> began("churn-20260102-030405-a1b2c3").isoformat()
    '2026-01-02T03:04:05+00:00'

    Raises:
        ArtifactError: no run of ours has such an id.
    """
    try:
        moment = datetime.datetime.strptime("-".join(run_id.split("-")[-3:-1]), STAMP)
    except ValueError as error:
        raise ArtifactError(f"'{run_id}' is no run's id, which ends in -DATE-TIME-CODE.") from error
    return moment.replace(tzinfo=datetime.UTC)


def _check_resumable(path: Place, config: Config, split: Split) -> None:
    if not (path / "config.json").exists():
        raise ArtifactError(f"{path} is no run: it has no config.json. Name a run directory.")
    began = read_config(path)
    if is_sealed(path):
        raise ArtifactError(f"{path} is finished: there is nothing to resume.")
    changed = _differences(began, config)
    if changed:
        raise ArtifactError(
            f"{path} was begun with other settings ({', '.join(changed)}): resume it with its own, "
            "or start a new run. (Ranks, workers, batch_rows, cache and memory may differ.)"
        )
    if read_split(path).digest != split.digest:
        raise ArtifactError(
            f"{path} was begun on other data than {config.data.path} holds now: start a new run."
        )


def _differences(one: Config, other: Config) -> list[str]:
    """Keys whose values differ, but for those that a run may change on the way."""
    mine, theirs = settings_of_result(one), settings_of_result(other)
    return sorted(key for key in mine if mine[key] != theirs[key] and key != "train.batch_rows")

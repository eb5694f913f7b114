"""The whole job as one call: split, train, evaluate, report, seal, register."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from binclf import artifact, commit, golden, leaks, registry, report
from binclf.compare import Sealed, compare
from binclf.config import Config, parse
from binclf.errors import ArtifactError, BinclfError, BusyError, ConfigError, DataError
from binclf.evaluate import measured
from binclf.launch import launch
from binclf.profile import PROFILE
from binclf.split import Split, ensure
from binclf.storage import Place, place_of

log = logging.getLogger(__name__)

ROWS_THAT_PAY = 16384  # of a rank in each step


def retrain(
    config: Config,
    *,
    resume: Place | None = None,
    in_process: bool = True,
    on_line: Callable[[str], None] | None = None,
) -> Place:
    """Train on the config's data and seal the run.

    Args:
        config: the job.
        resume: an unfinished run of the same config and data to go on with.
        in_process: a single rank may run in this process; False always starts children.
        on_line: is called with each line that rank 0 logs in a child process.

    Returns:
        The run directory.
    """
    return place_of(carry_out(config, resume=resume, in_process=in_process, on_line=on_line)["run"])


def carry_out(
    config: Config,
    *,
    resume: Place | None = None,
    in_process: bool = True,
    on_line: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """As `retrain`; returns the summary, with what the registry made of the run."""
    with alone(config):
        run_dir = begin(config, resume)
        fit(run_dir, in_process=in_process, on_line=on_line)
        finish(run_dir)
        return summary(run_dir) | register(run_dir)


@contextmanager
def alone(config: Config) -> Iterator[None]:
    """Be the only retraining of this model in this store: the block is not entered beside another.

    Raises:
        BusyError: another process retrains it.
    """
    store = parse(config.model_dump()).store  # absolute, whatever directory each of the two works in
    with ExitStack() as held:
        try:
            held.enter_context(commit.locked(place_of(store) / f".{config.name}.lock", wait=False))
        except BusyError as error:
            raise BusyError(
                f"{config.name} is being retrained in {store} by another process: wait for it, then run "
                "this again."
            ) from error
        yield


def begin(config: Config, resume: Place | None = None, split: Split | None = None) -> Place:
    """Bring the split about and begin a run, or take one up; what only its end would refuse is refused here.

    Raises:
        ConfigError: the registry cannot lie in this store.
        DataError: a feature tells the label alone, and `data.on_leak` is "error".
    """
    registry.tracking_uri(config)
    config = parse(config.model_dump())  # its paths absolute
    split = split or ensure(config)
    looked = leaks.before_training(config, split) if resume is None else None
    run_dir = artifact.begin(config, resume, split)
    if resume is not None and not (run_dir / leaks.ALONE).exists():  # it was cut off before that
        looked = leaks.before_training(config, split)
    if looked is not None:
        commit.write_json(run_dir / leaks.ALONE, looked.as_json())
    return run_dir


def fit(
    run_dir: Place,
    *,
    in_process: bool = True,
    on_line: Callable[[str], None] | None = None,
) -> None:
    """Fit the model of a begun run, on as many ranks as its config asks for (0: as many as pay).

    Raises:
        BinclfError: a rank failed; a note on it says how to resume.
    """
    config = artifact.read_config(run_dir)
    ranks = config.train.ranks or ranks_that_pay(config)
    log.info("run directory: %s", run_dir)
    try:
        with artifact.working(run_dir):
            if in_process and ranks == 1:
                from binclf import train  # torch is imported only by a process that computes

                train.train(run_dir)
            else:
                launch("rank", [str(run_dir)], ranks, on_line=on_line)
    except (BinclfError, KeyboardInterrupt) as error:
        if not isinstance(error, ConfigError | DataError | BusyError):  # those must be mended first
            error.add_note(how_to_resume(run_dir))
        raise


def how_to_resume(run_dir: Place) -> str:
    """What to tell of a run that was interrupted."""
    return f"the run is unfinished; go on with: binclf retrain {run_dir}/config.json --resume {run_dir}"


def finish(run_dir: Place) -> None:
    """Evaluate a fitted run, write its report and seal it."""
    with artifact.working(run_dir):
        conclude(run_dir, measured(artifact.open_run(run_dir, sealed=False)))


def conclude(run_dir: Place, found: Mapping[str, Any]) -> None:
    """Write what evaluation found into a fitted run, and its report, and seal it.

    Args:
        run_dir: the run.
        found: what `evaluate.of_parts` gave, or `evaluate.measured`.
    """
    if "memory_bytes" in found:
        receipts = commit.read_json(run_dir / "receipts.json")
        receipts["actual"]["memory_evaluate_bytes"] = found["memory_bytes"]
        commit.write_json(run_dir / "receipts.json", receipts)
    artifact.write_threshold(run_dir, found["threshold"])
    commit.write_json(run_dir / "metrics.json", found["metrics"])
    run = artifact.open_run(run_dir, sealed=False)
    commit.write_json(run_dir / registry.WINDOW, registry.window_of(run).as_json())
    commit.write_json(run_dir / PROFILE, found["profile"])
    golden.write(run)
    _compare_with_champion(run)
    report.write(run, found)
    artifact.seal(run_dir)
    log.info("%s", report.verdict_of(run_dir).text)


def register(run_dir: Place, uri: str = "") -> dict[str, Any]:
    """Register a sealed run, and promote it if it deserves that; once, however often this is called.

    Args:
        run_dir: a sealed run.
        uri: the registry; empty: as the run's config says, where "off" registers nothing.

    Returns:
        {"registry": what became of it}, or nothing where there is no registry.

    Raises:
        StorageError: the registry cannot be reached; a note says how to register the run later.
    """
    run = artifact.open_run(run_dir)
    if not (uri or run.config.registry.is_on):
        return {}
    found = registry.register(run, decide, uri, report.pictures_of(run))
    standing = "champion" if found["is_champion"] else f"not champion ({found['verdict']})"
    log.info("registered as %s, %s: %s", found["model"], standing, found["reason"])
    return {"registry": found}


def decide(champion: artifact.Run, challenger: artifact.Run) -> registry.Decision:
    """The gate: what a comparison on the same rows says; the sealed one, if it is with this champion.

    Raises:
        ArtifactError: they cannot be compared, which keeps the champion.
    """
    sealed = challenger.contents.get(report.COMPARISON)
    if sealed and (record := json.loads(sealed))["champion"] == champion.id:
        return Sealed(record)
    try:
        return compare(champion, challenger, margin=challenger.config.registry.margin)
    except (ConfigError, DataError) as error:
        raise ArtifactError(str(error)) from error


def _compare_with_champion(run: artifact.Run) -> None:
    """Write how an unsealed run stands against the champion of now; nothing where there is none to compare.

    That costs no run its seal: what stands in the way is told, here and by `register`.
    """
    (run.path / report.COMPARISON).unlink(missing_ok=True)  # an attempt that was cut off had another champion
    if not run.config.registry.is_on:
        return
    try:
        champion = registry.champion_of(run.config.name, registry.tracking_uri(run.config))
        if champion is not None:
            found = compare(champion, run, margin=run.config.registry.margin)
            commit.write_json(run.path / report.COMPARISON, found.as_json())
            log.info("%s", found.headline())
    except BinclfError as error:
        log.warning("not compared with the champion: %s", error)


def summary(run_dir: Place) -> dict[str, Any]:
    """What a command or a flow tells of a sealed run: its place, its metrics, where the report is."""
    metrics, window = commit.read_json(run_dir / "metrics.json"), run_dir / registry.WINDOW
    return {
        "run": str(run_dir),
        "part": report.judged_part(metrics),
        "verdict": report.verdict_of(run_dir).text,
        "metrics": metrics,
        "report": str(run_dir / report.PAGE),
        "until": commit.read_json(window)["until"] if window.exists() else "",  # empty: not known
    }


def ranks_that_pay(config: Config) -> int:
    """Ranks where train.ranks is 0: one per GPU; on CPU one for each 16,384 rows of a step, and core.

    A lone rank already uses a second core to read ahead. On two cores a second rank of 28 columns was 10 %
    slower at 8,192 rows a step and a third faster at 32,768 (measured); so the batches that are chosen where
    train.batch_rows is 0 are trained on by one, in the process itself.
    """
    devices = _gpus() if config.train.device != "cpu" else 0
    on_cpu = min(os.cpu_count() or 1, config.train.batch_rows // ROWS_THAT_PAY)
    return min(max(devices or on_cpu, 1), config.train.lanes)


def _gpus() -> int:
    """GPUs of this machine, counted without torch, which a launcher does not import."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([device for device in visible.split(",") if device.strip() not in ("", "-1")])
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))

"""Retraining and scoring with a fault in each round: `python -m tests.soak [--minutes N] [--seed S]`.

A small store lives through hundreds of rounds: its data grow and shrink, a command splits, trains, registers
and promotes, or scores by the champion, and meanwhile one fault befalls it, drawn by the seed: a process is
killed, ended, stopped for a while or met by its like; the disk is full; bits of inputs, parts or runs are
flipped or cut off. The fault is taken back, the command run again. After each command and each rerun:

- readers of scores see nothing, or files with the bits of an undisturbed scoring by the champion; after the
  rerun all of them, each row once;
- the champion can be loaded and has the bits of an undisturbed training on the data of then;
- each row of the data is in one part, once;
- no process is left after 5 s, and each exit code is one that the fault may have;
- no file is left that is not accounted for: by a seal, a receipt, or by what `binclf prune` removes.

Prints what befell, how often it hit, and the broken laws; exits with 1 if there are any.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from binclf import artifact, registry
from binclf.errors import BinclfError
from binclf.parquet import tail
from binclf.prune import YOUNG_SECONDS, prune
from binclf.storage.local import SCRATCH, scratch
from tests import made
from tests.ranks import as_toml, children_of, environment_of, is_alive
from tests.trained import on_disk

log = logging.getLogger("soak")

SIZES = (700, 400, 900, 500)  # rows of the files; the last of them comes and goes
GONE_SECONDS = 5.0  # within which the processes of a command that was killed are gone
LONGEST = 600.0  # s for a command: a hang
BINCLF = (sys.executable, "-m", "binclf")
DISK = 192  # MiB of the disk that gets full


@dataclass
class Told:
    """How a command ended."""

    code: int
    words: str


@dataclass
class Soak:
    """A store, its data and its scores, and what was seen."""

    folder: Path
    draw: random.Random
    fired: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    whole: dict[int, Path] = field(default_factory=dict)  # undisturbed: files to run directory
    scores: dict[tuple[str, str], Any] = field(default_factory=dict)
    seconds: float = 5.0  # that a retraining takes
    now: str = ""  # the round, in words

    @property
    def store(self) -> Path:
        """Of the runs."""
        return self.folder / "disk" / "runs"

    @property
    def data(self) -> Path:
        """What is trained on and scored."""
        return self.folder / "data"

    @property
    def temporary(self) -> Path:
        """Temporary files of all commands."""
        return self.folder / "tmp"

    @property
    def output(self) -> Path:
        """The scores."""
        return self.folder / "disk" / "scored"

    def wrong(self, words: str) -> None:
        """A law is broken."""
        self.broken.append(f"{self.now}: {words}")
        log.error("BROKEN %s", self.broken[-1])

    def retrain(self) -> list[str]:
        """The command."""
        return [*BINCLF, "retrain", str(self.folder / "made.toml")]

    def score(self) -> list[str]:
        """The command, by the champion."""
        asked = ["models:/made@champion", str(self.data), str(self.output), "--registry", str(self.store)]
        return [*BINCLF, "score", *asked]

    def start(self, command: Sequence[str], mark: str, limit: int = 0) -> subprocess.Popen[str]:
        """A command whose processes can be told from all others."""

        def no_file_beyond() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "MLFLOW_"))
        }
        with (self.folder / f"{mark}.txt").open("w") as words:
            return subprocess.Popen(
                command,
                env=kept | {"BINCLF_SOAK": mark, "TMPDIR": str(self.temporary)},
                stdout=subprocess.DEVNULL,
                stderr=words,
                text=True,
                preexec_fn=no_file_beyond if limit else None,
            )

    def ended(self, process: subprocess.Popen[str], mark: str) -> Told:
        """How a command ended, with its last words; no process of its own may be left."""
        try:
            code = process.wait(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            self.wrong(f"hangs for {LONGEST:.0f} s")
            process.kill()
            code = process.wait()
        deadline = time.monotonic() + GONE_SECONDS
        while left := processes_of(mark):
            if time.monotonic() > deadline:
                self.wrong(f"{len(left)} processes are left after {GONE_SECONDS:.0f} s")
                for pid in left:
                    os.kill(pid, signal.SIGKILL)
                break
            time.sleep(0.05)
        path = self.folder / f"{mark}.txt"
        words = path.read_text(errors="replace")
        path.unlink()
        return Told(code, words)

    def run(self, command: Sequence[str], limit: int = 0) -> Told:
        """Undisturbed, or under a limit of the size of files."""
        mark = uuid.uuid4().hex
        return self.ended(self.start(command, mark, limit), mark)


Fault = Callable[[Soak, Sequence[str]], bool]  # runs a command under it; says whether it hit


def processes_of(mark: str) -> list[int]:
    """Living processes that a command started, and itself."""
    pids = (int(folder.name) for folder in Path("/proc").glob("[0-9]*"))
    return [pid for pid in pids if environment_of(pid).get("BINCLF_SOAK") == mark and is_alive(pid)]


# what befalls a command; each runs it, looks at its code and says whether the fault hit


def of_a_signal(
    target: str, sign: signal.Signals, codes: set[int], soak: Soak, command: Sequence[str]
) -> bool:
    """A signal to the command or to ranks, at a random moment."""
    mark, hit = uuid.uuid4().hex, False
    process = soak.start(command, mark)
    moment = time.monotonic() + soak.draw.uniform(0.1, 1.0) * soak.seconds
    pause = soak.draw.uniform(0.0, 0.4) * soak.seconds
    victims: list[int] = []
    while process.poll() is None and not victims:
        if target == "command":
            victims = [process.pid] if time.monotonic() > moment else []
        elif ranks := [pid for pid in children_of(process.pid) if "RANK" in environment_of(pid)]:
            time.sleep(pause)
            victims = [soak.draw.choice(ranks)] if target == "rank" else ranks
        time.sleep(0.02)
    for pid in victims:
        if is_alive(pid) and environment_of(pid).get("BINCLF_SOAK") == mark:
            os.kill(pid, sign)
            hit = True
    if hit and sign == signal.SIGSTOP:
        time.sleep(1.0)
        for pid in victims:
            os.kill(pid, signal.SIGCONT)
    told = soak.ended(process, mark)
    if told.code not in codes | {0}:  # 0: it was about to end
        soak.wrong(f"code {told.code} after {sign.name} to {target}: {told.words[-800:]}")
    if "our own fault" in told.words:
        soak.wrong(f"says that it is our own fault: {told.words[-800:]}")
    return hit and (told.code != 0 or sign == signal.SIGSTOP)


def full_disk(soak: Soak, command: Sequence[str]) -> bool:
    """Next to nothing is free on the disk of the store and the scores."""
    disk = soak.folder / "disk"
    free = shutil.disk_usage(disk).free
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        file.write(bytes(max(free - soak.draw.randrange(0, 400_000), 0)))
    told = soak.run(command)
    ballast.unlink()
    return _refused(soak, told, {13}, "is full")


def no_large_file(soak: Soak, command: Sequence[str]) -> bool:
    """The kernel refuses files beyond some size."""
    told = soak.run(command, limit=2 ** soak.draw.randrange(9, 17))
    return _refused(soak, told, {13}, "larger than allowed")


def _refused(soak: Soak, told: Told, codes: set[int], words: str) -> bool:
    if told.code not in codes | {0}:
        soak.wrong(f"code {told.code} where {codes} or 0 is right: {told.words[-800:]}")
    elif told.code and words and words not in told.words:
        soak.wrong(f"'{words}' is not told: {told.words[-800:]}")
    return told.code != 0


def damage(soak: Soak, path: Path) -> bytes:
    """Flip a bit or cut the end off; returns what it was."""
    content = path.read_bytes()
    status = path.stat()
    if path.suffix == ".parquet":  # a footer of a user's own has no checksum
        end = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    else:
        end = len(content)
    if soak.draw.random() < 0.3:
        path.write_bytes(content[: soak.draw.randrange(len(content))])
    else:
        changed = bytearray(content)
        changed[soak.draw.randrange(end)] ^= 1 << soak.draw.randrange(8)
        path.write_bytes(changed)
    if soak.draw.random() < 0.5:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # as a disk would, which tells nobody
    return content


def of_damage(where: str, soak: Soak, command: Sequence[str]) -> bool:
    """Bytes of an input, of a part or of the champion's run are other ones; they come back afterwards."""
    if where == "input":
        files = sorted(soak.data.glob("*.parquet"))
    elif where == "part":
        files = sorted((soak.store / "split" / "parts").glob("*.parquet"))
    else:
        files = sorted(path for path in on_disk(champion(soak).path).iterdir() if path.is_file())
    path = soak.draw.choice(files)
    status = path.stat()
    content = damage(soak, path)
    told = soak.run(command)
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    tail.forget()
    is_told = _refused(soak, told, {10, 12}, "")
    if is_told and not _is_named(path, told.words):
        soak.wrong(f"{path.name} was damaged and is not named: {told.words[-800:]}")
    return True


def _is_named(path: Path, words: str) -> bool:
    """A part of the split is known to people by the name of the file that it came of."""
    is_part = path.parent.name == "parts"
    return path.name in words or (is_part and re.search(r"part-\d+\.parquet", words) is not None)


def twice(soak: Soak, command: Sequence[str]) -> bool:
    """The same command beside itself: one of them does it, the other is told to wait, or finds it done."""
    marks = [uuid.uuid4().hex, uuid.uuid4().hex]
    started = [soak.start(command, mark) for mark in marks]
    codes = [soak.ended(process, mark) for process, mark in zip(started, marks, strict=True)]
    found = sorted(told.code for told in codes)
    if found not in ([0, 0], [0, 75]):
        soak.wrong(f"codes {found} of two at once: {[told.words[-500:] for told in codes]}")
    return True


FAULTS: dict[str, Fault] = {
    "kill command": partial(of_a_signal, "command", signal.SIGKILL, {-9}),
    "kill rank": partial(of_a_signal, "rank", signal.SIGKILL, {14}),
    "kill all ranks": partial(of_a_signal, "all", signal.SIGKILL, {14}),
    "end command": partial(of_a_signal, "command", signal.SIGTERM, {143, -15}),
    "interrupt command": partial(of_a_signal, "command", signal.SIGINT, {130, -2}),
    "stop a rank for a second": partial(of_a_signal, "rank", signal.SIGSTOP, {0}),
    "full disk": full_disk,
    "no large file": no_large_file,
    "damaged input": partial(of_damage, "input"),
    "damaged part": partial(of_damage, "part"),
    "damaged run": partial(of_damage, "run"),
    "twice at once": twice,
}
OF_RANKS = {"kill rank", "kill all ranks", "stop a rank for a second"}


# the laws


def champion(soak: Soak) -> artifact.Run:
    return registry.open_run("models:/made@champion", str(soak.store))


def weights(run: Path | artifact.Run) -> bytes:
    path = run if isinstance(run, Path) else run.path
    return (path / "model.safetensors").read_bytes()


def look_at_champion(soak: Soak, states: set[int]) -> None:
    """It can be loaded, and is what an undisturbed training on one of these data is."""
    try:
        found = champion(soak)
    except BinclfError as error:
        soak.wrong(f"the champion cannot be loaded: {error}")
        return
    if weights(found) not in {weights(soak.whole[state]) for state in states}:
        soak.wrong(f"the champion {found.id} has other weights than an undisturbed one")


def look_at_scores(soak: Soak, *, is_done: bool) -> None:
    """Nothing, or the scores of an undisturbed scoring; all of them if it is done."""
    output, names = soak.output, sorted(path.name for path in soak.data.glob("*.parquet"))
    is_committed = (output / "_manifest.json").exists()
    seen = sorted(path.name for path in output.glob("*.parquet")) if output.exists() else []
    if is_done and not is_committed:
        soak.wrong("scoring ended well without a manifest")
    if is_committed and seen != names:
        soak.wrong(f"a manifest, and {seen} are there of {names}")
    for name in seen:
        table = pq.read_table(output / name)
        source = pq.read_table(soak.data / name, columns=["id"])
        if table["id"].to_pylist() != source["id"].to_pylist():
            soak.wrong(f"{name} has other rows than its input")
        model = table["model"][0].as_py()
        key = (name, str(model))
        own = table["probability"].combine_chunks().to_numpy().tobytes()
        if soak.scores.setdefault(key, own) != own:
            soak.wrong(f"{name} has other scores by {model} than before")


def look_at_parts(soak: Soak, run: Path) -> None:
    """Each row of the data is in one part, once."""
    split = artifact.read_split(run)
    ids = [
        value
        for files in split.parts.values()
        for file in files
        for value in pq.read_table(file.path, columns=["id"])["id"].to_pylist()
    ]
    count = sum(SIZES[: len(list(soak.data.glob("*.parquet")))])
    if sorted(ids) != list(range(count)):
        soak.wrong(f"the parts hold {len(ids)} rows, {len(set(ids))} of them once, of {count}")


def look_at_leftovers(soak: Soak) -> None:
    """All that is on the disk is accounted for, once prune has removed what it tells."""
    past = time.time() - 2 * YOUNG_SECONDS
    for path in soak.store.rglob("*"):
        if path.name.endswith(".tmp"):
            os.utime(path, (past, past))  # for prune leaves what is young alone
    prune(soak.store, keep=2, is_meant=True)
    for path in sorted(soak.store.iterdir()):  # the owner's to decide, as prune says
        if (path / "config.json").is_file() and not artifact.is_sealed(path):
            shutil.rmtree(path)
    for path in sorted(soak.folder.joinpath("disk").rglob("*")):
        if path.is_file() and not _is_accounted(soak, path):
            soak.wrong(f"{path.relative_to(soak.folder)} is left over")
    for path in soak.temporary.glob(f"{SCRATCH}*"):
        os.utime(path, (past, past))  # as if the next job, which sweeps, came later
    with patched_temporary(soak.temporary), scratch():
        pass
    for path in soak.temporary.iterdir():
        soak.wrong(f"{path.relative_to(soak.folder)} is left over")
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _is_accounted(soak: Soak, path: Path) -> bool:
    """By the seal of its run, the receipt of its part or of its scores, or as the registry's own."""
    if path.is_relative_to(soak.output):
        inside = path.relative_to(soak.output).parts
        is_scored = path.suffix == ".parquet" and len(inside) == 1 and (soak.data / path.name).exists()
        return path.name in ("_manifest.json", ".lock") or inside[0] == "_receipts" or is_scored
    inside = path.relative_to(soak.store).parts
    if path.name.endswith(".lock") or inside[0] in ("mlflow", "mlflow.db"):
        return True
    if inside[0] == "split":
        parts = soak.store / "split" / "parts"
        owner = parts / f"{path.stem.rpartition('-')[0] or path.stem}.json"
        return path.suffix in (".parquet", ".json") and (len(inside) == 2 or owner.exists())
    run = soak.store / inside[0]
    if inside[0] == "cache":
        return not path.name.endswith(".tmp")
    if not (run / "manifest.json").exists():
        return False
    sealed = json.loads((run / "manifest.json").read_text())["files"]
    return "/".join(inside[1:]) in {*sealed, "manifest.json"}


# the loop


def prepared(folder: Path, draw: random.Random) -> Soak:
    """Undisturbed runs on each of the data, and a store with a champion."""
    soak = Soak(folder, draw)
    for name in ("tmp", "disk"):
        (folder / name).mkdir(parents=True)
    for state in (len(SIZES) - 1, len(SIZES)):
        shutil.rmtree(soak.data, ignore_errors=True)
        made.mixed_files(soak.data, SIZES[:state])
        (folder / f"state-{state}").mkdir()
        for path in soak.data.iterdir():
            made.write(folder / f"state-{state}" / path.name, pq.read_table(path), write_page_checksum=True)
            shutil.copy2(folder / f"state-{state}" / path.name, path)
        _write_config(soak, folder / "whole", "off")
        began = time.monotonic()
        told = soak.run(soak.retrain())
        soak.seconds = time.monotonic() - began
        assert told.code == 0, told.words
        soak.whole[state] = max(folder.glob("whole/made-*"), key=lambda path: path.stat().st_mtime_ns)
    _write_config(soak, soak.store, "")
    told = soak.run(soak.retrain())
    assert told.code == 0, told.words
    return soak


def _write_config(soak: Soak, store: Path, uri: str) -> None:
    config = made.config(
        soak.data,
        store,
        train={"solver": "newton", "ranks": 2, "device": "cpu"},
        registry={"uri": uri, **({} if uri else {"promote": "always"})},
    )
    (soak.folder / "made.toml").write_text(as_toml(config))


def change_data(soak: Soak) -> int:
    """The last file comes or goes; returns how many there are."""
    state = soak.draw.choice(sorted(soak.whole))
    for path in sorted((soak.folder / f"state-{max(soak.whole)}").iterdir()):
        target = soak.data / path.name
        if path.name in {f"part-{number:03}.parquet" for number in range(state)}:
            if not target.exists():
                shutil.copy2(path, target)
        else:
            target.unlink(missing_ok=True)
    return state


def unfinished(soak: Soak) -> list[Path]:
    """Runs that wait to be resumed."""
    return [
        path
        for path in soak.store.glob("made-*")
        if (path / "config.json").is_file() and not artifact.is_sealed(path)
    ]


def a_round(soak: Soak, number: int, name: str) -> None:
    """One fault, one rerun, all laws."""
    before = {len(list(soak.data.glob("*.parquet")))}
    is_scoring = name not in OF_RANKS | {"damaged part"} and soak.draw.random() < 0.5
    state = change_data(soak) if not is_scoring else before.copy().pop()
    soak.now = f"round {number}, {name} while {'scoring' if is_scoring else 'retraining'}"
    shutil.rmtree(soak.output, ignore_errors=True)
    command = soak.score() if is_scoring else soak.retrain()
    has_hit = FAULTS[name](soak, command)
    (soak.fired if has_hit else soak.missed)[name] += 1
    look_at_champion(soak, set(soak.whole) if not is_scoring else before)
    if is_scoring:
        look_at_scores(soak, is_done=False)
    elif (waiting := unfinished(soak)) and soak.draw.random() < 0.5:
        command = [*command, "--resume", str(waiting[0])]
    told = soak.run(command)
    if told.code != 0:
        soak.wrong(f"the rerun ended with {told.code}: {told.words[-1500:]}")
    elif not is_scoring:
        look_at_champion(soak, {state})
        look_at_parts(soak, on_disk(champion(soak).path))
        if soak.run(soak.score()).code:
            soak.wrong("the champion cannot score")
    look_at_scores(soak, is_done=told.code == 0)
    look_at_leftovers(soak)


@contextmanager
def patched_temporary(folder: Path) -> Iterator[None]:
    """Temporary files of this process are made there."""
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


@contextmanager
def a_disk(folder: Path) -> Iterator[bool]:
    """A disk of its own, where this user may mount one; says whether it is."""
    folder.mkdir(parents=True)
    options = ["-t", "tmpfs", "-o", f"size={DISK}m", "tmpfs"]
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, check=False)
    try:
        yield done.returncode == 0
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def soaked(folder: Path, seed: int, *, seconds: float = 0.0, faults: Sequence[str] = ()) -> Soak:
    """So many seconds of rounds; or a round for each of these faults, in their order."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(seed)
    with a_disk(folder / "mounted") as is_mounted:
        place = folder / "mounted" / "soak" if is_mounted else folder / "soak"
        soak = prepared(place, draw)
        names = [name for name in FAULTS if is_mounted or name != "full disk"]
        if not is_mounted:
            log.info("no disk can be mounted here: it is never full")
        deadline = time.monotonic() + seconds
        number = 0
        while number < len(faults) or (not faults and time.monotonic() < deadline):
            name = faults[number] if faults else draw.choice(names)
            if name in names:
                a_round(soak, number, name)
            number += 1
        return soak


def report(soak: Soak, seconds: float, seed: int) -> str:
    """What befell."""
    lines = [
        f"soak, seed {seed}: {sum((soak.fired + soak.missed).values())} rounds in {seconds / 60:.1f} min"
    ]
    for name in FAULTS:
        lines.append(f"{name:<26}{soak.fired[name]:>4} hit{soak.missed[name]:>4} came too late")
    return "\n".join([*lines, *(f"BROKEN: {law}" for law in soak.broken), f"{len(soak.broken)} laws broken"])


def main() -> int:
    """Run, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    log.setLevel(logging.INFO)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        soak = soaked(Path(folder), options.seed, seconds=60 * options.minutes)
    log.info("%s", report(soak, time.monotonic() - began, options.seed))
    return 1 if soak.broken else 0


if __name__ == "__main__":
    sys.exit(main())

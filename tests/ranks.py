"""The body of a test on each of R real ranks, and the small job that the tests of ranks work on.

Ranks are forked from a server that has torch loaded (0.1-0.4 s each; `fork` from the test itself may hang
after autograd). They meet through a file, by the same environment variables that `binclf.launch` sets. A
watchdog in each rank (it needs no GIL) ends it after its time, so that a deadlock is a failure with a trace.
"""

from __future__ import annotations

import faulthandler
import functools
import importlib
import inspect
import multiprocessing
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from binclf.config import Config, parse

START = 60.0  # s, in which a rank is there on the slowest machine
BYSTANDER = ("closed by peer", "reset by peer", "Broken pipe")
Body = Callable[..., Any]
# the second is what DistributedDataParallel imports when it is made
PRELOADED = ["torch", "torch._dynamo", "torch.nn.parallel.distributed", "binclf.train"]


def on_ranks(ranks: int, seconds: float = 60) -> Callable[[Body], Body]:
    """Turn a test into one body on each of R ranks; it takes fixtures that can be pickled, as tmp_path."""

    def decorate(body: Body) -> Body:
        @functools.wraps(body)
        def test(**fixtures: object) -> None:
            run(ranks, body, seconds=seconds, **fixtures)

        return test

    return decorate


def run(ranks: int, body: Body, *, seconds: float = 60, **arguments: object) -> list[Any]:
    """Call `body(**arguments)` on each of R ranks; returns what each returned, in the order of ranks.

    Raises:
        AssertionError: a rank raised, died or took too long; the message has its trace.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with tempfile.TemporaryDirectory(prefix="ranks-") as folder:
        pipes: list[Connection] = []
        children: list[Any] = []
        for rank in range(ranks):
            ours, theirs = context.Pipe(duplex=False)
            where = (body.__module__, body.__qualname__)
            arguments_of_rank = (rank, ranks, folder, seconds, where, arguments, theirs)
            child = context.Process(target=_be_rank, args=arguments_of_rank, daemon=True)
            child.start()
            theirs.close()
            pipes.append(ours)
            children.append(child)
        try:
            outcomes = _outcomes(pipes, children, time.monotonic() + seconds + START, Path(folder))
        finally:
            for child in children:
                child.kill()
                child.join()
    failed = [(rank, words) for rank, (is_well, words) in enumerate(outcomes) if not is_well]
    if failed:
        failed.sort(key=lambda pair: any(words in pair[1] for words in BYSTANDER))
        rank, words = failed[0]
        raise AssertionError(f"rank {rank} of {ranks}:\n{words}")
    return [value for _, value in outcomes]


def _outcomes(
    pipes: list[Connection], children: list[Any], deadline: float, folder: Path
) -> list[tuple[bool, Any]]:
    outcomes: list[tuple[bool, Any]] = []
    for rank, (pipe, child) in enumerate(zip(pipes, children, strict=True)):
        outcome: tuple[bool, Any] | None = None
        if pipe.poll(max(0.0, deadline - time.monotonic())):
            try:
                outcome = pipe.recv()
            except EOFError:
                child.join(5)
        if outcome is None:
            stuck = (folder / f"stuck-{rank}.txt").read_text()
            outcome = (False, f"it died with code {child.exitcode} and said nothing\n{stuck}")
        outcomes.append(outcome)
    return outcomes


def _be_rank(
    rank: int,
    ranks: int,
    folder: str,
    seconds: float,
    where: tuple[str, str],
    arguments: dict[str, Any],
    pipe: Connection,
) -> None:
    with Path(folder, f"stuck-{rank}.txt").open("w") as stuck:
        faulthandler.dump_traceback_later(START, exit=True, file=stuck)
        os.environ.update(
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE=str(ranks),
            LOCAL_WORLD_SIZE=str(ranks),
            BINCLF_RENDEZVOUS=str(Path(folder, "rendezvous")),
        )
        try:
            found: Any = importlib.import_module(where[0])
            for name in where[1].split("."):
                found = getattr(found, name)
            faulthandler.dump_traceback_later(seconds, exit=True, file=stuck)  # from now on
            pipe.send((True, inspect.unwrap(found)(**arguments)))
        except BaseException:
            pipe.send((False, traceback.format_exc()))
        pipe.close()
        os._exit(0)  # at once: gloo may abort on the way out when a peer has gone


def small_job(folder: Path, *, seed: int = 3, **sections: dict[str, Any]) -> Config:
    """Five files of uneven row groups with nulls, categories and weights; the config of a training on them.

    The rows are few (1,031: no batch or rank divides them), and the answer needs all of the columns.
    """
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for number, (rows, group) in enumerate([(401, 97), (13, 13), (257, 256), (331, 50), (29, 7)]):
        a, b = random.normal(size=rows), random.exponential(size=rows) * 1000
        town = random.choice(["Ávila", "Bonn", "Cork", "rare", ""], rows, p=[0.4, 0.3, 0.2, 0.02, 0.08])
        z = 1.5 * a - b / 800 + (town == "Bonn") + random.logistic(size=rows)
        table = pa.table(
            {
                "id": np.arange(rows) + 1000 * number,
                "a": pa.array(a, mask=random.random(rows) < 0.1),
                "b": pa.array(b.astype(np.float32), mask=random.random(rows) < 0.05),
                "town": pa.array(town, mask=random.random(rows) < 0.1),
                "w": random.choice([0.25, 1.0, 6.0], rows),
                "late": z > 0,
            }
        )
        pq.write_table(table, data / f"part-{number}.parquet", row_group_size=group)
    is_exact = sections.get("train", {}).get("solver") == "newton"
    settings: dict[str, Any] = {
        "name": "small",
        "store": str(folder / "runs"),
        "data": {"path": str(data), "label": "late", "weight": "w", "ids": ["id"]},
        "train": {"lanes": 5} | ({} if is_exact else {"epochs": 4, "window_rows": 11, "patience": 0}),
        "registry": {"uri": "off"},  # MLflow takes seconds; tests of the registry have their own
    }
    for section, changes in sections.items():
        settings[section] = {**settings.get(section, {}), **changes}
    return parse(settings)


def as_toml(config: Config) -> str:
    """A config as the TOML file that a person would write for it, every setting spelled out."""

    def shown(value: Any) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, list):
            return "[" + ", ".join(map(shown, value)) + "]"
        return f'"{value}"' if isinstance(value, str) else repr(value)

    lines: list[str] = []
    for key, value in sorted(config.model_dump(mode="json").items(), key=lambda p: isinstance(p[1], dict)):
        if isinstance(value, dict):
            lines += [f"[{key}]", *(f"{name} = {shown(entry)}" for name, entry in value.items())]
        else:
            lines.append(f"{key} = {shown(value)}")
    return "\n".join(lines) + "\n"


def children_of(pid: int) -> list[int]:
    """Pids of the living processes that a process has started."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has gone, or is another user's
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(folder.name))
    return sorted(found)


def environment_of(pid: int) -> dict[str, str]:
    """The environment that a living process was started with; empty if it has gone."""
    try:
        content = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:  # it has gone, or is another user's
        return {}
    return dict(entry.split("=", 1) for entry in content.split("\0") if "=" in entry)


def is_alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:  # it has gone, or is another user's
        return False


def wait_until(claim: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first true value of `claim`, asked again and again.

    Raises:
        AssertionError: it did not come true in time.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = claim()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what}: not so within {seconds} s")


@contextmanager
def nothing_left(marker: str) -> Iterator[None]:
    """Assert that soon after the block no process has `marker` in its environment, but this one."""
    yield

    def left() -> list[int]:
        pids = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
        return [pid for pid in pids if pid != os.getpid() and marker in environment_of(pid).values()]

    wait_until(lambda: not left(), 30, f"no process is left with {marker}")


def at_the_start_of_each_rank(
    call: Callable[[], None], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From now on each rank that a command starts calls a test's function before anything else.

    (By a `sitecustomize` on PYTHONPATH, so that the command line itself is the real one.)
    """
    place = folder / "sitecustomize"
    place.mkdir()
    (place / "sitecustomize.py").write_text(
        "import os\n"
        "if 'RANK' in os.environ:\n"
        f"    import {call.__module__}\n"
        f"    {call.__module__}.{call.__qualname__}()\n"
    )
    root = Path(__file__).parents[1]
    monkeypatch.setenv("PYTHONPATH", f"{place}{os.pathsep}{root}")

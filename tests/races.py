"""Two retrainings that promote at the same moment, again and again: never torn, and the newer data win.

Two processes live through all rounds (importing MLflow takes seconds) and meet at a barrier before each. They
register runs of one model into one sqlite file: with the lock of a store, and in every second round as two
stores do, which share no lock.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from binclf import artifact
from binclf.registry import register
from binclf.registry.address import Address
from binclf.registry.server import Server, tag_of
from tests.registered import Stub, sibling

SECONDS = 120.0  # for a round


def races(database: Path, run: Path, rounds: int, seed: int) -> list[str]:
    """Run so many rounds on an empty registry; returns what was wrong."""
    draw = random.Random(seed)
    store = database.parent
    first = sibling(run, store, 1, registry={"promote": "always"})
    register(first, _better)
    pairs = [
        [str(sibling(run, store, number).path) for number in (2 * pair, 2 * pair + 1)]
        for pair in range(1, rounds + 1)
    ]
    for pair in pairs:
        draw.shuffle(pair)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2, timeout=SECONDS)
    words = context.Queue()
    workers = [
        context.Process(
            target=_work,
            args=([(pair[side], draw.random() / 5) for pair in pairs], barrier, words),
        )
        for side in (0, 1)
    ]
    for worker in workers:
        worker.start()
    wrong = list[str]()
    for worker in workers:
        worker.join(SECONDS * rounds)
        if worker.exitcode != 0:
            wrong.append(f"a process ended with {worker.exitcode}")
            worker.kill()
    while not words.empty():
        wrong.append(words.get())
    return wrong + _torn(Server(f"sqlite:///{database}"), rounds)


def _work(runs: Sequence[tuple[str, float]], barrier: Any, words: Any) -> None:
    locked = Server.turn
    for number, (path, pause) in enumerate(runs):
        free: Any = lambda self: nullcontext()  # noqa: E731
        Server.turn = free if number % 2 else locked  # type: ignore[method-assign]
        run = artifact.open_run(path)
        barrier.wait()
        time.sleep(pause)
        told = register(run, _better)
        barrier.wait()
        newest = _newest(Server(run.config.registry.uri or f"sqlite:///{Path(path).parent}/mlflow.db"))
        barrier.wait()
        if newest:
            words.put(f"{run.id} ({told}): {newest}")


def _newest(server: Server) -> str:
    """What is wrong between two rounds: the champion has the newest data of all that were promoted."""
    versions = server.versions("people")
    champion = server.version_of(Address("people", "champion"))
    newest = max(versions, key=lambda version: tag_of(version, "begun"))
    if champion is None or champion.version != newest.version:
        return f"champion {champion and champion.version}, newest {newest.version}"
    return ""


def _torn(server: Server, rounds: int) -> list[str]:
    """What is wrong at the end: each run is one version and one MLflow run, each decided, all there."""
    versions = server.versions("people")
    runs = [tag_of(version, "run") for version in versions]
    wrong = [] if len(runs) == len(set(runs)) == 2 * rounds + 1 else [f"{len(runs)} versions of {rounds}"]
    wrong += [f"{v.version} is undecided" for v in versions if not tag_of(v, "outcome")]
    with server.asked() as client:
        aliases = client.get_registered_model("people").aliases
        experiment = client.get_experiment_by_name("people").experiment_id
        logged = client.search_runs([experiment], max_results=1000)
    if set(aliases) - {"champion", "challenger"} or "champion" not in aliases:
        wrong.append(f"aliases {aliases}")
    if len(logged) != len(versions) or any(one.info.status != "FINISHED" for one in logged):
        wrong.append(f"{len(logged)} MLflow runs of {len(versions)} versions")
    return wrong


def _better(champion: artifact.Run, challenger: artifact.Run) -> Stub:
    return Stub()

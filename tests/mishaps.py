"""What befalls real ranks in tests, called at their start: see `tests.ranks.at_the_start_of_each_rank`.

Each rank imports this module, so it imports little.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from binclf.errors import KINDS, DataError, StorageError
from binclf.launch.rank import ERROR_FILE

LONG = 600.0  # s; nobody waits for that
STILL_EPOCH = 2  # the third


def rank() -> int:
    return int(os.environ["RANK"])


def mark(name: str) -> Path:
    """A file by which ranks of one test, and the test, know how far they are."""
    return Path(os.environ["BINCLF_TEST_MARKS"], name)


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.005)


# in training


def stand_still_in_the_third_epoch() -> None:
    """Rank 1 stops in the middle of it, so that the others wait in their next sum."""
    from binclf.solvers import minibatch

    real = minibatch._Run._step

    def step(self: Any, batch: Any, epoch: int, position: int) -> Any:
        if epoch == STILL_EPOCH and 2 * position > self.rows:
            time.sleep(LONG)
        return real(self, batch, epoch, position)

    if os.environ["RANK"] == "1":
        minibatch._Run._step = step  # type: ignore[method-assign]


def raise_in_rank_1() -> None:
    import binclf.train as module

    def wrong(*_: object) -> None:
        raise DataError("c.parquet, row group 2: these are rank 1's own words")

    if os.environ["RANK"] == "1":
        module.learn_features = wrong  # type: ignore[assignment]


def kill_rank_1_once() -> None:
    import binclf.train as module

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        module.learn_features = die  # type: ignore[assignment]


# instead of training


def stand_still_at_once() -> None:
    """Each rank, of a launcher of ours or of torchrun, stops where its work would begin."""
    from binclf.cli import verbs

    verbs.rank = verbs.train = lambda options: sleep_in_silence()


def bodies_instead_of_training() -> None:
    """In each rank: `binclf rank NAME` calls the function NAME of this module."""
    from binclf.cli import verbs

    verbs.rank = lambda options: globals()[options.run_dir]()


def meet_and_raise_on_rank_1() -> None:
    import numpy as np

    from binclf.world import join

    with join("cpu") as world:
        if world.rank == 1:
            raise DataError("b.parquet, row group 3: 'a' holds 2 infinities")
        while True:
            world.sum_floats(np.zeros(1))


def meet_and_kill_rank_1() -> None:
    import numpy as np

    from binclf.world import join

    with join("cpu") as world:
        if world.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        while True:
            world.sum_floats(np.zeros(1))


def stand_still_on_rank_1() -> None:
    """Its main thread hangs, and its signs of life go on."""
    from binclf.world import doing, join, waiting

    waiting.BEAT_SECONDS = 0.05
    with join("cpu", stall=1.0) as world:
        doing.stage("a pass over the rows of train")
        doing.step()
        if world.rank == 1:
            time.sleep(LONG)
        world.meet()


def raise_kind() -> None:
    raise KINDS[os.environ["KIND"]](f"the words of {os.environ['KIND']}")


def raise_what_nobody_expects() -> None:
    if rank() == 1:
        raise ZeroDivisionError("by nought")
    time.sleep(LONG)


def exit_without_a_word() -> None:
    if rank() == 1:
        sys.stderr.write("last words\n")
        sys.stderr.flush()
        os._exit(3)
    time.sleep(LONG)


def fail_where_no_disk_takes_the_words() -> None:
    """As on a full disk: rank 1's error file cannot be written."""
    if rank() == 1:
        Path(os.environ[ERROR_FILE]).mkdir()
        raise StorageError("runs cannot be written: the disk is full")
    time.sleep(LONG)


def tell_the_environment() -> None:
    if rank() == 0:
        sys.stderr.write(" ".join(sorted(os.environ)) + "\n")


def exit_well_too_early() -> None:
    """Rank 1 leaves with code 0 while rank 0 waits for it."""
    import numpy as np

    from binclf.world import join

    with join("cpu") as world:
        if world.rank == 1:
            os._exit(0)
        world.sum_floats(np.zeros(1))


def abort_after_the_peer_raised() -> None:
    """As gloo does: rank 0 aborts from C++ because rank 1 has gone, and leaves no record."""
    if rank() == 1:
        raise DataError("rank 1 is the guilty one")
    wait_for(Path(os.environ[ERROR_FILE]).with_name("rank-1.json"))
    os.abort()


def ignore_the_polite_signal() -> None:
    if rank() == 1:
        wait_for(mark("deaf"))
        raise DataError("rank 1 ended")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    mark("deaf").touch()
    time.sleep(LONG)


def have_a_child_and_be_killed() -> None:
    if rank() == 1:
        subprocess.Popen(["sleep", str(LONG)])
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(LONG)


def write_many_lines() -> None:
    for number in range(5000):
        sys.stderr.write(f"rank {rank()} line {number} {'x' * 80}\n")


def sleep_in_silence() -> None:
    mark(f"asleep-{rank()}").touch()
    time.sleep(LONG)


def end_well() -> None:
    pass

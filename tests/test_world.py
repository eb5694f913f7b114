"""The world: ranks meet, add up exactly, and leave; a lone process is a world of one."""

from __future__ import annotations

import datetime
import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

from binclf.errors import ConfigError, RankError
from binclf.launch.rank import was_left
from binclf.world import World, doing, is_rank, join, waiting
from binclf.world.waiting import Lives, Waiting
from tests.ranks import on_ranks, run, wait_until


def test_a_lone_process_is_a_world_of_one() -> None:
    with join("cpu", lambda: "ready") as world:
        assert (world.rank, world.size, world.device.type, world.prepared) == (0, 1, "cpu", "ready")
        assert world.sum_floats(np.array([[0.1, -3.0]])).tolist() == [[0.1, -3.0]]
        assert world.sum_integers(np.array([2**63 - 1, -5])).tolist() == [2**63 - 1, -5]
        assert world.gather(b"") == [b""]
        assert world.gather(b"\0x") == [b"\0x"]
        assert world.fold(lambda: b"own", lambda other: None) == b"own"
    assert not dist.is_initialized()
    assert not is_rank()


def test_a_world_is_left_also_after_an_error() -> None:
    with pytest.raises(ValueError, match="in the middle"), join("cpu"):
        raise ValueError("in the middle")
    assert not dist.is_initialized()
    with join("cpu") as world:
        assert world.size == 1


def test_a_rank_beyond_the_world_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "1")
    with pytest.raises(ConfigError, match="RANK is 3 and WORLD_SIZE 1"), join("cpu"):
        pass


def test_a_prepare_that_fails_is_an_error_and_no_world() -> None:
    def prepare() -> str:
        raise ConfigError("nothing to prepare")

    with pytest.raises(ConfigError, match="nothing to prepare"), join("cpu", prepare):
        pass
    assert not dist.is_initialized()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_a_device_is_refused_with_the_way_out() -> None:
    needs = r"train\.device = 'cuda' needs a device for each of the 1 ranks .* torch sees 0: use fewer"
    with pytest.raises(ConfigError, match=needs), join("cuda"):
        pass


@pytest.mark.slow
@on_ranks(3)
def test_sums_are_over_all_ranks_and_leave_the_summands_alone(tmp_path: Path) -> None:
    with join("cpu") as world:
        own = np.array([[world.rank + 0.5, 1e300], [0.0, -1.0]])
        kept = own.copy()
        assert world.sum_floats(own).tolist() == [[4.5, 3e300], [0.0, -3.0]]
        assert own.tolist() == kept.tolist()
        assert world.sum_floats(own[:, 0]).tolist() == [4.5, 0.0]  # not contiguous
        assert world.sum_floats(np.zeros((0, 4))).shape == (0, 4)


@pytest.mark.slow
@on_ranks(3)
def test_integers_wrap_so_that_checksums_add_up_in_any_order(tmp_path: Path) -> None:
    with join("cpu") as world:
        words = np.array([2**64 - 1, 2**63 + 11, world.rank], dtype=np.uint64)
        found = world.sum_integers(words.view(np.int64)).view(np.uint64).tolist()
        assert found == [3 * (2**64 - 1) % 2**64, 3 * (2**63 + 11) % 2**64, 3]


@pytest.mark.slow
@on_ranks(3)
def test_gather_keeps_the_order_of_ranks_and_every_length(tmp_path: Path) -> None:
    own = [b"", b"\0\0", bytes(range(256)) * 5000]
    with join("cpu") as world:
        assert world.gather(own[world.rank]) == own
        assert world.gather(b"") == [b"", b"", b""]


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_a_fold_has_everyones_once_and_all_get_it(ranks: int) -> None:
    size = 3 * 10**6  # bytes: no small message
    assert run(ranks, folded, size=size) == [(sorted(range(ranks)), size)] * ranks


def folded(size: int) -> tuple[list[int], int]:
    with join("cpu") as world:
        own = [world.rank]
        found = world.fold(
            lambda: bytes(own).ljust(size, b"\xff"), lambda other: own.extend(other.rstrip(b"\xff"))
        )
        return sorted(found.rstrip(b"\xff")), len(found)


@pytest.mark.slow
@on_ranks(2)
def test_rank_0_alone_prepares_and_the_others_wait_for_it(tmp_path: Path) -> None:
    def prepare() -> str:
        time.sleep(0.3)
        (tmp_path / f"by-{os.environ['RANK']}").touch()
        return "Ávila"

    with join("cpu", prepare) as world:
        assert world.prepared == "Ávila"
        assert [path.name for path in tmp_path.iterdir()] == ["by-0"]
        world.sum_integers(np.zeros(1, dtype=np.int64))


@pytest.mark.slow
@on_ranks(2)
def test_ranks_of_a_machine_share_its_cores(tmp_path: Path) -> None:
    with join("auto") as world:
        assert isinstance(world, World)
        assert torch.get_num_threads() == 1
        own = json.dumps([*os.sched_getaffinity(0)]).encode()
        mine, others = (set(json.loads(content)) for content in world.gather(own))
        assert not mine & others or len(mine | others) == 1  # of a machine that has but one


def one_raises() -> None:
    with join("cpu") as world:
        if world.rank == 1:
            raise ValueError("row 7 is odd")
        world.sum_floats(np.zeros(1))


def one_never_comes() -> None:
    if os.environ["RANK"] == "0":
        with join("cpu"):
            pass
    time.sleep(600)


def one_is_killed() -> None:
    with join("cpu") as world:
        if world.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        world.sum_floats(np.zeros(1))


@pytest.mark.slow
def test_the_helper_surfaces_the_words_of_the_rank_that_raised() -> None:
    with pytest.raises(AssertionError, match=r"(?s)rank 1 of 2:.*row 7 is odd"):
        run(2, one_raises)


@pytest.mark.slow
def test_the_helper_makes_a_failure_of_a_deadlock_and_says_where_it_was() -> None:
    with pytest.raises(AssertionError, match=r"(?s)rank 0 of 2:.*init_process_group"):
        run(2, one_never_comes, seconds=3)


@pytest.mark.slow
def test_the_helper_names_the_rank_that_was_killed() -> None:
    with pytest.raises(AssertionError, match=r"rank 1 of 2:\nit died with code -9"):
        run(2, one_is_killed)


def one_is_late() -> list[bytes]:
    """A peer that is silent for a second is dead to gloo; this one works for three."""
    with join("cpu") as world:
        dist.distributed_c10d._set_pg_timeout(datetime.timedelta(seconds=1))
        if world.rank == 1:
            time.sleep(3)
        world.meet()
        return world.gather(b"here")


def one_moves_slowly() -> int:
    """A rank whose work stands still for a second is given up; this one takes three, in small steps."""
    waiting.BEAT_SECONDS = 0.05
    with join("cpu", stall=1.0) as world:
        for _ in range(15 * world.rank):
            time.sleep(0.2)
            doing.step()
        world.meet()
        return world.size


def one_fails_before_it_comes() -> None:
    with join("cpu") as world:
        if world.rank == 1:
            raise ValueError("row 7 is odd")
        world.meet()


@pytest.mark.slow
def test_a_rank_that_works_for_longer_than_collectives_wait_is_waited_for() -> None:
    assert run(2, one_is_late) == [[b"here", b"here"]] * 2


@pytest.mark.slow
def test_a_rank_is_waited_for_as_long_as_its_work_goes_on() -> None:
    assert run(2, one_moves_slowly) == [2, 2]


@pytest.mark.slow
def test_who_waits_is_told_of_a_rank_that_failed() -> None:
    began = time.monotonic()
    with pytest.raises(AssertionError, match=r"(?s)rank 1 of 2:.*row 7 is odd"):
        run(2, one_fails_before_it_comes)
    assert time.monotonic() - began < 30


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Waiting, Waiting]]:
    """Two ranks' sides, where silence of 0.3 s is too long."""
    monkeypatch.setattr(waiting, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(waiting, "SILENT_SECONDS", 0.3)
    stores: Any = dist
    store = stores.HashStore()
    made = Waiting(store, 0, 2), Waiting(store, 1, 2)
    yield made
    for one in made:
        one.end(has_failed=False)


def test_who_gives_signs_of_life_is_waited_for_and_meetings_are_in_order(
    both: tuple[Waiting, Waiting],
) -> None:
    def late() -> None:
        time.sleep(0.7)
        both[1].meet()
        both[1].meet()

    began, other = time.monotonic(), threading.Thread(target=late)
    other.start()
    both[0].meet()
    assert time.monotonic() - began > 0.6
    both[0].meet()
    other.join()


def test_who_gives_no_sign_of_life_is_not(both: tuple[Waiting, Waiting]) -> None:
    both[1]._over.set()
    with pytest.raises(RankError, match="timed out: rank 1 gave no sign of life for 0 s"):
        both[0].meet()


def test_who_failed_says_so(both: tuple[Waiting, Waiting]) -> None:
    both[1].end(has_failed=True)
    with pytest.raises(RankError, match="rank 1 has failed while this one waited") as found:
        both[0].meet()
    assert was_left(str(found.value))  # it is never the guilty one


def test_a_store_that_fails_once_does_not_silence_a_rank_for_good(
    both: tuple[Waiting, Waiting],
) -> None:
    own, failures = both[1], ["slow", "slow"]

    class Slow:
        """The store, as one rank has it."""

        def set(self, key: str, value: str) -> None:
            if failures:
                raise RuntimeError(failures.pop())
            real.set(key, value)

    real, own._store = own._store, Slow()
    wait_until(lambda: not failures, 60, "the store has failed twice")
    heard = real.get(own._key(1))
    wait_until(lambda: real.get(own._key(1)) != heard, 60, "another sign of life")
    own._store = real


def looks(
    monkeypatch: pytest.MonkeyPatch, signs: list[bytes], stall: float
) -> tuple[Callable[[float], None], list[int]]:
    """What looks at signs of life that are on a store, so many seconds after the last; and of how many."""
    now, asked = [0.0], list[int]()
    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: now[0]))

    class Store:
        """What the ranks last said."""

        def multi_get(self, keys: list[str]) -> list[bytes]:
            asked.append(len(keys))
            return list(signs)

    lives = Lives(Store(), [f"life/{rank}" for rank in range(len(signs))], stall)

    def look_after(seconds: float) -> None:
        now[0] += seconds
        lives.look()

    return look_after, asked


def test_who_lives_and_stands_still_is_named_with_what_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    signs = [b"", b""]
    look_after, _ = looks(monkeypatch, signs, stall=100)

    def live(beat: int) -> None:
        """Rank 0 is slow, and rank 1 stands still from the fortieth beat on."""
        moves = (beat // 9, min(beat, 40))
        signs[:] = [f"{beat}\n{move}\na pass, step 7".encode() for move in moves]
        look_after(10)

    for beat in range(51):
        live(beat)
    with pytest.raises(RankError, match=r"work of rank 1 stands still for 100 s \(a pass, step 7\)"):
        live(51)


def test_ranks_that_were_all_stopped_for_an_hour_wait_for_each_other_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    signs = [b"1", b"1"]
    look_after, asked = looks(monkeypatch, signs, stall=math.inf)
    for seconds in (10, 290, 3600, 240):  # stopped twice, and in between nobody had time for a sign
        look_after(seconds)
    signs[0] = b"2"
    look_after(10)
    look_after(1)
    assert asked == [2] * 5  # not before the next beat, and all at once
    look_after(190)
    for _ in range(17):
        look_after(10)
    with pytest.raises(RankError, match="rank 1 gave no sign of life for 300 s"):
        look_after(10)

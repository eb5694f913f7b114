"""What there is for decoded rows: asked once, agreed by all ranks, rows that are held not counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from binclf.config import Config
from binclf.errors import ConfigError
from binclf.loader import tier
from binclf.loader.memory import Shape
from binclf.loader.tier import Job, Room, choose
from binclf.plan import Counts
from binclf.world import World
from tests import made
from tests.ranks import run, small_job

SHAPE = Shape(28, 28, 0, is_weighted=False)
MANY = Counts((18078,) * 1000)


def job(room: Room, **train: Any) -> Job:
    """A large training in that much room."""
    config = made.config(Path("data"), Path("store"), train=train)
    return Job(config, room, {"train": MANY}, SHAPE, 4096)


def free_is(monkeypatch: pytest.MonkeyPatch, amount: int) -> None:
    """Have the machine say that it has so much memory."""
    monkeypatch.setattr(tier, "available_bytes", lambda: amount)


def test_rows_that_are_held_do_not_count_against_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    found = job(Room(3 * 2**30, 2**40), cache="ram")
    assert choose(found).name == "ram"
    free_is(monkeypatch, 2**20)  # they are held by now
    assert choose(found).name == "ram"


def agreed(folder: Path) -> tuple[int, int]:
    """Each rank finds another amount."""
    from binclf.world import join

    config = small_job(folder)
    with join("cpu") as world:
        amount = 2**30 - 2**20 * world.rank
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tier, "available_bytes", lambda: amount)
            room = Room.found(config).agreed(world)
    return room.memory, room.disk


@pytest.mark.slow
def test_all_ranks_have_the_least_room_of_any(tmp_path: Path) -> None:
    found = run(2, agreed, folder=tmp_path)
    assert found[0] == found[1]
    assert found[0][0] == int(tier.SHARE * (2**30 - 2**20))


@pytest.mark.parametrize("train", [{"cache": "none"}, {"cache": "disk"}, {"memory_bytes": 2**28}])
def test_workers_that_would_decode_all_for_each_step_are_refused(train: dict[str, Any]) -> None:
    room = Room(2**40, 2**40)
    choose(job(room, **train))
    with pytest.raises(ConfigError, match=r"train\.workers = 2 needs the rows in memory"):
        choose(job(room, workers=2, **train))


def test_the_rows_that_workers_hold_are_counted() -> None:
    alone, three = (choose(job(Room(2**40, 0), workers=n, cache="ram")).need.rows for n in (0, 2))
    assert three == 3 * alone


def test_a_world_of_one_agrees_with_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    class Alone:
        def gather(self, content: bytes) -> list[bytes]:
            return [content]

    alone: Any = Alone()
    world: World = alone
    free_is(monkeypatch, 1000)
    monkeypatch.setattr(tier, "disk_limit", lambda _: 2000)  # what is free changes from moment to moment
    config: Config = made.config(Path("data"), Path("/nowhere/store"))
    assert Room.found(config).agreed(world) == Room.found(config)

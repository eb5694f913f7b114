"""Bulk stages as mapped tasks: parts are independent and idempotent, so any task runner may have them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeVar

from prefect import task, unmapped
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture, as_completed

from binclf.split import AttemptAll, Outcome, Task, attempt
from binclf.storage import Place, place_of
from flows.retries import SAFE
from flows.watch import Stage, heard_from_part

MOST = 1000  # mapped tasks of a stage: the server takes about 60 a second, so of more parts several share one
PART = SAFE | {"persist_result": False, "cache_policy": NO_CACHE}

Part = TypeVar("Part")


@task(name="split part", **PART)
def split_part(records: str, where: str) -> list[Outcome]:
    """Deal some input files into their parts; those that were dealt before only have their receipts read.

    Args:
        records: the files' tasks as JSON; a text, for Prefect looks through all that is deeper.
        where: the split's home.
    """
    with heard_from_part():
        return [attempt(Task.from_json(one), place_of(where)) for one in json.loads(records)]


def splitting(stage: Stage) -> AttemptAll:
    """What `split.ensure` deals the files with."""

    def attempt_all(tasks: Sequence[Task], where: Place) -> list[Outcome]:
        def submit(dealt: list[list[Task]]) -> list[PrefectFuture[list[Outcome]]]:
            records = [json.dumps([one.as_json() for one in some]) for some in dealt]
            return list(split_part.map(records, unmapped(str(where))))

        return mapped(tasks, submit, stage, rows_of=lambda one: one.rows)

    return attempt_all


def mapped(
    parts: Sequence[Part],
    submit: Callable[[list[list[Part]]], list[PrefectFuture[list[Any]]]],
    stage: Stage,
    rows_of: Callable[[Part], int],
) -> list[Any]:
    """Have all parts done by at most `MOST` tasks, and tell how far they are; the outcomes, in order."""
    dealt = chunks(parts, MOST)
    rows, whole = 0, sum(map(rows_of, parts))
    futures = submit(dealt)
    rows_by = {
        future.task_run_id: sum(map(rows_of, some)) for future, some in zip(futures, dealt, strict=True)
    }
    for future in as_completed(futures):
        future.result()  # the first that failed ends the stage
        rows += rows_by[future.task_run_id]
        stage.tell(rows / max(whole, 1), f"{rows:,} of {whole:,} rows")
    return [outcome for future in futures for outcome in future.result()]


def chunks(parts: Sequence[Part], most: int) -> list[list[Part]]:
    """Consecutive parts in at most so many lists, whose lengths differ by one at most.

    >>> chunks("abcde", 3)
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    size, longer = divmod(len(parts), most)
    ends = [number * size + min(number, longer) for number in range(most + 1)]
    found = [list(parts[begin:end]) for begin, end in pairwise(ends)]
    return [some for some in found if some]

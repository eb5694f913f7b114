"""Which tasks are repeated: whose repeat finds what is done, after an error that may pass by itself."""

from __future__ import annotations

from typing import Any

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from binclf.errors import BusyError, RankError, StorageError

PASSING = (StorageError, RankError, BusyError)


def may_pass(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether an error may pass by itself: of the storage, of a rank that died, of somebody who was faster.

    What the data or the config are at fault for stays wrong, however often it is tried.
    """
    return isinstance(state.result(raise_on_failure=False), PASSING)


# What a task returns is kept as JSON, for people: whether its work is done the library finds in the store.
# (A cached result would be believed even where the store was emptied meanwhile.)
KEPT: dict[str, Any] = {"persist_result": True, "result_serializer": "json", "cache_policy": NO_CACHE}
SAFE = KEPT | {"retries": 2, "retry_delay_seconds": [10, 60], "retry_condition_fn": may_pass}
# a training goes on from its checkpoint; one that dies twice has a reason that stays, such as too few bytes
ONCE = SAFE | {"retries": 1}

"""A split brought about: plan, all files attempted wherever that runs, commit."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from binclf import commit as committing
from binclf.config import Config
from binclf.errors import DamageError
from binclf.split.intake import found_damaged
from binclf.split.plan import plan
from binclf.split.receipt import commit, home
from binclf.split.records import Split, Task
from binclf.split.run import perform
from binclf.storage import Place

Outcome = dict[str, Any] | DamageError  # of a file: its receipt, or what is wrong with its bytes
AttemptAll = Callable[[Sequence[Task], Place], Sequence[Outcome]]


def in_threads(tasks: Sequence[Task], where: Place) -> list[Outcome]:
    """Attempt all tasks in the threads of this process."""
    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="split") as pool:
        return list(pool.map(lambda task: attempt(task, where), tasks))


def ensure(config: Config, attempt_all: AttemptAll = in_threads) -> Split:
    """Bring the split of a config about; on unchanged input nothing is written.

    Args:
        config: the job.
        attempt_all: calls `attempt` for each task, wherever that runs; returns what came out, in order.

    Raises:
        DataError, ConfigError: as `plan`; and a part is empty, or train holds one class.
    """
    where = home(config)
    damaged: dict[str, str] = {}
    with committing.locked(where / ".lock", wait=True):
        while True:  # again without the files that turn out damaged: as if they had never been there
            try:
                todo = plan(config, damaged)
                done = attempt_all(todo.tasks, where)
            except DamageError as error:  # a plan by time reads pages too
                found_damaged(config, [error], damaged)
                continue
            errors = [outcome for outcome in done if isinstance(outcome, DamageError)]
            if not errors:
                return commit(config, todo, [outcome for outcome in done if isinstance(outcome, dict)])
            found_damaged(config, errors, damaged)


def attempt(task: Task, where: Place) -> Outcome:
    """`perform`, where damage is an outcome: of all files it is known before any is left out."""
    try:
        return perform(task, where)
    except DamageError as error:
        return error

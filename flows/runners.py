"""Where the parts of a bulk stage run: threads of the flow's process, processes, workers of Dask or Ray.

$BINCLF_TASK_RUNNER chooses, for all flows: `threads` (as many as there are cores), `processes`, `dask` (a
cluster of this machine), `dask tcp://HOST:8786`, `ray` or `ray ray://HOST:10001`. Data and store must then be
reachable from every worker by the same paths. In code: `retrain.with_options(task_runner=...)`.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from binclf.errors import ConfigError

VARIABLE = "BINCLF_TASK_RUNNER"
ENGINES = {"dask": ("prefect_dask", "DaskTaskRunner"), "ray": ("prefect_ray", "RayTaskRunner")}


def runner(text: str | None = None) -> TaskRunner[Any]:
    """The task runner that a text names; None: that of the environment.

    Raises:
        ConfigError: there is none of that name, or it is not installed.
    """
    named = os.environ.get(VARIABLE, "threads") if text is None else text
    kind, _, address = named.strip().partition(" ")
    if kind in ENGINES:
        return _of_engine(kind, address)
    kinds = {"threads": ThreadPoolTaskRunner, "processes": ProcessPoolTaskRunner}
    if kind not in kinds or address:
        raise ConfigError(
            f"{VARIABLE} = '{named}': write threads, processes, dask, dask tcp://HOST:8786, ray, or "
            "ray ray://HOST:10001."
        )
    found: TaskRunner[Any] = kinds[kind](max_workers=os.cpu_count() or 1)
    return found


def _of_engine(kind: str, address: str) -> TaskRunner[Any]:
    module, name = ENGINES[kind]
    try:
        engine = getattr(import_module(module), name)
    except ImportError as error:
        raise ConfigError(f"{VARIABLE} = '{kind}' needs {module}: pip install 'binclf[{kind}]'.") from error
    found: TaskRunner[Any] = engine(address=address) if address else engine()
    return found

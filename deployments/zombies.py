"""What Prefect leaves `Running` when nobody is left to report: a run without heartbeats is Crashed.

A worker or runner that is stopped kills its runs and reports nothing (seen with Prefect 3.8.8), nor does a
machine without power or a pod that is evicted. The server hears nothing more, shows the run as Running, and
keeps its place in the deployment's concurrency limit: up to five minutes.

Two remedies: `settle`, for the machine that serves, at once; `watch`, for work pools, after 95 s of silence.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from prefect.automations import (
    Automation,
    ChangeFlowRunState,
    EventTrigger,
    Posture,
    ResourceSpecification,
)
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterParentTaskRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed

from flows.flow import TAG

log = logging.getLogger(__name__)

GONE = "The process that worked at it is gone. Retry goes on from its last checkpoint."
SILENT = "a run without heartbeats has crashed"
BEAT, MISSED = 30, 3  # seconds between heartbeats (Prefect's least), and how many may be lost
AT_WORK = FlowRunFilterState(
    type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING, StateType.CANCELLING])
)
RUN_ID = b"PREFECT__FLOW_RUN_ID="  # in the environment of each process that runs a flow
ENVIRONMENT = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(BEAT)}  # of every process that runs flows


def automation(seconds: float = MISSED * BEAT + 5, tag: str = TAG) -> Automation:
    """A run with the tag is Crashed after a heartbeat and then none for so many seconds, nor an end of it."""
    ended = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}
    return Automation(
        name=f"{tag}: {SILENT}",
        description="The process is gone without a word. Retry goes on from its last checkpoint.",
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.heartbeat", *ended},
            match=ResourceSpecification.model_validate({"prefect.resource.id": ["prefect.flow-run.*"]}),
            # of our deployments: other people's flows may have slower hearts
            match_related=ResourceSpecification.model_validate(
                {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{tag}"}
            ),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=seconds),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                message=f"No heartbeat for {seconds:.0f} s: its process or machine is gone.",
            )
        ],
    )


def watch() -> Automation:
    """Have the server do so for our deployments; once, however often this is called."""
    wanted = automation()
    try:
        found = cast(Automation, Automation.read(name=wanted.name))
    except ValueError:
        return cast(Automation, wanted.create())
    wanted.id = found.id
    wanted.update()
    return wanted


def settle(names: Iterable[str]) -> list[FlowRun]:
    """Report the runs of these deployments that no process of this machine works at, and what they began.

    For the one machine that serves them (Linux), when it begins and ends: Prefect's runner kills its runs
    when it is stopped, and leaves them Running.

    Args:
        names: of deployments, as `flow/deployment`.

    Returns:
        The runs that were still shown as at work, and are Crashed (or Cancelled, where that was asked) now.
    """
    if not Path("/proc/self/environ").exists():
        log.warning(
            "no /proc on this machine: runs whose process is gone are found by their heartbeats alone"
        )
        return []
    with get_client(sync_client=True) as client:
        alive, deployments = _at_work(), set(_ids(client, names))
        shown = _shown_at_work(client, list(deployments))
        gone = [run for run in shown if str(run.id) not in alive]
        for run, caller in _called(client):  # works in its caller's process
            if caller.deployment_id in deployments and str(caller.id) not in alive:
                gone.append(run)
        for run in gone:
            is_cancelled = run.state_type is StateType.CANCELLING
            state: State[Any] = Cancelled(message=GONE) if is_cancelled else Crashed(message=GONE)
            client.set_flow_run_state(run.id, state, force=True)
            log.warning("%s is %s: %s", run.name, state.name, GONE)
    return gone


def _ids(client: SyncPrefectClient, names: Iterable[str]) -> Iterator[UUID]:
    for name in names:
        try:
            yield client.read_deployment_by_name(name).id
        except ObjectNotFound:  # it is served for the first time
            continue


def _shown_at_work(client: SyncPrefectClient, deployments: list[UUID]) -> list[FlowRun]:
    return list(
        client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=deployments)),
            flow_run_filter=FlowRunFilter(state=AT_WORK),
        )
    )


def _called(client: SyncPrefectClient) -> Iterator[tuple[FlowRun, FlowRun]]:
    """The runs at work that a flow has called, each with its caller's."""
    is_called = FlowRunFilterParentTaskRunId(is_null_=False)
    found = client.read_flow_runs(flow_run_filter=FlowRunFilter(state=AT_WORK, parent_task_run_id=is_called))
    for run in found:
        if run.parent_task_run_id is not None:
            caller = client.read_task_run(run.parent_task_run_id).flow_run_id
            if caller is not None:
                yield run, client.read_flow_run(caller)


def _at_work() -> set[str]:
    """Ids of the flow runs that processes of this machine have in their environment."""
    found: set[str] = set()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            entries = environment.read_bytes().split(b"\0")
        except OSError:  # it has gone, or is another user's
            continue
        found |= {entry[len(RUN_ID) :].decode() for entry in entries if entry.startswith(RUN_ID)}
    return found


if __name__ == "__main__":
    sys.stdout.write(f"the server watches: {watch().name}\n")

"""What happens when a flow fails or crashes: an event that automations can act on."""

from __future__ import annotations

from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State

from flows import events


def failed(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Called by Prefect, by the names of these parameters; after a crash in a process of its own."""
    given = flow_run.parameters
    scored_by = str(given.get("model", "")).removeprefix("models:/").rstrip("/").rpartition("/")[2]
    name = str(given.get("name") or scored_by.partition("@")[0])
    events.tell_failure(name, flow.name, str(flow_run.id), state.message or "")

"""What happens when a flow fails or crashes: an event that automations can act on."""

from __future__ import annotations

from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State

from binclf import registry
from flows import events


def failed(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Called by Prefect, by the names of these parameters; after a crash in a process of its own."""
    given = flow_run.parameters
    name = str(given.get("name") or name_of(str(given.get("model", ""))))
    events.tell_failure(name, flow.name, str(flow_run.id), state.message or "")


def name_of(model: str) -> str:
    """The name in a model's address, or in the path of its run directory.

    >>> name_of("models:/churn@champion"), name_of("models:/churn/3")
    ('churn', 'churn')
    >>> name_of("/data/runs/late-flights-20260102-030405-a1b2c3/")
    'late-flights'
    """
    if registry.is_address(model):
        return model.removeprefix("models:/").partition("@")[0].partition("/")[0]
    return model.rstrip("/").rpartition("/")[2].rsplit("-", 3)[0]

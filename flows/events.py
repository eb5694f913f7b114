"""What happens to a model, told as events that automations can act on. docs/prefect.md has the schema."""

from __future__ import annotations

import logging
from typing import Any

from prefect.events import emit_event

log = logging.getLogger(__name__)

PROMOTED, KEPT, FAILED = "binclf.model.promoted", "binclf.model.kept", "binclf.model.failed"
DRIFTED = "binclf.model.drifted"
SHOWN = ("rows", "log_loss", "base_log_loss", "roc_auc", "ece")


def tell_outcome(name: str, summary: dict[str, Any]) -> None:
    """Promoted, or the champion was kept; nothing where that was not decided now."""
    registered = summary.get("registry")
    if registered is None or not registered["decided_now"]:
        return
    judged = summary["metrics"][summary["part"]]
    payload = {
        "run": summary["run"],
        "version": registered["version"],
        "champion": registered["champion"],
        "verdict": registered["verdict"],
        "reason": registered["reason"],
        "report": summary["verdict"],
        "part": summary["part"],
        **{metric: judged.get(metric) for metric in SHOWN},
    }
    _emit(PROMOTED if registered["is_champion"] else KEPT, name, payload)


def tell_failure(name: str, flow: str, flow_run: str, message: str) -> None:
    """A flow of the model failed or crashed."""
    _emit(FAILED, name, {"flow": flow, "flow_run": flow_run, "message": message})


def tell_drift(name: str, drift: dict[str, Any]) -> None:
    """Rows that were scored are not like those of training; nothing where they are, or none was seen."""
    if drift and drift["is_alarm"]:
        _emit(DRIFTED, name, {key: value for key, value in drift.items() if key not in ("text", "is_alarm")})


def _emit(event: str, name: str, payload: dict[str, Any]) -> None:
    resource = {"prefect.resource.id": f"binclf.model.{name}", "prefect.resource.name": name}
    emit_event(event, resource=resource, payload=payload)
